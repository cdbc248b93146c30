"""Parameters of the token embedding on one device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import numbered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.scenario import Scenario


def embedding_parameters(scenario: Scenario, batch: Batch) -> NDArray[np.int64]:
    """Parameters of the token embedding on one device that has (its share of) it, int64 [N]."""
    ranks = batch.tensor * (batch.pipeline if batch.kind.shares_vocabulary else 1)
    different, inverse = numbered(ranks)
    rows = np.array([scenario.model.padded_vocab_size(n) // n for n in different.tolist()])
    parameters: NDArray[np.int64] = rows[inverse] * scenario.model.hidden_size
    return parameters
