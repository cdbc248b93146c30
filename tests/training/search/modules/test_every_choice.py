"""Every choice of modules as rows of a cost table, against layers priced with these modules; and
the bounds of combinations with them, against their plans priced in full."""

from __future__ import annotations

from itertools import product
from math import inf

import numpy as np
import pytest

from planner.budget import UNLIMITED
from planner.errors import PlannerError
from planner.plan import Estimate, Plan
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.training.batch import FULL
from planner.training.costs import cost_table
from planner.training.estimate import point_estimate, shard_of
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.best_first import modules
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.best_first.modules import as_kept
from planner.training.search.best_first.run import SearchRun
from planner.training.search.modules.every_choice import EveryChoice
from planner.training.search.modules.options import KEEP, ModuleWays, Treatment
from planner.training.search.modules.treated import TreatedSpace, Untreated
from planner.training.search.objective import Objective
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.plans.problems import check_plan
from planner.training.search.ranked import search_ranked
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions

DENSE, MIXTURE = ("llama-3-8b", 40_960), ("qwen3-30b-a3b", 16_384)


def job(model: str, sequence: int) -> Scenario:
    cluster, spec = load_cluster("dgx-h100-16"), load_model(model)
    software = load_software("megatron-core")
    job = build_job(spec, software, devices=16, global_batch_size=16, seq_length=sequence)
    return build_scenario(cluster.sized(devices=16), spec, job)


def every_treatment(scenario: Scenario, plan: Plan) -> list[Treatment]:
    blocks = ModuleWays.of(scenario, shard_of(plan)).blocks
    return [sum(ways, KEEP) for ways in product(*blocks)]


@pytest.mark.parametrize(("model", "sequence"), [DENSE, MIXTURE])
def test_rows_are_those_of_layers_priced_with_the_modules(model: str, sequence: int) -> None:
    scenario = job(model, sequence)
    shard = shard_of(plan_from_flags(scenario, Restrictions(tensor=(4,), recompute=("full",))))
    every = EveryChoice.of(scenario, shard)
    table = every.table
    assert len(set(every.treatments)) == len(every) > 8
    for row, treatment in enumerate(every.treatments):
        alone = cost_table(treatment.scenario(scenario), [shard])
        again, there = bool(treatment.recompute), bool(treatment.offload)
        kept = alone.selective_bytes if again else alone.saved_bytes
        movable = alone.selective_movable_bytes if again else alone.movable_bytes
        np.testing.assert_array_equal(table.selective_bytes[row], kept[0])
        np.testing.assert_array_equal(table.selective_movable_bytes[row], movable[0] * there)
        np.testing.assert_allclose(
            table.selective_s[:, row], alone.selective_s[:, 0] * again, rtol=1e-12
        )
        np.testing.assert_array_equal(table.backward_bytes[row], alone.backward_bytes[0])
        np.testing.assert_array_equal(table.forward_s[:, :, row], alone.forward_s[:, :, 0])
        assert every.moves[row] == there


@pytest.mark.parametrize(
    ("model", "sequence", "space"),
    [
        (*DENSE, Restrictions(tensor=(2, 4), pipeline=(1, 2), context=(1,), micro_batch_size=(1,))),
        (*MIXTURE, Restrictions(tensor=(1, 2), context=(1,), micro_batch_size=(1,), expert=(8,))),
    ],
)
def test_no_plan_with_chosen_modules_is_faster_than_its_bound(
    model: str, sequence: int, space: Restrictions
) -> None:
    scenario = job(model, sequence)
    run = SearchRun(scenario=scenario, restrictions=space, top=1)
    run.bound()
    table, seen = run.space.growing.table, 0
    for group in run.space.may_fit:
        full = group.variants["recompute"] == FULL
        rows = np.flatnonzero(full & (group.variants["activation_offload"] == 0))[:1]
        if not rows.size:
            continue
        one = Untreated(as_kept(group), rows, rows)
        found = TreatedSpace.of(scenario, table, [one], lambda _: inf, UNLIMITED)
        usual = plan_at(scenario, group, int(rows[0]), 0)
        bounds = found.default_s.tolist()
        choices = [
            (choice, bound_s)
            for choice, bound_s in zip(found.chosen, bounds, strict=True)
            if bound_s < inf
        ]
        prices = [priced(scenario, choice.treatment.of(usual)) for choice, _ in choices]
        for (choice, bound_s), price in zip(choices, prices, strict=True):
            assert price is None or price.memory.fits
            assert price is None or bound_s <= price.step_s
            for (other, _), known in zip(choices, prices, strict=True):
                if price is not None and known is not None and choice.no_faster_than(other):
                    assert price.step_s >= known.step_s * (1 - 1e-12)
        least_s = min(bounds, default=inf)
        for treatment in every_treatment(scenario, usual):
            estimated = priced(scenario, treatment.of(usual))
            if treatment != KEEP and estimated is not None and estimated.memory.fits:
                seen += 1
                assert estimated.step_s >= least_s
    assert seen > 10


def test_a_gap_says_that_it_is_from_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = job(*DENSE)
    space = Restrictions(tensor=(2,), pipeline=(1, 2), context=(1,), micro_batch_size=(1,))
    done = search(scenario, restrictions=space, top=1, advise=False)
    assert done.plans[0].plan.chooses_modules
    assert done.gap_from != "modules"
    monkeypatch.setattr(modules, "PRICED", 0)
    left = search(scenario, restrictions=space, top=1, advise=False)
    assert left.gap_from == "modules"
    best_s, other_s = done.plans[0].estimate.step_s, left.plans[0].estimate.step_s
    assert best_s >= other_s * (1 - left.gap)
    limited = search_ranked(scenario, Objective(at_least=1.0), restrictions=space, top=1)
    assert limited.gap > 0
    assert limited.gap_from == "modules"


def priced(scenario: Scenario, plan: Plan) -> Estimate | None:
    try:
        check_plan(scenario, plan)
        return point_estimate(scenario, plan)
    except PlannerError:
        return None
