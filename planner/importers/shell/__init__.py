"""A reader of the shell's language that finds out what a launch script runs, without running
anything.

A script is parsed, its variables, arrays, conditions, loops and functions are followed, and the
commands it would run come out as words that remember where in the file each came from. Whatever
depends on the machine (the environment, other programs) stays unknown, with the reason, and is
never guessed.
"""
