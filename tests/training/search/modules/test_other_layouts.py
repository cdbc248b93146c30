"""Bounds of combinations with chosen modules over all other layouts, on nodes of which one or two
are slow, against random layouts on hosts in random orders, priced in full."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np

from planner.budget import UNLIMITED
from planner.errors import PlannerError
from planner.training.estimate import point_estimate
from planner.training.search.best_first.combinations import plan_at
from planner.training.search.best_first.modules import as_kept, choices_bound_s
from planner.training.search.best_first.run import SearchRun
from planner.training.search.hosts.placement import placement_on
from planner.training.search.modules.treated import TreatedSpace, Untreated
from planner.training.search.plans.problems import check_plan
from planner.training.search.space.restrictions import Restrictions
from tests.every_instance import instances
from tests.training.search.bounding.test_every_layout import random_layout
from tests.training.search.bounding.test_slow_rows import slow_cluster

SPACE = Restrictions(micro_batch_size=(1, 2), virtual_stages=(1, 2, 3), context=(1,))


def check(seed: int) -> int:
    """Checks one combination with some of its choices; returns how many plans it priced."""
    rng = np.random.default_rng(seed)
    scenario = slow_cluster(rng)
    if not scenario.job.software.recompute.tried_modules:
        return 0
    run = SearchRun(scenario=scenario, restrictions=SPACE, top=1)
    run.bound()
    ideal, table = scenario.ideal, run.space.growing.table
    groups = [one for one in run.space.may_fit if one.screened.pipeline > 1]
    if not groups:
        return 0
    group = groups[int(rng.integers(len(groups)))]
    rows = np.array([int(rng.integers(len(group)))])
    found = TreatedSpace.of(
        ideal, table, [Untreated(as_kept(group), rows, rows)], lambda _: inf, UNLIMITED
    )
    any_choice_s = float(choices_bound_s(ideal, table, as_kept(group), rows, UNLIMITED)[0])
    hosts = np.array(scenario.cluster.host_names())
    usual, priced = plan_at(scenario, group, int(rows[0]), 0), 0
    for place in rng.permutation(len(found))[:3].tolist():
        choice, bound_s = found.chosen[place], float(found.others_s[place])
        for _ in range(2):
            layout = random_layout(usual, rng)
            placement = placement_on(scenario, tuple(rng.permutation(hosts).tolist()))
            plan = choice.treatment.of(replace(layout, placement=placement))
            try:
                check_plan(scenario, plan)
                step_s = point_estimate(scenario, plan).step_s
            except PlannerError:
                continue
            if plan.stages != usual.stages:
                priced += 1
                assert step_s >= any_choice_s * (1 - 1e-9), seed
                assert bound_s == inf or step_s >= bound_s * (1 - 1e-9), seed
    return priced


def test_no_other_layout_with_chosen_modules_beats_its_bound() -> None:
    assert sum(check(seed) for seed in range(instances(24, 400))) >= instances(8, 150)
