"""The stage layout as an integer program whose rows are paths through the schedule.

n[k, j, ρ]   items of run j (consecutive items of one kind) on chunk k under pattern ρ, integer
led[k, j, ρ] how many of the items of runs up to j on chunk k the pattern recomputes
done[k, j]   1 where run j ends on chunk k or before, so that run j + 1 may begin there
takes[s, ρ]  1 where stage s recomputes by pattern ρ

minimise span
span ≥ every row of `stage_bounds.rows_s`, linear in the chunks' times
span ≥ every critical path found so far
every item on one chunk, runs in order, no chunk empty, every stage within its memory
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.stage_layout.problem import Layouts, fits, price, spans_s, timeline
from planner.stage_layout.stage_bounds import Rows

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.solver import Answer
    from planner.stage_layout.problem import LayoutProblem

SPAN = 1000.0
"""The span of the starting layout, in the program's unit of time; capacities are scaled to this
size."""


class LayoutProgram:
    """The program and what its variables mean."""

    def __init__(self, problem: LayoutProblem, start: Layouts | None) -> None:
        from pulp import LpMinimize, LpProblem, lpSum

        self._layout_problem = problem
        self._sum = lpSum
        self._runs = _runs_of(problem)
        self._stage = problem.placement.stage_of
        first = price(problem, start) if start is not None else None
        total_s = _total_s(problem) if first is None else float(spans_s(problem, first)[0])
        self.unit_s = max(total_s, 1e-30) / SPAN
        self._unit_bytes = problem.capacity_bytes / SPAN
        self.problem = LpProblem("stage_layout", LpMinimize)
        self.span = self.problem.add_variable("span", 0)
        self.problem += self.span
        self._paths: set[bytes] = set()
        self._add_variables()
        self._add_order()
        self._add_leads()
        self._add_memory()
        self._add_rows()

    def _keys(self) -> list[tuple[int, int, int]]:
        problem = self._layout_problem
        return [
            (k, j, r)
            for k in range(problem.chunks)
            for j in range(len(self._runs))
            for r in range(len(problem.patterns))
        ]

    def _add_variables(self) -> None:
        problem, add = self._layout_problem, self.problem.add_variable
        stages, patterns = range(problem.stages), range(len(problem.patterns))
        sizes = [size for _, size in self._runs]
        self.n = {
            (k, j, r): add(f"n_{k}_{j}_{r}", 0, sizes[j], "Integer") for k, j, r in self._keys()
        }
        self.takes = {
            (s, r): add(f"takes_{s}_{r}", 0, 1, "Integer") for s in stages for r in patterns
        }
        self.done = {
            (k, j): add(f"done_{k}_{j}", 0, 1, "Integer")
            for k in range(problem.chunks)
            for j in range(len(sizes) - 1)
        }
        for s in stages:
            self.problem += self._sum(self.takes[s, r] for r in patterns) == 1
            if s and problem.one_pattern:
                for r in patterns:
                    self.problem += self.takes[s, r] == self.takes[0, r]
        for k, j, r in self._keys():
            if len(problem.patterns) > 1:
                self.problem += self.n[k, j, r] <= sizes[j] * self.takes[self._stage[k], r]

    def _held(self, k: int, j: int) -> Any:
        return self._sum(self.n[k, j, r] for r in range(len(self._layout_problem.patterns)))

    def _add_order(self) -> None:
        problem, sizes = self._layout_problem, [size for _, size in self._runs]
        until = [[self._held(0, j)] for j in range(len(sizes))]
        for j in range(len(sizes)):
            for k in range(1, problem.chunks):
                until[j].append(until[j][-1] + self._held(k, j))
            self.problem += until[j][-1] == sizes[j]
        for (k, j), done in self.done.items():
            self.problem += until[j][k] >= sizes[j] * done
            self.problem += until[j + 1][k] <= sizes[j + 1] * done
        for k in range(problem.chunks):
            self.problem += self._sum(self._held(k, j) for j in range(len(sizes))) >= 1
        inner = problem.ends[1:-1]
        if problem.chunks > 1 and len(inner):
            in_first = self._sum(self._held(0, j) for j in range(len(sizes)))
            in_last = self._sum(self._held(problem.chunks - 1, j) for j in range(len(sizes)))
            self.problem += in_first >= int(inner[0])
            self.problem += in_last >= len(problem.chain) - int(inner[-1])

    def _add_leads(self) -> None:
        """Add `led`, by chunk, run and pattern. Runs that a pattern replays completely, or not at
        all, need no variables."""
        problem = self._layout_problem
        self.led: dict[tuple[int, int, int], Any] = {}
        self.full: dict[tuple[int, int, int], Any] = {}
        for k in range(problem.chunks):
            for r, pattern in enumerate(problem.patterns):
                replayed: list[Any] = []
                most = 0
                for j, (kind, size) in enumerate(self._runs):
                    if not problem.replayable[kind]:
                        continue
                    replayed.append(self.n[k, j, r])
                    most += size
                    if pattern.level == 0 or pattern.layers == 0:
                        self.led[k, j, r] = 0
                    elif pattern.layers >= most:
                        self.led[k, j, r] = self._sum(replayed)
                    else:
                        self._add_lead(k, j, r, self._sum(replayed), most)

    def _add_lead(self, k: int, j: int, r: int, replayable: Any, most: int) -> None:
        """led = min(layers of the pattern, replayable items of the chunk so far)."""
        layers = self._layout_problem.patterns[r].layers
        led = self.problem.add_variable(f"led_{k}_{j}_{r}", 0, layers)
        full = self.problem.add_variable(f"full_{k}_{j}_{r}", 0, 1, "Integer")
        self.problem += led <= replayable
        self.problem += led >= layers * full
        self.problem += led >= replayable - most * full
        self.led[k, j, r], self.full[k, j, r] = led, full

    def _replayed(self, k: int, r: int) -> list[tuple[int, Any]]:
        """Kind and number of the replayed items of every run."""
        found, before = [], 0
        for j, (kind, _) in enumerate(self._runs):
            if (k, j, r) in self.led:
                found.append((kind, self.led[k, j, r] - before))
                before = self.led[k, j, r]
        return found

    def forward(self, k: int) -> Any:
        """Seconds of a chunk's forward."""
        s = self._stage[k]
        return self._sum(
            float(self._layout_problem.forward_s[s, kind]) * self._held(k, j)
            for j, (kind, _) in enumerate(self._runs)
        )

    def input_gradient(self, k: int) -> Any:
        """Seconds of a chunk's backward without its weight gradient."""
        return self.backward(k) - self.weight_gradient(k)

    def weight_gradient(self, k: int) -> Any:
        """Seconds of the part of a chunk's backward that can be moved."""
        s = self._stage[k]
        return self._sum(
            float(self._layout_problem.weight_gradient_s[s, kind]) * self._held(k, j)
            for j, (kind, _) in enumerate(self._runs)
        )

    def backward(self, k: int) -> Any:
        """Seconds of a chunk's backward with what it recomputes."""
        problem, s = self._layout_problem, self._stage[k]
        plain = self._sum(
            float(problem.backward_s[s, kind]) * self._held(k, j)
            for j, (kind, _) in enumerate(self._runs)
        )
        return plain + self._sum(
            float(problem.replay_s[pattern.level, s, kind]) * count
            for r, pattern in enumerate(problem.patterns)
            for kind, count in self._replayed(k, r)
        )

    def reduction(self, s: int) -> Any:
        """Seconds of a stage's gradient reduction."""
        problem = self._layout_problem
        return self._sum(
            float(problem.reduction_s[kind]) * self._held(int(k), j)
            for k in problem.placement.positions[s]
            for j, (kind, _) in enumerate(self._runs)
        )

    def _add_memory(self) -> None:
        problem = self._layout_problem
        for s in np.flatnonzero(np.isfinite(problem.capacity_bytes)).tolist():
            unit = self._unit_bytes[s]
            held = []
            for c, k in enumerate(problem.placement.positions[s].tolist()):
                flight = float(problem.in_flight[s, c])
                for j, (kind, _) in enumerate(self._runs):
                    each = problem.static_bytes[kind] + flight * problem.kept_bytes[0, kind]
                    held.append(float(each / unit) * self._held(k, j))
                for r, pattern in enumerate(problem.patterns):
                    saved = problem.kept_bytes[pattern.level] - problem.kept_bytes[0]
                    held += [
                        float(flight * saved[kind] / unit) * count
                        for kind, count in self._replayed(k, r)
                    ]
            spare = problem.capacity_bytes[s] - problem.fixed_bytes[s]
            self.problem += self._sum(held) <= float(spare / unit)

    def _add_rows(self) -> None:
        problem, rows = self._layout_problem, Rows.of(self._layout_problem)
        m, positions = problem.num_microbatches, problem.placement.positions.tolist()
        forward = [self.forward(k) for k in range(problem.chunks)]
        backward = [self.backward(k) for k in range(problem.chunks)]
        way = [
            forward[chunks[0]]
            + rows.forward_link_s[s]
            + (backward[chunks[0]] + rows.backward_link_s[s] if rows.returns else 0)
            for s, chunks in enumerate(positions)
        ]
        for s, chunks in enumerate(positions):
            reduction = self.reduction(0 if rows.returns else s)
            work = self._sum(m * (forward[k] + backward[k]) for k in chunks)
            self._bound(self._sum(way[:s]) + work + rows.own_held_s[s] + reduction)
            if rows.late:
                rest = rows.late_forwards[s] * forward[chunks[0]] + (m - 1) * backward[chunks[0]]
                self._bound(self._sum(way) + rest + rows.late_held_s[s] + reduction)

    def _bound(self, seconds: Any) -> None:
        self.problem += self.span >= seconds * (1 / self.unit_s)

    def add_path(self, layout: Layouts) -> bool:
        """Add the critical path of a layout as a row; returns whether it is a new one."""
        problem = self._layout_problem
        parts = {
            "forward": self.forward,
            "backward": self.backward,
            "backward_weight": self.weight_gradient,
            "backward_input": self.input_gradient,
        }
        passes = {name: np.zeros(problem.chunks, dtype=np.int64) for name in parts}
        reductions = np.zeros(problem.stages, dtype=np.int64)
        constant_s = 0.0
        for segment in timeline(problem, price(problem, layout)).critical_path():
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
        terms += [int(c) * self.reduction(s) for s, c in enumerate(reductions) if c]
        self._bound(self._sum(terms) + constant_s)
        return True

    def layout(self, answer: Answer) -> Layouts:
        problem = self._layout_problem
        sizes = np.zeros(problem.chunks, dtype=np.int64)
        for k, j, r in self._keys():
            sizes[k] += round(answer.values[f"n_{k}_{j}_{r}"])
        patterns = [
            next(
                r
                for r in range(len(problem.patterns))
                if round(answer.values.get(f"takes_{s}_{r}", 1.0))
            )
            for s in range(problem.stages)
        ]
        ends = np.concatenate(([0], np.cumsum(sizes)))
        return Layouts(ends=ends[None], patterns=np.array([patterns], dtype=np.int64))

    def assignment(self, layout: Layouts, span_s: float) -> dict[str, float] | None:
        """The program's variables for a layout; None where the layout does not fit."""
        problem = self._layout_problem
        if not fits(problem, price(problem, layout))[0]:
            return None
        ends, patterns = layout.ends[0], layout.patterns[0]
        first = np.concatenate(([0], np.cumsum([size for _, size in self._runs])))
        values: dict[str, float] = {"span": span_s / self.unit_s}
        for s in range(problem.stages):
            values[f"takes_{s}_{patterns[s]}"] = 1.0
        for k in range(problem.chunks):
            r = int(patterns[self._stage[k]])
            replayable = 0
            for j, (kind, _) in enumerate(self._runs):
                held = int(min(ends[k + 1], first[j + 1]) - max(ends[k], first[j]))
                values[f"n_{k}_{j}_{r}"] = float(max(held, 0))
                if (k, j) in self.done:
                    values[f"done_{k}_{j}"] = float(ends[k + 1] >= first[j + 1])
                if problem.replayable[kind]:
                    replayable += max(held, 0)
                if (k, j, r) in self.full:
                    layers = problem.patterns[r].layers
                    values[f"led_{k}_{j}_{r}"] = float(min(layers, replayable))
                    values[f"full_{k}_{j}_{r}"] = float(replayable >= layers)
        return values


def _runs_of(problem: LayoutProblem) -> list[tuple[int, int]]:
    """Kind and length of every run of equal items."""
    chain = np.array(problem.chain)
    starts = np.concatenate(([0], np.flatnonzero(np.diff(chain)) + 1, [len(chain)]))
    return [(int(chain[first]), int(stop - first)) for first, stop in pairwise(starts)]


def _total_s(problem: LayoutProblem) -> float:
    """Work of all items for all microbatches, divided by the stages: the scale of the span."""
    chain = list(problem.chain)
    each: Floats = (problem.forward_s + problem.backward_s).mean(axis=0)[chain]
    return float(problem.num_microbatches * each.sum() / problem.stages)
