"""What a serving plan of a document does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from planner.api.inputs import load_cluster, load_model
from planner.api.recorded import found_again
from planner.api.serving import stated_drafting
from planner.errors import InputError, RuleError
from planner.plan_document.serving.read import read_serving_plan
from planner.plan_document.serving.write import to_serving_document
from planner.serving.deployment import PoolPart
from planner.serving.domain import fast_domain, stage_link
from planner.serving.estimate import holds_a_request, prices
from planner.serving.handover import refusal
from planner.serving.load.stated import closed_load, stream_of
from planner.serving.placement import routing_of
from planner.serving.scenario import ServingDegrees, ServingScenario
from planner.serving.search.goal import goal_of
from planner.serving.search.job import ServingJob
from planner.serving.search.plans import scored_offer
from planner.serving.search.space import Allowed
from planner.serving.transfer import links_between, transfer_of
from planner.specs.engine import load_engine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.plan.serving import Role, ServingPool
    from planner.plan_document.serving.read import ReadServingPlan
    from planner.serving.forecast import Offer
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.engine import EngineProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedServingPlan:
    """A plan of a document and what it does on a cluster."""

    read: ReadServingPlan
    job: ServingJob
    offer: Offer

    @property
    def document(self) -> dict[str, Any]:
        """The document of serving plans, with this one alone."""
        mixture = self.job.model.moe is not None
        return to_serving_document(
            self.read.inputs, (self.offer,), mixture=mixture, routing=self.job.allowed.routing
        )


def estimate_serving_plan(
    plan: str,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
) -> PricedServingPlan:
    """What the serving plan at `FILE#rank` does with the load it was made for. Cluster and model
    are those of the document where none are given.

    Raises: InputError for a plan that the cluster has no room for; RuleError for replicas that the
    engine cannot run.

    >>> from pathlib import Path
    >>> from planner import api
    >>> load = Path("load.yaml")
    >>> _ = load.write_text("requests: {input: 512, output: 64}\\nconcurrency: 8\\n")
    >>> found = api.search_serving("dgx-h100-16", "llama-3-8b", load, nodes=1, tensor=8, top=1)
    >>> _ = Path("plan.json").write_text(api.to_text(found))
    >>> again = api.estimate_serving_plan("plan.json")
    >>> rates = [one.forecast.output_tokens_per_s for one in (again.offer, found.best)]
    >>> abs(rates[0] / rates[1] - 1) < 1e-3
    True
    """
    read = read_serving_plan(plan)
    job = served_job(read, cluster, model)
    problem = misfit(read, job.cluster)
    if problem is not None:
        raise problem
    return PricedServingPlan(read=read, job=job, offer=priced_offer(job, read))


def priced_offer(job: ServingJob, read: ReadServingPlan) -> Offer:
    """What a plan does. Raises: InputError or RuleError for replicas that cannot run."""
    scenarios = [scenario_of(job, read, pool) for pool in read.plan.pools]
    for pool, scenario in zip(read.plan.pools, scenarios, strict=True):
        if not holds_a_request(prices(scenario)[1], job.load):
            raise RuleError(
                "memory",
                f"a {pool.role} replica on {pool.group} has no room for the longest request",
            )
    refused = handover_refusal(
        [(pool.role, one) for pool, one in zip(read.plan.pools, scenarios, strict=True)]
    )
    if refused is not None:
        raise RuleError("handover", refused)
    return scored_offer(job, fill_parts(job, read, scenarios))[1]


def served_job(
    read: ReadServingPlan, cluster: ClusterLike | None, model: ModelLike | None
) -> ServingJob:
    """What a plan is priced against: what it was made for unless cluster or model are given.
    Raises: InputError."""
    inputs = read.inputs
    spec = load_cluster(found_again(read, "cluster") if cluster is None else cluster)
    profile = load_engine(found_again(read, "engine"))
    served = load_model(found_again(read, "model") if model is None else model)
    return ServingJob(
        cluster=spec,
        model=served,
        engine=profile,
        load=closed_load(inputs.load, profile),
        clients=None,
        goal=goal_of("throughput", inputs.load.slo, spec),
        allowed=Allowed(
            weights=(),
            kv_formats=(),
            drafting=stated_drafting(inputs.load, served),
            routing=routing_of(inputs.load.counts, served, profile, read.placements),
        ),
        stream=stream_of(inputs.load, profile) if inputs.load.is_open else None,
    )


def missing_group(read: ReadServingPlan, cluster: ClusterSpec) -> InputError | None:
    """Which group of the plan's pools a cluster does not have."""
    groups = [group.name for group in cluster.node_groups]
    for pool in read.plan.pools:
        if pool.group not in groups:
            return InputError(
                f"cluster {cluster.name} has no node group {pool.group}",
                path=read.place,
                hint=f"it has {', '.join(groups)}",
            )
    return None


