"""What each stage holds: how many layers of every kind, by chunk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.workload.layers import layer_kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.plan import Stage
    from planner.specs.model.spec import ModelSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class StageLoad:
    """Layer counts of p stages of v chunks over K kinds.

    counts: int [p, v, K], embedding and head included.
    leading: int [n + 1, p, v, K]; `leading[r]` counts the kinds of the first r recomputable layers
    of every chunk, as Megatron-LM's `--recompute-method block` takes them; n is the most layers
    any chunk has.
    """

    counts: NDArray[np.int64]
    leading: NDArray[np.int64]

    @cached_property
    def of_stages(self) -> NDArray[np.int64]:
        """[p, K]: the counts of all chunks of a stage."""
        counts: NDArray[np.int64] = self.counts.sum(axis=1)
        counts.flags.writeable = False
        return counts

    @cached_property
    def held(self) -> HeldKinds:
        """Which kinds each stage holds."""
        return HeldKinds.of(self.of_stages > 0)

    @cached_property
    def held_below_head(self) -> HeldKinds:
        """The same without the head."""
        held = self.of_stages > 0
        held[:, -1] = False
        return HeldKinds.of(held)

    @property
    def most_layers(self) -> int:
        """Layers of the fullest chunk."""
        return len(self.leading) - 1


class HeldKinds(NamedTuple):
    """Which of K kinds p stages hold: the distinct sets, bool [S, K], and the set of every
    stage, [p]."""

    sets: NDArray[np.bool_]
    which: NDArray[np.intp]

    @classmethod
    def of(cls, held: NDArray[np.bool_]) -> HeldKinds:
        """From what each stage holds, [p, K]."""
        places = np.arange(held.shape[-1])
        sets: dict[int, int] = {}
        which = [sets.setdefault(code, len(sets)) for code in (held @ (1 << places)).tolist()]
        distinct = np.array(list(sets))[:, None] >> places & 1
        return cls(distinct.astype(np.bool_), np.array(which, dtype=np.intp))


def stage_load(model: ModelSpec, kinds: Sequence[str], stages: Sequence[Stage]) -> StageLoad:
    """Count the layers of every kind; `kinds` names the columns. Multi-token-prediction modules
    follow the last layer."""
    column = {kind: index for index, kind in enumerate(kinds)}
    of_layer = [column[kind] for kind in layer_kinds(model)]
    chunks = [[of_layer[start:end] for start, end in stage.chunks] for stage in stages]
    last = last_chunks(model, stages)
    if model.mtp_num_layers:
        for index, chunk in last.items():
            chunks[index][chunk] += [column["mtp"]] * model.mtp_num_layers
    most = max(len(layers) for stage_chunks in chunks for layers in stage_chunks)
    places = [
        (position + 1, s, c, kind)
        for s, stage_chunks in enumerate(chunks)
        for c, layers in enumerate(stage_chunks)
        for position, kind in enumerate(layers)
    ]
    leading = np.zeros((most + 1, len(stages), len(chunks[0]), len(kinds)), dtype=np.int64)
    leading[tuple(np.array(places, dtype=np.int64).reshape(-1, 4).T)] = 1
    leading = leading.cumsum(axis=0)
    counts = leading[-1].copy()
    for stage in stages:
        first = [chunk for chunk, (start, end) in enumerate(stage.chunks) if start == 0]
        counts[stage.index, first[0] if first else 0, column["embedding"]] += stage.embedding
        counts[stage.index, last.get(stage.index, -1), column["head"]] += stage.head
    return StageLoad(counts=counts, leading=leading)


def last_chunks(model: ModelSpec, stages: Sequence[Stage]) -> dict[int, int]:
    """The stages where the model ends, and the chunk of each in which it does."""
    return {
        stage.index: max(
            chunk for chunk, (_, end) in enumerate(stage.chunks) if end == model.num_layers
        )
        for stage in stages
        if stage.head and any(end == model.num_layers for _, end in stage.chunks)
    }
