"""Critical paths of a plan as rows of its placement problem: seconds with free sends between units,
and how often each boundary between rows is crossed.

Everything but those sends counts as on the ideal topology, which no placement beats: passes, sends
inside a unit, the tied embedding's reduction. So a path of any simulation bounds the step on any
placement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from planner.placement.problem.problem import PathsOfAllRows
from planner.schedule.bounds.windows import critical_paths
from planner.schedule.graph.weight_table import WeightTable
from planner.schedule.simulation.causes import counts_to_ends
from planner.schedule.simulation.critical_path import awaited_stage
from planner.schedule.simulation.simulate import simulate_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.schedule.simulation.simulate import Durations
    from planner.schedule.simulation.timeline import Timeline
    from planner.training.batch import Batch
    from planner.training.search.hosts.grid import UnitGrid
    from planner.training.step.parts import StepParts

Way = Literal["forward_down", "backward_up", "forward_up", "backward_down"]
"""What a message carries, and whether it goes to the next row or to the one before."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinkCosts:
    """`pair_s` [K, K]: an activation from a node of one class to a node of another in the next row,
    and a gradient back. A single message costs at least the share `single` of it, an activation and
    a gradient the other way round at least the share `reverse`."""

    pair_s: NDArray[np.float64]
    single: dict[Way, float]
    reverse: float

    @classmethod
    def of(
        cls,
        forward_s: NDArray[np.float64],
        backward_s: NDArray[np.float64],
        apart: NDArray[np.bool_],
    ) -> LinkCosts:
        """`forward_s`, `backward_s` [K, K]: a message from one class to another; `apart` [K, K]:
        pairs of classes that two nodes have."""
        pair_s = forward_s + backward_s.T

        def share(seconds: NDArray[np.float64]) -> float:
            takes = apart & (pair_s > 0)
            return float((seconds[takes] / pair_s[takes]).min(initial=1.0))

        return cls(
            pair_s=pair_s,
            single={
                "forward_down": share(forward_s),
                "backward_up": share(backward_s.T),
                "forward_up": share(forward_s.T),
                "backward_down": share(backward_s),
            },
            reverse=share(forward_s.T + backward_s),
        )

    def crossings(self, counts: dict[Way, NDArray[np.float64]]) -> NDArray[np.float64]:
        """How often messages cross a boundary there and back, or a little less."""
        down, up = counts["forward_down"], counts["backward_up"]
        back_down, back_up = counts["backward_down"], counts["forward_up"]
        pairs, reversed_ = np.minimum(down, up), np.minimum(back_down, back_up)
        found: NDArray[np.float64] = (
            pairs
            + self.reverse * reversed_
            + self.single["forward_down"] * (down - pairs)
            + self.single["backward_up"] * (up - pairs)
            + self.single["backward_down"] * (back_down - reversed_)
            + self.single["forward_up"] * (back_up - reversed_)
        )
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathRows:
    """Rows of a placement problem: `path_s` [W], `path_links` [W, boundaries], `path_row` [W]."""

    path_s: NDArray[np.float64]
    path_links: NDArray[np.float64]
    path_row: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanPaths:
    """Makes rows of the paths of one plan. `timeline`, `durations`, `parts`: on the ideal topology;
    `after_s` [p]: what follows the last pass of a stage wherever it is placed."""

    batch: Batch
    grid: UnitGrid
    costs: LinkCosts
    timeline: Timeline
    durations: Durations
    parts: StepParts
    after_s: NDArray[np.float64]

    def of_timeline(self, timeline: Timeline, stages: Sequence[int]) -> PathRows:
        """The longest paths to the ends of some stages."""
        counts = counts_to_ends(timeline, stages)
        rows = WeightTable(
            stages=self.batch.pipeline,
            virtual_stages=self.batch.virtual_stages,
            exchanges=len(timeline.schedule.exchanges),
        )
        boundaries = self.batch.pipeline * self.batch.virtual_stages - 1
        forward = counts[:, rows.forward_sends :][:, :boundaries].astype(np.float64)
        backward = counts[:, rows.backward_sends :][:, :boundaries].astype(np.float64)
        fixed = counts @ self.timeline.table
        return self._rows(fixed, forward, backward, np.array(stages))

    def of_ideal(self) -> PathRows:
        """The longest paths to the ends of all stages on the ideal topology."""
        return self.of_timeline(self.timeline, range(self.batch.pipeline))

    def cut(self, timeline: Timeline) -> PathRows:
        """The path that makes a simulated step as long as it is, and that to the last pass of
        all."""
        last = int(self.timeline.last_end_s.argmax())
        return self.of_timeline(timeline, sorted({awaited_stage(timeline), last}))

    def of_slow_boundaries(self, forward_s: float, backward_s: float) -> PathRows:
        """The paths that make the step as long as it is when messages over one boundary between
        rows take so long, for every boundary in turn."""
        above, below = boundary_rows(self.batch, self.grid)
        wraps = wrap_around(self.batch, self.grid)
        between = np.where(wraps, above, np.minimum(above, below))
        between = np.where(above == below, -1, between)
        here = between == np.unique(between[between >= 0])[:, None]
        sends = self.parts.sends
        slow = replace(
            self.durations,
            forward_send_s=np.where(here, forward_s, sends.forward_s[0]),
            backward_send_s=np.where(here, backward_s, sends.backward_s[0]),
        )
        simulations = simulate_each(self.timeline.schedule, slow)
        return joined([self.cut(simulations.timeline(one)) for one in range(len(simulations))])

    def windows(self) -> tuple[PathRows, PathsOfAllRows]:
        """The windows of consecutive stages of 1F1B; and those of them that pass the last backwards
        of all stages, without their way from the last stage to the first, so that each row's
        closing follows them."""
        parts, batch = self.parts, self.batch
        seconds, forward, backward, returns = critical_paths(
            parts.passes.forward_s[0, :, 0],
            parts.passes.backward_s[0, :, 0],
            num_microbatches=int(batch.num_microbatches[0]),
            blocking=parts.sends.mode == "blocking",
        )
        sent = parts.sends

        def fixed(backward: NDArray[np.float64]) -> NDArray[np.float64]:
            sends_s = forward @ sent.forward_s[0] + backward @ sent.backward_s[0]
            return np.asarray(seconds + sends_s)

        first = np.zeros(len(seconds), dtype=np.int64)
        rows = self._rows(fixed(backward), forward, backward, first)
        earlier = np.maximum(backward - 1, 0.0)
        short = self._rows(fixed(earlier), forward, earlier, first)
        work_s = parts.passes.backward_s[0, :, 0]
        together = PathsOfAllRows(
            path_s=(short.path_s - self.after_s[0] + self.after_s.min())[returns],
            path_links=short.path_links[returns],
            hidden_s=(np.cumsum(work_s) - work_s)[:: self.grid.row_stages],
        )
        return rows, together

    def together(self) -> PathsOfAllRows:
        """What the paths to the ends of all stages on the ideal topology share."""
        rows = self.of_ideal()
        seconds = rows.path_s - self.after_s
        return PathsOfAllRows(
            path_s=np.array([seconds.max() + self.after_s.min()]),
            path_links=rows.path_links.min(axis=0)[None],
            hidden_s=seconds.max() - seconds,
        )

    def _rows(
        self,
        fixed_s: NDArray[np.float64],
        forward: NDArray[np.float64],
        backward: NDArray[np.float64],
        ends: NDArray[np.int64],
    ) -> PathRows:
        """`fixed_s` [W] with all sends as on the ideal topology; `forward`, `backward` [W, p·v − 1]
        how often they happen; `ends` [W] the stages in which the paths end."""
        above, below = boundary_rows(self.batch, self.grid)
        wraps = wrap_around(self.batch, self.grid)
        onward, back = (below == above + 1) | wraps, below == above - 1
        sends = self.parts.sends
        crosses = onward | back
        boundaries = self.grid.rows - (0 if wraps.any() else 1)
        fixed_s = (
            fixed_s
            - forward[:, crosses] @ sends.forward_s[0][crosses]
            - backward[:, crosses] @ sends.backward_s[0][crosses]
        )

        def by_row(counts: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
            boundary = np.where(wraps, above, np.minimum(above, below))[where]
            of_row = (boundary[:, None] == np.arange(boundaries)).astype(np.float64)
            return np.asarray(counts[:, where] @ of_row)

        links = self.costs.crossings(
            {
                "forward_down": by_row(forward, onward),
                "backward_up": by_row(backward, onward),
                "forward_up": by_row(forward, back),
                "backward_down": by_row(backward, back),
            }
        )
        return PathRows(
            path_s=fixed_s + self.after_s[ends],
            path_links=links,
            path_row=ends // self.grid.row_stages,
        )


def joined(several: Sequence[PathRows]) -> PathRows:
    """The rows of all."""
    return PathRows(
        path_s=np.concatenate([rows.path_s for rows in several]),
        path_links=np.concatenate([rows.path_links for rows in several]),
        path_row=np.concatenate([rows.path_row for rows in several]),
    )


def boundary_rows(batch: Batch, grid: UnitGrid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Int [p·v − 1] each: the rows before and after every boundary between virtual stages."""
    row = (batch.placement.stage_of // grid.row_stages).astype(np.int64)
    return row[:-1], row[1:]


def wrap_around(batch: Batch, grid: UnitGrid) -> NDArray[np.bool_]:
    """bool [p·v − 1]: the boundaries from the last row back to the first, where these are no
    neighbours."""
    above, below = boundary_rows(batch, grid)
    return np.asarray((above == grid.rows - 1) & (below == 0) & (grid.rows > 2))
