"""Exchanges of experts in several pieces: how much of them runs beside products.

Tutel (Hwang et al., MLSys 2023, section 3.3; microsoft/tutel `impls/overlap.py`) sends all pieces
to their experts, one after the other, then all back. The products of a piece start when it is there
and those of the piece before are done; its way back when they are done and no exchange runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints


def hidden_by_pieces_s(
    exchange_s: float | Floats, products_s: float | Floats, pieces: int | Ints
) -> Floats:
    """Seconds that a pass saves. `exchange_s`: those of all pieces there and back, equally long;
    `products_s`: those of all pieces. With r pieces of d there, x, and d back the last is back
    after max(2·r·d, d + x + r·d, 2·d + (r − 1)·max(d, x) + x): exchanges all the time, a wait for
    the first products, or a wait for the last."""
    there_s, product_s = exchange_s / (2 * pieces), products_s / pieces
    last_s = 2 * there_s + (pieces - 1) * np.maximum(there_s, product_s) + product_s
    first_s = there_s + product_s + exchange_s / 2
    busy_s = np.maximum(exchange_s, np.maximum(first_s, last_s))
    saved_s: Floats = np.maximum(exchange_s + products_s - busy_s, 0.0)
    return np.where(np.asarray(pieces) > 1, saved_s, 0.0)
