"""The combinations that exist, and the rules that exclude the others."""
