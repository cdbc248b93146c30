"""A node with slow links that no placement leaves out, in every stage of an interleaved combination
in turn: what it adds to sends, to the gradient reduction and to the parameter gather of the stage,
whatever layers this has.

Letters: N combinations, p stages, V chunks in the order in which a microbatch visits them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.hosts.slow_stage import slow_stage
from planner.training.search.layouts.bound import ENDLESS_S
from planner.training.step.reduction import gradient_reduction_s, stage_gathers_s
from planner.training.step.sends import boundary_sends

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.arrays import Bools, Floats
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlowRows:
    """`known` [N]: the combinations that have such a node. Seconds: `sends_s` [p, N, 2, V − 1] with
    the node in each stage; [N, 2] what its stage takes in any case and for every layer, `reduced_s`
    of its gradient reduction and `gathered_s` of its parameter gather; `passes_s` [2, N, K] forward
    and backward of every kind of layer at least."""

    known: Bools
    passes_s: Floats
    sends_s: Floats
    reduced_s: Floats
    gathered_s: Floats

    @classmethod
    def of(cls, scenario: Scenario, table: CostTable, batch: Batch, column: int) -> SlowRows | None:
        """`column`: the kind of the layers, which are all alike. None where no node is slow, or
        where it need not have a stage of its own."""
        slow = slow_stage(scenario, table, batch)
        if slow is None:
            return None
        stages = batch.placement.stage_of
        ends = np.stack((stages[:-1], stages[1:]))
        here = (ends == np.arange(batch.pipeline)[:, None, None]).any(axis=1) & (ends[0] != ends[1])
        usual = links_s(scenario, table, batch)
        slower = np.maximum(usual, np.stack((slow.sends.forward_s, slow.sends.backward_s), axis=1))
        reduced = [reduction_line_s(one, table, batch, column) for one in (scenario, slow.slowed)]
        gathered = [gather_line_s(one, table, batch, column) for one in (scenario, slow.slowed)]
        passes = passes_s(table)[:, batch.row]
        if slow.layers is not None:
            leaves = (slow.layers.leaves & slow.known)[:, None]
            slower_s = np.maximum(passes, passes_s(slow.layers.table)[:, slow.layers.row])
            passes = np.where(leaves, slower_s, passes)
        return cls(
            known=slow.known,
            passes_s=passes,
            sends_s=np.where(here[:, None, None], slower, usual),
            reduced_s=np.where(slow.rings[:, None], reduced[1], reduced[0]),
            gathered_s=np.where(slow.gathers[:, None], gathered[1], gathered[0]),
        )


def passes_s(table: CostTable) -> Floats:
    """[2, R, K]: forward and backward of the layers of a table."""
    return np.stack([one.sum(axis=0).min(axis=0) for one in (table.forward_s, table.backward_s)])


def links_s(scenario: Scenario, table: CostTable, batch: Batch) -> Floats:
    """[N, 2, V − 1]: sends there and back."""
    sends = boundary_sends(scenario, table, batch)
    return np.stack((sends.forward_s, sends.backward_s), axis=1)


def reduction_line_s(scenario: Scenario, table: CostTable, batch: Batch, column: int) -> Floats:
    """[N, 2]: lower bound on the gradient reduction of a stage, as what one takes in any case and
    what every layer adds."""
    return _line_s(gradient_reduction_s, scenario, table, batch, column)


def gather_line_s(scenario: Scenario, table: CostTable, batch: Batch, column: int) -> Floats:
    """The same of its parameter gather."""
    return _line_s(stage_gathers_s, scenario, table, batch, column)


def _line_s(
    collective_s: Callable[[Scenario, CostTable, Batch, Floats], Floats],
    scenario: Scenario,
    table: CostTable,
    batch: Batch,
    column: int,
) -> Floats:
    """A collective takes longer with more layers, ever less so: it is above the line through what
    one layer and all of them take."""
    layers = int(batch.load.counts[..., column].sum())
    seconds = []
    for held in (1, layers):
        counts = np.zeros_like(batch.load.counts)
        counts[:, 0, column] = held
        alone = replace(batch, load=replace(batch.load, counts=counts))
        hiding = np.full((len(batch), batch.pipeline), ENDLESS_S)
        seconds.append(collective_s(scenario, table, alone, hiding).min(axis=1))
    each = np.maximum(seconds[1] - seconds[0], 0.0) / max(layers - 1, 1)
    return np.stack((np.maximum(seconds[0] - each, 0.0), each), axis=1)
