"""Sites of several nodes each, made from the links between their regions."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.specs.unit_text import format_bytes_per_second, format_seconds

if TYPE_CHECKING:
    from planner.importers.clusters.facts import Link
    from planner.importers.notes import Notes

GROUP_ORDER = ("name", "count", "device", "devices_per_node", "intra_node", "network", "scale_up",
                "hosts")  # fmt: skip
"""Keys of a group in the order of the documentation."""


def sites_mapping(
    groups: Sequence[dict[str, Any]],
    links: Sequence[Link],
    nodes: int,
    notes: Notes,
    *,
    name: str,
) -> dict[str, Any]:
    """A cluster file with a group of `nodes` nodes for each region, a tier inside and one between
    the sites, and every link between two groups.

    Raises: InputError where no file has links between regions, or where several kinds of nodes are
    given.
    """
    if not links:
        raise InputError("--nodes-per-site is for links between regions; no file has any")
    if len(groups) > 1:
        raise InputError(f"--nodes-per-site: {len(groups)} kinds of nodes, and a site has one")
    regions = list(dict.fromkeys(end for link in links for end in link.between))
    sites = [_in_order({**groups[0], "name": region, "count": nodes}) for region in regions]
    wide: dict[str, Any] = {
        "name": "wide-area",
        "bandwidth": format_bytes_per_second(median(link.bytes_per_s for link in links)),
    }
    latencies = [link.latency_s for link in links if link.latency_s is not None]
    if latencies:
        wide["latency"] = format_seconds(median(latencies))
    notes.assumed.append(
        f"{nodes} nodes in each region, and each pair of nodes of two regions reaches what the "
        "file says of the regions; whether pairs share it is not known"
    )
    if len(links) < len(regions) * (len(regions) - 1) // 2:
        notes.assumed.append(f"regions without a link reach {wide['bandwidth']}, the middle one")
    return {
        "name": name,
        "node_groups": sites,
        "fabric": {"tiers": [{"name": "site", "nodes": nodes}, wide]},
        "links": {"overrides": [override_content(link) for link in links]},
    }


def _in_order(group: dict[str, Any]) -> dict[str, Any]:
    return {key: group[key] for key in GROUP_ORDER if key in group}


def override_content(link: Link) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "between": list(link.between),
        "bandwidth": format_bytes_per_second(link.bytes_per_s),
    }
    if link.latency_s is not None:
        entry["latency"] = format_seconds(link.latency_s)
    return entry
