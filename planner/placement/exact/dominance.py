"""Drops partial placements that cannot end better than another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.placement.exact.filling import Filling
    from planner.placement.exact.partial import Partial


class Dominance:
    def __init__(self, filling: Filling) -> None:
        self.filling = filling
        rng = np.random.default_rng(0)
        positions = filling.problem.positions
        self.salt = rng.integers(1 << 62, size=(positions, filling.nodes), dtype=np.int64)

    def undominated(self, partial: Partial, step: int) -> Partial:
        """Drop every partial placement that is no better in any term than the best one with the
        same remaining problem.

        The remaining problem consists of the nodes used and of the nodes next to positions not
        filled after `step`, including nodes that an order kept between columns refers to.
        """
        beside = self._beside(step)
        key = partial.used.copy()
        for place in beside:
            key ^= self.salt[place, partial.cells[:, place]]
        order = np.lexsort((partial.bound_s, key))
        partial, key = partial.at(order), key[order]
        new = np.concatenate([[True], key[1:] != key[:-1]])
        leader = np.flatnonzero(new)[np.cumsum(new) - 1]
        cells = partial.cells[:, beside]
        same = (partial.used == partial.used[leader]) & (cells == cells[leader]).all(axis=1)
        labels = self._labels(partial, step)
        worse = (labels >= labels[leader]).all(axis=1)
        dominated = same & worse & (leader != np.arange(len(partial)))
        return partial.at(~dominated)

    def _beside(self, step: int) -> NDArray[np.int64]:
        """Positions filled by `step` that some unfilled position refers to."""
        filling, problem = self.filling, self.filling.problem
        filled = filling.step_of <= step
        found = np.zeros_like(filled)
        found[:-1] |= filled[:-1] & ~filled[1:]
        for hops in filling.families:
            for sender, receiver in zip(hops.sender, hops.receiver, strict=True):
                found[:, sender] |= filled[:, sender] & ~filled[:, receiver]
                found[:, receiver] |= filled[:, receiver] & ~filled[:, sender]
        for column in range(problem.columns):
            if not filled[0, column]:
                found[0, list(filling.smaller[column])] = True
        return np.flatnonzero(found & filled)

    def _labels(self, partial: Partial, step: int) -> NDArray[np.float64]:
        """[n, terms]: seconds of every term that may still count, at least what already counts for
        sure."""
        return np.concatenate(
            [
                partial.pipeline_s[:, None],
                partial.waits_s,
                *self._open_hops(partial, step),
                *self._open_paths(partial, step),
            ],
            axis=1,
        )

    def _open_hops(self, partial: Partial, step: int) -> list[NDArray[np.float64]]:
        """Slowest hops of the rows begun but not complete, where they can exceed the wait's lower
        bound."""
        filling = self.filling
        filled = filling.step_of <= step
        begun = np.flatnonzero(filled.any(axis=1) & ~filled.all(axis=1))
        found, family = [], 0
        for wait, families, floor_s in zip(
            filling.problem.waits, filling.terms.waits, filling.floors.waits_s, strict=True
        ):
            for hops in families:
                seconds = partial.hops_s[:, family, begun] * hops.scale[begun]
                if len(families) == 1:
                    seconds = np.maximum(seconds, floor_s + wait.hidden_s[begun])
                found.append(seconds)
                family += 1
        return found

    def _open_paths(self, partial: Partial, step: int) -> list[NDArray[np.float64]]:
        """Paths of the blocks begun but not complete, where they can exceed the pipelines' lower
        bound, and links of boundaries that only some columns of the block have crossed."""
        filling, problem = self.filling, self.filling.problem
        crossed = (filling.step_of[1:] <= step).sum(axis=0).reshape(-1, problem.lockstep)
        floor_s = filling.floors.pipeline_s
        found = []
        for block, boundaries in enumerate(crossed):
            least, most = int(boundaries.min()), int(boundaries.max())
            if least == problem.rows - 1 or most == 0:
                continue
            found.append(partial.links_s[:, least:most, block])
            ahead = problem.path_links[:, least:]
            open_paths = np.flatnonzero(ahead.any(axis=1))
            at_most = ahead[open_paths] @ filling.dearest_link_s[least:]
            paths = partial.links_s[:, :least, block] @ problem.path_links[open_paths, :least].T
            paths = paths + problem.path_s[open_paths]
            found.append(np.maximum(paths, floor_s - at_most))
        return found