def misfit(read: ReadServingPlan, cluster: ClusterSpec) -> InputError | None:
    """Why the groups of a cluster do not hold the pools of a plan."""
    problem = missing_group(read, cluster)
    if problem is not None:
        return problem
    groups = {group.name: group for group in cluster.node_groups}
    taken: Counter[str] = Counter()
    for pool in read.plan.pools:
        taken[pool.group] += pool.devices
    for name, devices in taken.items():
        group = groups[name]
        there = None if group.count is None else group.count * group.devices_per_node
        if there is not None and devices > there:
            return InputError(
                f"the plan takes {devices:,} devices of group {name}, which has {there:,}",
                path=read.place,
            )
    return None


def scenario_of(job: ServingJob, read: ReadServingPlan, pool: ServingPool) -> ServingScenario:
    """One replica of a pool. Raises: RuleError where the engine cannot run it; InputError where no
    fast fabric holds a stage of it."""
    group = next(one for one in job.cluster.node_groups if one.name == pool.group)
    degrees = ServingDegrees(
        tensor=pool.tensor,
        pipeline=pool.pipeline,
        attention_data=pool.attention_data,
        expert=pool.expert,
    )
    domain = fast_domain(group)
    if degrees.stage_devices > domain.devices:
        raise InputError(
            f"a stage of {degrees.stage_devices} devices is more than the {domain.devices} that "
            f"share a fast fabric in group {pool.group}",
            path=read.place,
        )
    return ServingScenario(
        model=job.model,
        device=group.device,
        engine=_limited(job.engine, pool),
        weights=pool.weights,
        kv=pool.kv_format,
        degrees=degrees,
        stated_link_bytes_per_s=domain.bytes_per_s,
        stage_link=stage_link(group, degrees.stage_devices),
        drafting=job.allowed.drafting,
        routing=job.allowed.routing,
    )


def handover_refusal(scenarios: Sequence[tuple[Role, ServingScenario]]) -> str | None:
    """Why a decode replica of a plan does not take what a prefill replica sends."""
    readers = [one for role, one in scenarios if role == "prefill"]
    writers = [one for role, one in scenarios if role == "decode"]
    found = (refusal(reader, writer) for reader in readers for writer in writers)
    return next((one for one in found if one is not None), None)


def fill_parts(
    job: ServingJob, read: ReadServingPlan, scenarios: Sequence[ServingScenario]
) -> list[PoolPart]:
    """The pools with the requests that each replica holds, in the order of the plan."""
    names = [group.name for group in job.cluster.node_groups]
    return _with_transfers(
        job,
        [
            PoolPart(
                role=pool.role,
                group=names.index(pool.group),
                scenario=scenario,
                replicas=pool.replicas,
                clients=pool.clients,
                per_s=pool.requests_per_s or 0.0,
            )
            for pool, scenario in zip(read.plan.pools, scenarios, strict=True)
        ],
    )


def _limited(engine: EngineProfile, pool: ServingPool) -> EngineProfile:
    limits = engine.scheduler.model_copy(
        update={"max_running": pool.max_running, "max_step_tokens": pool.max_step_tokens}
    )
    return engine if limits == engine.scheduler else engine.model_copy(update={"scheduler": limits})


def _with_transfers(job: ServingJob, parts: list[PoolPart]) -> list[PoolPart]:
    """Readers with what their KV cache takes to the first group that continues it."""
    receiver = next((part.group for part in parts if part.role == "decode"), None)
    found = []
    for part in parts:
        if part.role == "prefill" and receiver is not None:
            links = links_between(job.cluster, part.group, receiver)
            devices = part.scenario.degrees.devices
            moved = transfer_of(links, part.scenario, job.load, devices=devices)
            part = replace(part, transfer_s=moved.seconds)
        found.append(part)
    return found
