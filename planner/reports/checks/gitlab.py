"""GitLab's code-quality report (`artifacts: reports: codequality`): a JSON list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.checks.registry import BAD_INPUT
from planner.reports.checks.outcome import findings_of
from planner.wording.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.checks.check import Checked
    from planner.checks.finding import Finding, Region

SEVERITIES = {"error": "major", "warning": "minor"}


def code_quality(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """One entry for each finding. The merge request compares fingerprints with those of the target
    branch, so they hold neither lines nor numbers."""
    return [_issue(one) for one in findings_of(checked)]


def _issue(one: Finding) -> dict[str, Any]:
    return {
        "description": f"{one.code} {one.rule.name}: {printable(one.text)}",
        "check_name": one.code,
        "fingerprint": one.fingerprint,
        "severity": "blocker" if one.code == BAD_INPUT else SEVERITIES[one.severity],
        "location": {"path": one.region.path, **_lines(one.region)},
    }


def _lines(region: Region) -> dict[str, Any]:
    """GitLab needs a line even for a finding about the whole file."""
    if region.line is None or region.column is None:
        return {"lines": {"begin": region.line or 1}}
    begin = {"line": region.line, "column": region.column}
    end = {"line": region.line, "column": region.end_column or region.column}
    return {"positions": {"begin": begin, "end": end}}
