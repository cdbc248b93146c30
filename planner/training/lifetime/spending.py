"""What the devices of a job cost, and what power they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.plan import Spending

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from planner.specs.cluster.spec import NodeGroup
    from planner.training.scenario import Scenario


def spending_of(scenario: Scenario, egress_gb: Mapping[str, float]) -> Spending | None:
    """None where the cluster file states neither prices nor power. `egress_gb`: GB (10^9 bytes) of
    a step between nodes that meet in a tier, by its name."""
    cluster = scenario.cluster
    prices, electricity = cluster.prices, cluster.electricity
    if prices is None and electricity is None:
        return None
    used = list(devices_by_group(scenario))
    per_hour = power_w = None
    egress = 0.0
    if prices is not None:
        per_hour = sum(count * (group.price_per_device_hour or 0.0) for group, count in used)
        egress = sum(egress_gb.get(name, 0.0) * price for name, price in prices.egress_per_gb)
    if electricity is not None:
        rated_w = sum(
            count * group.device.power.value for group, count in used if group.device.power
        )
        power_w = electricity.factor * rated_w
    return Spending(
        currency=prices.currency if prices is not None else _tariff_currency(scenario),
        devices_per_hour=per_hour,
        egress_per_step=egress,
        power_w=power_w,
        carbon_g_per_kwh=None if electricity is None else electricity.carbon_g_per_kwh,
        tariff_per_kwh=None if electricity is None else electricity.tariff_per_kwh,
    )


def devices_by_group(scenario: Scenario) -> Iterator[tuple[NodeGroup, int]]:
    """Node groups with the number of their devices that the job uses, on its own hosts."""
    groups, topology = scenario.cluster.node_groups, scenario.topology
    if len(groups) == 1:
        yield groups[0], scenario.job.devices
        return
    start, positions = 0, {node: at for at, node in enumerate(topology.order)}
    for group in groups:
        end = start + (group.count or 0)
        here = (positions[node] for node in range(start, end) if node in positions)
        count = sum(len(topology.ranks_of(at)) for at in here)
        if count:
            yield group, count
        start = end


def _tariff_currency(scenario: Scenario) -> str | None:
    electricity = scenario.cluster.electricity
    return None if electricity is None else electricity.currency
