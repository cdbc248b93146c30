"""How the series of a study scale, and where one overtakes another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from planner.specs.study.file import Objective
    from planner.sweeps.answers import PointAnswer
    from planner.sweeps.sweep import SweepResult

NODES = "nodes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points that differ in their nodes alone, from the fewest to the most. `axes`: the others."""

    axes: Mapping[str, str]
    points: tuple[PointAnswer, ...]

    @property
    def by_nodes(self) -> dict[int, PointAnswer]:
        return {int(one.axes[NODES]): one for one in self.points}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossover:
    """With `before` nodes the series of `one` is better in an objective, from `after` nodes on that
    of `other`: values of the axis `axis`; all other axes are the same, `rest`."""

    objective: Objective
    axis: str
    one: str
    other: str
    rest: Mapping[str, str]
    before: int
    after: int


def curves(result: SweepResult) -> tuple[Curve, ...]:
    """None where the study does not sweep nodes."""
    if not any(axis.name == NODES for axis in result.study.axes):
        return ()
    found: dict[tuple[str, ...], list[PointAnswer]] = {}
    for one in result.points:
        key = tuple(text for name, text in one.axes.items() if name != NODES)
        found.setdefault(key, []).append(one)
    return tuple(
        Curve(
            axes={name: text for name, text in points[0].axes.items() if name != NODES},
            points=tuple(sorted(points, key=lambda one: int(one.axes[NODES]))),
        )
        for points in found.values()
    )


def crossovers(result: SweepResult) -> tuple[Crossover, ...]:
    """For every two curves that differ in one axis: where the better of them changes."""
    found = curves(result)
    return tuple(
        crossing
        for index, one in enumerate(found)
        for other in found[index + 1 :]
        for crossing in _between(one, other, result.study.objectives)
    )


def _between(one: Curve, other: Curve, objectives: Sequence[Objective]) -> Iterator[Crossover]:
    differing = [name for name, text in one.axes.items() if other.axes[name] != text]
    if len(differing) != 1:
        return
    axis = differing[0]
    ours, theirs = one.by_nodes, other.by_nodes
    for objective in objectives:
        better: bool | None = None
        before = 0
        for nodes in sorted(ours.keys() & theirs.keys()):
            mine, its = ours[nodes].figure(objective), theirs[nodes].figure(objective)
            if mine is None or its is None or mine == its:
                continue
            if better is not None and better != (mine < its):
                names = (one.axes[axis], other.axes[axis])
                yield Crossover(
                    objective=objective,
                    axis=axis,
                    one=names[0] if better else names[1],
                    other=names[1] if better else names[0],
                    rest={name: text for name, text in one.axes.items() if name != axis},
                    before=before,
                    after=nodes,
                )
            better, before = mine < its, nodes
