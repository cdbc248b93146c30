"""What programs say of their answers, against the plans that these are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from planner.budget import UNLIMITED
from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.search.best_first.combinations import Combinations
from planner.training.search.best_first.run import SearchRun
from planner.training.search.mixed.answer_paths import AnswerPaths
from planner.training.search.mixed.classes import RowClasses
from planner.training.search.mixed.cuts import Paths
from planner.training.search.mixed.descent import Descents
from planner.training.search.mixed.found import FoundAnswer, FoundAnswers
from planner.training.search.mixed.order_problem import Orders, largest_row_s
from planner.training.search.mixed.program import tables_of_most
from planner.training.search.mixed.simulated import simulated_s
from planner.training.search.mixed.splits import StageWays
from planner.training.search.mixed.typed import TypedCombination
from planner.training.search.space.restrictions import Restrictions
from tests.every_instance import instances
from tests.training.search.pricing import Pricing

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.scenario import Scenario

A100, H100, B200 = "a100-sxm-80gb", "h100-sxm-80gb", "b200-sxm"
CLUSTERS: dict[str, dict[str, Any]] = {
    "two types": {"device_nodes": ((A100, 2), (H100, 2)), "devices_per_node": 2},
    "three types": {"device_nodes": ((A100, 1), (H100, 2), (B200, 1)), "devices_per_node": 2},
    "mixed stages": {"device_nodes": ((A100, 3), (H100, 5)), "devices_per_node": 1},
    "nodes of several sizes": {"device_nodes": ((A100, 2, 4), (H100, 2, 2))},
}
WIDE: dict[str, Any] = {"hidden": 4096, "ffn": 8192, "length": 512, "layers": 10}
"""Reductions and gathers take about as long as the passes that may hide them."""

COMBINATIONS, ANSWERS = instances(4, 12), 6
"""Of every scenario, and of each of these."""


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("chunks", [1, 2])
@pytest.mark.parametrize("seed", range(instances(1, 40)))
def test_no_plan_is_faster_than_its_answer(
    scenario_of: Callable[..., Scenario], cluster: str, chunks: int, seed: int
) -> None:
    random = np.random.default_rng([seed, chunks])
    software = "megatron-core-overlap" if seed % 4 < 3 else "megatron-core"
    scenario = scenario_of(**WIDE, **CLUSTERS[cluster], batch=24, software=software)
    run = SearchRun(
        scenario=scenario,
        restrictions=Restrictions(
            virtual_stages=(chunks,), schedule=("interleaved" if chunks > 1 else "1f1b",)
        ),
        top=1,
    )
    run.bound()
    combinations, price = (
        Combinations(scenario=scenario, groups=run.space.fitting),
        Pricing(scenario),
    )
    compared, number = 0, len(combinations.quick_s)
    for index in random.choice(number, min(number, COMBINATIONS), replace=False).tolist():
        of = _typed(scenario, combinations, index)
        if not of.free:
            continue
        classes = RowClasses.free(scenario, of.plan.degrees)
        if classes is None:
            continue
        tables = tables_of_most(of, classes)
        program = tables.program(int(tables.recomputed[0]))
        orders = _random_orders(of, classes, random)
        rows_s, steps_s = largest_row_s(program.problem, orders), simulated_s(of, program, orders)
        for answer in range(len(orders)):
            found = FoundAnswers(scenario, of, classes, None, 1)
            which = slice(answer, answer + 1)
            one = Orders(classes=orders.classes[which], layers=orders.layers[which])
            found.note(program, one, steps_s[which])
            for plan, seconds in found.plans()[0].items():
                step_s = price(plan).step_s
                least_s = max(seconds, rows_s[answer] if np.isfinite(rows_s[answer]) else 0.0)
                assert least_s <= step_s * (1 + 1e-9), (plan, rows_s[answer], seconds, step_s)
                compared += 1
    assert compared >= 4


def test_a_split_that_is_looked_for_is_no_slower_than_an_even_one(
    scenario_of: Callable[..., Scenario],
) -> None:
    """It has the layers of its answer, and its plan takes no less than is said."""
    scenario = scenario_of(
        **{**WIDE, "layers": 13},
        **CLUSTERS["two types"],
        batch=16,
        software="megatron-core-overlap",
    )
    axes: dict[str, Any] = {"pipeline": (2,), "tensor": (1,), "recompute": ("none",)}
    run = SearchRun(
        scenario=scenario,
        restrictions=Restrictions(virtual_stages=(3,), schedule=("interleaved",), **axes),
        top=1,
    )
    run.bound()
    of = _typed(scenario, Combinations(scenario=scenario, groups=run.space.fitting), 0)
    classes = RowClasses.free(scenario, of.plan.degrees)
    assert classes is not None
    tables = tables_of_most(of, classes)
    program = tables.program(int(tables.recomputed[0]))
    orders = Orders(classes=np.array([[0, 1]]), layers=np.array([[4, 9]]))
    ways = StageWays(of, classes, program.chunk_seconds, program.replayed_at_most)
    answers = AnswerPaths(of, program, orders, ways, Paths.none(2, 3))
    descents = Descents(of, answers, program.chunk_seconds, UNLIMITED)
    even_s = float(simulated_s(of, program, orders)[0])
    (split,) = descents.best(np.zeros(1, dtype=np.int64), even_s)
    assert split.chunks.sum(axis=1).tolist() == [4, 9]
    found = FoundAnswers(scenario, of, classes, None, 1)
    found.add(FoundAnswer(split.seconds, 1, orders, program, split.chunks))
    (plan,) = found.plans()[0]
    assert descents.best(np.zeros(1, dtype=np.int64), split.seconds) == []
    assert split.seconds <= Pricing(scenario)(plan).step_s * (1 + 1e-9)


def _typed(scenario: Scenario, combinations: Combinations, index: int) -> TypedCombination:
    plan = combinations.plan(index, 1)
    shard, (group, _) = shard_of(plan), combinations.place(index)
    ideal = scenario.ideal
    return TypedCombination.of(
        ideal,
        plan,
        cost_table(ideal, [shard]),
        batch_of_one(plan, 0, group.layout.load),
        tuple(cost_table(one, [shard]) for one in ideal.by_type),
        free=group.layout.chosen,
    )


def _random_orders(
    of: TypedCombination, classes: RowClasses, random: np.random.Generator
) -> Orders:
    """Rows of units drawn one after the other, and layers at random."""
    units = classes.units or tuple((c,) for c in range(len(classes.types)))
    fewest, total = of.fewest(), len(of.layer_columns)
    rows, layers = [], []
    for _ in range(20 * ANSWERS):
        pool = [u for u, most in enumerate(classes.most) for _ in range(most)]
        row = [c for u in random.permutation(pool).tolist() for c in units[u]][: classes.rows]
        spare = random.multinomial(total - fewest.sum(), random.dirichlet(np.ones(len(fewest))))
        if len(row) == classes.rows and _whole(row, units, classes):
            rows.append(row)
            layers.append(fewest + spare)
    return Orders(
        classes=np.array(rows[:ANSWERS], dtype=np.int64).reshape(-1, classes.rows),
        layers=np.array(layers[:ANSWERS], dtype=np.int64).reshape(-1, len(fewest)),
    )


def _whole(row: list[int], units: tuple[tuple[int, ...], ...], classes: RowClasses) -> bool:
    """Whether the last node fills all its rows."""
    return not classes.units or row[-1] in {unit[-1] for unit in units}
