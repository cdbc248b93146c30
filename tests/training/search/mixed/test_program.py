"""Which programs of a combination are worth solving, against solving all of them."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.search.best_first.combinations import Combinations
from planner.training.search.best_first.run import SearchRun
from planner.training.search.mixed import program
from planner.training.search.mixed.classes import RowClasses
from planner.training.search.mixed.orders import best_order
from planner.training.search.mixed.program import CombinationTables
from planner.training.search.mixed.typed import TypedCombination
from planner.training.search.space.restrictions import Restrictions
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.scenario import Scenario

NUMBERS = 12


def test_programs_that_are_not_worth_it_have_no_answer(
    scenario_of: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = scenario_of(layers=NUMBERS + 1, batch=16)
    restrictions = Restrictions(
        pipeline=(2,),
        schedule=("1f1b",),
        virtual_stages=(1,),
        recompute=("full",),
        micro_batch_size=(1,),
    )
    run = SearchRun(scenario=scenario, restrictions=restrictions, top=1)
    run.bound()
    plan = Combinations(scenario=scenario, groups=run.space.fitting).plan(0, 1)
    table = cost_table(scenario, [shard_of(plan)])
    load = stage_load(scenario.model, scenario.kinds, plan.stages)
    of = TypedCombination.of(
        scenario, plan, table, batch_of_one(plan, 0, load), (table,), free=True
    )
    lengths, numbers = np.arange(NUMBERS + 1), np.arange(1, NUMBERS + 1)
    tables = CombinationTables(of, RowClasses.alike(2), lengths, numbers)
    best = {r: best_order(tables.program(r).problem) for r in numbers.tolist()}
    rows_s = {r: one.rows_s for r, one in best.items() if one is not None}
    assert len(rows_s) == NUMBERS
    for below_s, number in ((inf, NUMBERS), (rows_s[5], 4), (rows_s[2], 2), (rows_s[1], 2)):
        worth = list(tables.worth(partial(float, below_s)))
        assert {r for r, seconds in rows_s.items() if seconds < below_s} <= set(worth)
        assert len(worth) == number
    monkeypatch.setattr(program, "room_bytes", lambda *_: 0.0)
    passed_over: list[bool] = []
    assert not list(tables.worth(lambda: inf, lambda: passed_over.append(True)))
    assert len(passed_over) == 3
