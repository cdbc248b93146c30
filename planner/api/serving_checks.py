"""Serving plans against the rules of `planner check`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from planner.api.serving_exports import exported
from planner.api.serving_plans import fill_parts, handover_refusal, misfit, scenario_of, served_job
from planner.checks.check import Checked, served_check
from planner.checks.places import PlanPlaces, shown_path
from planner.checks.served import (
    ServedSubject,
    balance_findings,
    cache_findings,
    limit_findings,
    stale_served_findings,
)
from planner.errors import InputError, RuleError
from planner.exporters.serving.formats import SERVING_FORMATS
from planner.plan_document.serving.inputs import record_serving_inputs
from planner.plan_document.serving.read import read_serving_plan
from planner.serving.search.plans import scored_offer
from planner.specs import ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.checks.check import CheckLimits
    from planner.checks.finding import Finding
    from planner.plan_document.serving.read import ReadServingPlan
    from planner.serving.scenario import ServingScenario
    from planner.serving.search.job import ServingJob


def check_serving(
    plan: str,
    cluster: ClusterLike | None,
    model: ModelLike | None,
    limits: CheckLimits,
    options: Mapping[str, Any],
) -> Checked:
    """The serving plan at `FILE#rank` against the rules for serving plans.

    Raises: InputError for a file that cannot be read, or an option that is for training plans."""
    for name, value in options.items():
        if value not in (None, False):
            raise InputError(f"{ranges.option_name(name)} is for training plans; {plan} is none")
    if limits.within_of_best is not None or limits.baseline is not None:
        option = "--baseline" if limits.within_of_best is None else "--within-of-best"
        raise InputError(f"{option} is for training plans; {plan} is none")
    read = read_serving_plan(plan)
    job = served_job(read, cluster, model)
    path = shown_path(read.path)
    subject = ServedSubject(
        reference=f"{path}#{read.rank}",
        plan=read.plan,
        places=PlanPlaces(path=read.path, rank=read.rank),
        cluster=job.cluster.name,
        model=job.model.name,
    )
    now = record_serving_inputs(job.cluster, job.model, job.engine, read.inputs.load, ())
    findings = list(stale_served_findings(subject, read.inputs, now))
    blocking, scenarios = _runnable(subject, job, read)
    findings += blocking
    if not blocking:
        findings += cache_findings(subject, scenarios, job.load)
    if not any(one.code == "PL501" for one in findings) and not blocking:
        parts = fill_parts(job, read, scenarios)
        _, offer = scored_offer(job, parts)
        subject = replace(subject, offer=offer)
        findings += limit_findings(subject, offer)
        findings += balance_findings(subject, parts, job.load, offer)
    return served_check(subject, path, findings, limits)


def _runnable(
    subject: ServedSubject, job: ServingJob, read: ReadServingPlan
) -> tuple[list[Finding], list[ServingScenario]]:
    """What keeps the plan from running, and the replicas of its pools."""
    problem = misfit(read, job.cluster)
    if problem is not None:
        return [subject.finding("PL201", ("pools",), problem.message, hint=problem.hint)], []
    found, scenarios = [], []
    for at, pool in enumerate(read.plan.pools):
        try:
            scenarios.append(scenario_of(job, read, pool))
        except (InputError, RuleError) as error:
            message = f"{pool.role} replica: {error.message}"
            found.append(subject.finding("PL502", ("pools", at), message, hint=error.hint))
    if found:
        return found, scenarios
    roles = [pool.role for pool in read.plan.pools]
    refused = handover_refusal(list(zip(roles, scenarios, strict=True)))
    if refused is not None:
        return [subject.finding("PL502", ("pools",), refused)], scenarios
    return list(_unsayable(subject, job, read)), scenarios


def _unsayable(subject: ServedSubject, job: ServingJob, read: ReadServingPlan) -> Iterator[Finding]:
    """What the engine has no arguments for."""
    if job.engine.name not in SERVING_FORMATS:
        return
    try:
        SERVING_FORMATS[job.engine.name].write(exported(read, job))
    except InputError as error:
        yield subject.finding("PL502", ("pools",), error.message, hint=error.hint)
