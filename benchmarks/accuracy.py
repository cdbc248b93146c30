"""Accuracy against the shipped measured runs: writes docs/accuracy.md and the residuals from which
confidence intervals are made.

Run with `python -m benchmarks.accuracy` after anything that changes an estimate; `--check` says
whether the files are what it would write (exit code 1 when not) and writes nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from planner.reports.accuracy import accuracy_document
from planner.specs.files.catalog import list_shipped, resolve
from planner.training.confidence.residuals import FILE, to_json
from planner.validation.residuals import residuals_of
from planner.validation.validate import validate_files

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"


def main(arguments: list[str]) -> int:
    validation = validate_files([resolve("runs", name) for name in list_shipped("runs")])
    texts = {DOCUMENT: accuracy_document(validation), FILE: to_json(residuals_of(validation))}
    stale = [
        path
        for path, text in texts.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        for path in stale:
            print(f"{path} is stale: python -m benchmarks.accuracy renews it")
        return 1 if stale else 0
    for path in stale:
        path.write_text(texts[path], encoding="utf-8")
        print(f"{path} is new")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
