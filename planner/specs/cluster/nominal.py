"""Figures of a cluster file that the hardware cannot have, or that no node is built with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from planner.errors import InputError
from planner.specs.cluster.file import NodeGroupInput
from planner.specs.device_parts import NodeLinks
from planner.specs.files.document import Document, Location
from planner.specs.files.fields import BytesPerSecond, Constant
from planner.specs.files.general import general
from planner.specs.unit_text import format_bytes_per_second

ROUNDING = 1.02
"""A figure this far above the nominal one was rounded."""


@cache
def fastest_card_bytes_per_s() -> float:
    """Of one network card in one direction."""
    return general("cluster", "network.fastest_card", Constant[BytesPerSecond]).value


def above_nominal(device: str, links: NodeLinks | None, bytes_per_s: float) -> str | None:
    """Why a device cannot reach the others of its node so fast over its links; None where it can,
    or where its file does not say which it has."""
    if links is None:
        return None
    nominal = links.bandwidth.value
    if bytes_per_s <= nominal * ROUNDING:
        return None
    return (
        f"{format_bytes_per_second(bytes_per_s)} is more than {device} has in one direction "
        f"({format_bytes_per_second(nominal)})"
    )


def doubts(document: Document, group: NodeGroupInput, at: Location) -> Iterator[InputError]:
    """What to ask about the figures of a group, each with its place."""
    for key, links in (("intra_node", group.intra_node), ("scale_up", group.scale_up)):
        if links is None:
            continue
        text = above_nominal(group.device.name, group.device.intra_node, links.bandwidth)
        if text is not None:
            yield document.error(
                text,
                (*at, key, "bandwidth"),
                hint="data sheets add up both directions; the file wants one",
            )
    network = group.network
    if network is None:
        return
    if network.bandwidth > fastest_card_bytes_per_s() * ROUNDING:
        fastest = format_bytes_per_second(fastest_card_bytes_per_s())
        yield document.error(
            f"{format_bytes_per_second(network.bandwidth)} is more than any network card has in "
            f"one direction ({fastest}, 800 Gbit/s)",
            (*at, "network", "bandwidth"),
            hint="it is of one card; 400 Gbit/s are 50 GB/s",
        )
    devices, cards = group.devices_per_node, network.cards
    if devices % cards and cards % devices:
        yield document.error(
            f"{cards} network cards do not go evenly with {devices} devices in a node",
            (*at, "network", "cards"),
            hint="only cards that carry the training traffic count",
        )
