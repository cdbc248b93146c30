"""What two plans and their jobs decide differently."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.plan import AXES
from planner.wording import labels
from planner.wording.units import count
from planner.workload.recompute import modules_of_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.comparison.side import Side
    from planner.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision of every plan, in words. `name` is its field of the plan document."""

    name: str
    values: tuple[str, ...]


def differences(sides: Sequence[Side]) -> tuple[Decided, ...]:
    """What is not the same in all plans: their jobs first, then their degrees, then the rest."""
    found = (
        Decided(name=name, values=tuple(show(side) for side in sides)) for name, show in DECISIONS
    )
    return tuple(one for one in found if len(set(one.values)) > 1)


def _axis(axis: str) -> tuple[str, Callable[[Side], str]]:
    return axis, lambda side: str(getattr(side.plan.degrees, axis))


def _treated(side: Side) -> Plan:
    """The plan with the modules that it treats, by its own choice or as the job does."""
    software = side.scenario.running(side.plan).job.software
    again = modules_of_model(software.recompute.selective_modules, side.scenario.model, software)
    return replace(
        side.plan,
        recompute_modules=again if side.plan.recompute.granularity == "selective" else None,
        offload_modules=software.offload.modules if side.plan.activation_offload else None,
    )


def _hosts(side: Side) -> str:
    hosts, listed = side.plan.placement.hosts, side.scenario.cluster.host_names()
    order = "in the cluster's order" if hosts == listed[: len(hosts)] else "reordered"
    return f"{count(len(hosts))} {order}"


DECISIONS: tuple[tuple[str, Callable[[Side], str]], ...] = (
    ("cluster", lambda side: side.scenario.cluster.name),
    ("model", lambda side: side.scenario.model.name),
    ("devices", lambda side: count(side.scenario.job.devices)),
    ("global_batch_size", lambda side: count(side.scenario.job.global_batch_size)),
    ("seq_length", lambda side: count(side.scenario.job.seq_length)),
    ("precision", lambda side: side.scenario.job.precision),
    ("software", lambda side: side.scenario.job.software.name),
    *map(_axis, AXES),
    ("micro_batch_size", lambda side: str(side.plan.micro_batch_size)),
    ("num_microbatches", lambda side: count(side.plan.num_microbatches)),
    ("schedule", lambda side: labels.schedule(side.plan)),
    ("recompute", lambda side: labels.recompute(_treated(side))),
    ("data_sharding", lambda side: labels.data_sharding(side.plan)),
    ("offload", lambda side: labels.offloading(_treated(side))),
    ("sequence_parallel", lambda side: labels.on_off(side.plan.sequence_parallel)),
    ("dispatcher", lambda side: side.plan.dispatcher or "none"),
    ("expert_overlap", lambda side: labels.on_off(side.plan.expert_overlap)),
    ("dispatch_pieces", lambda side: str(side.plan.dispatch_pieces)),
    ("stages", lambda side: labels.stage_layers(side.plan)),
    ("hosts", _hosts),
)
