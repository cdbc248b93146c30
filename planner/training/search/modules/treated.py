"""Combinations with every choice of modules, as groups of combinations of their own.

Each is a combination under selective recomputation, with the prices of its choice: what bounds
combinations, and looks for their stage layouts, takes them like any others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.arrays import numbered
from planner.training.batch import SELECTIVE
from planner.training.costs import joined
from planner.training.memory.stage import stage_peaks
from planner.training.search.bounding.every_layout import LayoutStages, every_layout_s
from planner.training.search.bounding.fitting import batch_of, pieces, shape_of
from planner.training.search.bounding.quick import BELOW
from planner.training.search.bounding.tight import default_layout_s, every_other_layout_s
from planner.training.search.layouts.problem import kept_layout
from planner.training.search.modules.every_choice import EveryChoice
from planner.training.search.modules.options import KEEP
from planner.training.search.space.codes import PARTS
from planner.training.step.parts import step_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.arrays import Bools, Floats, Ints
    from planner.budget import Budget
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario
    from planner.training.search.bounding.fitting import Fitting
    from planner.training.search.modules.options import Treatment
    from planner.training.step.parts import StepParts


class Untreated(NamedTuple):
    """Combinations of a group, by their positions in it, with everything on the devices. `indices`:
    what they are told apart by elsewhere."""

    group: Fitting
    rows: Ints
    indices: Ints


class Treated(NamedTuple):
    """A combination with a choice of modules: the group of the combination, its position there and
    its index; the row of its prices; and the seconds of the parts that depend on the modules, of
    its default layout. Of two choices of a combination the one that is nowhere shorter in these is
    no faster with that layout."""

    group: Fitting
    row: int
    combination: int
    treatment: Treatment
    price: int
    parts_s: Floats

    def no_faster_than(self, other: Treated) -> bool:
        """Whether it takes at least as long as another choice of the same combination, on the same
        hosts."""
        return bool((self.parts_s >= other.parts_s).all())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TreatedSpace:
    """Combinations with choices of modules, numbered through the `groups` as `chosen` lists them.
    In the groups, `bound_s` is of the layout that a group shares, infinite where that does not fit,
    and `others_s` of every layout that may be chosen. `scenario` and `table` price them."""

    scenario: Scenario
    table: CostTable
    groups: tuple[Fitting, ...]
    chosen: tuple[Treated, ...]

    @classmethod
    def of(
        cls,
        ideal: Scenario,
        table: CostTable,
        untreated: Sequence[Untreated],
        below_s: Callable[[int], float],
        budget: Budget,
    ) -> TreatedSpace:
        """The choices with which combinations may fit and take less than `below_s` by index, but
        for that of nothing. `table` belongs to the ideal scenario. Raises: OutOfTime."""
        treated = ideal.treating(None, tuple(ideal.job.software.offload.tried_modules) or None)
        prices = _Prices.of(ideal, table, untreated)
        groups, chosen = [], []
        for one in untreated:
            every = _with_choices(ideal, one, prices)
            limits_s = np.array([below_s(index) for index in one.indices.tolist()])
            bounds = _bounds(treated, prices.table, every, limits_s, budget)
            kept = np.flatnonzero(np.minimum(bounds.default_s, bounds.others_s) < bounds.below_s)
            if not kept.size:
                continue
            groups.append(
                replace(
                    _some(every.group, kept),
                    bound_s=bounds.default_s[kept],
                    others_s=bounds.others_s[kept],
                )
            )
            chosen += [
                Treated(
                    one.group,
                    int(one.rows[every.which[at]]),
                    int(one.indices[every.which[at]]),
                    prices.treatments[every.price[at]],
                    int(every.price[at]),
                    bounds.parts_s[at],
                )
                for at in kept.tolist()
            ]
        return cls(scenario=treated, table=prices.table, groups=tuple(groups), chosen=tuple(chosen))

    @classmethod
    def joined(cls, spaces: Sequence[TreatedSpace]) -> TreatedSpace:
        """All of them as one."""
        groups, chosen = [], []
        first = 0
        for space in spaces:
            for group in space.groups:
                columns = dict(group.screened.columns)
                columns |= {name: columns[name] + first for name in ("row", "shared_row")}
                groups.append(replace(group, screened=replace(group.screened, columns=columns)))
            chosen += [one._replace(price=one.price + first) for one in space.chosen]
            first += len(space.table.shards)
        table = joined([space.table for space in spaces])
        return replace(spaces[0], table=table, groups=tuple(groups), chosen=tuple(chosen))

    def below(self, limit_s: Callable[[int], float]) -> TreatedSpace:
        """Those that may take less than a limit, by the index of their combination."""
        least_s = np.minimum(self.default_s, self.others_s).tolist()
        kept = [s < limit_s(one.combination) for s, one in zip(least_s, self.chosen, strict=True)]
        groups, first = [], 0
        for group in self.groups:
            rows = np.flatnonzero(kept[first : first + len(group)])
            first += len(group)
            groups += [_some(group, rows)] if rows.size else []
        chosen = tuple(one for one, keeps in zip(self.chosen, kept, strict=True) if keeps)
        return replace(self, groups=tuple(groups), chosen=chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def default_s(self) -> Floats:
        """[N]: lower bounds with the default layouts; infinite where these do not fit."""
        return np.concatenate([np.zeros(0), *(group.bound_s for group in self.groups)])

    @property
    def others_s(self) -> Floats:
        """[N]: lower bounds with every layout that may be chosen."""
        return np.concatenate([np.zeros(0), *(group.others_s for group in self.groups)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Prices:
    """The rows of all choices of some shards, and where those of each row of the usual table
    begin."""

    table: CostTable
    treatments: tuple[Treatment, ...]
    moves: Bools
    first: dict[int, int]
    size: dict[int, int]

    @classmethod
    def of(cls, ideal: Scenario, table: CostTable, untreated: Sequence[Untreated]) -> _Prices:
        none = np.zeros(0, dtype=np.int64)
        of_all = (batch_of(ideal, one.group, one.rows, 0 * one.rows).row for one in untreated)
        rows, _ = numbered(np.concatenate([none, *of_all]))
        choices = [EveryChoice.of(ideal, table.shards[row]) for row in rows.tolist()]
        sizes = np.array([len(one) for one in choices], dtype=np.int64)
        first = np.cumsum(sizes) - sizes
        return cls(
            table=joined([one.table for one in choices]) if choices else table,
            treatments=tuple(treatment for one in choices for treatment in one.treatments),
            moves=np.concatenate([np.zeros(0, dtype=np.bool_), *(one.moves for one in choices)]),
            first=dict(zip(rows.tolist(), first.tolist(), strict=True)),
            size=dict(zip(rows.tolist(), sizes.tolist(), strict=True)),
        )


class _Every(NamedTuple):
    """A group of combinations with choices: the position of each combination, and the row of its
    prices."""

    group: Fitting
    which: Ints
    price: Ints


def _with_choices(ideal: Scenario, one: Untreated, prices: _Prices) -> _Every:
    """Every combination with every choice but that of nothing."""
    row = batch_of(ideal, one.group, one.rows, 0 * one.rows).row.tolist()
    which = np.repeat(np.arange(len(row)), [prices.size[at] for at in row])
    price = np.concatenate([np.arange(prices.size[at]) + prices.first[at] for at in row])
    some = np.array([prices.treatments[at] != KEEP for at in price.tolist()], dtype=np.bool_)
    which, price = which[some], price[some]
    rows = one.rows[which]
    group = _some(one.group, rows)
    screened = group.screened
    columns = {**screened.columns, "row": price, "shared_row": price}
    granularity = np.full(len(rows), SELECTIVE)
    moved = np.where(prices.moves[price], PARTS, 0)
    variants = {**group.variants, "recompute": granularity, "activation_offload": moved}
    group = replace(group, screened=replace(screened, columns=columns), variants=variants)
    return _Every(group, which, price)


def _some(group: Fitting, rows: Ints) -> Fitting:
    """Some combinations of a group, each with a row of the grid for itself."""
    of_grid = group.grid_row[rows].astype(np.int64)
    columns = {
        name: column if name == "pipeline" else column[of_grid]
        for name, column in group.screened.columns.items()
    }
    return replace(
        group,
        screened=replace(group.screened, columns=columns),
        grid_row=np.arange(len(rows), dtype=np.int32),
        variants={axis: codes[rows] for axis, codes in group.variants.items()},
        bound_s=group.bound_s[rows],
        others_s=group.others_s[rows],
    )


class _Bounds(NamedTuple):
    """[N]: with the default layout and with every one that may be chosen, what is to be beaten, and
    the parts that depend on the modules."""

    default_s: Floats
    others_s: Floats
    below_s: Floats
    parts_s: list[Floats]


def _bounds(
    treated: Scenario, table: CostTable, every: _Every, limits_s: Floats, budget: Budget
) -> _Bounds:
    group, size = every.group, len(every.which)
    default_s, others_s = np.full((2, size), np.inf)
    below_s = limits_s[every.which]
    parts_s: list[Floats] = [np.zeros(0)] * size
    for part in pieces(np.arange(size), group.chunks, budget):
        batch = batch_of(treated, group, part, np.zeros(len(part), dtype=np.int64))
        fits = np.flatnonzero(stage_peaks(treated, table, batch).fits)
        if fits.size:
            fitting = batch.some(fits)
            parts = step_parts(treated, table, fitting)
            default_s[part[fits]] = default_layout_s(treated, table, fitting, parts)
            for at, seconds in zip(part[fits].tolist(), _parts_s(parts), strict=True):
                parts_s[at] = seconds
        if group.layout.chosen and kept_layout(treated, *shape_of(batch)) is None:
            others_s[part] = _other_layouts_s(treated, table, group, batch, below_s[part])
    return _Bounds(default_s, others_s, below_s, parts_s)


def _other_layouts_s(
    treated: Scenario, table: CostTable, group: Fitting, batch: Batch, below_s: Floats
) -> Floats:
    """[N]: of every layout but the default, tight where they are less than `below_s`. No layers are
    recomputed as a whole."""
    stages = LayoutStages.of(treated, table, batch)
    bound_s = BELOW * every_layout_s(treated, table, batch, stages)
    open_ = np.flatnonzero(bound_s < below_s)
    if open_.size:
        some = batch.some(open_)
        parts = step_parts(treated, table, some)
        others_s = every_other_layout_s(treated, table, group.layout, some, parts, 0 * some.row)
        bound_s[open_] = np.maximum(bound_s[open_], others_s)
    return np.asarray(bound_s)


def _parts_s(parts: StepParts) -> Floats:
    """[N, ..]: what modules change of the step, as they change the passes and what these cover. No
    step falls when one of them grows and none falls."""
    columns = (
        parts.passes.forward_s,
        parts.passes.backward_s,
        parts.vocabulary.busy_s,
        parts.reduction_s,
        parts.stage_gathers_s,
        parts.jitter_s,
    )
    size = len(parts.num_microbatches)
    return np.concatenate([np.asarray(one).reshape(size, -1) for one in columns], axis=1)
