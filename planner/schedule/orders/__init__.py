"""The order of passes of each schedule."""
