"""How fast the devices of a node and its network cards are: as stated, as measured, or as usual.

A figure above what the data sheet gives the part is refused. A figure that rounding or the model of
collectives puts slightly above it is replaced by the nominal one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planner.errors import InputError
from planner.importers.clusters.devices import link_bytes_per_s
from planner.importers.clusters.facts import MeasuredCollective, NodeFacts
from planner.importers.clusters.measured import (
    measured_intra_node,
    measured_network,
    refuse_impossible_network,
    shown,
    to_four_digits,
)
from planner.importers.clusters.node_options import NodeOptions
from planner.importers.clusters.rates import seconds
from planner.importers.clusters.usual import UsualNode, nominal_links
from planner.importers.notes import Notes
from planner.specs.cluster.nominal import above_nominal
from planner.specs.unit_text import format_bytes_per_second
from planner.specs.units import parse_bytes_per_second
from planner.wording.units import plural

Group = dict[str, Any]


def inside_of(node: NodeFacts, device: str, notes: Notes) -> tuple[float, str] | None:
    """Nominal bytes/s from one device to the others of its node, and how the figure was found.
    Devices that are wired to each other on a board do not use PCI Express: a file that shows only
    PCI Express, as files of virtual machines do, says nothing about their links.

    Raises: InputError for more than the device has.
    """
    rate, links = link_bytes_per_s(device), nominal_links(device)
    if node.nvlinks is not None and rate is not None:
        basis = f"{plural(node.nvlinks, 'link')} of {rate / 1e9:g} GB/s each way"
        _refuse_above(device, node.nvlinks * rate, basis)
        return node.nvlinks * rate, basis
    if node.intra_node_bytes_per_s is None:
        return None
    if node.over_pcie and links is not None and links.on_board:
        kind = "xGMI" if links.kind == "xgmi" else "NVLink"
        notes.left_out.append(f"{node.basis}: devices {device} of a node are joined by {kind}")
        return None
    if node.over_pcie and links is not None and links.kind == "pcie":
        nominal = links.bandwidth.value
        if node.intra_node_bytes_per_s > nominal:
            return nominal, f"the PCI Express of {device}, slower than its slot's {node.basis}"
    _refuse_above(device, node.intra_node_bytes_per_s, node.basis)
    return node.intra_node_bytes_per_s, node.basis


def _refuse_above(device: str, bytes_per_s: float, what: str) -> None:
    text = above_nominal(device, nominal_links(device), bytes_per_s)
    if text is not None:
        raise InputError(f"{what}: {text}", hint="--device names another, if it is another")


def says_network(node: NodeFacts, options: NodeOptions, usual: UsualNode | None) -> bool:
    """Whether a single node's network is known: its speed, or its cards and what is usual."""
    counted = node.cards is not None and usual is not None and usual.network is not None
    return counted or options.network_bandwidth is not None or node.card_bytes_per_s is not None


def needed(usual: UsualNode | None, device: str, what: str, option: str) -> UsualNode:
    if usual is None:
        raise InputError(
            f"none of the files says {what}, and no shipped cluster has nodes of {device}",
            hint=f"give {option}",
        )
    return usual


def intra_node(
    node: NodeFacts,
    options: NodeOptions,
    usual: UsualNode | None,
    group: Group,
    inside: Sequence[MeasuredCollective],
    notes: Notes,
) -> str:
    if options.intra_node_bandwidth is not None:
        return options.intra_node_bandwidth
    nominal = inside_of(node, group["device"], notes)
    if nominal is not None:
        notes.assumed.append(f"intra_node bandwidth: {nominal[1]}, nominal")
        return format_bytes_per_second(nominal[0])
    measured = measured_intra_node(group, inside, notes)
    if measured is not None:
        return format_bytes_per_second(measured)
    links = nominal_links(group["device"])
    if usual is None and links is not None and links.kind == "pcie":
        bandwidth = format_bytes_per_second(links.bandwidth.value)
        notes.assumed.append(
            f"intra_node bandwidth {bandwidth}: the PCI Express of {group['device']}, nominal"
        )
        return bandwidth
    option = "--intra-node-bandwidth, such as '300 GB/s' of one device in one direction"
    bandwidth = needed(
        usual, group["device"], "how fast the devices of a node reach each other", option
    ).intra_node
    notes.assumed.append(f"intra_node bandwidth {bandwidth} ({usual.where if usual else ''})")
    return bandwidth


