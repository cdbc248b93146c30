"""`python -m tests.fuzz scenarios|mutants|all`: the fuzz at length, with a summary of what ran."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from planner.placement import truth
from tests.fuzz.report import Report
from tests.fuzz.run_mutants import run_mutants
from tests.fuzz.run_scenarios import run_scenarios

SCENARIOS, MUTANTS = 2_000, 20_000
"""Scenarios, and mutants of each family, of a run that is not told how many."""


def main() -> int:
    """Returns 1 when anything failed."""
    options = _parser().parse_args()
    report = Report(folder=Path(options.folder))
    truth.STRICT = True
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(f"ended by signal {number}"))
    try:
        _run(options, report)
    finally:
        print(report.table())
    return 1 if report.failures else 0


def _run(options: argparse.Namespace, report: Report) -> None:
    until = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    if options.what in ("scenarios", "all"):
        run_scenarios(report, seed=options.seed, count=options.count or SCENARIOS, until=until)
    if options.what in ("mutants", "all"):
        run_mutants(
            report,
            seed=options.seed,
            count=options.count or MUTANTS,
            families=options.family,
            until=until,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", choices=("scenarios", "mutants", "all"), nargs="?", default="all")
    parser.add_argument("--seed", type=int, default=0, help="of the first scenario or mutant")
    parser.add_argument("--count", type=int, help="scenarios; mutants of each family")
    parser.add_argument("--minutes", type=float, help="stop after so many minutes")
    parser.add_argument("--family", action="append", help="only this family of mutants")
    parser.add_argument("--folder", default="fuzz-failures", help="where reproductions go")
    return parser


if __name__ == "__main__":
    sys.exit(main())
