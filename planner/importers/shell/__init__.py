"""Enough of the shell's language to know what a launch script runs, without running anything.

A script is parsed, its variables, arrays, conditions, loops and functions are followed, and the
commands it would run come out as words that remember where in the file each came from. What
depends on the machine (the environment, other programs) is carried along as unknown, with the
reason, and is never guessed.
"""
