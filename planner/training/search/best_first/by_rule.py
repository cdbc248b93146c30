"""Plans on mixed devices with layers divided by a rule, on hosts with like ones together.

The bounds of a search hold for every layout on any hosts. Behind slow links they are far below
every plan, and do not tell which combinations are good. A batch of plans that have a layout each
costs little more than a batch of bounds, and tells that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.registry import kind_of
from planner.training.costs import cost_table
from planner.training.estimate import point_estimate
from planner.training.memory.stage import stage_peaks
from planner.training.search.best_first.best import Priced
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.bounding.fitting import batch_of, pieces
from planner.training.search.bounding.recomputed import fewest_recomputed
from planner.training.search.bounding.shared_layouts import SharedLayout
from planner.training.search.hosts.methods import TYPES, PlacedPlan
from planner.training.search.hosts.placement import placement_on
from planner.training.search.layouts.default import stages_of
from planner.training.search.layouts.problem import kept_layout
from planner.training.search.mixed.row_hosts import block_orders
from planner.training.step.ahead import with_ahead
from planner.training.step.parts import step_parts
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.arrays import Floats
    from planner.budget import Budget
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.combinations import Combinations
    from planner.training.search.bounding.fitting import Fitting

SHARES = (1.0, 0.4, 0.0)
"""What slower stages get of the layers that their speed is good for: fewer where these are behind
slow links, and one in every chunk at least."""

ORDERS = 6
"""Most orders of the kinds of hosts."""

PRICED = 256
"""Most plans that are priced in full."""


class _Candidate(NamedTuple):
    """A combination of a group with a layout on some hosts, and what that takes at least."""

    least_s: float
    combination: int
    hosts: tuple[str, ...]
    group: Fitting
    which: int
    recomputed_layers: int


def plans_by_rule(
    combinations: Combinations, table: CostTable, most: int, below_s: float, budget: Budget
) -> list[Priced]:
    """The fastest `most` of these plans, one of each combination, as far as they take less than
    `below_s`; fastest first, and without how sure that is. `table` has the shards of all
    combinations. Raises: OutOfTime."""
    scenario = combinations.scenario
    candidates = [
        one
        for hosts in block_orders(scenario)[:ORDERS]
        for one in _on_hosts(combinations, table, hosts, below_s, budget)
    ]
    candidates.sort(key=lambda one: (one.least_s, one.combination))
    best: dict[int, Priced] = {}
    wanted_s = below_s
    for one in candidates[:PRICED]:
        budget.check()
        if one.least_s >= wanted_s:
            break
        plan = plan_at(scenario, one.group, one.which, one.recomputed_layers)
        plan = replace(plan, placement=placement_on(scenario, one.hosts))
        found, known = point_estimate(scenario, plan), best.get(one.combination)
        if found.step_s < (below_s if known is None else known.step_s):
            bound_s = float(one.group.bound_s[one.which])
            placed = PlacedPlan(plan=plan, bound_s=bound_s, method=TYPES)
            best[one.combination] = Priced.of(one.combination, placed, found)
        if len(best) >= most:
            wanted_s = sorted(each.step_s for each in best.values())[most - 1]
    return sorted(best.values(), key=lambda one: (one.step_s, one.index))[:most]


def _on_hosts(
    combinations: Combinations,
    table: CostTable,
    hosts: tuple[str, ...],
    below_s: float,
    budget: Budget,
) -> Iterator[_Candidate]:
    """All that fit on these hosts and may take less than `below_s`. Raises: OutOfTime."""
    placed = combinations.scenario.placed(hosts)
    own = cost_table(placed, table.shards)
    type_s = (own.type_forward_s + own.type_backward_s).sum(axis=(1, 2))
    for first, group in zip(combinations.first.tolist(), combinations.groups, strict=False):
        stage_s = [
            max(float(type_s[which]) for which in types)
            for types in placed.stage_types(group.screened.pipeline)
        ]
        which = np.flatnonzero(group.bound_s < below_s)
        for ruled in _with_layouts(placed, group, stage_s):
            for part in pieces(which, group.chunks, budget):
                layers = fewest_recomputed(placed, own, ruled, part, budget)
                batch = with_ahead(placed, own, batch_of(placed, ruled, part, layers))
                least_s = step_parts(placed, own, batch).lower_bound_s()
                may = stage_peaks(placed, own, batch).fits & (least_s < below_s)
                for at in np.flatnonzero(may).tolist():
                    found = int(part[at])
                    yield _Candidate(
                        float(least_s[at]), first + found, hosts, ruled, found, int(layers[at])
                    )


def _with_layouts(placed: Scenario, group: Fitting, stage_s: Sequence[float]) -> Iterator[Fitting]:
    """A group with each layout that the rule gives it, where stages take so long for a layer."""
    shape = (group.screened.pipeline, group.virtual_stages, group.schedule)
    few = placed.model.num_layers < group.chunks
    if few or not group.layout.chosen or kept_layout(placed, *shape) is not None:
        yield group
        return
    speeds = 1 / np.array(stage_s)
    divided = {
        _divided(placed.model.num_layers, np.where(speeds < speeds.max(), share, 1) * speeds, group)
        for share in SHARES
    }
    for layers in sorted(divided):
        stages = stages_of(layers, *shape)
        load = stage_load(placed.model, placed.kinds, stages)
        yield replace(group, layout=SharedLayout(stages=stages, load=load, chosen=True))


def _divided(num_layers: int, weights: Floats, group: Fitting) -> tuple[int, ...]:
    """Layers of every chunk in the order in which a microbatch visits them: one each, and the
    others by the weights of their stages."""
    kind = kind_of(group.schedule)
    placement = kind.placement(group.screened.pipeline, group.virtual_stages)
    shares = np.zeros(group.chunks)
    shares[placement.positions] = weights[:, None]
    # Above the one layer that all chunks have.
    above = np.maximum(shares / shares.sum() * num_layers - 1, 0)
    exact = above / above.sum() * (num_layers - group.chunks) if above.any() else above
    layers = 1 + exact.astype(np.int64)
    largest = np.argsort(layers - 1 - exact, kind="stable")
    layers[largest[: num_layers - layers.sum()]] += 1
    return tuple(layers.tolist())
