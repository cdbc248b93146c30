"""The estimate of one plan: memory of every stage, time of one step, and what they rest on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.plan import (
    DATA_SHARDINGS,
    GRANULARITIES,
    DeviceGroup,
    Estimate,
    MemoryEstimate,
    Plan,
    recomputed_per_chunk,
)
from planner.schedule.registry import kind_of
from planner.schedule.rules import ScheduleSize
from planner.training.batch import Batch
from planner.training.confidence.interval import confidence_of
from planner.training.costs import CostTable, cost_table
from planner.training.egress import egress_gb
from planner.training.layer.flops import model_flops_per_token
from planner.training.lifetime.goodput import goodput_of
from planner.training.lifetime.spending import spending_of
from planner.training.memory.stage import stage_peaks
from planner.training.step.ahead import with_ahead
from planner.training.step.simulated import simulate_step
from planner.workload.formats import STATE_BYTES, master_weight_bytes
from planner.workload.shard import Shard
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from planner.training.scenario import Scenario
    from planner.training.step.simulated import SimulatedSpans
    from planner.workload.stages import StageLoad


def estimate(
    scenario: Scenario,
    plan: Plan,
    *,
    table: CostTable | None = None,
    load: StageLoad | None = None,
    simulated: SimulatedSpans | None = None,
) -> Estimate:
    """Estimate a valid plan, and how sure that is. `planner.training.search.space.rules` says which
    plans are valid."""
    cost = point_estimate(scenario, plan, table=table, load=load, simulated=simulated)
    return with_confidence(scenario, plan, cost)


def with_confidence(scenario: Scenario, plan: Plan, cost: Estimate) -> Estimate:
    """Adds to a point estimate how sure it is, of a job on the plan's own hosts."""
    confidence = confidence_of(scenario.running(plan), plan, cost)
    return replace(cost, confidence=confidence, assumptions=(*cost.assumptions, *confidence.notes))


def point_estimate(
    scenario: Scenario,
    plan: Plan,
    *,
    table: CostTable | None = None,
    load: StageLoad | None = None,
    simulated: SimulatedSpans | None = None,
) -> Estimate:
    """The estimate without its confidence. A search passes what it already has: the cost table, the
    stage load, and the `simulated` step of `slowest_spans`. What is missing is worked out for this
    plan; so is everything when the plan takes the hosts in another order than the cluster's file.
    """
    placed = scenario.running(plan)
    if placed is not scenario:
        scenario, table, simulated = placed, None, None
    shard = shard_of(plan)
    table = table or cost_table(scenario, [shard])
    load = load or stage_load(scenario.model, scenario.kinds, plan.stages)
    batch = with_ahead(scenario, table, batch_of_one(plan, table.shards.index(shard), load))
    step = simulate_step(scenario, table, batch, simulated)
    peaks = stage_peaks(scenario, table, batch)
    memory = MemoryEstimate(per_stage=peaks.stages(0), host=peaks.host(0))
    job = scenario.job
    tokens = job.global_batch_size * job.seq_length
    return Estimate(
        time=step.breakdown,
        time_detail=step.detail,
        memory=memory,
        tokens_per_step=tokens,
        devices=job.devices,
        model_flops_per_step=tokens * model_flops_per_token(scenario),
        peak_flop_per_s=scenario.mean_peak_flop_per_s,
        assumptions=(*assumptions(scenario, plan), *_said_of_warmups(batch)),
        device_groups=device_groups(scenario, plan.degrees.pipeline),
        goodput=goodput_of(scenario, plan, step.breakdown.step_s),
        tokens=job.tokens,
        spending=spending_of(scenario, egress_gb(scenario, table, batch)),
    )


def ahead_of(scenario: Scenario, plan: Plan) -> tuple[int, ...] | None:
    """Microbatches that stages run ahead over every boundary on the plan's own hosts; None under
    schedules that never do."""
    scenario = scenario.running(plan)
    table = cost_table(scenario, [shard_of(plan)])
    load = stage_load(scenario.model, scenario.kinds, plan.stages)
    batch = with_ahead(scenario, table, batch_of_one(plan, 0, load))
    return None if batch.ahead is None else tuple(batch.ahead[0].tolist())


