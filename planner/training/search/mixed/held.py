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


class HeldBytes:
    """Of a combination whose stages have one chunk or a layout that is kept, for each of several
    numbers of recomputed layers per chunk."""

    def __init__(self, of: TypedCombination, lengths: Ints, recomputed: Ints) -> None:
        self._of, self._lengths, self._recomputed = of, lengths, recomputed
        self._layers, self._counts = of.layer_columns, of.counts_before
        most = of.batch.load.most_layers
        self._every = _repeated(of.batch, recomputed if of.free else np.minimum(recomputed, most))

    def table(self) -> Floats:
        """[recomputed, p, K + 1, L + 1]: what the allocator holds of a stage with so many layers,
        by where they end. Priced once for all beginnings from which the same kinds of layers
        follow."""
        of, most, total = self._of, len(self._lengths) - 1, len(self._layers)
        shape = (len(self._recomputed), of.batch.pipeline, most + 1, total + 1)
        if not of.free:
            return np.broadcast_to(self._held(0, 0)[..., None, None], shape)
        found = np.zeros(shape)
        known: dict[tuple[int, ...], list[Floats]] = {}
        for first in range(total + 1):
            follow = tuple(self._layers[first : first + most])
            longer = next((key for key in known if key[: len(follow)] == follow), None)
            if longer is None:
                longer = follow
                known[follow] = [self._held(first, k) for k in range(len(follow) + 1)]
            for k in range(len(follow) + 1):
                found[..., k, first + k] = known[longer][k]
        return found

    def _held(self, first: int, layers: int) -> Floats:
        """[recomputed, p]: what the allocator holds of every stage with these layers."""
        of = self._of
        peaks = stage_peaks(of.ideal, of.table, self._loaded(first, layers))
        return np.asarray(allocated_bytes(peaks), dtype=np.float64)

    def _loaded(self, first: int, layers: int) -> Batch:
        """The combination with these layers on every stage, in its only chunk, for every number of
        recomputed layers."""
        batch, counts = self._every, self._every.load.counts.copy()
        if not self._of.free:
            return batch
        counts[..., layer_columns(self._of.ideal)] = 0
        leading = np.zeros((int(self._recomputed.max()) + 1, *counts.shape), dtype=np.int64)
        counts[:, 0] += self._counts[first + layers] - self._counts[first]
        for led in range(len(leading)):
            until = first + min(layers, led)
            leading[led, :, 0] = self._counts[until] - self._counts[first]
        return replace(batch, load=StageLoad(counts=counts, leading=leading))


def _repeated(batch: Batch, recomputed: Ints) -> Batch:
    """The batch's only plan with each of these numbers of recomputed layers."""
    columns: dict[str, Any] = {
        field.name: np.repeat(getattr(batch, field.name), len(recomputed))
        for field in fields(batch)
        if isinstance(getattr(batch, field.name), np.ndarray)
    }
    return replace(batch, **(columns | {"recomputed_layers": recomputed}))
