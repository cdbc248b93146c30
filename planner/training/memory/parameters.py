"""Parameters on one device: of stages, of the embedding and the head among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import numbered
from planner.training.batch import OUTER_KINDS
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


def embedding_parameters(scenario: Scenario, batch: Batch) -> NDArray[np.int64]:
    """Parameters of the token embedding on one device that has (its share of) it, int64 [N]."""
    ranks = batch.tensor * (batch.pipeline if batch.kind.shares_vocabulary else 1)
    different, inverse = numbered(ranks)
    rows = np.array([scenario.model.padded_vocab_size(n) // n for n in different.tolist()])
    parameters: NDArray[np.int64] = rows[inverse] * scenario.model.hidden_size
    return parameters


def copied_embeddings(scenario: Scenario, batch: Batch) -> NDArray[np.bool_]:
    """Which stages, [p], keep a copy of the token embedding for layers that predict further tokens
    (Megatron-LM `language_module.py`, `sharded_state_dict`: `mtp_process and not pre_process`).
    A tied output matrix is that copy, and a vocabulary that all stages share needs none."""
    counts = batch.load.of_stages
    model = scenario.model
    if not model.mtp_num_layers or model.tie_embeddings or batch.kind.shares_vocabulary:
        return np.zeros(len(counts), dtype=np.bool_)
    column = scenario.kinds.index("mtp")
    return np.asarray((counts[:, column] > 0) & (counts[:, -2] == 0))


def stage_parameters(
    scenario: Scenario, table: CostTable, batch: Batch
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dense and expert parameters on one device of every stage, int64 [N, p] each. A tied
    embedding is held once by a stage that has the head too; `copied_embeddings` are held too. Where
    the vocabulary is shared, positions are not: the first stage has them."""
    counts = batch.load.of_stages
    dense = table.dense_parameters[batch.row] @ counts.T
    expert = table.expert_parameters[batch.row] @ counts.T
    both = np.minimum(counts[:, -2], counts[:, -1])
    if scenario.model.tie_embeddings and both.any():
        dense = dense - embedding_parameters(scenario, batch)[:, None] * both
    copied = copied_embeddings(scenario, batch)
    if copied.any():
        dense = dense + embedding_parameters(scenario, batch)[:, None] * copied
    if batch.kind.shares_vocabulary:
        dense[:, batch.stages == 0] += scenario.workload(Shard()).learned_positions
    return dense, expert


def end_parameters(scenario: Scenario, table: CostTable, batch: Batch) -> NDArray[np.int64]:
    """Of the dense parameters of every stage those of embedding and head, int64 [N, p], which stay
    in 16 bits (a tied embedding that a stage has twice counts twice)."""
    counts = batch.load.of_stages[:, -OUTER_KINDS:]
    ends: NDArray[np.int64] = table.dense_parameters[batch.row][:, -OUTER_KINDS:] @ counts.T
    copied = copied_embeddings(scenario, batch)
    if copied.any():
        ends = ends + embedding_parameters(scenario, batch)[:, None] * copied
    return ends