def network(
    node: NodeFacts,
    options: NodeOptions,
    usual: UsualNode | None,
    group: Group,
    outside: Sequence[MeasuredCollective],
    notes: Notes,
    fastest_link: float | None,
) -> Group:
    """Cards and the bandwidth of one. Where nothing says their speed they are the usual cards of
    nodes with the device; more cards than devices are parts of these, and share their speed, as the
    32 of an AWS p5 do."""
    usual_network = usual.network if usual is not None else None
    cards = options.cards or node.cards
    if options.network_bandwidth is not None:
        return {
            "cards": _cards(cards, usual_network, group, notes),
            "bandwidth": options.network_bandwidth,
        }
    if node.card_bytes_per_s is not None:
        text = format_bytes_per_second(node.card_bytes_per_s)
        stated = {"cards": _cards(cards, usual_network, group, notes), "bandwidth": text}
        refuse_impossible_network({**group, "network": stated}, outside)
        return stated
    if outside:
        number = _cards(cards, usual_network, group, notes)
        trial = {**group, "network": {"cards": number}}
        measured = measured_network(trial, outside, notes)
        if measured is not None:
            return {"cards": number, "bandwidth": format_bytes_per_second(measured)}
    if fastest_link is not None:
        number = cards or 1
        text = format_bytes_per_second(to_four_digits(fastest_link / number))
        word = "card" if number == 1 else "cards"
        notes.assumed.append(f"network: {number} {word} of {text}, the fastest measured link")
        return {"cards": number, "bandwidth": text}
    if usual_network is None:
        raise InputError(
            "none of the files says how fast the network is",
            hint="give --network-bandwidth, such as '50 GB/s' of one card in one direction",
        )
    number, bandwidth = int(usual_network["cards"]), str(usual_network["bandwidth"])
    if cards is not None:
        share = min(1.0, max(number, int(group["devices_per_node"])) / cards)
        bandwidth = format_bytes_per_second(
            to_four_digits(parse_bytes_per_second(bandwidth) * share)
        )
        number = cards
    notes.assumed.append(f"network: {number} cards of {bandwidth} ({usual.where if usual else ''})")
    return {"cards": number, "bandwidth": bandwidth}


def _cards(cards: int | None, usual: Mapping[str, Any] | None, group: Group, notes: Notes) -> int:
    """As stated, or as usual; on boards of several devices each has a card of its own where nothing
    else is known."""
    if cards is not None:
        return cards
    links = nominal_links(group["device"])
    number = int(usual["cards"]) if usual is not None else 1
    if usual is None and links is not None and links.on_board:
        number = int(group["devices_per_node"])
    each = ", one for each device" if usual is None and number > 1 else ""
    notes.assumed.append(f"{plural(number, 'network card')} in a node{each}")
    return number


def compare(group: Group, collectives: Sequence[MeasuredCollective], notes: Notes) -> None:
    """Compares the measurements with the planner's times on the nodes as they are now."""
    for one in sorted(collectives, key=lambda c: (c.ranks, c.operation))[-4:]:
        planned = seconds(one, group)
        if planned is not None:
            error = planned / one.time_s - 1
            notes.read.append(
                f"{shown(one)}: measured {one.time_s * 1e3:.4g} ms, planned "
                f"{planned * 1e3:.4g} ms ({error:+.1%})"
            )
