"""The stage layout as an integer program whose rows are paths through the schedule.

minimise span
span ≥ every row of `stage_bounds.rows_s`, linear in the chunks' times (`times.py`)
span ≥ every critical path found so far
every stage within its memory, and what makes a layout (`counts.py`)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from planner.schedule.simulation.critical_path import critical_path
from planner.stage_layout.problem import price, simulations, spans_s
from planner.stage_layout.stage_bounds import Rows
from tests.stage_layout.checker.counts import LayoutCounts
from tests.stage_layout.checker.times import PassTimes

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.arrays import Floats
    from planner.solver import Answer
    from planner.stage_layout.problem import LayoutProblem, Layouts

SPAN = 1000.0
"""The span of the starting layout, in the program's unit of time; capacities are scaled to this
size."""


class LayoutProgram:
    """The program; its objective is the span in units of `unit_s`."""

    def __init__(self, problem: LayoutProblem, start: Layouts | None) -> None:
        from pulp import LpMinimize, LpProblem, lpSum

        self._layout_problem, self._sum = problem, lpSum
        first = price(problem, start) if start is not None else None
        total_s = _total_s(problem) if first is None else float(spans_s(problem, first)[0])
        self.unit_s = max(total_s, 1e-30) / SPAN
        self.problem = LpProblem("stage_layout", LpMinimize)
        self.span = self.problem.add_variable("span", 0)
        self.problem += self.span
        self._paths: set[bytes] = set()
        self._counts = LayoutCounts(problem, self.problem)
        self._times = PassTimes(problem, self._counts)
        self._add_memory()
        self._add_rows()

    def layout(self, answer: Answer) -> Layouts:
        """The layout that an answer with values stands for."""
        return self._counts.layout(answer)

    def assignment(self, layout: Layouts, span_s: float) -> dict[str, float] | None:
        """The variables of a layout by name; None where it does not fit."""
        values = self._counts.assignment(layout)
        return None if values is None else {"span": span_s / self.unit_s, **values}

    def add_path(self, layout: Layouts) -> bool:
        """The critical path of a layout as a row; whether it is a new one."""
        problem, times = self._layout_problem, self._times
        parts: dict[str, Callable[[int], Any]] = {
            "forward": times.forward,
            "backward": times.backward,
            "backward_weight": times.weight_gradient,
            "backward_input": times.input_gradient,
        }
        passes = {name: np.zeros(problem.chunks, dtype=np.int64) for name in parts}
        reductions = np.zeros(problem.stages, dtype=np.int64)
        constant_s = 0.0
        for segment in critical_path(simulations(problem, price(problem, layout)).timeline(0)):
            if segment.activity in passes:
                position = problem.placement.positions[segment.stage, segment.chunk]
                passes[segment.activity][position] += 1
            elif segment.activity == "reduction":
                reductions[segment.stage] += 1
            else:
                constant_s += segment.end_s - segment.start_s
        key = b"".join(counts.tobytes() for counts in (*passes.values(), reductions))
        if key in self._paths:
            return False
        self._paths.add(key)
        terms = [
            int(count) * parts[name](k)
            for name, counts in passes.items()
            for k, count in enumerate(counts)
            if count
        ]
        terms += [int(c) * times.reduction(s) for s, c in enumerate(reductions) if c]
        self._bound(self._sum(terms) + constant_s)
        return True

    def _add_memory(self) -> None:
        """Stages without a limit of memory have no row."""
        problem, counts = self._layout_problem, self._counts
        for s in np.flatnonzero(np.isfinite(problem.capacity_bytes)).tolist():
            unit = problem.capacity_bytes[s] / SPAN
            held = []
            for c, k in enumerate(problem.placement.positions[s].tolist()):
                flight = float(problem.in_flight[s, c])
                for j, (kind, _) in enumerate(counts.runs):
                    each = problem.static_bytes[kind] + flight * problem.kept_bytes[0, kind]
                    held.append(float(each / unit) * counts.held(k, j))
                for r, pattern in enumerate(problem.patterns):
                    saved = problem.kept_bytes[pattern.level] - problem.kept_bytes[0]
                    held += [
                        float(flight * saved[kind] / unit) * count
                        for kind, count in counts.replayed(k, r)
                    ]
            spare = problem.capacity_bytes[s] - problem.fixed_bytes[s]
            self.problem += self._sum(held) <= float(spare / unit)

    def _add_rows(self) -> None:
        problem, rows = self._layout_problem, Rows.of(self._layout_problem)
        m, positions = problem.num_microbatches, problem.placement.positions.tolist()
        forward = [self._times.forward(k) for k in range(problem.chunks)]
        backward = [self._times.backward(k) for k in range(problem.chunks)]
        way = [
            forward[chunks[0]]
            + rows.forward_link_s[s]
            + (backward[chunks[0]] + rows.backward_link_s[s] if rows.returns else 0)
            for s, chunks in enumerate(positions)
        ]
        for s, chunks in enumerate(positions):
            reduction = self._times.reduction(0 if rows.returns else s)
            work = self._sum(m * (forward[k] + backward[k]) for k in chunks)
            self._bound(self._sum(way[:s]) + work + rows.own_held_s[s] + reduction)
            if rows.late:
                rest = rows.late_forwards[s] * forward[chunks[0]] + (m - 1) * backward[chunks[0]]
                self._bound(self._sum(way) + rest + rows.late_held_s[s] + reduction)

    def _bound(self, seconds: Any) -> None:
        self.problem += self.span >= seconds * (1 / self.unit_s)


def _total_s(problem: LayoutProblem) -> float:
    """Work of all items for all microbatches, over the stages: the size of the span."""
    chain = list(problem.chain)
    each: Floats = (problem.forward_s + problem.backward_s).mean(axis=0)[chain]
    return float(problem.num_microbatches * each.sum() / problem.stages)
