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
    sys.unraisablehook = _report_unless_interrupt
    try:
        from planner.alarm import enforced
        from planner.budget import UNLIMITED

        with enforced(UNLIMITED):
            from planner.cli.app import main as run_program

            run_program()
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)


def _report_unless_interrupt(dropped: "sys.UnraisableHookArgs") -> None:
    """Ctrl-C that Python drops, as in the callback of a weak reference, is raised again."""
    if dropped.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(dropped)
