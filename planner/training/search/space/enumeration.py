"""The search space: every combination that passes the rules, in groups that share their shape.

Axes are added one by one, and every rule is applied as soon as the axes it reads are present. So
the full product is counted but never built.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isqrt, prod
from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.result import Dimension, Exclusion, Space
from planner.training.search.space.codes import SCHEDULE_NAMES, code_of, value_of
from planner.training.search.space.rules import RULES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.training.scenario import Scenario
    from planner.training.search.space.facts import SpaceFacts
    from planner.training.search.space.restrictions import Restrictions
    from planner.training.search.space.rules.rule import SpaceRule

GRID_AXES = (
    "tensor",
    "context",
    "data",
    "expert",
    "expert_tensor",
    "dispatcher",
    "expert_overlap",
    "micro_batch_size",
    "dispatch_pieces",
    "sequence_parallel",
)
"""Axes of a grid, expanded for each pipeline degree."""

VARIANT_AXES = (
    "recompute",
    "data_sharding",
    "shard_over",
    "optimizer_offload",
    "weight_offload",
    "activation_offload",
)
"""Axes expanded within each (pipeline, virtual_stages, schedule)."""

ONLY_WHERE_TRIED = {
    "dispatch_pieces": 1,
    "shard_over": 0,
    "optimizer_offload": 0,
    "weight_offload": 0,
    "activation_offload": 0,
}
"""Axes that a result lists only where there is more to choose than this code."""

AXES = ("pipeline", *GRID_AXES, "virtual_stages", "schedule", *VARIANT_AXES)
"""The order in which axes are added, and so the order in which rules are applied."""


def divisors(number: int) -> tuple[int, ...]:
    small = [d for d in range(1, isqrt(number) + 1) if number % d == 0]
    return tuple(sorted({*small, *(number // d for d in small)}))


MOST_CHUNKS = 64
"""Chunks of a stage that searches try by themselves, as many as 128 layers leave two stages; an
option may ask for more."""


def dimensions(scenario: Scenario, restrictions: Restrictions) -> dict[str, tuple[int, ...]]:
    """The values (codes) of every axis, in the order of `AXES`."""
    job, model = scenario.job, scenario.model
    software = job.software
    degrees = divisors(job.devices)
    first_dispatcher = software.expert.dispatcher_options[:1]
    default: dict[str, tuple[int | float | str | bool, ...]] = {
        "pipeline": degrees,
        "tensor": degrees,
        "context": degrees,
        "data": degrees,
        "expert": degrees if model.moe else (1,),
        "expert_tensor": (1,),
        "dispatcher": software.expert.dispatcher_options if model.moe else first_dispatcher,
        "expert_overlap": software.expert_overlap_options if model.moe else (False,),
        "dispatch_pieces": software.expert.dispatch_piece_options if model.moe else (1,),
        "micro_batch_size": divisors(job.global_batch_size),
        "sequence_parallel": software.sequence_parallel_options,
        "virtual_stages": tuple(range(1, min(max(model.num_layers // 2, 1), MOST_CHUNKS) + 1)),
        "schedule": _schedules(scenario),
        "recompute": software.recompute.choices,
        "data_sharding": software.data_sharding.choices,
        "shard_over": software.data_sharding.tried_groups,
        "optimizer_offload": (0.0,),
        "weight_offload": (False,),
        "activation_offload": (0.0,),
    }
    return {
        axis: tuple(
            sorted({code_of(axis, v) for v in getattr(restrictions, axis) or default[axis]})
        )
        for axis in AXES
    }


def _schedules(scenario: Scenario) -> tuple[str, ...]:
    """Those that the software profile has searches try."""
    switch = scenario.job.software.schedules
    names = switch.choices
    ideal = scenario.ideal
    if ideal is not scenario and len(ideal.candidate_devices) == 1:
        names = (*names, *switch.over_slow_links)
    return tuple(name for name in names if name in SCHEDULE_NAMES)


Columns = Mapping[str, "NDArray[np.int64]"]
"""Columns of combinations, by axis."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AxisGrid:
    """The combinations of one pipeline degree before virtual stages, schedule, recompute and data
    sharding are chosen. The columns of `GRID_AXES` have equal length; `pipeline` has length 1."""

    pipeline: int
    columns: Columns

    def __len__(self) -> int:
        return len(self.columns["tensor"])

    def only(self, rows: NDArray[np.bool_]) -> AxisGrid:
        """The grid of some of its rows."""
        kept = {
            name: column if name in SHARED else column[rows]
            for name, column in self.columns.items()
        }
        return AxisGrid(pipeline=self.pipeline, columns=kept)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Combinations that share pipeline, virtual stages and schedule. `grid_row` are row indices
    into the grid's columns; `variants` are the codes of `VARIANT_AXES`, as many as `grid_row`."""

    pipeline: int
    virtual_stages: int
    schedule: str
    grid_row: NDArray[np.int64]
    variants: Columns

    def __len__(self) -> int:
        return len(self.grid_row)


SLOWER_DISPATCHER = "slower-dispatcher"
OTHER_EXCLUSIONS = {
    SLOWER_DISPATCHER: "another dispatcher of the profile takes no longer in any pass, and as much "
    "memory",
}
"""What else than rules removes combinations: equal or better ones beside them."""


@dataclass(slots=True)
class Tally:
    """How many combinations each rule removed, counted while the space is enumerated."""

    excluded: Counter[str] = field(default_factory=Counter)
    candidates: int = 0