def _said_of_warmups(batch: Batch) -> tuple[str, ...]:
    warmup = batch.kind.warmup
    if warmup is None or batch.ahead is None or not batch.ahead.any():
        return ()
    microbatches = batch.num_microbatches
    size = ScheduleSize.of(batch.pipeline, batch.virtual_stages, microbatches, None, batch.ahead)
    listed = ", ".join(map(str, np.minimum(warmup(size)[0], microbatches[0]).tolist()))
    return (f"stages run {listed} forwards before their first backward, ahead over slow links",)


def _said_of_hosts(scenario: Scenario) -> list[str]:
    """What offloading takes for granted about the hosts."""
    host = scenario.host
    gigabytes = {
        "to each device": host.link_bytes_per_s,
        "through host memory for each device": host.memory_bytes_per_s,
    }
    rates = ", ".join(f"{rate / 1e9:.1f} GB/s {what}" for what, rate in gigabytes.items())
    unknown = ["cluster: as much host memory as the job needs"] if host.node_bytes is None else []
    assumed = [f"cluster: {said} as in general" for said in host.assumed]
    return [f"offloading: {rates}", *unknown, *assumed]


def device_groups(scenario: Scenario, pipeline: int) -> tuple[DeviceGroup, ...]:
    """Which device types and hosts hold which stages; nothing where there is one type."""
    if len(scenario.device_types) == 1:
        return ()
    names, topology = scenario.cluster.host_names(), scenario.topology
    each = topology.devices // pipeline
    found: list[DeviceGroup] = []
    for stage, types in enumerate(scenario.stage_types(pipeline)):
        devices = tuple(scenario.device_types[index].name for index in types)
        nodes = range(topology.node_of(stage * each), topology.node_of((stage + 1) * each - 1) + 1)
        hosts = tuple(names[topology.order[node]] for node in nodes)
        if found and found[-1].devices == devices:
            last = found.pop()
            hosts = tuple(dict.fromkeys((*last.hosts, *hosts)))
            first = last.first_stage
        else:
            first = stage
        found.append(DeviceGroup(first_stage=first, last_stage=stage, devices=devices, hosts=hosts))
    return tuple(found)


def shard_of(plan: Plan) -> Shard:
    degrees = plan.degrees
    return Shard(
        tensor=degrees.tensor,
        context=degrees.context,
        expert=degrees.expert,
        expert_tensor=degrees.expert_tensor,
        micro_batch_size=plan.micro_batch_size,
        sequence_parallel=plan.sequence_parallel,
        dispatcher=plan.dispatcher or "",
        expert_overlap=plan.expert_overlap,
        dispatch_pieces=plan.dispatch_pieces,
        vocabulary=degrees.pipeline if kind_of(plan.schedule).shares_vocabulary else 1,
    )


