"""Which node holds which stages of plan 1, and where each kind of communication runs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from planner.reports.hosts import named_hosts
from planner.reports.page.html import Html, element, join
from planner.reports.page.parts import note, same_as_table, section, table
from planner.training.traffic import JobLinks, Traffic, stages_of_ranks, traffic
from planner.wording.labels import TIME_LABELS
from planner.wording.units import count, plural, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planner.reports.page.content import PageContent
    from planner.training.scenario import Scenario

SEPARATE = 320
"""Nodes of which each has a cell of its own; of more, neighbours share one."""
TOGETHER = 16
"""Neighbours that share a cell where nothing closer groups them."""
GB = 1e9


@dataclass(frozen=True, slots=True)
class MapCell:
    """One node or several that are neighbours: their hosts, the group and the blocks they are in,
    from the outside in, and the stages they hold."""

    hosts: tuple[str, ...]
    group: str
    blocks: tuple[str, ...]
    stages: tuple[int, ...]


def cluster(content: PageContent) -> Html | None:
    """None for a document without plans."""
    if not content.answer.plans:
        return None
    title = "Cluster: which node holds which stage"
    if content.inputs is None:
        return section("cluster", title, note(content.left_out), wide=True)
    scenario, plan = content.inputs.scenario, content.best.plan
    placed = scenario.running(plan)
    cells = map_cells(placed, plan.placement.hosts, stages_of_ranks(plan))
    used, there = placed.topology.nodes, len(placed.topology.kinds)
    stages = plan.degrees.pipeline
    said = [f"Numbers are stages of plan 1, {plural(stages, 'stage')} on {plural(used, 'node')}."]
    if used > SEPARATE:
        said.append("A cell is several neighbouring nodes.")
    if used < there:
        said.append(f"{plural(there - used, 'node')} of the cluster are not used.")
    return section(
        "cluster",
        title,
        note(" ".join(said)),
        *_groups(placed, cells, stages),
        same_as_table(_table(cells)),
        element("h3", "Where communication runs"),
        _traffic(content, placed, traffic(scenario, plan)),
        wide=True,
    )


def map_cells(
    scenario: Scenario, hosts: Sequence[str], stages: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> list[MapCell]:
    """The nodes of a job in the order of the cluster, many of them together. `hosts` and `stages`:
    by position and by rank."""
    topology, links = scenario.topology, JobLinks.of(scenario)
    groups = _group_names(scenario)
    names = hosts or [scenario.cluster.host_names()[node] for node in topology.order]
    tiers = [
        tier for tier in topology.fabric.tiers if tier.nodes and tier.nodes < len(topology.kinds)
    ]
    single = []
    for position in sorted(range(topology.nodes), key=lambda at: topology.order[at]):
        node = topology.order[position]
        blocks = [f"{tier.name} {node // (tier.nodes or 1)}" for tier in reversed(tiers)]
        if topology.kinds[node].domain_nodes > 1:
            blocks.append(f"scale-up domain {int(links.domain[position])}")
        held = np.unique(stages[list(topology.ranks_of(position))]).tolist()
        single.append(MapCell((names[position],), groups[node], tuple(blocks), tuple(held)))
    return single if len(single) <= SEPARATE else list(_together(single))


def _group_names(scenario: Scenario) -> list[str]:
    """Of every node of the cluster: its group, its device type, how many it has."""
    names: list[str] = []
    for group in scenario.cluster.node_groups:
        per_node = plural(group.devices_per_node, "device")
        names += [f"{group.name}: {per_node} a node, {group.device.name}"] * (group.count or 0)
    return names


def _together(cells: Sequence[MapCell]) -> Iterable[MapCell]:
    """A cell for every innermost block, or for `TOGETHER` neighbours without any."""

    def block(numbered: tuple[int, MapCell]) -> tuple[object, ...]:
        at, cell = numbered
        return (cell.group, cell.blocks or (at // TOGETHER,))

    for _, some in groupby(enumerate(cells), key=block):
        members = [cell for _, cell in some]
        first = members[0]
        yield MapCell(
            hosts=tuple(host for cell in members for host in cell.hosts),
            group=first.group,
            blocks=first.blocks[:-1],
            stages=tuple(sorted({stage for cell in members for stage in cell.stages})),
        )


def _groups(scenario: Scenario, cells: Sequence[MapCell], stages: int) -> list[Html]:
    return [
        join(
            element("h3", name, class_="group"),
            _blocks(list(members), 0, stages),
        )
        for name, members in groupby(cells, key=lambda cell: cell.group)
    ]


def _blocks(cells: Sequence[MapCell], depth: int, stages: int) -> Html:
    """Cells side by side, those of one block inside a frame with its name."""
    parts: list[Html] = []
    for name, some in groupby(
        cells, key=lambda cell: cell.blocks[depth] if depth < len(cell.blocks) else None
    ):
        members = list(some)
        if name is None:
            parts += [_cell(cell, stages) for cell in members]
        else:
            inside = _blocks(members, depth + 1, stages)
            parts.append(
                element("div", element("span", name, class_="name"), inside, class_="block")
            )
    return element("div", *parts, class_="nodes")


def _cell(cell: MapCell, stages: int) -> Html:
    middle = cell.stages[len(cell.stages) // 2]
    first, last = cell.hosts[0], cell.hosts[-1]
    hosts = first if first == last else f"{first} to {last} ({count(len(cell.hosts))} nodes)"
    said = stage_range(cell.stages)
    noun = "stage" if len(cell.stages) == 1 else "stages"
    return element(
        "span",
        said,
        class_=f"cell stage{middle}of{stages}",
        title=f"{hosts}: {noun} {said}",
    )


def stage_range(stages: Sequence[int]) -> str:
    """`3`, `0–3`, `0, 4–5`."""
    runs: list[list[int]] = []
    for stage in stages:
        if runs and runs[-1][1] + 1 == stage:
            runs[-1][1] = stage
        else:
            runs.append([stage, stage])
    return ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in runs)


def _table(cells: Sequence[MapCell]) -> Html:
    """Neighbours with the same stages in one row."""
    rows = []
    for (stages, group, blocks), some in groupby(
        cells, key=lambda cell: (cell.stages, cell.group, cell.blocks)
    ):
        hosts = [host for cell in some for host in cell.hosts]
        rows.append(
            (named_hosts(hosts), count(len(hosts)), stage_range(stages), group, ", ".join(blocks))
        )
    return table(
        "Nodes and their stages", ["hosts", "nodes", "stages", "group", "in"], rows, text_columns=5
    )


def _traffic(content: PageContent, placed: Scenario, kinds: Sequence[Traffic]) -> Html:
    if not kinds:
        return note("One device alone: there is no communication.")
    time = content.best.estimate.time
    return table(
        "Each kind of communication of plan 1",
        ["kind", "reaches", "ranks in a group", "pairs of nodes", "narrowest link", "exposed"],
        [
            (
                TIME_LABELS[f"{one.axis}_comm_s"],
                one.reach,
                count(one.group),
                count(len(one.pairs)),
                _narrowest(placed, one),
                seconds(getattr(time, f"{one.axis}_comm_s")),
            )
            for one in kinds
        ],
        text_columns=2,
    )


def _narrowest(placed: Scenario, one: Traffic) -> str:
    """The slowest link of a kind of communication; what stays inside nodes and scale-up domains
    runs at what one device has there."""
    if one.narrowest_bytes_per_s is not None:
        return f"{one.narrowest_bytes_per_s / GB:.4g} GB/s a node"
    kinds = [placed.topology.kinds[node] for node in placed.topology.order]
    slowest = min(kind.domain_bytes_per_s if one.pairs else kind.node_bytes_per_s for kind in kinds)
    return f"{slowest / GB:.4g} GB/s a device"
