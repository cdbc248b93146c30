"""Which row, column or cell of a re-measured bandwidth matrix is bad.

Measured bandwidths are compared with what the cluster file says, and with each other: the median
share counts as sound, since tests rarely reach what is stated. A bad row is a sender, a bad column
a receiver, one bad cell a path (Dong et al. 2024, C4, section 4: matrices of pairwise times).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.specs.cluster.slow import EVERY, Slow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats

BAD = 0.8
"""Share of the median below which a link is bad: twice what repeated tests differ by."""
MOST = 0.5
"""Share of its measured links from which on the node is at fault, not they."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadPart:
    """A fault as a matrix shows it, in words, and what is slow by it."""

    said: str
    slow: Slow


def bad_parts(hosts: Sequence[str], measured: Floats, expected: Floats) -> tuple[BadPart, ...]:
    """`measured` [N, N]: rows send, columns receive, NaN where nothing was measured and on the
    diagonal; `expected`, the same as stated."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = measured / expected
    np.fill_diagonal(share, np.nan)
    known = ~np.isnan(share)
    if not known.any():
        return ()
    share = share / np.nanmedian(share)
    bad = known & (np.nan_to_num(share, nan=np.inf) < BAD)
    found: list[BadPart] = []
    rows = _at_fault(bad, known)
    columns = _at_fault(bad.T, known.T)
    for node in sorted({*rows, *columns}):
        whole = np.concatenate(
            [share[node][bad[node]] if node in rows else [], share.T[node][bad.T[node]]]
        )
        parts = [name for name, at in (("row", rows), ("column", columns)) if node in at]
        role = {"row": "sends", "column": "receives"}
        does = " and ".join(role[part] for part in parts)
        factor = float(np.median(whole))
        said = f"{' and '.join(parts)} {hosts[node]}: it {does} at {factor:.0%} of the others"
        found.append(BadPart(said=said, slow=Slow(host=hosts[node], factor=factor, other=EVERY)))
    cells = bad.copy()
    cells[rows, :] = False
    cells[:, columns] = False
    seen: dict[tuple[int, int], float] = {}
    for sender, receiver in np.argwhere(cells).tolist():
        ends = (min(sender, receiver), max(sender, receiver))
        seen[ends] = min(seen.get(ends, np.inf), float(share[sender, receiver]))
    for (one, other), factor in seen.items():
        said = f"cell {hosts[one]}, {hosts[other]}: the path is at {factor:.0%} of the others"
        slow = Slow(host=hosts[one], factor=factor, other=hosts[other])
        found.append(BadPart(said=said, slow=slow))
    return tuple(found)


def _at_fault(
    bad: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
    known: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
) -> list[int]:
    """Rows most of whose known cells are bad; those of a good node are bad where the others are."""
    found: list[int] = []
    left = bad.copy()
    while True:
        counts, of = left.sum(axis=1), np.maximum(known.sum(axis=1), 1)
        worst = int((counts / of).argmax())
        if counts[worst] / of[worst] <= MOST or counts[worst] < 2:
            return found
        found.append(worst)
        left[worst] = False
