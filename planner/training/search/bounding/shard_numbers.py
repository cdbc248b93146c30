"""Numbers for shards, found for many combinations at once."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.arrays import Ints

_MOST = 2**62
"""Codes are below it: combinations of the values that any axis had."""


class ShardNumbers:
    """Numbers different shards from 0, in the order in which they come. A shard is a column of
    integers from 0, one for every axis."""

    def __init__(self, axes: int) -> None:
        self._ids: list[Ints] = [np.zeros(0, dtype=np.int64) for _ in range(axes)]
        """By axis and value: the value's place among those that came; −1 of others."""
        self._counts = [0] * axes
        self._sizes = [1] * axes
        """Places for which codes leave room, at least as many as there are."""
        self._of_shards: Ints = np.zeros((axes, 0), dtype=np.int64)
        self._codes: Ints = np.zeros(0, dtype=np.int64)
        self._numbers: Ints = np.zeros(0, dtype=np.int64)
        """Of the codes, which are in order."""

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, shards: Ints) -> tuple[Ints, Ints]:
        """[N]: the numbers of shards [axes, N]; and, [M], where those that did not come before are
        first, in the order of their numbers."""
        places = np.stack([self._places(axis, row) for axis, row in enumerate(shards)])
        self._make_room()
        codes = self._packed(places)
        at, known = self._found(codes)
        if known.all():
            return self._numbers[at], at[:0]
        missing = np.flatnonzero(~known)
        _, first = np.unique(codes[missing], return_index=True)
        new = missing[np.sort(first)]
        self._of_shards = np.concatenate([self._of_shards, places[:, new]], axis=1)
        self._sort()
        return self._numbers[self._found(codes)[0]], new

    def _places(self, axis: int, values: Ints) -> Ints:
        ids = self._ids[axis]
        more = int(values.max(initial=-1)) + 1 - len(ids)
        if more > 0:
            ids = self._ids[axis] = np.append(ids, np.full(more, -1))
        places = ids[values]
        if (places < 0).any():
            new = np.unique(values[places < 0])
            ids[new] = self._counts[axis] + np.arange(len(new))
            self._counts[axis] += len(new)
            places = ids[values]
        return places

    def _make_room(self) -> None:
        """For every place that an axis has by now. Codes change then."""
        sizes = [1 << (count - 1).bit_length() if count else 1 for count in self._counts]
        if sizes != self._sizes:
            assert prod(sizes) <= _MOST
            self._sizes = sizes
            self._sort()

    def _packed(self, places: Ints) -> Ints:
        codes = np.zeros(places.shape[1], dtype=np.int64)
        for size, row in zip(self._sizes, places, strict=True):
            codes = codes * size + row
        return codes

    def _sort(self) -> None:
        codes = self._packed(self._of_shards)
        self._numbers = np.argsort(codes)
        self._codes = codes[self._numbers]

    def _found(self, codes: Ints) -> tuple[Ints, np.ndarray]:
        """[N]: places among the known codes, and whether the code is there."""
        if not len(self._codes):
            return np.zeros(len(codes), dtype=np.int64), np.zeros(len(codes), dtype=np.bool_)
        at = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        return at, self._codes[at] == codes
