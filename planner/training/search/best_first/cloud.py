"""Every combination that fits, as a cloud of points: how fast it can be at best, and its peak."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.memory.stage import stage_peaks
from planner.training.search.bounding.fitting import batch_of, pieces
from planner.training.search.bounding.tight import tight_bounds
from planner.training.search.result import Cloud
from planner.training.search.space.codes import sharing_ranks, value_of
from planner.training.search.space.enumeration import AXES, GRID_AXES, ONLY_WHERE_TRIED
from planner.training.step.ahead import with_ahead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.fitting import Fitting

Values = list[int | float | str | bool]


def cloud_of(
    scenario: Scenario, table: CostTable, groups: Sequence[Fitting], budget: Budget
) -> Cloud:
    """The combinations of all groups in the order of enumeration, with tight bounds in seconds and
    peaks in bytes, of the stage with the least room. Both are of the usual stage layout; where
    nodes differ, and the layout is chosen with the devices, bounds are of every layout. No modules
    are chosen: what that may gain is no part of a bound.
    `table` is of the ideal scenario. Raises: OutOfTime."""
    bounds: list[float] = []
    peaks: list[int] = []
    axes: dict[str, Values] = {axis: [] for axis in AXES}
    ideal = scenario.ideal
    for group in groups:
        which = np.arange(len(group))
        found = tight_bounds(ideal, table, group, which, np.full(len(group), -1), budget)
        bound_s = np.maximum(found.default_s, group.bound_s)
        if ideal is not scenario:
            bound_s = np.minimum(bound_s, np.maximum(found.others_s, group.others_s))
        bounds += bound_s.tolist()
        for part in pieces(which, group.chunks, budget):
            peaks += _peaks(ideal, table, group, part, found.layers[part])
        for axis, values in _axes(group, scenario.node_devices).items():
            axes[axis] += values
    usual = {axis: value_of(axis, code) for axis, code in ONLY_WHERE_TRIED.items()}
    usual["expert_overlap"] = False
    usual["dispatcher"] = scenario.job.software.expert.dispatcher_options[0]
    return Cloud(
        step_bound_s=tuple(bounds),
        peak_bytes=tuple(peaks),
        axes={
            axis: tuple(values)
            for axis, values in axes.items()
            if axis not in usual or set(values) - {usual[axis]}
        },
    )


def _peaks(
    scenario: Scenario,
    table: CostTable,
    group: Fitting,
    which: NDArray[np.int64],
    layers: NDArray[np.int64],
) -> list[int]:
    batch = with_ahead(scenario, table, batch_of(scenario, group, which, layers))
    peaks = stage_peaks(scenario, table, batch)
    binding = peaks.spare.argmin(axis=-1)
    found: list[int] = peaks.device_peak[np.arange(len(which)), binding].tolist()
    return found


def _axes(group: Fitting, node_devices: int) -> dict[str, Values]:
    count, columns = len(group), group.screened.columns
    codes = {axis: columns[axis][group.grid_row].tolist() for axis in GRID_AXES}
    codes |= {axis: found.tolist() for axis, found in group.variants.items()}
    tensor, data, context = (
        columns[axis][group.grid_row] for axis in ("tensor", "data", "context")
    )
    ranks = sharing_ranks(group.variants["shard_over"], tensor, node_devices)
    codes["shard_over"] = np.where(ranks < data * context, ranks, 0).tolist()
    return {
        "pipeline": [group.screened.pipeline] * count,
        "virtual_stages": [group.virtual_stages] * count,
        "schedule": [group.schedule] * count,
        **{axis: [value_of(axis, code) for code in found] for axis, found in codes.items()},
    }
