"""Annotations of GitHub Actions: workflow commands on standard output.

GitHub shows ten annotations of each type for a step and drops the others silently, so the last
one says how many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.reports.checks.outcome import check_verdict, findings_of
from planner.wording.printable import log_line, printable
from planner.wording.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.checks.check import Checked
    from planner.checks.finding import Finding

SHOWN = 10
DATA = str.maketrans({"%": "%25"})
PROPERTY = DATA | str.maketrans({":": "%3A", ",": "%2C"})


def github_annotations(checked: Sequence[Checked]) -> str:
    """One annotation for each finding, errors first, then a verdict for each plan in the log."""
    findings = findings_of(checked)
    lines: list[str] = []
    for severity in ("error", "warning"):
        lines += _of_severity([one for one in findings if one.severity == severity])
    lines += (printable(check_verdict(one)) for one in checked)
    return "".join(f"{line}\n" for line in lines)


def _of_severity(findings: Sequence[Finding]) -> Iterator[str]:
    if len(findings) <= SHOWN:
        yield from map(_annotation, findings)
        return
    yield from map(_annotation, findings[: SHOWN - 1])
    first = findings[0]
    more = plural(len(findings) - SHOWN + 1, f"more {first.severity}")
    yield f"::{first.severity} title=planner::{more}; the log of the step has all of them"
    for one in findings[SHOWN - 1 :]:
        yield log_line(printable(f"{one.region.text}: {one.code} {one.severity}: {one.text}"))


def _annotation(one: Finding) -> str:
    region = one.region
    properties = {"file": region.path}
    if region.line is not None:
        properties |= {"line": str(region.line), "endLine": str(region.line)}
    if region.column is not None:
        properties["col"] = str(region.column)
    if region.end_column is not None:
        properties["endColumn"] = str(region.end_column)
    properties["title"] = f"planner {one.code} {one.rule.name}"
    shown = ",".join(
        f"{key}={printable(value).translate(PROPERTY)}" for key, value in properties.items()
    )
    return f"::{one.severity} {shown}::{printable(one.text).translate(DATA)}"
