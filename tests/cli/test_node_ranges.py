"""`search --nodes 1..6`: the best plan on every number of nodes, found in one search."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

JOB = ("search", "--cluster", "dgx-h100-16", "--model", "gpt-1.7b", "--global-batch-size", "96")
NARROW = ("--pipeline", "1", "--recompute", "none", "--top", "1")


def _search(planner: Callable[..., Outcome], *more: str) -> dict[str, Any]:
    outcome = planner(*JOB, *NARROW, "--json", *more)
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def test_the_best_of_all_smaller_numbers_of_nodes_is_found_without_looking_twice(
    planner: Callable[..., Outcome],
) -> None:
    alone: dict[int, float] = {}
    for nodes in range(1, 7):
        outcome = planner(*JOB, *NARROW, "--json", "--nodes", str(nodes), "--idle", "off")
        if outcome.code == 0:
            alone[nodes] = json.loads(outcome.stdout)["plans"][0]["estimate"]["step_s"]
    assert 5 not in alone
    assert 6 in alone
    curve = _search(planner, "--nodes", "1..6")["search"]["scaling"]
    assert [one["nodes"] for one in curve] == [1, 2, 3, 4, 5, 6]
    for one in curve:
        best_s = min(step_s for nodes, step_s in alone.items() if nodes <= one["nodes"])
        assert one["step_s"] == pytest.approx(best_s, rel=1e-9)
    assert len(curve[4]["plan"]["placement"]["hosts"]) == 4


def test_the_report_shows_the_curve(planner: Callable[..., Outcome]) -> None:
    shown = planner(*JOB, *NARROW, "--nodes", "5..6").stdout
    table = shown[shown.index("Tokens a second by nodes") :].splitlines()
    assert table[1].split()[:4] == ["nodes", "used", "step", "tokens/s"]
    assert table[3].split()[:2] == ["5", "4"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("8..4", "'8..4' counts down; write it like --nodes 4..8"),
        ("4..", "'' is not a whole number from 1 to 100,000"),
        ("1..90000", "'1..90000' are more than 1,000 numbers"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(
    planner: Callable[..., Outcome], given: str, said: str
) -> None:
    outcome = planner(*JOB, "--nodes", given)
    assert outcome.code == 2
    assert outcome.stderr == f"error: --nodes: {said}\n"