def batch_of_one(plan: Plan, row: int, load: StageLoad) -> Batch:
    """The plan as a batch; `row` is its shard's row in the cost table."""
    degrees, recompute = plan.degrees, plan.recompute
    per_chunk = recomputed_per_chunk(plan.stages, recompute.layers_per_stage)

    def column(value: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([value], dtype=np.int64)

    return Batch(
        pipeline=degrees.pipeline,
        virtual_stages=plan.virtual_stages,
        schedule=plan.schedule,
        load=load,
        row=column(row),
        tensor=column(degrees.tensor),
        data=column(degrees.data),
        context=column(degrees.context),
        expert=column(degrees.expert),
        expert_tensor=column(degrees.expert_tensor),
        num_microbatches=column(plan.num_microbatches),
        granularity=column(GRANULARITIES.index(recompute.granularity)),
        recomputed_layers=column(min(per_chunk or 0, load.most_layers)),
        data_sharding=column(DATA_SHARDINGS.index(plan.data_sharding)),
        shard_over=None if plan.shard_over is None else column(plan.shard_over),
        optimizer_offload=np.array([plan.optimizer_offload]) if plan.optimizer_offload else None,
        weight_offload=column(1) if plan.weight_offload else None,
        activation_offload=np.array([plan.activation_offload]) if plan.activation_offload else None,
    )


def assumptions(scenario: Scenario, plan: Plan) -> tuple[str, ...]:
    """What the estimate takes for granted, in words."""
    job, software = scenario.job, scenario.job.software
    overlap = ", ".join(software.overlaps(job.precision)) or "none"
    said = [
        *scenario.model.assumptions,
        *job.assumptions,
        f"software {software.name}: {software.attention} attention; communication hidden behind "
        f"compute: {overlap}",
        f"{job.headroom:.0%} of device memory is kept free",
        "each collective and pipeline send is priced as if no other used its links",
    ]
    if software.dropout == "model" and scenario.model.dropout:
        said.append(f"model {scenario.model.name} is trained with hidden and attention dropout")
    master_bytes = master_weight_bytes(software, job.precision)
    if software.master_weight_dtype == "remainders" and master_bytes == STATE_BYTES["fp32"]:
        said.append(
            "master weights stay fp32: the weights of the job are not bf16 between steps, which "
            "remainders need"
        )
    if plan.optimizer_offload or plan.weight_offload or plan.activation_offload:
        said += _said_of_hosts(scenario)
    chunks = {end - start for stage in plan.stages for start, end in stage.chunks}
    if len(chunks) > 1:
        said.append(f"chunks hold {min(chunks)} to {max(chunks)} layers, as the plan lists them")
    tried = software.recompute.tried_modules or software.offload.tried_modules
    stated = job.settings.modules_stated or plan.chooses_modules
    if tried and not stated and _mixed(scenario):
        said.append(
            f"software {software.name} can compute again, or offload, chosen modules of a layer: "
            "on mixed devices no such choice is searched"
        )
    positions = scenario.model.seq_length
    learned = scenario.model.position_embedding == "learned"
    if learned and positions is not None and job.seq_length > positions:
        said.append(
            f"the model's {positions:,} learned positions are extended to {job.seq_length:,}"
        )
    together = plan.micro_batch_size * plan.degrees.data
    if job.global_batch_size % together:
        busy = job.global_batch_size // plan.micro_batch_size % plan.degrees.data
        most = plan.num_microbatches
        said.append(
            f"{busy:,} of {plan.degrees.data:,} replicas run {most:,} microbatches, the others "
            f"{most - 1:,}: it needs a framework or a data loader that can"
        )
    packed = job.settings.packed_length
    if packed is not None:
        said.append(
            f"sequences are packed, a token's own is {packed:,} tokens long on average; all "
            "microbatches have as many scores"
        )
    if plan.degrees.context > 1:
        said.append(_said_of_context(scenario, plan.degrees.context))
    if scenario.model.moe and job.expert_imbalance == 1.0:
        said.append(_said_of_experts(scenario))
    return tuple(said)


def _mixed(scenario: Scenario) -> bool:
    """Whether nodes have different device types or sizes."""
    kinds = scenario.topology.kinds
    return len({(kind.device, kind.devices_per_node) for kind in kinds}) > 1


def _said_of_experts(scenario: Scenario) -> str:
    even = "tokens are spread evenly over the experts"
    expert = scenario.job.software.expert
    if expert.capacity_factor is None or expert.padded:
        return even
    return (
        f"{even}, and none is dropped at a capacity of {expert.capacity_factor:g}: their time and "
        "memory are the most that they can be"
    )


def _said_of_context(scenario: Scenario, context: int) -> str:
    workload = scenario.workload(Shard(context=context))
    heads = workload.context_heads
    if heads == 1:
        return "context parallelism exchanges in a ring, with the causal load balanced"
    if workload.context_ring == 1:
        return "context parallelism exchanges heads"
    return (
        f"context parallelism exchanges heads among {heads} ranks, and in a ring of "
        f"{workload.context_ring} with the causal load balanced"
    )
