"""A launch script changed to a better plan: which flags differ, and the edits of its text."""
