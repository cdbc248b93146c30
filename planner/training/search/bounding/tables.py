"""The cost table of a search: a shard is priced when a combination first needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import distinct
from planner.budget import UNLIMITED
from planner.plan import DISPATCHERS
from planner.training.costs import CostTable, cost_table, joined
from planner.training.layer.prices import prices_of
from planner.training.search.bounding.shard_numbers import ShardNumbers
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.budget import Budget
    from planner.training.scenario import Scenario
    from planner.training.search.space.enumeration import Columns

SHARD_AXES = (
    "tensor",
    "context",
    "expert",
    "expert_tensor",
    "micro_batch_size",
    "dispatch_pieces",
    "dispatcher",
    "expert_overlap",
    "sequence_parallel",
)
"""Axes that decide the price of a shard, and so its row in the cost table."""
_DISPATCHER = SHARD_AXES.index("dispatcher")

PASSES = 5
"""Figures of a layer in `LayerPrices.passes_s`."""

PASSES_AT_ONCE = 512
"""The same of shards whose passes alone are priced."""

AT_ONCE = 32
"""Shards that are priced between two checks of the budget."""


class GrowingTable:
    """Cost table rows by shard. New shards are priced when the table is next read."""

    def __init__(self, scenario: Scenario, budget: Budget = UNLIMITED) -> None:
        self._scenario, self._budget = scenario, budget
        self._prices = prices_of(scenario)
        self._numbers = ShardNumbers(len(SHARD_AXES) + 1)
        self._shards: list[Shard] = []
        """By number."""
        self._row_of = np.zeros(0, dtype=np.int64)
        """By number; −1 of a shard without a row."""
        self._passes: dict[str, NDArray[np.float64]] = {}
        """By kind of layer: those of every shard, by number; not a number where unknown."""
        self._least_s = np.zeros((0, len(scenario.kinds)))
        """The same of `least_layer_s`."""
        self._new: list[Shard] = []
        self._parts: list[CostTable] = []
        self._count = 0

    def rows(
        self, columns: Columns, wanted: NDArray[np.intp], *, vocabulary: int = 1
    ) -> NDArray[np.int64]:
        """Rows of the shards of the `wanted` combinations, with their vocabulary divided among
        `vocabulary` stages."""
        numbers = self._numbers_of(columns, wanted, vocabulary)
        new = numbers[self._row_of[numbers] < 0]
        for number in dict.fromkeys(new.tolist()):
            self._row_of[number] = self._count
            self._new.append(self._shards[number])
            self._count += 1
        return self._row_of[numbers]

    def mixture_passes_s(self, columns: Columns, wanted: NDArray[np.intp]) -> NDArray[np.float64]:
        """[N, F]: of the `wanted` combinations, every pass of every kind of layer with experts on
        every device type; F is 0 where the layers that a model has are all dense. Their shards are
        not in the table for that. Raises: OutOfTime."""
        kinds = self._scenario.kinds
        mixtures = [kind for kind in kinds if kind.startswith("moe") or kind == "mtp"]
        numbers = self._numbers_of(columns, wanted)
        found = [self._passes_s(kind, numbers).reshape(len(numbers), -1) for kind in mixtures]
        return np.concatenate([np.zeros((len(numbers), 0)), *found], axis=-1)

    def least_layer_s(self, columns: Columns) -> NDArray[np.float64]:
        """[N, K]: of combinations, forward and backward of a layer of every kind on the fastest
        device type, whether its exchanges are hidden or not. Their shards are not in the table for
        that. Raises: OutOfTime."""
        numbers = self._numbers_of(columns, np.arange(len(columns[SHARD_AXES[0]])))
        self._least_s = _longer(self._least_s, len(self._shards))
        new = distinct(numbers[np.isnan(self._least_s[numbers, 0])])
        for place, kind in enumerate(self._scenario.kinds if len(new) else ()):
            forward, backward, forward_alone, backward_alone, _ = np.moveaxis(
                self._passes_s(kind, new), -1, 0
            )
            both = np.minimum(forward, forward_alone) + np.minimum(backward, backward_alone)
            self._least_s[new, place] = both.min(axis=-1)
        return self._least_s[numbers]

    def _passes_s(self, kind: str, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """[N, T, 5]: the passes of a layer of this kind (`LayerPrices.passes_s`)."""
        none = np.zeros((0, len(self._scenario.candidate_devices), PASSES))
        known = self._passes[kind] = _longer(self._passes.get(kind, none), len(self._shards))
        new = distinct(numbers[np.isnan(known[numbers, 0, 0])])
        for first in range(0, len(new), PASSES_AT_ONCE):
            self._budget.check()
            some = new[first : first + PASSES_AT_ONCE]
            shards = [self._shards[number] for number in some.tolist()]
            known[some] = self._prices.passes_s(kind, shards)
        return known[numbers]

    def known_rows(self, columns: Columns) -> NDArray[np.int64]:
        """Rows of the shards of combinations with the whole vocabulary on one stage; −1 of shards
        that were not asked for."""
        numbers = self._numbers_of(columns, np.arange(len(columns[SHARD_AXES[0]])))
        return self._row_of[numbers]

    def _numbers_of(
        self, columns: Columns, wanted: NDArray[np.intp], vocabulary: int = 1
    ) -> NDArray[np.int64]:
        """[N]: the numbers of the shards of the `wanted` combinations."""
        shards = np.stack([columns[axis][wanted] for axis in SHARD_AXES]).astype(np.int64)
        shards[-1] &= shards[0] > 1
        shards[_DISPATCHER, columns["expert"][wanted] == 1] = -1
        shards[_DISPATCHER] += 1
        vocabularies = np.full((1, shards.shape[1]), vocabulary)
        shards = np.concatenate([shards, vocabularies])
        numbers, new = self._numbers.of(shards)
        if len(new):
            self._shards += [_shard(one) for one in shards[:, new].T.tolist()]
            self._row_of = np.append(self._row_of, np.full(len(new), -1))
        return numbers

    @property
    def table(self) -> CostTable:
        """The costs of everything asked for so far. Raises: OutOfTime."""
        while self._new:
            self._budget.check()
            self._parts.append(cost_table(self._scenario, self._new[:AT_ONCE]))
            self._new = self._new[AT_ONCE:]
        if len(self._parts) > 1:
            self._parts = [joined(self._parts)]
        return self._parts[0]


def _shard(key: list[int]) -> Shard:
    *sizes, dispatcher, overlap, sequence_parallel, vocabulary = key
    return Shard(
        **dict(zip(SHARD_AXES, sizes, strict=False)),
        dispatcher=DISPATCHERS[dispatcher - 1] if dispatcher else "",
        expert_overlap=bool(overlap),
        sequence_parallel=bool(sequence_parallel),
        vocabulary=vocabulary,
    )


def _longer(known: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """The rows known, and others that are not a number."""
    if len(known) == length:
        return known
    more = np.full((length - len(known), *known.shape[1:]), np.nan)
    return np.concatenate([known, more])
