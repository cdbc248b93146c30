"""A study from its points to its front.

Series of points go to workers in waves: one, then twice as many each time. What a wave
found may spare later ones searches; how large waves are does not depend on the workers, so that
every kind of workers gives the same answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.sweeps.answers import Front, marked
from planner.sweeps.points import points_of
from planner.sweeps.series import SeriesTask, solve
from planner.sweeps.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.specs.study.spec import Study
    from planner.sweeps.answers import PointAnswer
    from planner.sweeps.points import Point
    from planner.sweeps.store import Store

FIRST_WAVE = 1
"""Series of the first wave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """Every point of a study with its answer, in the order of the file. `reused`: answers that were
    known before."""

    study: Study
    points: tuple[PointAnswer, ...]
    reused: int

    @property
    def front(self) -> tuple[PointAnswer, ...]:
        """Points that no other one beats."""
        return tuple(one for one in self.points if one.on_front)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepProgress:
    """Points that have an answer, of all."""

    answered: int
    points: int


def run_study(
    study: Study,
    *,
    workers: Workers,
    store: Store | None = None,
    every_point: bool = False,
    progress: Callable[[SweepProgress], None] | None = None,
) -> SweepResult:
    """`every_point`: search also for points that others are known to beat. Raises: InputError."""
    points = points_of(study)
    known = {} if store is None else store.known(points)
    front = Front(study.objectives, study.limits)
    answers: list[PointAnswer] = []
    waiting = _series(points)
    size = FIRST_WAVE
    with workers:
        while waiting:
            wave, waiting = waiting[:size], waiting[size:]
            size *= 2
            tasks = [
                SeriesTask(
                    points=series,
                    known={one.digest: known[one.digest] for one in series if one.digest in known},
                    front=None if every_point else front,
                    store=store if workers.shares_files else None,
                )
                for series in wave
            ]
            for solved in workers.map(solve, tasks):
                for one in solved:
                    if store is not None and not workers.shares_files:
                        store.keep(one)
                    answers.append(one.answer)
                    front.add(one.answer)
            if progress is not None:
                progress(SweepProgress(answered=len(answers), points=len(points)))
    return SweepResult(study=study, points=marked(answers, front), reused=len(known))


def _series(points: Sequence[Point]) -> list[tuple[Point, ...]]:
    """Points that differ in their nodes alone, the most computation for the price first: they leave
    most of the others nothing to win."""
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.series, []).append(point)
    ordered = sorted(found.values(), key=lambda one: (-_worth(one[0]), one[0].number))
    return [tuple(one) for one in ordered]


def _worth(point: Point) -> float:
    """Peak operations of the point's number format for a unit of money, or of a device without
    prices."""
    precision = point.job.precision or point.model.training.precision or "bf16"
    groups = point.cluster.node_groups
    flop_per_s = paid = 0.0
    for group in groups:
        count = (group.count or 1) * group.devices_per_node
        flop_per_s += count * group.device.peak.by_format().get(precision, 0.0)
        paid += count * (group.price_per_device_hour or 1.0)
    return flop_per_s / paid
