"""A cluster file to start from: nodes as they usually are, and further keys in comments."""

from __future__ import annotations

from typing import Any

from planner.importers.clusters.usual import usual_node
from planner.importers.yaml_text import to_yaml
from planner.specs.load import load_device
from planner.specs.unit_text import format_bytes_per_second

OTHERWISE = "25 GB/s"
"""Bandwidth inside a node that the file gets where nothing says what is usual."""
DEVICES, CARDS = 8, 2
"""In a node: devices that are joined on a board, and cards in slots."""

REST = """\
# Hosts are called by the name of the group, node-0 and on, unless they are named here; plans place
# them and launchers get their names:
#    hosts: "node[001-{nodes}]"
# Nodes that share a faster fabric, such as the 18 of an NVL72 rack:
#    scale_up: {{nodes: 18, bandwidth: 900 GB/s}}

# Switches, from the nearest; oversubscription is what the links above a switch are short of. A tier
# may also be a site, whose nodes share a link of this bandwidth to the others.
#fabric:
#  tiers:
#    - {{name: leaf, nodes: 16}}
#    - {{name: site, nodes: 64, oversubscription: 2}}
#    - {{name: wide-area, bandwidth: 3 GB/s, latency: 3 ms}}
# Pairs of nodes that differ from the rest:
#links:
#  overrides:
#    - {{between: [node001, node002], bandwidth: 12 GB/s}}
# Measured bandwidth of every pair of nodes; planner import cluster writes it from benchmarks:
#  matrix: {{file: bandwidth.csv, unit: GB/s, per: node}}

# Another device type is another entry of node_groups. A device that is not shipped is written in
# place of its name: {{like: a100-sxm-80gb, memory: 40 GiB}}. All keys: planner schema cluster.
"""
"""Lines with exactly one blank after their sign are prose, the others YAML."""


def cluster_template(device: str, nodes: int, name: str) -> str:
    """YAML of `nodes` nodes with a shipped device or a device file. Raises: InputError for an
    unknown device."""
    links = load_device(device).intra_node
    usual = usual_node(device)
    inside = OTHERWISE if links is None else format_bytes_per_second(links.bandwidth.value)
    slots = links is not None and not links.on_board
    group: dict[str, Any] = {
        "name": "node",
        "count": nodes,
        "device": device,
        "devices_per_node": (CARDS if slots else DEVICES)
        if usual is None
        else usual.devices_per_node,
        "intra_node": {"bandwidth": inside if usual is None else usual.intra_node},
    }
    network = None if usual is None else usual.network
    group["network"] = dict(network or {"cards": 1, "bandwidth": "12.5 GB/s"})
    if usual is not None and usual.scale_up is not None:
        group["scale_up"] = dict(usual.scale_up)
    said = [
        "Bandwidths are of one device inside a node, and of one network card, in one direction.",
        "To use a commented line below, delete its #.",
        "Check every figure against your machines"
        + (f"; these nodes are {usual.where}." if usual and usual.where.startswith("as ") else "."),
    ]
    if usual is None or network is None:
        said.append(
            "The network is a guess, one card of 100 Gb/s (12.5 GB/s): put in what your nodes have."
        )
    if usual is None and links is None:
        said.append(
            f"The links inside a node are a guess too: {OTHERWISE} in intra_node is an example."
        )
    elif usual is None:
        said.append(
            f"The number of devices in a node is a guess too; {inside} is the most that one sends."
        )
    text = to_yaml({"name": name, "node_groups": [group]}, said)
    return text + REST.format(nodes=f"{nodes:03d}")
