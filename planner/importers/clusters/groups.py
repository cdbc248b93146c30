"""The node groups of a cluster file, from what files and options say about nodes."""

from __future__ import annotations

from collections.abc import Sequence

from planner.errors import InputError
from planner.importers.clusters.bandwidths import (
    Group,
    compare,
    intra_node,
    needed,
    network,
    says_network,
)
from planner.importers.clusters.facts import ClusterFacts, MeasuredCollective, NodeFacts
from planner.importers.clusters.node_options import NodeOptions
from planner.importers.clusters.usual import usual_node
from planner.importers.notes import Notes


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
    """A device that one file states decides over a device that another file only suggests."""
    if one.nvlinks is not None and other.nvlinks not in (None, one.nvlinks):
        return False
    if one.device is not None or other.device is not None:
        return None in (one.device, other.device) or one.device == other.device
    hints = (one.likely_device, other.likely_device)
    return None in hints or hints[0] == hints[1]


def _merged(one: NodeFacts, other: NodeFacts, path: str, other_path: str) -> NodeFacts:
    """What two files say of the same nodes; a file that lists every device decides their number."""
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
        over_pcie=inside.over_pcie,
        cards=one.cards or other.cards,
        card_bytes_per_s=one.card_bytes_per_s or other.card_bytes_per_s,
        hosts=one.hosts or other.hosts,
    )


def device_of(node: NodeFacts, options: NodeOptions, notes: Notes) -> str | None:
    """The device stated, or the likely one, which is then noted as assumed."""
    device = options.device or node.device
    if device is None and node.likely_device is not None:
        device = node.likely_device
        notes.assumed.append(f"device {device} ({node.because})")
    return device


def group_of(
    node: NodeFacts,
    options: NodeOptions,
    collectives: Sequence[MeasuredCollective],
    notes: Notes,
    *,
    several_nodes: bool,
    fastest_link: float | None,
) -> Group:
    """A group of a cluster file. `fastest_link`: the highest measured rate of a node.

    Raises: InputError for facts that neither files nor options state.
    """
    device = device_of(node, options, notes)
    if device is None:
        raise InputError(
            "none of the files says which devices the nodes have"
            + (f" ({node.because})" if node.because else ""),
            hint="give --device NAME; planner list shows the names",
        )
    usual = usual_node(device)
    per_node = options.devices_per_node or node.devices_per_node
    if per_node is None:
        per_node = needed(
            usual, device, "how many devices a node has", "--devices-per-node N"
        ).devices_per_node
        notes.assumed.append(f"{per_node} devices per node ({usual.where if usual else ''})")
    elif options.devices_per_node is None and not node.whole:
        notes.assumed.append(f"{per_node} devices per node, those that took part")
    group: Group = {"device": device, "devices_per_node": per_node}
    together = per_node
    if usual is not None and usual.scale_up is not None and options.intra_node_bandwidth is None:
        group["scale_up"] = dict(usual.scale_up)
        together *= int(usual.scale_up["nodes"])
    inside = [one for one in collectives if one.inside(together)]
    outside = [one for one in collectives if not one.inside(together)]
    group["intra_node"] = {"bandwidth": intra_node(node, options, usual, group, inside, notes)}
    if usual is not None and "scale_up" in group:
        if inside and max(one.ranks for one in inside) > per_node:
            group["scale_up"]["bandwidth"] = group["intra_node"]["bandwidth"]
            notes.assumed.append(
                f"{group['scale_up']['nodes']} nodes share the fast fabric ({usual.where})"
            )
        else:
            del group["scale_up"]
    if several_nodes or outside or says_network(node, options, usual):
        group["network"] = network(node, options, usual, group, outside, notes, fastest_link)
    compare(group, collectives, notes)
    return group
