"""Values to what a person reads: each module turns one kind of result into rich renderables.

Everything fits 80 columns, says the answer in its first line and loses nothing without colour.
"""
