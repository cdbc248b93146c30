"""Why no plan keeps the limits of a load, and what could be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.serving.limits import compared
from planner.serving.room import changes_with_room, shortfall, stages_with_room

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.serving.estimate import ServingEstimate
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.scenario import ServingScenario
    from planner.serving.search.goal import Goal


def relaxations_of(goal: Goal, found: Sequence[ServingEstimate]) -> tuple[str, ...]:
    """For every limit that is not reached what comes closest: `ttft p99: with the other limits kept
    it is 812 ms at least; the limit is 500 ms`."""
    rows = [
        {
            name: (seconds, limit_s)
            for name, seconds, limit_s in compared(goal.slo, one.ttft, one.tpot)
        }
        for one in found
    ]
    if not rows:
        return ()
    limits = {name: limit_s for name, (_, limit_s) in rows[0].items()}
    alone = {
        name: f"{name}: no replica reaches less than {1e3 * least_s:.1f} ms; the limit is "
        f"{1e3 * limit_s:g} ms"
        for name, limit_s in limits.items()
        if (least_s := min(row[name][0] for row in rows)) > limit_s
    }
    return tuple(alone.values()) or tuple(_together(rows, limits))


def without_room(scenario: ServingScenario, load: ClosedLoad) -> tuple[str, ...]:
    """Of the replica that comes closest to room for a request: what it lacks, and what would make
    room."""
    found = [shortfall(scenario, load)]
    most = scenario.degrees.stage_devices
    found += [f"{change} makes room for it" for change in changes_with_room(scenario, load, most)]
    stages = stages_with_room(scenario, load)
    if stages is not None:
        devices = stages * scenario.degrees.stage_devices
        found.append(f"--pipeline {stages} makes room for it, on {devices:,} devices")
    return tuple(found)


def _together(
    rows: Sequence[dict[str, tuple[float, float]]], limits: dict[str, float]
) -> Iterator[str]:
    """Limits that can each be kept, and what the others leave of them."""
    for name, limit_s in limits.items():
        kept = [
            row[name][0]
            for row in rows
            if all(value <= most for other, (value, most) in row.items() if other != name)
        ]
        if kept:
            yield (
                f"{name}: with the other limits kept it is {1e3 * min(kept):.1f} ms at least; the "
                f"limit is {1e3 * limit_s:g} ms"
            )
        else:
            yield f"{name}: no replica keeps all other limits"
