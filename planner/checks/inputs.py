"""PL1 and PL2: can the plan run at all, and is it of the inputs there are?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.checks.registry import codes_of_problems
from planner.plan_document import record_inputs
from planner.search.problems import plan_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.checks.finding import Finding
    from planner.checks.subject import Subject

FOLLOW_FROM_SIZE = ("world", "hosts")
"""Problems that a cluster too small for the plan always causes."""

SHORT = 8
"""Digits of a digest that tell two of them apart."""


def problem_findings(subject: Subject) -> Iterator[Finding]:
    """Everything that keeps the plan from running."""
    problems = plan_problems(subject.scenario, subject.plan)
    if subject.problem is not None:
        others = (problem for problem in problems if problem.name not in FOLLOW_FROM_SIZE)
        problems = (subject.problem, *others)
    for problem in problems:
        yield subject.finding(
            codes_of_problems()[problem.name],
            tuple(problem.field.split(".")),
            problem.error.message,
            hint=problem.error.hint,
        )


def stale_findings(subject: Subject) -> Iterator[Finding]:
    """One for every file that changed since the plan was made."""
    recorded, scenario = subject.recorded, subject.scenario
    if recorded is None:
        return
    now = record_inputs(scenario.cluster, scenario.model, scenario.job)
    job = ("inputs", "job", "software_sha256")
    for kind, name, current, then, sha256, at in (
        ("cluster", recorded.cluster.name, now.cluster.name, recorded.cluster.sha256,
         now.cluster.sha256, ("inputs", "cluster", "sha256")),
        ("model", recorded.model.name, now.model.name, recorded.model.sha256,
         now.model.sha256, ("inputs", "model", "sha256")),
        ("software profile", recorded.job.software, now.job.software,
         recorded.job.software_sha256, now.job.software_sha256, job),
    ):  # fmt: skip
        if then is None or then == sha256:
            continue
        if name != current:
            message = f"the plan was made for {kind} {name}, not {current}"
        else:
            digest = "no file" if sha256 is None else sha256[:SHORT]
            message = (
                f"{kind} {name} has changed since the plan was made from it "
                f"(sha256 {then[:SHORT]} then, {digest} now)"
            )
        yield subject.finding("PL210", at, message)
