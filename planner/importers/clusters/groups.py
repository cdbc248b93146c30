"""The node groups of a cluster file, from what files and options say of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planner.errors import InputError
from planner.importers.clusters.devices import nvlink_bytes_per_s
from planner.importers.clusters.facts import ClusterFacts, MeasuredCollective, NodeFacts
from planner.importers.clusters.rates import fitting_rate, seconds
from planner.importers.clusters.usual import UsualNode, usual_node
from planner.importers.notes import Notes
from planner.specs.units import format_bytes_per_second, parse_bytes_per_second

Group = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """What the user states of the nodes; it wins over every file. Bandwidths are unit text."""

    device: str | None = None
    devices_per_node: int | None = None
    intra_node_bandwidth: str | None = None
    network_bandwidth: str | None = None
    cards: int | None = None
    nodes_per_site: int | None = None
    """Of links between regions: how many nodes each region has."""


def merged_nodes(facts: Sequence[ClusterFacts]) -> list[NodeFacts]:
    """One entry for each kind of node. Raises: InputError where files contradict each other."""
    kinds: list[tuple[NodeFacts, str]] = []
    for one in facts:
        for node in one.nodes:
            place = _same_kind(kinds, node) if len(one.nodes) == 1 else None
            if place is None:
                kinds.append((node, one.path))
            else:
                before, path = kinds[place]
                kinds[place] = (_merged(before, node, path, one.path), path)
    return [node for node, _ in kinds]


def _same_kind(kinds: Sequence[tuple[NodeFacts, str]], node: NodeFacts) -> int | None:
    return next((i for i, (known, _) in enumerate(kinds) if _may_be_same(known, node)), None)


def _may_be_same(one: NodeFacts, other: NodeFacts) -> bool:
    """A device that is stated settles what another file only hints at."""
    if one.nvlinks is not None and other.nvlinks not in (None, one.nvlinks):
        return False
    if one.device is not None or other.device is not None:
        return None in (one.device, other.device) or one.device == other.device
    hints = (one.likely_device, other.likely_device)
    return None in hints or hints[0] == hints[1]


def _merged(one: NodeFacts, other: NodeFacts, path: str, other_path: str) -> NodeFacts:
    """What two files say of the same nodes; a file that lists every device wins on their number."""
    per_node = one.devices_per_node or other.devices_per_node
    if one.devices_per_node and other.devices_per_node not in (None, one.devices_per_node):
        if one.whole == other.whole:
            raise InputError(
                f"says {other.devices_per_node} devices in a node, {path} says "
                f"{one.devices_per_node}",
                path=other_path,
                hint="give --devices-per-node to decide",
            )
        per_node = one.devices_per_node if one.whole else other.devices_per_node
    hinting = one if one.likely_device else other
    inside = one if one.intra_node_bytes_per_s else other
    return NodeFacts(
        device=one.device or other.device,
        likely_device=hinting.likely_device,
        because=hinting.because,
        devices_per_node=per_node,
        whole=one.whole or other.whole,
        nvlinks=one.nvlinks or other.nvlinks,
        intra_node_bytes_per_s=inside.intra_node_bytes_per_s,
        basis=inside.basis,
        cards=one.cards or other.cards,
        card_bytes_per_s=one.card_bytes_per_s or other.card_bytes_per_s,
    )


def device_of(node: NodeFacts, options: NodeOptions, notes: Notes) -> str | None:
    """The device stated, or the likely one, which is then said to be assumed."""
    device = options.device or node.device
    if device is None and node.likely_device is not None:
        device = node.likely_device
        notes.assumed.append(f"device {device} ({node.because})")
    return device


def inside_of(node: NodeFacts, device: str) -> tuple[float, str] | None:
    """Nominal bytes/s of one device to the others of its node, and what it is made of."""
    rate = nvlink_bytes_per_s(device)
    if node.nvlinks is not None and rate is not None:
        basis = f"{node.nvlinks} NVLinks of {rate / 1e9:g} GB/s each way"
        return node.nvlinks * rate, basis
    if node.intra_node_bytes_per_s is not None:
        return node.intra_node_bytes_per_s, node.basis
    return None


def group_of(
    node: NodeFacts,
    options: NodeOptions,
    collectives: Sequence[MeasuredCollective],
    notes: Notes,
    *,
    several_nodes: bool,
    fastest_link: float | None,
) -> Group:
    """A group of a cluster file. `fastest_link`: what a node reaches at best by measured links.

    Raises: InputError for what neither files nor options say.
    """
    device = device_of(node, options, notes)
    if device is None:
        raise InputError(
            "nothing read says which devices the nodes have",
            hint="give --device NAME; planner list shows the names",
        )
    usual = usual_node(device)
    per_node = options.devices_per_node or node.devices_per_node
    if per_node is None:
        per_node = _needed(
            usual, device, "how many devices a node has", "--devices-per-node N"
        ).devices_per_node
        notes.assumed.append(f"{per_node} devices per node ({_where(usual)})")
    elif options.devices_per_node is None and not node.whole:
        notes.assumed.append(f"{per_node} devices per node, those that took part")
    group: Group = {"device": device, "devices_per_node": per_node}
    inside = [one for one in collectives if one.inside(per_node)]
    group["intra_node"] = {"bandwidth": _intra_node(node, options, usual, group, inside, notes)}
    outside = [one for one in collectives if not one.inside(per_node)]
    if several_nodes or outside or _says_network(node, options):
        group["network"] = _network(node, options, usual, group, outside, notes, fastest_link)
    _compare(group, collectives, notes)
    return group


def _says_network(node: NodeFacts, options: NodeOptions) -> bool:
    return options.network_bandwidth is not None or node.card_bytes_per_s is not None


def _needed(usual: UsualNode | None, device: str, what: str, option: str) -> UsualNode:
    if usual is None:
        raise InputError(
            f"nothing read says {what}, and no shipped cluster has nodes of {device}",
            hint=f"give {option}",
        )
    return usual


def _where(usual: UsualNode | None) -> str:
    return usual.where if usual is not None else ""


def _intra_node(
    node: NodeFacts,
    options: NodeOptions,
    usual: UsualNode | None,
    group: Group,
    inside: Sequence[MeasuredCollective],
    notes: Notes,
) -> str:
    if options.intra_node_bandwidth is not None:
        return options.intra_node_bandwidth
    nominal = inside_of(node, group["device"])
    if nominal is not None:
        notes.assumed.append(f"intra_node bandwidth: {nominal[1]}, nominal")
        return format_bytes_per_second(nominal[0])
    if inside:
        widest = max(inside, key=lambda one: (one.ranks, one.size_bytes))
        rate = fitting_rate(widest, group | {"intra_node": {}}, ("intra_node", "bandwidth"))
        if rate is not None:
            notes.assumed.append(_fitted("intra_node", widest))
            return _rounded(rate)
    option = "--intra-node-bandwidth, such as '300 GB/s' of one device in one direction"
    bandwidth = _needed(
        usual, group["device"], "how fast the devices of a node reach each other", option
    ).intra_node
    notes.assumed.append(f"intra_node bandwidth {bandwidth} ({_where(usual)})")
    return bandwidth


def _network(
    node: NodeFacts,
    options: NodeOptions,
    usual: UsualNode | None,
    group: Group,
    outside: Sequence[MeasuredCollective],
    notes: Notes,
    fastest_link: float | None,
) -> Group:
    usual_network = usual.network if usual is not None else None
    cards = options.cards or node.cards
    if options.network_bandwidth is not None:
        return {
            "cards": _cards(cards, usual_network, notes),
            "bandwidth": options.network_bandwidth,
        }
    if node.card_bytes_per_s is not None:
        text = format_bytes_per_second(node.card_bytes_per_s)
        return {"cards": _cards(cards, usual_network, notes), "bandwidth": text}
    if outside:
        number = _cards(cards, usual_network, notes)
        widest = max(outside, key=lambda one: (one.ranks, one.size_bytes))
        rate = fitting_rate(
            widest, group | {"network": {"cards": number}}, ("network", "bandwidth")
        )
        if rate is not None:
            notes.assumed.append(_fitted("network", widest))
            return {"cards": number, "bandwidth": _rounded(rate)}
        notes.left_out.append(
            f"{shown(widest)}: no network bandwidth explains its time on these nodes"
        )
    if fastest_link is not None:
        number = cards or 1
        text = _rounded(fastest_link / number)
        word = "card" if number == 1 else "cards"
        notes.assumed.append(f"network: {number} {word} of {text}, the fastest measured link")
        return {"cards": number, "bandwidth": text}
    if usual_network is None:
        raise InputError(
            "nothing read says how fast the network is",
            hint="give --network-bandwidth, such as '50 GB/s' of one card in one direction",
        )
    number, bandwidth = int(usual_network["cards"]), str(usual_network["bandwidth"])
    if cards is not None:
        share = min(1.0, number / cards)
        bandwidth = _rounded(parse_bytes_per_second(bandwidth) * share)
        number = cards
    notes.assumed.append(f"network: {number} cards of {bandwidth} ({_where(usual)})")
    return {"cards": number, "bandwidth": bandwidth}


def _cards(cards: int | None, usual: Mapping[str, Any] | None, notes: Notes) -> int:
    if cards is not None:
        return cards
    number = int(usual["cards"]) if usual is not None else 1
    notes.assumed.append(f"{number} network {'card' if number == 1 else 'cards'} in a node")
    return number


def _rounded(bytes_per_s: float) -> str:
    """Four digits: more would claim a precision that no benchmark has."""
    return format_bytes_per_second(float(f"{bytes_per_s:.4g}"))


def shown(collective: MeasuredCollective) -> str:
    name = collective.operation.replace("_", "-")
    size = f"{collective.size_bytes / 1e9:.4g} GB"
    if collective.size_bytes < 1e9:
        size = f"{collective.size_bytes / 1e6:.4g} MB"
    return f"{name} of {size} over {collective.ranks} devices"


def _fitted(what: str, collective: MeasuredCollective) -> str:
    return (
        f"{what} bandwidth: what makes the planner's {shown(collective)} take the "
        f"{collective.time_s * 1e3:.4g} ms measured"
    )


def _compare(group: Group, collectives: Sequence[MeasuredCollective], notes: Notes) -> None:
    """What the planner makes of the measurements on the nodes as they are now."""
    for one in sorted(collectives, key=lambda c: (c.ranks, c.operation))[-4:]:
        planned = seconds(one, group)
        if planned is not None:
            error = planned / one.time_s - 1
            notes.read.append(
                f"{shown(one)}: measured {one.time_s * 1e3:.4g} ms, planned "
                f"{planned * 1e3:.4g} ms ({error:+.1%})"
            )
