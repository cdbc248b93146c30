"""Goodput: the share of a job's time that is progress, where a cluster says how often it fails."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

from planner.plan import Goodput
from planner.training.lifetime.checkpoint import checkpoint_bytes
from planner.training.lifetime.failures import best_interval_s, goodput, spares_needed
from planner.training.lifetime.shortage import expected_speed, replicas_on_node

if TYPE_CHECKING:
    from planner.plan import Plan
    from planner.specs.cluster.reliability import Reliability
    from planner.training.scenario import Scenario

CHANCE = 0.99
"""Probability that a spare node is at hand."""


def goodput_of(scenario: Scenario, plan: Plan, step_s: float) -> Goodput | None:
    """None where the cluster says nothing of failures. The job fails with each of its devices, and
    goes on from its last checkpoint on nodes that are at hand. Checkpoints are at least a step
    apart, and as far as it takes to write one."""
    known = scenario.cluster.reliability
    if known is None:
        return None
    devices = scenario.job.devices
    between_s = known.device_mtbf_s / devices
    size_bytes = checkpoint_bytes(scenario, plan.data_sharding)
    stall_s = _stall_s(known, size_bytes, devices)
    restart_s = known.restart_s + size_bytes / known.read_bytes_per_s
    interval_s = known.interval_s
    if interval_s is None:
        interval_s = best_interval_s(stall_s, between_s)
        interval_s = max(interval_s, size_bytes / known.write_bytes_per_s - stall_s, step_s)
    available = _available(known, scenario, plan)
    progress = goodput(
        interval_s=interval_s,
        stall_s=stall_s,
        restart_s=restart_s,
        between_failures_s=between_s,
    )
    return Goodput(
        share=progress * available,
        available=available,
        between_failures_s=between_s,
        restart_s=restart_s,
        checkpoint_bytes=size_bytes,
        stall_s=stall_s,
        interval_s=interval_s,
        spares=known.spares,
        spares_needed=_spares(known, scenario),
        chance=CHANCE,
    )


def _stall_s(known: Reliability, size_bytes: int, devices: int) -> float:
    """For how long a checkpoint stops the steps, where nobody saw it: until it is written; or,
    written asynchronously, until every device has copied its share to its host. Replicas share what
    they hold alike (Megatron-LM `--ckpt-fully-parallel-save`, the planner of
    torch.distributed.checkpoint)."""
    if known.stall_s is not None:
        return known.stall_s
    written_s = size_bytes / known.write_bytes_per_s
    if known.copy_bytes_per_s is None:
        return written_s
    return min(written_s, size_bytes / devices / known.copy_bytes_per_s)


def _spares(known: Reliability, scenario: Scenario) -> int | None:
    away = _away(known, scenario)
    return None if away is None else min(scenario.topology.nodes, spares_needed(away, CHANCE))


def _available(known: Reliability, scenario: Scenario, plan: Plan) -> float:
    away = _away(known, scenario)
    if away is None:
        return 1.0
    lost_each = replicas_on_node(plan, scenario.node_devices) / plan.degrees.data
    return expected_speed(lost_each, scenario.topology.nodes, away, known.spares)


def goodput_bound(scenario: Scenario) -> float:
    """What no plan on all devices of a scenario exceeds: checkpoints that cost nothing leave
    e^(−R/M), and a node that is away takes no less than its share of the devices."""
    known = scenario.cluster.reliability
    if known is None:
        return 1.0
    progress = exp(-known.restart_s * scenario.job.devices / known.device_mtbf_s)
    away, nodes = _away(known, scenario), scenario.topology.nodes
    if away is None:
        return progress
    return progress * expected_speed(1 / nodes, nodes, away, known.spares)


def _away(known: Reliability, scenario: Scenario) -> float | None:
    """Nodes away on average: failures of all devices while one node is repaired."""
    if known.repair_s is None:
        return None
    away = scenario.job.devices * known.repair_s / known.device_mtbf_s
    return min(away, scenario.topology.nodes)
