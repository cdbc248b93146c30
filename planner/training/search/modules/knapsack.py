"""Keep, recompute or offload, as one knapsack with two capacities, solved exactly.

Of every block of modules one option is taken. Together the options must free the device memory that
every stage lacks and leave the fullest host within its memory; the seconds that they cost grow with
what is computed again and with what goes over the links of the hosts. Blocks are taken one after
another, and of what the options so far add up to only that is kept which nothing beats in all of
these respects at once (a multiple-choice knapsack by dominance: Kellerer, Pferschy and Pisinger,
Knapsack Problems, 2004, sections 5.4 and 11.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModuleOption:
    """One way to treat a block of modules: the bytes, int64 [p], that it frees on a device of every
    stage, those that it adds to the fullest host, and the seconds of a microbatch on the busiest
    stage that are computed again, and that are spent on the link of a host in one direction."""

    freed_bytes: NDArray[np.int64]
    host_bytes: int
    again_s: float
    moved_s: float


def cheapest(
    blocks: Sequence[Sequence[ModuleOption]],
    lacking_bytes: NDArray[np.int64],
    host_room_bytes: float,
    cost_s: Callable[[float, float], float],
) -> tuple[int, ...] | None:
    """The option of every block with which all stages have the bytes that they lack, [p], at the
    least `cost_s(again_s, moved_s)`, which must not fall when either grows; of equals the one whose
    options come first. None where no choice frees enough."""
    wanted = np.maximum(lacking_bytes, 0)
    freed = np.zeros((1, len(wanted)), dtype=np.int64)
    spent = np.zeros((1, 3))
    taken: list[tuple[int, ...]] = [()]
    for options in blocks:
        more = np.stack([option.freed_bytes for option in options])
        costs = np.array([(one.host_bytes, one.again_s, one.moved_s) for one in options])
        freed = np.minimum(freed[:, None] + more, wanted).reshape(-1, len(wanted))
        spent = (spent[:, None] + costs).reshape(-1, 3)
        taken = [(*before, index) for before in taken for index in range(len(options))]
        kept = _unbeaten(freed, spent, np.flatnonzero(spent[:, 0] <= host_room_bytes))
        freed, spent, taken = freed[kept], spent[kept], [taken[index] for index in kept]
    enough = [index for index in range(len(taken)) if (freed[index] >= wanted).all()]
    if not enough:
        return None
    return taken[min(enough, key=lambda index: cost_s(spent[index, 1], spent[index, 2]))]


def _unbeaten(
    freed: NDArray[np.int64], spent: NDArray[np.float64], rows: NDArray[np.intp]
) -> list[int]:
    """The `rows` that none before them, and none at all that is better in some respect, equals in
    every respect."""
    order = sorted(rows.tolist(), key=lambda row: (*spent[row], -int(freed[row].sum()), row))
    kept: list[int] = []
    for row in order:
        better = (freed[kept] >= freed[row]).all(axis=1) & (spent[kept] <= spent[row]).all(axis=1)
        if not better.any():
            kept.append(row)
    return sorted(kept)
