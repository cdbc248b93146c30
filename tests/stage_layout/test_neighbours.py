"""Layouts with several chunks per stage that moves of layers reach, against every layout."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.stage_layout import neighbours, tried
from planner.stage_layout.neighbours import descend
from planner.stage_layout.problem import Layouts, Pattern, fits, price, spans_s
from planner.stage_layout.starts import pieces_of, regular_layouts, with_pieces
from planner.training.search.layouts.default import uniform_layers
from tests.every_instance import instances

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.arrays import Floats
    from planner.stage_layout.problem import LayoutProblem, Prices


def default_layout(problem: LayoutProblem) -> Layouts:
    """Equal numbers of pieces, the larger ones in the middle."""
    pieces = np.array([uniform_layers(len(problem.ends) - 1, problem.chunks)])
    return with_pieces(problem, pieces, np.zeros(problem.stages, dtype=np.int64))


def alike(problem: LayoutProblem) -> LayoutProblem:
    """With layers that are all alike, stages too, and memory for anything."""
    cost = {"forward_s": 1.0, "backward_s": 2.0, "weight_gradient_s": 1.9}
    inner = len(problem.forward_s[0]) - 2
    changed = {}
    for name, layer_s in cost.items():
        changed[name] = getattr(problem, name).copy()
        changed[name][:] = [layer_s] * inner + [0.1 * layer_s, 0.4 * layer_s]
    endless = np.full(problem.stages, np.inf)
    return replace(problem, patterns=(Pattern(0, 0),), capacity_bytes=endless, **changed)


@pytest.mark.parametrize("seed", range(instances(12, 200)))
def test_no_worse_than_where_it_starts_and_close_to_the_best(
    random_problem: Callable[..., LayoutProblem],
    every_layout: Callable[[LayoutProblem], Layouts | None],
    seed: int,
) -> None:
    virtual_stages = 2 + seed % 2
    problem = alike(
        random_problem(
            seed, "interleaved", virtual_stages=virtual_stages, layers=11, kinds=1, stages=3
        )
    )
    start, layouts = default_layout(problem), every_layout(problem)
    if not len(start) or layouts is None:
        return
    found = descend(problem, start)
    prices = price(problem, found)
    least_s = spans_s(problem, price(problem, layouts)).min()
    start_s = spans_s(problem, price(problem, start))[0]
    assert fits(problem, prices).all()
    assert least_s * (1 - 1e-9) <= spans_s(problem, prices)[0] <= start_s * (1 + 1e-9)
    assert spans_s(problem, prices)[0] <= 1.04 * least_s


def test_chunks_that_hold_more_are_the_same_on_all_stages(
    random_problem: Callable[..., LayoutProblem],
) -> None:
    """24 layers on four stages of five chunks: the default has the four larger chunks in the
    middle, one on every stage, and loses a twentieth of the step by that."""
    problem = alike(random_problem(3, "interleaved", virtual_stages=2, kinds=1, stages=4))
    first, middle, last = problem.chain[0], problem.chain[1], problem.chain[-1]
    problem = replace(
        problem,
        stages=4,
        virtual_stages=5,
        num_microbatches=24,
        chain=(first, *[middle] * 24, last),
        may_cut=(True,) * 25,
        forward_s=np.tile(problem.forward_s[0], (4, 1)),
        backward_s=np.tile(problem.backward_s[0], (4, 1)),
        weight_gradient_s=np.tile(problem.weight_gradient_s[0], (4, 1)),
        replay_s=np.zeros((1, 4, len(problem.forward_s[0]))),
        kept_bytes=problem.kept_bytes[:1],
        in_flight=np.ones((4, 5), dtype=np.int64),
        fixed_bytes=np.zeros(4),
        capacity_bytes=np.full(4, 1e9),
        forward_send_s=np.zeros(19),
        backward_send_s=np.zeros(19),
    )
    start = default_layout(problem)
    found = descend(problem, start)
    start_s, found_s = (spans_s(problem, price(problem, one))[0] for one in (start, found))
    assert found_s < 0.96 * start_s


def test_regular_layouts_hold_all_pieces(random_problem: Callable[..., LayoutProblem]) -> None:
    problem = random_problem(5, "interleaved", virtual_stages=3, layers=17, kinds=1)
    start = default_layout(problem)
    layouts = regular_layouts(problem, start)
    assert (layouts.ends[0] == start.ends[0]).all()
    assert (pieces_of(problem, layouts).sum(axis=1) == len(problem.ends) - 1).all()
    assert len(np.unique(layouts.ends[1:], axis=0)) == len(layouts) - 1 > 2


def test_problems_that_differ_in_memory_share_what_was_simulated(
    random_problem: Callable[..., LayoutProblem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each descent ends where it does with nothing known, and the second one simulates less."""
    seen: list[int] = []

    def counted(problem: LayoutProblem, prices: Prices) -> Floats:
        seen.append(len(prices.forward_s))
        return spans_s(problem, prices)

    monkeypatch.setattr(neighbours, "spans_s", counted)
    roomy = alike(random_problem(5, "interleaved", virtual_stages=2, layers=11, kinds=1, stages=3))
    start = default_layout(roomy)
    held = price(roomy, start).peak_bytes[0]
    narrow = replace(roomy, capacity_bytes=held * 1.05)
    slow = replace(roomy, forward_s=roomy.forward_s * [[1.0], [1.0], [2.0]])

    def followed(problem: LayoutProblem) -> tuple[list[int], int]:
        seen.clear()
        ends: list[int] = descend(problem, start).ends[0].tolist()
        return ends, sum(seen)

    apart = []
    for problem in (roomy, narrow, slow):
        tried._tried.cache_clear()
        apart.append(followed(problem))
    assert len({tuple(ends) for ends, _ in apart}) > 1
    tried._tried.cache_clear()
    together = [followed(problem) for problem in (roomy, narrow, slow)]
    assert [ends for ends, _ in together] == [ends for ends, _ in apart]
    assert together[1][1] < apart[1][1]
    assert together[2][1] == apart[2][1]
