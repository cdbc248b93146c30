"""Names for the array types of this package, and rows that are equal."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
SmallInts = NDArray[np.int32]
"""For arrays that are kept long: half the memory, and every index fits."""

Codes = NDArray[np.integer] | NDArray[np.bool_]

_PACKED = 2**62
"""Codes below it are packed into one integer."""


def distinct(values: Ints) -> Ints:
    """The distinct ones of some integers, in order. `np.unique` looks for masked arrays first, for
    which it loads the whole module of those."""
    ordered = np.sort(values, axis=None)
    kept = np.ones(len(ordered), dtype=np.bool_)
    kept[1:] = ordered[1:] != ordered[:-1]
    return np.asarray(ordered[kept])


def numbered(values: Ints) -> tuple[Ints, Ints]:
    """The distinct ones of N integers, in order, and the place of every integer among them, [N]."""
    kept = distinct(values)
    return kept, np.searchsorted(kept, values)


_COUNTED = 4
"""Codes for each row, with some to spare, up to which it is faster to count codes than to sort."""


class DistinctRows(NamedTuple):
    """The distinct ones of N rows, in lexicographic order: the place of the first of each, int
    [M], and which of them every row is, int [N]."""

    first: NDArray[np.intp]
    which: NDArray[np.intp]


def distinct_rows(
    columns: Sequence[Codes] | Codes,
    sizes: Sequence[int] | None = None,
) -> DistinctRows:
    """The distinct rows of a table of integers from 0, given column by column, [N] each, at least
    one. `sizes`: how many values each column may have, where that is known. Several times faster
    than `np.unique` along an axis, which compares rows as text."""
    table = np.asarray(columns, dtype=np.int64)
    if table.shape[1] == 1:
        return DistinctRows(*np.zeros((2, 1), dtype=np.intp))
    if sizes is None:
        sizes = (table.max(axis=1, initial=0) + 1).tolist()
    values = prod(sizes)
    if values <= _PACKED:
        weights = [prod(sizes[place + 1 :]) for place in range(len(sizes))]
        code = np.array(weights, dtype=np.int64) @ table
    else:
        code, values = _packed_in_turn(table, sizes)
    if values <= _COUNTED * (len(code) + 256):
        return _distinct_codes(code, values)
    return _sorted_codes(code)


def _packed_in_turn(table: Ints, sizes: Sequence[int]) -> tuple[Ints, int]:
    """Codes of the rows of a table whose columns have too many values for one integer, and how many
    codes there are: what is packed so far is numbered anew where it becomes too large."""
    code, values = np.zeros(table.shape[1], dtype=np.int64), 1
    for column, size in zip(table, sizes, strict=True):
        new, count = column, size
        if values * size > _PACKED:
            code, new = (np.unique(one, return_inverse=True)[1] for one in (code, column))
            values, count = (int(one.max(initial=0)) + 1 for one in (code, new))
        code = code * count + new
        values *= count
    return code, values


def _sorted_codes(code: Ints) -> DistinctRows:
    """`distinct_rows` of any codes."""
    order = code.argsort(kind="stable")
    ordered = code[order]
    new = np.ones(len(code), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    which = np.empty(len(code), dtype=np.intp)
    which[order] = new.cumsum() - 1
    return DistinctRows(first=order[new], which=which)


def _distinct_codes(code: Ints, values: int) -> DistinctRows:
    """`distinct_rows` of codes below `values`, which are few enough to be counted."""
    taken = np.zeros(values, dtype=np.bool_)
    taken[code] = True
    which = (np.cumsum(taken) - 1)[code]
    first = np.empty(int(taken.sum()), dtype=np.intp)
    first[which[::-1]] = np.arange(len(code) - 1, -1, -1)
    return DistinctRows(first=first, which=which)
