"""Hosts by name, as few words as say which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.specs.cluster.hostlist import by_number, compress_hosts
from planner.wording.labels import layer_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Estimate, Plan

NAMED = 4
"""Most hosts that are listed one by one."""
LONGEST = 60
"""Characters of a list with brackets that is still read at a glance."""


def named_hosts(hosts: Sequence[str]) -> str:
    """`a, b`; `a[0-7]`, which says exactly these; of many without an order, the first few and how
    many more there are."""
    if len(hosts) <= NAMED:
        return ", ".join(hosts)
    listed = compress_hosts(hosts)
    if len(listed) <= LONGEST:
        return listed
    return f"{', '.join(hosts[:NAMED])} and {len(hosts) - NAMED:,} more"


def device_groups(plan: Plan, estimate: Estimate) -> str:
    """Which device types and hosts hold which stages, with the layers of these: `stages 0 to 7 on
    a100-sxm-80gb (8 hosts, a100-[0-7]), 3×8 layers`; empty where all devices are of one type. Hosts
    stand in the order of their numbers: their order in the plan is that of its placement."""
    said = []
    for group in estimate.device_groups:
        stages = plan.stages[group.first_stage : group.last_stage + 1]
        several = group.last_stage > group.first_stage
        which = (
            f"stages {group.first_stage} to {group.last_stage}"
            if several
            else (f"stage {group.first_stage}")
        )
        count = len(group.hosts)
        hosts = named_hosts(sorted(group.hosts, key=by_number))
        if count > 1:
            hosts = f"{count} hosts, {hosts}"
        said.append(
            f"{which} on {' and '.join(group.devices)} ({hosts}), {layer_runs(stages)} layers"
        )
    return "; ".join(said)
