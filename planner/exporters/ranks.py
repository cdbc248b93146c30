"""Where every rank sits, and its position on the two grids of Megatron-LM.

The leftmost axis of the order varies fastest. With `tp-cp-ep-dp-pp` the dense grid is
rank = tp + TP·(cp + CP·(dp + DP·pp)), and the expert grid, over the same ranks, is
rank = etp + ETP·(ep + EP·(edp + EDP·pp)) (`parallel_state.RankGenerator`; context is 1 in the
expert grid, expert is 1 in the dense one).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from planner.exporters.errors import Inexpressible
from planner.exporters.quoting import csv_line

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob
    from planner.plan import Plan

COLUMNS = (
    "rank",
    "host",
    "device",
    "tensor",
    "context",
    "data",
    "pipeline",
    "expert_tensor",
    "expert",
    "expert_data",
)

_DENSE = {"tp": "tensor", "cp": "context", "dp": "data", "pp": "pipeline"}
_EXPERT = {"tp": "expert_tensor", "ep": "expert", "dp": "expert_data", "pp": "pipeline"}

Grid = tuple[tuple[str, int], ...]
"""Axes with their sizes, the one that varies fastest first."""


def grids(plan: Plan) -> tuple[Grid, Grid]:
    """The dense and the expert grid. Raises: Inexpressible for an order that is not one of
    Megatron-LM's."""
    order = plan.placement.order
    tokens = order.split("-")
    if sorted(tokens) != sorted(("tp", "cp", "ep", "dp", "pp")):
        raise Inexpressible("the rank table", "placement.order", f"{order!r} is no rank order")
    sizes = {
        axis: getattr(plan.degrees, axis)
        for axis in ("tensor", "context", "data", "pipeline", "expert_tensor", "expert")
    }
    sizes["expert_data"] = plan.degrees.expert_data
    dense = tuple((_DENSE[token], sizes[_DENSE[token]]) for token in tokens if token in _DENSE)
    expert = tuple((_EXPERT[token], sizes[_EXPERT[token]]) for token in tokens if token in _EXPERT)
    return dense, expert


def positions(grid: Grid, rank: int) -> dict[str, int]:
    """The coordinates of a rank."""
    found: dict[str, int] = {}
    for axis, size in grid:
        rank, found[axis] = divmod(rank, size)
    return found


def rank_rows(job: ExportJob) -> Iterator[tuple[int | str, ...]]:
    """A row of `COLUMNS` for every rank, in rank order.

    Raises: Inexpressible when the two grids of a mixture disagree about a rank's stage.
    """
    dense, expert = grids(job.plan)
    rank = 0
    for host in job.hosts:
        for device in range(host.devices):
            at, among_experts = positions(dense, rank), positions(expert, rank)
            if job.model.moe and at["pipeline"] != among_experts["pipeline"]:
                raise Inexpressible(
                    "the rank table",
                    "placement.order",
                    f"{job.plan.placement.order} puts rank {rank} on stage {at['pipeline']} of "
                    f"the dense grid and on stage {among_experts['pipeline']} of the expert grid",
                )
            row = {**among_experts, **at}
            yield (rank, host.name, device, *(row[axis] for axis in COLUMNS[3:]))
            rank += 1


def ranks_csv(job: ExportJob) -> str:
    """The rank table as CSV with a header row."""
    return "".join(map(csv_line, (COLUMNS, *rank_rows(job))))