@dataclass(slots=True)
class Enumeration:
    """The space of one search. `grids` and `groups` add to the tally as they go."""

    facts: SpaceFacts
    values: dict[str, tuple[int, ...]]
    tally: Tally = field(default_factory=Tally)

    @property
    def total(self) -> int:
        """Combinations before any rule."""
        return prod(len(values) for values in self.values.values())

    def grids(self) -> Iterator[AxisGrid]:
        """The grids of every pipeline degree with at least one combination left."""
        for pipeline in self.values["pipeline"]:
            columns = self._narrow({"pipeline": np.array([pipeline])}, "pipeline")
            for axis in GRID_AXES:
                columns = self._narrow(self._expand(columns, axis), axis)
            if _length(columns):
                yield AxisGrid(pipeline=pipeline, columns=columns)

    def groups(self, grid: AxisGrid) -> Iterator[Block]:
        """The groups of a grid with at least one combination left."""
        row = np.arange(_length(grid.columns))
        for virtual_stages in self.values["virtual_stages"]:
            chunked = {**grid.columns, "row": row, "virtual_stages": np.array([virtual_stages])}
            chunked = self._narrow(chunked, "virtual_stages")
            for schedule in self.values["schedule"] if _length(chunked) else ():
                columns = self._narrow({**chunked, "schedule": np.array([schedule])}, "schedule")
                for axis in VARIANT_AXES:
                    if not _length(columns):
                        break
                    columns = self._narrow(self._expand(columns, axis), axis)
                if _length(columns):
                    self.tally.candidates += len(columns["row"])
                    yield Block(
                        pipeline=grid.pipeline,
                        virtual_stages=virtual_stages,
                        schedule=SCHEDULE_NAMES[schedule],
                        grid_row=columns["row"],
                        variants={axis: columns[axis] for axis in VARIANT_AXES},
                    )

    def leave_out(self, name: str, combinations: int, *, after: str) -> None:
        """Count combinations of the axes up to `after` that something else than a rule removed."""
        self.tally.excluded[name] += combinations * self._later(after)

    def _later(self, axis: str) -> int:
        """Combinations of the axes that come later."""
        return prod(len(self.values[later]) for later in AXES[AXES.index(axis) + 1 :])

    def _expand(self, columns: Columns, axis: str) -> dict[str, NDArray[np.int64]]:
        """Every row combined with every value of the axis. Columns of length 1 stay so."""
        values = np.array(self.values[axis], dtype=np.int64)
        length = _length(columns)
        if axis == "data" and self.facts.least_devices is not None:
            return self._with_replicas(columns, values, self.facts.least_devices)
        if len(values) == 1:
            return {**columns, axis: np.full(length, values[0])}
        expanded = {
            name: column if name in SHARED else np.repeat(column, len(values))
            for name, column in columns.items()
        }
        return {**expanded, axis: np.tile(values, length)}

    def _with_replicas(
        self, columns: Columns, values: NDArray[np.int64], least: int
    ) -> dict[str, NDArray[np.int64]]:
        """The same of the data degrees `values`, in order, that may take from `least` devices up to
        all: of many degrees few do."""
        each = columns["pipeline"] * columns["tensor"] * columns["context"]
        first = np.searchsorted(values, -(-least // each))
        count = np.maximum(np.searchsorted(values, self.facts.devices // each, "right") - first, 0)
        expanded = {
            name: column if name in SHARED else np.repeat(column, count)
            for name, column in columns.items()
        }
        shift = np.repeat(first - (np.cumsum(count) - count), count)
        return {**expanded, "data": values[np.arange(len(shift)) + shift]}

    def _narrow(self, columns: Columns, axis: str) -> dict[str, NDArray[np.int64]]:
        """Apply the rules for which `axis` was the last missing axis, and count what they
        remove."""
        narrowed = dict(columns)
        for rule in RULES_AT[axis]:
            length = _length(narrowed)
            if not length:
                break
            holds = rule.holds(self.facts, narrowed)
            if np.all(holds):
                continue
            kept = np.flatnonzero(np.broadcast_to(holds, length))
            self.tally.excluded[rule.name] += (length - len(kept)) * self._later(axis)
            narrowed = {
                name: column if name in SHARED and len(kept) else column[kept[: len(column)]]
                for name, column in narrowed.items()
            }
        return narrowed


SHARED = ("pipeline", "virtual_stages", "schedule")
"""Columns of length 1: the same in every row."""


def _length(columns: Columns) -> int:
    """Rows of a block; one while there are only shared columns."""
    if not len(columns["pipeline"]):
        return 0
    return next((len(column) for name, column in columns.items() if name not in SHARED), 1)


def _last_axis(rule: SpaceRule) -> str:
    return max(rule.axes, key=AXES.index)


RULES_AT = {axis: tuple(rule for rule in RULES if _last_axis(rule) == axis) for axis in AXES}
"""The rules that can be applied once an axis is added."""


def space_report(enumeration: Enumeration, restrictions: Restrictions) -> Space:
    """The dimensions and exclusions, for the result."""
    return Space(
        dimensions=tuple(
            Dimension(
                name=axis,
                values=tuple(value_of(axis, code) for code in codes),
                restricted_by_user=getattr(restrictions, axis) is not None,
            )
            for axis, codes in enumeration.values.items()
            if set(codes) - {ONLY_WHERE_TRIED.get(axis)} or getattr(restrictions, axis) is not None
        ),
        exclusions=tuple(
            Exclusion(
                rule=rule.name,
                sentence=rule.says(enumeration.facts),
                excluded=enumeration.tally.excluded[rule.name],
            )
            for rule in RULES
            if enumeration.tally.excluded[rule.name]
        )
        + tuple(
            Exclusion(rule=name, sentence=sentence, excluded=enumeration.tally.excluded[name])
            for name, sentence in OTHER_EXCLUSIONS.items()
            if enumeration.tally.excluded[name]
        ),
    )
