"""The command line. `main` is what the `planner` program runs."""

import os
import sys
from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Runs the program on the arguments of the process. Ctrl-C is heard while it is loaded, too."""
    try:
        from planner.cli.app import main as run_program
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)
    run_program()
