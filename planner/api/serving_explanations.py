"""Why a serving plan does what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from planner import __version__
from planner.api.serving_comparisons import ServingComparison, compare_serving
from planner.api.serving_plans import PricedServingPlan, estimate_serving_plan, priced_offer
from planner.api.serving_searches import DECISIONS, narrowed_to
from planner.budget import Budget, Stopped
from planner.comparison.serving import ServedSide
from planner.errors import InputError, RuleError
from planner.explanation.served import (
    ServedLever,
    hangs_on,
    served_hardware_levers,
    served_plan_levers,
)
from planner.plan_document.serving.kind import is_serving_document
from planner.serving.load.stated import bounding_load
from planner.serving.search.goal import goal_of
from planner.serving.search.search import search_serving
from planner.specs.files.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.plan.serving import ServingPlan
    from planner.serving.forecast import Offer
    from planner.serving.search.job import ServingJob, ServingProgress
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.engine import EngineProfile

SCHEMA_ID = "planner/serving-explanation/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingWhyNot:
    """Why another serving plan is not better. `refused`: why there is none; otherwise `comparison`
    sets the two side by side, the explained plan first."""

    asked: str
    refused: str | None = None
    comparison: ServingComparison | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingExplanation:
    """What a serving plan's times hang on, and what better hardware and other decisions would
    change, the largest gain of throughput first."""

    priced: PricedServingPlan
    hardware: tuple[ServedLever, ...]
    decisions: tuple[ServedLever, ...]
    why_not: ServingWhyNot | None = None

    @property
    def document(self) -> dict[str, Any]:
        """What `planner explain --json` prints of a serving plan. Changes are shares."""
        asked, found = self.why_not, self.priced.offer.forecast
        return {
            "schema": SCHEMA_ID,
            "planner_version": __version__,
            "ttft_mean_s": found.ttft.mean_s,
            "tpot_mean_s": None if found.tpot is None else found.tpot.mean_s,
            "output_tokens_per_s": found.output_tokens_per_s,
            "missed": list(self.priced.offer.missed),
            "ttft_hangs_on": dict(hangs_on(self.hardware, "ttft")),
            "tpot_hangs_on": dict(hangs_on(self.hardware, "tpot")),
            "hardware": [asdict(lever) for lever in self.hardware],
            "decisions": [asdict(lever) for lever in self.decisions],
            "why_not": None
            if asked is None
            else {
                "asked": asked.asked,
                "refused": asked.refused,
                "comparison": asked.comparison.document if asked.comparison else None,
            },
        }


def explain_serving(
    plan: str,
    *,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    why_not: Mapping[str, Any] | str | None = None,
    progress: Callable[[ServingProgress], None] | None = None,
) -> ServingExplanation:
    """What the times of the serving plan at `FILE#rank` hang on, and what would change them: each
    part of the hardware 10 % better, and each decision taken otherwise on its own.

    `why_not` is another serving plan, or decisions such as `{"tensor": 4}`. A search, which calls
    `progress`, finds the best plan with them on as many devices. Raises: InputError, with its
    place; RuleError for a plan that its engine cannot run.

    >>> from pathlib import Path
    >>> from planner import api
    >>> load = Path("load.yaml")
    >>> _ = load.write_text("requests: {input: 512, output: 64}\\nconcurrency: 8\\n")
    >>> found = api.search_serving("dgx-h100-16", "llama-3-8b", load, nodes=1, tensor=8, top=1)
    >>> _ = Path("plan.json").write_text(api.to_text(found))
    >>> explained = api.explain_serving("plan.json", why_not={"tensor": 3})
    >>> explained.hardware[0].tokens_per_s > 0, explained.why_not.refused is not None
    (True, True)
    """
    priced = estimate_serving_plan(plan, cluster, model)
    job, chosen, offer = priced.job, priced.read.plan, priced.offer

    def price(where: ClusterSpec, engine: EngineProfile, other: ServingPlan) -> Offer:
        changed = replace(job, cluster=where, engine=engine)
        return priced_offer(changed, replace(priced.read, plan=other))

    return ServingExplanation(
        priced=priced,
        hardware=served_hardware_levers(job.cluster, job.engine, chosen, offer, price),
        decisions=served_plan_levers(
            job.cluster, job.engine, chosen, offer, price, mixture=job.model.moe is not None
        ),
        why_not=None if why_not is None else _why_not(plan, priced, why_not, progress),
    )


def _why_not(
    plan: str,
    priced: PricedServingPlan,
    other: Mapping[str, Any] | str,
    progress: Callable[[ServingProgress], None] | None,
) -> ServingWhyNot:
    job = priced.job
    if not isinstance(other, Mapping):
        if not is_serving_document(other):
            raise InputError(
                f"--why-not: {other!r} is neither a serving plan nor NAME=VALUE",
                hint="such as --why-not tensor=4,expert=8",
            )
        compared = compare_serving(plan, other, cluster=job.cluster, model=job.model)
        return ServingWhyNot(asked=other, comparison=_named(compared.sides, other))
    if not other:
        raise InputError("--why-not names no decision")
    for name in other:
        if name not in DECISIONS:
            raise InputError(
                f"--why-not: {name!r} is no decision of a serving plan: {', '.join(DECISIONS)}",
                hint=did_you_mean(name, DECISIONS),
            )
    asked = ", ".join(f"{name} {value}" for name, value in other.items())
    try:
        found = search_serving(
            _job_with(priced, other), top=1, budget=Budget.lasting(None), progress=progress
        )
    except RuleError as error:
        return ServingWhyNot(asked=asked, refused=str(error))
    if found.stopped is Stopped.INTERRUPTED:
        raise KeyboardInterrupt
    if not found.offers and not found.nearest:
        reasons = [f"{one.reason}" for one in found.excluded] or ["no replica has such degrees"]
        return ServingWhyNot(asked=asked, refused="; ".join(reasons))
    best = (found.offers or found.nearest)[0]
    side = ServedSide(name=asked, cluster=job.cluster.name, model=job.model.name, offer=best)
    mine = replace(side, name=plan, offer=priced.offer)
    return ServingWhyNot(asked=asked, comparison=_named((mine, side), asked))


def _named(sides: tuple[ServedSide, ...], asked: str) -> ServingComparison:
    first, other = sides
    return ServingComparison(sides=(replace(first, name="the plan"), replace(other, name=asked)))


def _job_with(priced: PricedServingPlan, decisions: Mapping[str, Any]) -> ServingJob:
    """The search that the plan may have come from, on as many devices, with these decisions."""
    job, read = priced.job, priced.read
    file, plan = read.inputs.load, read.plan
    cluster, devices = job.cluster, None
    if len(cluster.node_groups) == 1:
        devices = plan.devices
        if devices > cluster.node_groups[0].devices_per_node:
            devices += -devices % cluster.node_groups[0].devices_per_node
        cluster = cluster.sized(devices=devices)
    pools = plan.pools
    stated = file.concurrency or file.offline
    allowed = narrowed_to(
        replace(
            job.allowed,
            weights=tuple(dict.fromkeys(pool.weights for pool in pools)),
            kv_formats=tuple(dict.fromkeys(pool.kv_format for pool in pools)),
        ),
        decisions,
    )
    return replace(
        job,
        cluster=cluster,
        devices=devices,
        load=bounding_load(file, job.engine),
        clients=None if stated is None else float(stated),
        goal=goal_of("devices" if file.is_open else "throughput", file.slo, cluster),
        allowed=allowed,
    )
