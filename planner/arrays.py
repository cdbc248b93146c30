"""Names for the array types of this package."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
SmallInts = NDArray[np.int32]
"""For arrays that are kept long: half the memory, and every index fits."""
