"""Five schedules that treat the vocabulary layers differently, against their published times and
memory (Yeung et al. 2024, arXiv:2411.05288; sail-sg/VocabularyParallelism at 6191c3bf,
artifact/exp_one_host.csv: 4B GPT, 8 stages on one A100 node)."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import pytest

from planner.specs.files.catalog import resolve
from planner.validation.compare import Comparison, RunResult
from planner.validation.validate import validate_files

SCHEDULES = ("1f1b", "1f1b-balanced", "1f1b-vocab-1", "1f1b-vocab-2", "interlaced-vocab")
TIE = 0.03
"""Measured times closer than this say nothing of the order."""


@pytest.fixture(scope="module")
def groups() -> dict[str, dict[str, RunResult]]:
    """Runs by vocabulary and sequence length, then by schedule."""
    (source,) = validate_files([resolve("runs", "vocabulary-a100")]).sources
    assert not source.errors
    found: dict[str, dict[str, RunResult]] = defaultdict(dict)
    for run in source.results:
        assert run.group is not None
        found[run.group][run.plan.schedule] = run
    assert len(found) == 4
    assert all(set(group) == set(SCHEDULES) for group in found.values())
    return found


def step(run: RunResult) -> Comparison:
    assert run.step is not None
    return run.step


def test_step_times_keep_their_order(groups: dict[str, dict[str, RunResult]]) -> None:
    compared = 0
    for group in groups.values():
        for one, other in combinations(map(step, group.values()), 2):
            if abs(one.measured / other.measured - 1) > TIE:
                assert (one.predicted < other.predicted) == (one.measured < other.measured)
                compared += 1
    assert compared >= 20


def test_gains_over_the_baseline_are_within_five_points(
    groups: dict[str, dict[str, RunResult]],
) -> None:
    for group in groups.values():
        baseline = step(group["1f1b"])
        for name in SCHEDULES[1:]:
            found = step(group[name])
            predicted = 1 - found.predicted / baseline.predicted
            measured = 1 - found.measured / baseline.measured
            assert abs(predicted - measured) < 0.05


def test_allocated_memory_of_the_fullest_and_the_emptiest_rank(
    groups: dict[str, dict[str, RunResult]],
) -> None:
    for group in groups.values():
        for run in group.values():
            fullest = run.memory["allocated"]
            assert fullest is not None
            assert run.min_rank_allocated is not None
            assert abs(fullest.error) < 0.015
            assert abs(run.min_rank_allocated.error) < 0.02


def test_step_times_of_every_schedule(groups: dict[str, dict[str, RunResult]]) -> None:
    errors = [abs(step(run).error) for group in groups.values() for run in group.values()]
    assert len(errors) == 20
    assert max(errors) < 0.12
    assert sum(errors) / len(errors) < 0.06
