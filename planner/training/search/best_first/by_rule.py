"""Plans on mixed devices with layers divided by a rule, on hosts with like ones together or around
the others.

The bounds of a search hold for every layout on any hosts. Behind slow links they are far below
every plan, and do not tell which combinations are good. A batch of plans with one layout costs
little more than a batch of bounds. It tells how long a layer takes on each stage and how long
stages wait for messages, and so which layers make stages as long as each other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.schedule.registry import kind_of
from planner.training.batch import OUTER_KINDS
from planner.training.costs import cost_table
from planner.training.estimate import point_estimate
from planner.training.search.best_first.best import Priced
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.bounding.fitting import batch_of, pieces
from planner.training.search.bounding.recomputed import fewest_recomputed
from planner.training.search.bounding.shared_layouts import SharedLayout
from planner.training.search.hosts.methods import TYPES, PlacedPlan
from planner.training.search.hosts.placement import placement_on
from planner.training.search.layouts.default import stages_of
from planner.training.search.layouts.problem import kept_layout
from planner.training.search.mixed.even_layers import even_layers, held_s
from planner.training.search.mixed.row_hosts import block_orders, split_orders
from planner.training.step.ahead import with_ahead
from planner.training.step.parts import step_parts
from planner.training.step.passes import stage_layer_s
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from planner.arrays import Ints
    from planner.budget import Budget
    from planner.plan import Plan
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.combinations import Combinations
    from planner.training.search.bounding.fitting import Fitting

ORDERS = 6
"""Most orders of the kinds of hosts, whole ones and with one of them around the others."""

PRICED = 128
"""Most plans that are priced in full."""

_HOPEFUL = 1.1
"""Multiple of what is to be beaten up to which plans are priced: what the rule says a plan takes is
no bound."""


class _Placed(NamedTuple):
    """The hosts in an order, the scenario on them, and what layers of all shards take there."""

    hosts: tuple[str, ...]
    scenario: Scenario
    table: CostTable


class _Candidate(NamedTuple):
    """A combination of a group with layers of every chunk on some hosts, in the order in which a
    microbatch visits them, and what that takes about."""

    about_s: float
    combination: int
    on: _Placed
    group: Fitting
    which: int
    layers: tuple[int, ...] | None


def plans_by_rule(
    combinations: Combinations, table: CostTable, most: int, below_s: float, budget: Budget
) -> list[Priced]:
    """The fastest `most` of these plans, one of each combination, as far as they take less than
    `below_s`; fastest first, and without how sure that is. `table` has the shards of all
    combinations. Raises: OutOfTime."""
    scenario = combinations.scenario
    groups, rows = _with_own_rows(combinations.groups, below_s)
    shards = [table.shards[row] for row in rows.tolist()]
    best_about: dict[int, _Candidate] = {}
    orders = (*block_orders(scenario)[:ORDERS], *split_orders(scenario)[:ORDERS])
    for hosts in orders if shards else ():
        placed = scenario.placed(hosts)
        on = _Placed(hosts, placed, cost_table(placed, shards))
        for one in _on_hosts(groups, combinations.first, on, below_s, budget):
            known = best_about.get(one.combination)
            if known is None or one.about_s < known.about_s:
                best_about[one.combination] = one
    found: list[Priced] = []
    for one in _of_every_kind(best_about.values())[:PRICED]:
        budget.check()
        plan = _plan_of(scenario, one, budget)
        priced = point_estimate(scenario, plan)
        if priced.memory.fits and priced.step_s < below_s:
            bound_s = float(one.group.bound_s[one.which])
            on_hosts = PlacedPlan(plan=plan, bound_s=bound_s, method=TYPES)
            found.append(Priced.of(one.combination, on_hosts, priced))
    return sorted(found, key=lambda one: (one.step_s, one.index))[:most]


def _of_every_kind(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """The best of every schedule with so many chunks a stage, the second best of these, and so on:
    what the rule says is not as far from the truth for each."""
    number: Counter[tuple[str, int]] = Counter()
    ranked: list[tuple[int, _Candidate]] = []
    for one in sorted(candidates, key=lambda one: (one.about_s, one.combination)):
        kind = one.group.schedule, one.group.virtual_stages
        number[kind] += 1
        ranked.append((number[kind], one))
    return [one for _, one in sorted(ranked, key=lambda each: each[0])]


def _plan_of(scenario: Scenario, one: _Candidate, budget: Budget) -> Plan:
    """Raises: OutOfTime."""
    hosts, placed, table = one.on
    group = one.group if one.layers is None else _with_layers(placed, one.group, one.layers)
    recomputed = fewest_recomputed(placed, table, group, np.array([one.which]), budget)
    plan = plan_at(scenario, group, one.which, int(recomputed[0]))
    return replace(plan, placement=placement_on(scenario, hosts))


def _on_hosts(
    groups: Sequence[Fitting], firsts: Ints, on: _Placed, below_s: float, budget: Budget
) -> Iterator[_Candidate]:
    """All that may take little more than `below_s`. Raises: OutOfTime."""
    _, placed, own = on
    layer_s = (own.forward_s + own.backward_s).sum(axis=0)
    for first, group in zip(firsts.tolist(), groups, strict=False):
        which = np.flatnonzero(group.bound_s < below_s)
        if not which.size:
            continue
        stage_layers = [one.num_layers for one in group.layout.stages]
        outer = group.layout.load.counts[..., -OUTER_KINDS:].sum(axis=-1)
        least = (outer == 0).sum(axis=1)
        inner = group.layout.load.counts.sum(axis=(0, 1))
        inner[-OUTER_KINDS:] = 0
        free = _is_free(placed, group)
        for part in pieces(which, group.chunks, budget):
            layers = fewest_recomputed(placed, own, group, part, budget)
            batch = with_ahead(placed, own, batch_of(placed, group, part, layers))
            parts = step_parts(placed, own, batch)
            about_s = parts.lower_bound_s()
            divided: list[tuple[int, ...] | None] = [None] * len(part)
            if free:
                held = held_s(parts.sends, group.schedule, batch.pipeline, batch.virtual_stages)
                passes_s = (parts.passes.forward_s + parts.passes.backward_s).sum(axis=-1)
                each_s = stage_layer_s(placed, own, batch, layer_s) @ inner
                even, longest_s = even_layers(passes_s, stage_layers, each_s, held, least)
                shorter_s = (passes_s + held).max(axis=1) - longest_s
                about_s = about_s - parts.num_microbatches * shorter_s
                divided = [_of_chunks(row, group) for row in even.tolist()]
            for at in np.flatnonzero(about_s < _HOPEFUL * below_s).tolist():
                which_one = int(part[at])
                yield _Candidate(
                    float(about_s[at]), first + which_one, on, group, which_one, divided[at]
                )


def _with_own_rows(groups: Sequence[Fitting], below_s: float) -> tuple[list[Fitting], Ints]:
    """The groups with rows of a table that has those alone which combinations need that may take
    less than `below_s`; and these rows of the whole table."""
    needed = [np.zeros(0, dtype=np.int64)]
    for group in groups:
        of_grid = np.unique(group.grid_row[group.bound_s < below_s])
        needed += [group.screened.columns[name][of_grid] for name in _ROWS]
    rows = np.unique(np.concatenate(needed))
    renumbered = []
    for group in groups:
        columns = group.screened.columns
        own = {name: _places(rows, columns[name]) for name in _ROWS}
        screened = replace(group.screened, columns={**columns, **own})
        renumbered.append(replace(group, screened=screened))
    return renumbered, rows


def _places(rows: Ints, column: Ints) -> Ints:
    """Where each of the column is among `rows`; anywhere for what is not."""
    return np.minimum(np.searchsorted(rows, column), max(len(rows) - 1, 0))


_ROWS = ("row", "shared_row")
"""Columns of a group that point into a table of costs."""


def _is_free(placed: Scenario, group: Fitting) -> bool:
    """Whether layers of a group may be divided by the rule."""
    shape = (group.screened.pipeline, group.virtual_stages, group.schedule)
    one_copy = kind_of(group.schedule).placement(*shape[:2]).copies == 1
    few = placed.model.num_layers < group.chunks
    return one_copy and not few and group.layout.chosen and kept_layout(placed, *shape) is None


def _with_layers(placed: Scenario, group: Fitting, layers: tuple[int, ...]) -> Fitting:
    shape = (group.screened.pipeline, group.virtual_stages, group.schedule)
    stages = stages_of(layers, *shape)
    load = stage_load(placed.model, placed.kinds, stages)
    return replace(group, layout=SharedLayout(stages=stages, load=load, chosen=True))


def _of_chunks(stage_layers: Sequence[int], group: Fitting) -> tuple[int, ...]:
    """Layers of every chunk in the order in which a microbatch visits them, of those of every
    stage: alike on all chunks of a stage, and fewer on those beside the embedding and the head."""
    pipeline, virtual = group.screened.pipeline, group.virtual_stages
    positions = kind_of(group.schedule).placement(pipeline, virtual).positions
    layers = [0] * group.chunks
    for row, count in zip(positions.tolist(), stage_layers, strict=True):
        each, rest = divmod(count, virtual)
        inner_first = sorted(row, key=lambda at: (at in (0, group.chunks - 1), at))
        for number, at in enumerate(inner_first):
            layers[at] = each + (number < rest)
    return tuple(layers)
