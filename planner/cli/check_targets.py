"""Where `planner check` writes what: `--format NAME[=FILE],…` and `--output FILE`."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.cli.output import write_stdout
from planner.errors import InputError
from planner.specs import ranges
from planner.specs.files.writing import append_file, check_writable, write_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.checks.check import Checked

FORMATS = (
    "rich",
    "concise",
    "json",
    "github",
    "github-summary",
    "gitlab",
    "junit",
    "sarif",
)
FOR_PEOPLE = ("rich", "concise")
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A format and its file; None is standard output. Summaries of a step are appended to, as
    other tools write there too."""

    name: str
    file: str | None = None
    appended: bool = False

    def write(self, checked: Sequence[Checked]) -> None:
        """What cannot be read is on stderr already, where people see it."""
        from planner.reports.checks.formats import rendered

        if self.file is not None:
            text = rendered(self.name, checked, io.StringIO())
            (append_file if self.appended else write_file)(self.file, text, option="--format")
            return
        if self.name not in FOR_PEOPLE:
            write_stdout(rendered(self.name, checked, sys.stdout))
        elif any(one.readable for one in checked):
            shown = [one if one.readable else replace(one, findings=()) for one in checked]
            write_stdout(rendered(self.name, shown, sys.stdout))


def parse_targets(text: str | None, output: str | None, *, json: bool) -> tuple[Target, ...]:
    """Targets of the options. One format at most goes to standard output, or to `--output`.

    Raises: InputError."""
    if json and text is not None:
        raise InputError("--json and --format are both given; --json is --format json")
    targets = [_target(part) for part in (text or ("json" if json else "rich")).split(",")]
    loose = [index for index, target in enumerate(targets) if target.file is None]
    if len(loose) > 1:
        names = " and ".join(targets[index].name for index in loose[:2])
        raise InputError(
            f"--format: {names} both go to standard output",
            hint=f"give one of them a file, as in {targets[loose[-1]].name}=FILE",
        )
    if output is not None:
        if not loose:
            raise InputError("--output: every format has a file of its own already")
        check_writable(output)
        targets[loose[0]] = Target(name=targets[loose[0]].name, file=output)
    for target in targets:
        check_writable(target.file, option="--format")
    return tuple(targets)


def _target(part: str) -> Target:
    name, equals, file = part.strip().partition("=")
    ranges.word("--format", name, FORMATS)
    if equals and not file:
        raise InputError(f"--format: {part.strip()!r} names no file")
    if not equals and name == "github-summary" and os.environ.get(STEP_SUMMARY):
        return Target(name=name, file=os.environ[STEP_SUMMARY], appended=True)
    return Target(name=name, file=file or None)
