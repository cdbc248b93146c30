"""SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format), as code scanning reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from planner import __version__
from planner.checks.registry import rules
from planner.reports.checks.outcome import findings_of
from planner.wording.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.checks.check import Checked
    from planner.checks.finding import Finding, Region, Related
    from planner.checks.registry import CheckRule

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
FINGERPRINT = "planner/v1"
ROOT = "%SRCROOT%"


def sarif(checked: Sequence[Checked]) -> dict[str, Any]:
    """One run with all rules and a result for each finding. Paths are relative to the directory
    the check ran in, which is the repository's in a pipeline."""
    codes = list(rules())
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "planner",
                        "version": __version__,
                        "semanticVersion": __version__,
                        "rules": [_rule(rule) for rule in rules().values()],
                    }
                },
                "invocations": [{"executionSuccessful": all(one.readable for one in checked)}],
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, codes.index(one.code)) for one in findings_of(checked)],
            }
        ],
    }


def _rule(rule: CheckRule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "help": {
            "text": f"{rule.why}\n\n{rule.fix}",
            "markdown": f"{rule.why}\n\n**How to fix:** {rule.fix}",
        },
        "defaultConfiguration": {"level": rule.severity},
    }


def _result(one: Finding, index: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": one.code,
        "ruleIndex": index,
        "level": one.severity,
        "message": {"text": _plain(one.text)},
        "locations": [{"physicalLocation": _location(one.region)}],
        "partialFingerprints": {FINGERPRINT: one.fingerprint},
    }
    if one.related:
        result["relatedLocations"] = [
            _related(number, related) for number, related in enumerate(one.related, start=1)
        ]
    return result


def _related(number: int, related: Related) -> dict[str, Any]:
    return {
        "id": number,
        "physicalLocation": _location(related.region),
        "message": {"text": _plain(related.what)},
    }


def _plain(text: str) -> str:
    """A message on one line in which nothing is a link (SARIF 2.1.0, section 3.11.6)."""
    return printable(text).replace("](", "\\](")


def _location(region: Region) -> dict[str, Any]:
    path = Path(region.path)
    artifact = (
        {"uri": path.as_uri()}
        if path.is_absolute()
        else {"uri": quote(os.fsencode(region.path)), "uriBaseId": ROOT}
    )
    if region.line is None:
        return {"artifactLocation": artifact}
    place = {
        "startLine": region.line,
        "startColumn": region.column,
        "endColumn": region.end_column,
    }
    known = {key: value for key, value in place.items() if value is not None}
    return {"artifactLocation": artifact, "region": known}
