"""The paths of a schedule through the answers of a program: what they take beside the passes, and
which are the longest.

Letters: B answers, J paths, p stages, v chunks of a stage, V chunks in all, I ways of a stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.build import build
from planner.schedule.simulation.simulate import Durations, simulate
from planner.training.search.mixed.cuts import Paths
from planner.training.search.mixed.order_problem import taken
from planner.training.search.mixed.simulated import beside_s, stage_sends
from planner.training.search.mixed.splits import even_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.training.search.mixed.order_problem import Orders
    from planner.training.search.mixed.program import OrderTables
    from planner.training.search.mixed.splits import ChunkWays, StageWays
    from planner.training.search.mixed.typed import TypedCombination

IN_USE = 24
"""Most paths in a program, beside the latest ones."""


class AnswerPaths:
    """`paths` are known ones of the schedule; those that are found are added to them. `classes` [B,
    p]: of the stages of every answer."""

    def __init__(
        self,
        of: TypedCombination,
        program: OrderTables,
        orders: Orders,
        ways: StageWays,
        paths: Paths,
    ) -> None:
        problem, batch = program.problem, of.batch
        self.classes = np.repeat(orders.classes, problem.stages // problem.rows, axis=1)
        self.orders, self.ways, self.paths = orders, ways, paths
        self.schedule = build(
            batch.schedule,
            stages=batch.pipeline,
            virtual_stages=batch.virtual_stages,
            num_microbatches=int(batch.num_microbatches[0]),
        )
        self.beside_s = beside_s(of, program, orders)
        """[B]: what follows the pipeline, and how much longer the slowest devices take."""
        self._of = of
        self._reduction_s = taken(problem, program.reduction_s, orders)
        self._tied_s = program.tied_s[self.classes[:, [0, -1]]].max(axis=1)
        self._sends = stage_sends(of, program, self.classes)

    def fixed_s(self, answers: Ints, paths: Paths) -> Floats:
        """[B, J]: what paths of answers take besides the passes, and what follows the pipeline."""
        forward, backward = self._sends
        reduced = self._reduction_s[answers] @ paths.ends.T
        tied = self._tied_s[answers][:, None] * _ends(paths).sum(axis=1)
        sends = forward[answers] @ paths.forward_sends.T
        sends = sends + backward[answers] @ paths.backward_sends.T
        return np.asarray(sends + reduced + tied + self.beside_s[answers][:, None])

    def fixed_of(self, answer: int) -> Floats:
        """[J]: of the known paths."""
        return np.asarray(self.fixed_s(np.array([answer]), self.paths)[0])

    def ways_of(self, answer: int, *, priced: bool = False) -> list[ChunkWays] | None:
        """The ways of its stages, with `priced` those that fit; None where a stage has none."""
        cells = zip(self.classes[answer], self.orders.layers[answer], strict=True)
        found = [
            self.ways.of(stage, int(c), int(layers), priced=priced)
            for stage, (c, layers) in enumerate(cells)
        ]
        fitting = [one for one in found if one is not None]
        return fitting if len(fitting) == len(found) else None

    def even_fits(self, answer: int) -> bool:
        """Whether an answer fits with its layers spread evenly."""
        chunks = even_chunks(self._of, self.orders.layers[[answer]])[0]
        return self.ways.fit(self.classes[answer], chunks)

    def known_s(self, answer: int, ways: Sequence[ChunkWays]) -> Floats:
        """[J]: `fixed_of` an answer; at least one path is known then."""
        if not len(self.paths):
            return self.added(answer, mixed(ways, [even_shares(one) for one in ways]))
        return self.fixed_of(answer)

    def in_use(self, fixed: Floats, ways: Sequence[ChunkWays]) -> Ints:
        """The paths that are longest where stages mix their ways evenly."""
        passes = mixed(ways, [even_shares(one) for one in ways])
        return np.asarray(np.argsort(-self.seconds(fixed, passes), kind="stable")[:IN_USE])

    def seconds(self, fixed: Floats, passes: Floats) -> Floats:
        """[J]: what the known paths take with passes [p, 4 · v]."""
        return np.asarray(fixed + np.einsum("jpx,px->j", self.paths.passes, passes))

    def added(self, answer: int, passes: Floats) -> Floats:
        """Add the longest paths of an answer with these passes: what all paths take besides."""
        timeline = simulate(self.schedule, self.durations(answer, passes))
        self.paths = self.paths.joined(Paths.of(timeline))
        return self.fixed_of(answer)

    def durations(self, answer: int | Ints, passes: Floats) -> Durations:
        """Of `passes` [..., p, 4 · v] of an answer, or of as many answers."""
        by_kind = passes.reshape(*passes.shape[:-1], 4, -1)
        forward, backward = self._sends
        return Durations(
            forward_s=by_kind[..., 0, :],
            backward_s=by_kind[..., 1, :],
            backward_weight_s=by_kind[..., 3, :],
            forward_send_s=forward[answer],
            backward_send_s=backward[answer],
            sends=self._of.problems[0].sends,
            reduction_s=self._reduction_s[answer],
            tied_reduction_s=self._tied_s[answer],
        )


def _ends(paths: Paths) -> Floats:
    """[J, 1 or 2]: whether paths end with the first or the last stage."""
    return paths.ends[:, sorted({0, paths.ends.shape[1] - 1})]


def mixed(ways: Sequence[ChunkWays], shares: Sequence[Floats]) -> Floats:
    """[p, 4 · v]: seconds of passes in a mixture of ways."""
    parts = zip(ways, shares, strict=True)
    return np.stack([share @ one.corners_s for one, share in parts])


def even_shares(ways: ChunkWays) -> Floats:
    """Equal shares of all corners."""
    return np.full(len(ways.corners_s), 1 / len(ways.corners_s))
