"""Bandwidths that explain measured collectives, and collectives that no hardware could explain.

The least that a collective moves, whatever the algorithm: a reduction inside the switches sends
every buffer once; any other collective sends or receives everything but a device's own part
(Patarasuk and Yuan 2009, section 2; Graham et al. 2016 for reductions in the network).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planner.errors import InputError
from planner.importers.clusters.facts import MeasuredCollective
from planner.importers.clusters.rates import fitting_rate
from planner.importers.clusters.usual import nominal_links, switches_reduce
from planner.importers.notes import Notes
from planner.specs.cluster.nominal import ROUNDING, fastest_card_bytes_per_s
from planner.specs.unit_text import format_bytes_per_second
from planner.specs.units import parse_bytes_per_second

Group = Mapping[str, Any]


def shown(collective: MeasuredCollective) -> str:
    """In words, such as "all-reduce of 8.59 GB over 16 devices"."""
    name = collective.operation.replace("_", "-")
    size = f"{collective.size_bytes / 1e9:.4g} GB"
    if collective.size_bytes < 1e9:
        size = f"{collective.size_bytes / 1e6:.4g} MB"
    return f"{name} of {size} over {collective.ranks} devices"


def to_four_digits(bytes_per_s: float) -> float:
    """Four digits: more would claim what no benchmark says."""
    return float(f"{bytes_per_s:.4g}")


def _widest(collectives: Sequence[MeasuredCollective]) -> MeasuredCollective:
    return max(collectives, key=lambda one: (one.ranks, one.size_bytes))


def measured_intra_node(
    group: Group, inside: Sequence[MeasuredCollective], notes: Notes
) -> float | None:
    """The rate of one device, in bytes/s, that explains what was measured inside the fast fabric,
    at most that of the data sheet. None where nothing was measured, and where no rate explains it.

    Raises: InputError for a collective that was faster than the device can be.
    """
    if not inside:
        return None
    links = nominal_links(str(group["device"]))
    nominal = None if links is None else links.bandwidth.value
    by_switch = switches_reduce(str(group["device"]))
    for one in inside:
        least = _share_moved(one, by_switch) * one.size_bytes / one.time_s
        if nominal is not None and least > nominal * ROUNDING:
            raise InputError(
                f"{_impossible(one, least, 'each device')}; {group['device']} has "
                f"{format_bytes_per_second(nominal)} in one direction",
                hint="is it another device, or another number of them (--device, --ranks)?",
            )
    widest = _widest(inside)
    rate = fitting_rate(widest, {**group, "intra_node": {}}, ("intra_node", "bandwidth"))
    if rate is None:
        notes.left_out.append(
            f"{shown(widest)}: no intra_node bandwidth explains its time on these nodes"
        )
        return None
    if nominal is not None and rate > nominal:
        notes.assumed.append(
            f"intra_node bandwidth: the nominal {format_bytes_per_second(nominal)}; the planner's "
            f"{shown(widest)} would take more than that to be as fast as measured"
        )
        return nominal
    of_nominal = ""
    if nominal is not None:
        of_nominal = f", {rate / nominal:.0%} of the nominal {format_bytes_per_second(nominal)}"
    notes.assumed.append(f"{_fitted('intra_node', widest)}{of_nominal}")
    return to_four_digits(rate)


def measured_network(
    group: Group, outside: Sequence[MeasuredCollective], notes: Notes
) -> float | None:
    """The rate of one card, in bytes/s, that explains what was measured across nodes. None where
    nothing was measured, and where no rate explains it. `group` has the number of cards.

    Raises: InputError for a collective that was faster than any cards are.
    """
    if not outside:
        return None
    refuse_impossible_network(group, outside)
    widest = _widest(outside)
    rate = fitting_rate(widest, group, ("network", "bandwidth"))
    if rate is None:
        notes.left_out.append(
            f"{shown(widest)}: no network bandwidth explains its time on these nodes"
        )
        return None
    fastest = fastest_card_bytes_per_s()
    rate = min(rate, fastest)
    share = f", {rate / fastest:.1%} of the fastest card's {format_bytes_per_second(fastest)}"
    notes.assumed.append(f"{_fitted('network', widest)}{share}")
    return to_four_digits(rate)


def refuse_impossible_network(group: Group, outside: Sequence[MeasuredCollective]) -> None:
    """Raises: InputError for a collective that moves more into a node than its cards carry, as
    stated or else at the rate of the fastest cards there are."""
    network = group["network"]
    stated = network.get("bandwidth")
    card = fastest_card_bytes_per_s() if stated is None else parse_bytes_per_second(stated)
    for one in outside:
        nodes = -(-one.ranks // (one.ranks_per_node or group["devices_per_node"]))
        if nodes < 2:
            continue
        least = (1 - 1 / nodes) * one.size_bytes / one.time_s
        if one.operation == "send" or least <= network["cards"] * card * ROUNDING:
            continue
        cards = "card" if network["cards"] == 1 else "cards"
        raise InputError(
            f"{_impossible(one, least, 'each node')}; {network['cards']} {cards} of "
            f"{format_bytes_per_second(card)} carry "
            f"{format_bytes_per_second(network['cards'] * card)}",
            hint="are there more cards, or was it inside one node (--cards, --devices-per-node)?",
        )


def _share_moved(collective: MeasuredCollective, by_switch: bool) -> float:
    """The least share of the buffer that some device sends or receives; `by_switch`: switches can
    reduce, so that every device sends its buffer only once."""
    others = 1 - 1 / max(collective.ranks, 1)
    if collective.operation == "all_reduce":
        return 1.0 if by_switch else 2 * others
    return 1.0 if collective.operation == "send" else others


def _impossible(collective: MeasuredCollective, least: float, where: str) -> str:
    return (
        f"{shown(collective)} in {collective.time_s * 1e3:.4g} ms moves at least "
        f"{format_bytes_per_second(to_four_digits(least))} into {where}"
    )


def _fitted(what: str, collective: MeasuredCollective) -> str:
    return (
        f"{what} bandwidth: what makes the planner's {shown(collective)} take the "
        f"{collective.time_s * 1e3:.4g} ms measured"
    )
