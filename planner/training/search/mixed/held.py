"""What the allocator holds of a stage, for every number of its layers, as
`planner.training.memory.stage` says."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.training.memory.stage import stage_peaks
from planner.training.search.mixed.rooms import allocated_bytes
from planner.training.search.mixed.speeds import layer_columns
from planner.workload.stages import StageLoad

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.training.batch import Batch
    from planner.training.search.mixed.typed import TypedCombination

AT_ONCE = 40_000
"""Stages, with a number of layers and one of recomputed layers each, that are priced at once."""


class HeldBytes:
    """Of a combination whose stages have one chunk or a layout that is kept, for each of several
    numbers of recomputed layers per chunk. What a stage holds is priced once for all beginnings
    from which the same kinds of layers follow, and for many numbers of layers at once."""

    def __init__(self, of: TypedCombination, lengths: Ints, recomputed: Ints) -> None:
        self._of, self._recomputed = of, recomputed
        most = of.batch.load.most_layers
        self._every = _repeated(of.batch, recomputed if of.free else np.minimum(recomputed, most))
        self._shape = (len(lengths), len(of.layer_columns) + 1)
        if of.free:
            self._which, runs = self._runs(len(lengths) - 1)
            self._held = self._of_runs(runs)
        else:
            self._which = np.zeros(self._shape, dtype=np.intp)
            self._held = self._allocated(self._every)[..., None]

    def table(self, index: int) -> Floats:
        """[p, K + 1, L + 1]: what the allocator holds of a stage with so many layers, by where they
        end, for one of the numbers of recomputed layers. Nothing is said of layers that would begin
        before the first."""
        return np.asarray(self._held[index][:, self._which])

    def _runs(self, most: int) -> tuple[Ints, list[tuple[int, int]]]:
        """[K + 1, L + 1]: the run of layers with so many that ends there; and every run as where it
        begins and how many layers it has."""
        layers, which = self._of.layer_columns, np.zeros(self._shape, dtype=np.intp)
        known: dict[tuple[int, ...], int] = {}
        runs: list[tuple[int, int]] = []
        for first in range(len(layers) + 1):
            follow = tuple(layers[first : first + most])
            longer = next((key for key in known if key[: len(follow)] == follow), None)
            if longer is None:
                longer = follow
                known[follow] = len(runs)
                runs += [(first, count) for count in range(len(follow) + 1)]
            counts = np.arange(len(follow) + 1)
            which[counts, first + counts] = known[longer] + counts
        return which, runs

    def _of_runs(self, runs: list[tuple[int, int]]) -> Floats:
        """[recomputed, p, runs]: what the allocator holds of every stage with a run."""
        pipeline = self._of.batch.pipeline
        each = max(AT_ONCE // (pipeline * len(self._recomputed)), 1)
        found = []
        for start in range(0, len(runs), each):
            some = runs[start : start + each]
            held = self._allocated(self._loaded(some))
            found.append(held.reshape(len(held), len(some), pipeline).transpose(0, 2, 1))
        return np.concatenate(found, axis=-1)

    def _allocated(self, batch: Batch) -> Floats:
        peaks = stage_peaks(self._of.ideal, self._of.table, batch)
        return np.asarray(allocated_bytes(peaks), dtype=np.float64)

    def _loaded(self, runs: list[tuple[int, int]]) -> Batch:
        """The combination with these runs on every stage, in its only chunk, for every number of
        recomputed layers."""
        batch, before = self._every, self._of.counts_before
        firsts, layers = (np.array(column) for column in zip(*runs, strict=True))
        led = np.minimum(np.arange(int(self._recomputed.max()) + 1)[:, None], layers)
        leading = before[firsts + led] - before[firsts]
        outside = batch.load.counts.copy()
        outside[..., layer_columns(self._of.ideal)] = 0
        counts = np.tile(outside, (len(runs), 1, 1))
        counts[:, 0] += np.repeat(before[firsts + layers] - before[firsts], batch.pipeline, axis=0)
        return replace(
            batch,
            load=StageLoad(
                counts=counts,
                leading=np.repeat(leading, batch.pipeline, axis=1)[:, :, None],
            ),
            loads_of=np.tile(np.arange(batch.pipeline), len(runs)),
        )


def _repeated(batch: Batch, recomputed: Ints) -> Batch:
    """The batch's only plan with each of these numbers of recomputed layers."""
    columns: dict[str, Any] = {
        field.name: np.repeat(getattr(batch, field.name), len(recomputed))
        for field in fields(batch)
        if isinstance(getattr(batch, field.name), np.ndarray)
    }
    return replace(batch, **(columns | {"recomputed_layers": recomputed}))
