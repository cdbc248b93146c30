"""Trees of switches as tiers of equal size, with the hosts in an order that fits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planner.importers.clusters.facts import Tier
from planner.importers.notes import Notes

_NAMES = {1: ("leaf",), 2: ("leaf", "spine"), 3: ("leaf", "spine", "core")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A switch with the hosts and the switches directly below it."""

    hosts: tuple[str, ...] = ()
    below: tuple[str, ...] = ()


def tiers_of(switches: Mapping[str, Switch], notes: Notes) -> tuple[tuple[str, ...], list[Tier]]:
    """Hosts in tree order, and a tier for every level of switches, inside out. A level is left out
    if it does not hold all hosts, or if a single switch holds them all."""
    children = {name for switch in switches.values() for name in switch.below}
    roots = [name for name in switches if name not in children]
    if not roots:
        roots = list(switches)[:1]
        notes.left_out.append("switches that are below each other: the tree has no top")
    order: list[str] = []
    levels: dict[int, list[tuple[str, ...]]] = {}
    for root in roots:
        _walk(root, switches, order, levels, frozenset())
    hosts = tuple(dict.fromkeys(order))
    tiers = []
    for level in sorted(levels):
        groups = levels[level]
        held = [host for group in groups for host in group]
        if sorted(set(held)) != sorted(hosts) or len(held) != len(hosts):
            notes.left_out.append(f"level {level + 1} of switches, which does not hold every node")
        elif len(groups) > 1:
            tiers.append(groups)
    if len(roots) > 1:
        notes.assumed.append(f"{len(roots)} separate trees are joined above their tops")
    names = _NAMES.get(len(tiers), tuple(f"tier-{index + 1}" for index in range(len(tiers))))
    return hosts, [
        Tier(name=name, groups=tuple(groups)) for name, groups in zip(names, tiers, strict=True)
    ]


def _walk(
    name: str,
    switches: Mapping[str, Switch],
    order: list[str],
    levels: dict[int, list[tuple[str, ...]]],
    above: frozenset[str],
) -> int:
    """Adds the hosts below a switch in order; gives its level, 0 for a switch of hosts."""
    switch = switches.get(name, Switch())
    if name in above or len(above) > 20:
        return 0
    first = len(order)
    level = 0
    for child in switch.below:
        level = max(level, _walk(child, switches, order, levels, above | {name}) + 1)
    order.extend(switch.hosts)
    held = tuple(order[first:])
    if held:
        levels.setdefault(level, []).append(held)
    return level


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedTier:
    """A tier as a cluster file has it: the number of nodes below each switch."""

    name: str
    nodes: int


def sized(
    hosts: Sequence[str], tiers: Sequence[Tier], notes: Notes
) -> tuple[tuple[str, ...], list[SizedTier]]:
    """Hosts in an order that puts the nodes of every switch side by side, smaller switches last,
    and the size of each tier. Tiers of unequal switches are left out."""
    ordered = _ordered(tuple(hosts), list(tiers))
    found: list[SizedTier] = []
    below = 1
    for tier in tiers:
        size = max(len(group) for group in tier.groups)
        chunks = [set(ordered[start : start + size]) for start in range(0, len(ordered), size)]
        fits = sorted(map(sorted, chunks)) == sorted(sorted(group) for group in tier.groups)
        counts = sorted({len(group) for group in tier.groups}, reverse=True)
        if not fits:
            reason = (
                "they cross those of another tier"
                if len(counts) == 1
                else f"they hold {', '.join(map(str, counts[:4]))} nodes, and not the same each"
            )
            notes.left_out.append(f"tier {tier.name} of {len(tier.groups)} switches: {reason}")
        elif size % below or size == below:
            notes.left_out.append(
                f"tier {tier.name}: {size} nodes are not a whole number, above one, of {below}"
            )
        else:
            found.append(SizedTier(name=tier.name, nodes=size))
            below = size
    return ordered, found


def _ordered(hosts: tuple[str, ...], tiers: list[Tier]) -> tuple[str, ...]:
    """Outermost groups first, larger before smaller, each ordered in the same way inside."""
    if not tiers:
        return hosts
    *inner, outer = tiers
    ordered: list[str] = []
    for group in sorted(outer.groups, key=len, reverse=True):
        members = set(group)
        kept = tuple(host for host in hosts if host in members)
        within = [
            Tier(name=tier.name, groups=tuple(g for g in tier.groups if set(g) <= members))
            for tier in inner
        ]
        whole = all(sum(map(len, tier.groups)) == len(kept) for tier in within)
        ordered.extend(_ordered(kept, within) if whole else kept)
    return tuple(ordered)
