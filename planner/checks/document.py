"""The JSON document of `planner check`: everything it found, and what that rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner import __version__
from planner.plan_document.write_estimate import confidence_fields
from planner.plan_document.write_plan import plan_fields
from planner.training.confidence.interval import tied
from planner.wording.binding import fit_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.checks.check import Checked
    from planner.checks.finding import Finding, Region

SCHEMA_ID = "planner/checks/1"


def check_document(checked: Sequence[Checked]) -> dict[str, Any]:
    """Times are seconds, sizes integer bytes, lines and columns count from 1."""
    findings = [found for one in checked for found in one.findings]
    errors = sum(one.severity == "error" for one in findings)
    return {
        "schema": SCHEMA_ID,
        "planner_version": __version__,
        "passed": errors == 0,
        "errors": errors,
        "warnings": len(findings) - errors,
        "plans": [_plan(one) for one in checked],
    }


def _plan(one: Checked) -> dict[str, Any]:
    subject, cost, best = one.subject, one.estimate, one.best
    return {
        "plan": one.reference,
        "path": one.path,
        "passed": one.passed,
        "cluster": None if subject is None else subject.scenario.cluster.name,
        "model": None if subject is None else subject.scenario.model.name,
        "degrees": None if subject is None else plan_fields(subject.plan)["degrees"],
        "step_s": None if cost is None else cost.step_s,
        "fit_class": None if cost is None else cost.fit_class,
        "verdict": None if cost is None else fit_words(cost),
        "peak_bytes": None if cost is None else cost.memory.binding.peak_bytes,
        "capacity_bytes": None if cost is None else cost.memory.binding.capacity_bytes,
        "confidence": None if cost is None else confidence_fields(cost),
        "slower_than_best": one.slower_than_best,
        "best": None
        if best is None
        else {
            "step_s": best.estimate.step_s,
            "proven": one.proven,
            "tied": cost is not None and tied(cost.step_s, best.estimate.step_s),
            **plan_fields(best.plan),
        },
        "findings": [_finding(found) for found in one.findings],
        "not_evaluated": dict(sorted(one.not_evaluated.items())),
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "code": one.code,
        "name": one.rule.name,
        "severity": one.severity,
        "message": one.message,
        "hint": one.hint,
        "fix": one.rule.fix,
        **_region(one.region),
        "related": [{"what": related.what, **_region(related.region)} for related in one.related],
        "fingerprint": one.fingerprint,
    }


def _region(region: Region) -> dict[str, Any]:
    return {
        "path": region.path,
        "line": region.line,
        "column": region.column,
        "end_column": region.end_column,
    }
