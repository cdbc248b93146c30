"""PL1 and PL2: can the plan run at all, and was it made for these inputs?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.checks.registry import codes_of_problems
from planner.plan_document import record_inputs
from planner.training.search.plans.problems import plan_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.checks.finding import Finding
    from planner.checks.subject import Subject
    from planner.plan_document import RecordedFile, RecordedJob
    from planner.specs.model.spec import ModelSpec

FOLLOW_FROM_REPLICAS = {"batch", "global-batch", "vpp-mb"}
"""Problems of a launch file whose number of replicas is no whole number, and so a guess."""

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
    named = {problem.name for problem in subject.refused}
    if "world" in named:
        named |= FOLLOW_FROM_REPLICAS
    problems = (*subject.refused, *(one for one in problems if one.name not in named))
    for problem in problems:
        yield subject.finding(
            codes_of_problems()[problem.name],
            tuple(problem.field.split(".")),
            problem.error.message,
            hint=problem.error.hint,
        )


def doubt_findings(subject: Subject) -> Iterator[Finding]:
    """One for every figure of the cluster file that its hardware cannot have."""
    for doubt in subject.scenario.cluster.doubts:
        yield subject.finding("PL211", ("placement",), doubt)


def stale_findings(subject: Subject) -> Iterator[Finding]:
    """One for every file that changed since the plan was made."""
    if subject.recorded is None:
        return
    scenario, then = subject.scenario, subject.recorded
    now = record_inputs(scenario.cluster, scenario.model, scenario.job)
    for kind, was, is_, at in (
        ("cluster", then.cluster, now.cluster, ("inputs", "cluster", "sha256")),
        ("model", then.model, now.model, ("inputs", "model", "sha256")),
        (
            "software profile",
            then.software,
            now.software,
            ("inputs", "job", "software_sha256"),
        ),
    ):
        if was.sha256 is None or was.sha256 == is_.sha256:
            continue
        message = changed(kind, was, is_)
        if kind == "model":
            message += _trained_otherwise(scenario.model, then.job)
        yield subject.finding("PL210", at, message)


def changed(kind: str, was: RecordedFile, is_: RecordedFile) -> str:
    """What is said of a file that is not the one a plan was made from."""
    if was.name != is_.name:
        return f"the plan was made for {kind} {was.name}, not {is_.name}"
    what = f"{kind} {was.name}"
    if kind == "cluster":
        what += " (its file, a device file or its matrix)"
    digests = [one.sha256[:SHORT] if one.sha256 else "no file" for one in (was, is_)]
    return (
        f"{what} has changed since the plan was made from it "
        f"(sha256 {digests[0]} then, {digests[1]} now)"
    )


def _trained_otherwise(model: ModelSpec, job: RecordedJob) -> str:
    """What the model file says about the job and the plan does not, although the estimate follows
    the plan."""
    training = model.training
    stated = {
        "global_batch_size": training.global_batch_size,
        "seq_length": training.seq_length or model.seq_length,
        "precision": training.precision,
    }
    differing = [
        f"{name} {value}, and the plan is for {getattr(job, name)}"
        for name, value in stated.items()
        if value is not None and value != getattr(job, name)
    ]
    return f"; the file says {'; '.join(differing)}" if differing else ""
