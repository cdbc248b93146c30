"""What must hold of every scenario, checked through the commands a user has."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from planner.training.search.space.rules import RULES
from tests.fuzz.changes import CHANGES
from tests.fuzz.compare import differences
from tests.fuzz.contracts import decisions_of
from tests.fuzz.exports import broken_exports
from tests.fuzz.scenario import PLANS

if TYPE_CHECKING:
    from tests.fuzz.case import Case
    from tests.fuzz.program import Ran

GRACE_S = 1.0
"""What a search may take beyond its time limit."""
CHANGED = 0.7
"""Share of the scenarios that are changed and searched again."""

_RULE = re.compile(r"^error: ([a-z-]+): ")
RULE_NAMES = {rule.name for rule in RULES}


def check_scenario(case: Case, *, deep: bool = True) -> None:
    """Runs the commands of a scenario and records what does not hold; `deep` also changes the
    scenario in ways whose effect is known."""
    case.scenario.write(case.folder)
    ran = case.run(*case.scenario.search("--json", "--output", PLANS))
    _check_time_limit(case, ran)
    if ran.code == 2:
        _check_refusal(case, ran)
        return
    if ran.code == 1 and "while the inputs were read" in ran.stderr:
        return
    document = case.document(ran)
    if document is None:
        return
    if case.rng.random() < 0.08:
        _check_text(case, ran)
    if document["plans"]:
        _check_estimates(case, document)
        _check_check(case, document)
        for what, detail in broken_exports(case, document["plans"][0]):
            case.fail(what, detail)
    if deep and case.scenario.time_limit_s is None and case.rng.random() < CHANGED:
        case.rng.choice(CHANGES)(case, document)


def _check_refusal(case: Case, ran: Ran) -> None:
    """Every file and option is valid, so that only a rule of the framework may refuse them."""
    rule = _RULE.match(ran.errors)
    named = rule is not None and rule[1] in RULE_NAMES
    case.holds("refusals name a rule", named, ran.errors[:400])


def _check_time_limit(case: Case, ran: Ran) -> None:
    limit_s = case.scenario.time_limit_s
    if limit_s is not None:
        case.holds(
            "time limit is kept",
            ran.took_s <= limit_s + GRACE_S,
            f"{ran.took_s:.1f} s for a limit of {limit_s:g} s",
        )


def _check_text(case: Case, ran: Ran) -> None:
    """The report has the exit code of the document; under a time limit it may know less or more."""
    report = case.run(*case.scenario.search())
    alike = report.code == ran.code or case.scenario.time_limit_s is not None
    case.holds("reports", alike and bool(report.stdout or report.errors), f"exit {report.code}")


def _check_estimates(case: Case, document: dict[str, Any]) -> None:
    """A plan estimated alone costs what the search says."""
    ranks = {1, len(document["plans"]), case.rng.randint(1, len(document["plans"]))}
    for rank in sorted(ranks):
        reference = f"{PLANS}#{rank}"
        ran = case.run("estimate", *case.scenario.files, "--plan", reference, "--json")
        found = case.document(ran)
        wanted = document["plans"][rank - 1]
        if found is None:
            case.fail("estimates repeat", f"{reference}: {ran.errors[:300]}")
            continue
        ours = found["plans"][0]
        different = [
            *differences(decisions_of(ours), decisions_of(wanted)),
            *differences(ours["estimate"], wanted["estimate"]),
        ]
        case.holds("estimates repeat", not different, f"{reference}: {'; '.join(different[:4])}")


def _check_check(case: Case, document: dict[str, Any]) -> None:
    """A plan that a search found passes its own check."""
    ran = case.run("check", *case.scenario.files, f"{PLANS}#1", "--json")
    found = ran.errors
    if ran.code in (0, 1):
        findings = json.loads(ran.stdout)["plans"][0]["findings"]
        found = "; ".join(one["message"] for one in findings if one["severity"] == "error")
    case.holds("plans pass the check", ran.code == 0, found[:1500])
    if case.rng.random() < 0.1:
        name = case.rng.choice(["rich", "concise", "github", "gitlab", "junit", "sarif"])
        case.run("check", *case.scenario.files, f"{PLANS}#1", "--format", name)
