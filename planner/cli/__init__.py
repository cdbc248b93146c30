"""The command line. `main` is what the `planner` program runs."""

import gc
import os
import sys
from typing import NoReturn

INTERRUPTED = 130
OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""Loading makes as many objects as the interpreter collects after a hundred times, and all of them
stay: modules, classes, parsed files."""


def main() -> NoReturn:
    """Runs the program on the arguments of the process. Ctrl-C is heard while it is loaded, too."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
    try:
        from planner.alarm import enforced, report_unraisable
        from planner.budget import UNLIMITED

        sys.unraisablehook = report_unraisable
        with enforced(UNLIMITED):
            from planner.cli.app import main as run_program

            run_program()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)
