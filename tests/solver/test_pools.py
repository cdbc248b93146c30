"""The program over workers and counts: brute force, its rows, and levels that bound from above."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.budget import UNLIMITED
from planner.solver import Solver
from planner.solver.pools import PoolsProblem, Room, WorkerKind, outer_levels, solve_pools


def kind(rate: list[float], clients: list[float], stage: int, **more: Any) -> WorkerKind:
    given_: dict[str, Any] = {"group": 0, "stages": 1, "cost": float(stage), **more}
    return WorkerKind(stage=stage, clients=np.array(clients), rate=np.array(rate), **given_)


def curve(each: float, most: float, levels: int) -> tuple[list[float], list[float]]:
    clients = np.linspace(most / levels, most, levels)
    return (clients / (each * (2 + clients))).tolist(), clients.tolist()


def best_by_hand(workers: tuple[WorkerKind, ...], devices: int, clients: float) -> float:
    """All counts of aggregated kinds, and the best mixture of levels of each count by trying pairs
    of levels of every kind used."""
    best = 0.0
    for counts in product(*(range(devices // one.devices + 1) for one in workers)):
        used = [(n, one) for n, one in zip(counts, workers, strict=True) if n]
        if len(used) > 1 or sum(n * one.devices for n, one in used) > devices:
            continue
        for n, one in used:
            each = clients / n
            if one.clients[0] <= each <= one.clients[-1]:
                best = max(best, n * float(np.interp(each, one.clients, one.rate)))
    return best


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.floats(0.1, 2), st.floats(4, 30), st.sampled_from([1, 2, 4])),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 8),
    st.floats(2, 40),
)
def test_one_role_is_brute_force(
    kinds: list[tuple[float, float, int]], devices: int, clients: float
) -> None:
    workers = tuple(kind(*curve(each, most, 5), stage) for each, most, stage in kinds)
    rooms = (Room(devices=devices, block=8),)
    problem = PoolsProblem(workers=workers, rooms=rooms, clients=clients)
    answer = solve_pools(problem, Solver(), UNLIMITED)
    by_hand = best_by_hand(workers, devices, clients)
    if answer is None:
        assert by_hand == 0
        return
    assert answer.value == pytest.approx(by_hand, rel=1e-5)
    assert answer.bound >= by_hand * (1 - 1e-6)


def test_readers_and_writers_are_brute_force() -> None:
    """Prompts are read as fast as answers are written: the counts of two kinds of each by hand."""
    readers = [
        kind([0.0, 2.0, 3.0], [0.0, 1.0, 4.0], 1, reads_for=0),
        kind([0.0, 5.0, 7.0], [0.0, 2.0, 6.0], 2, reads_for=0),
    ]
    writers = [
        kind([0.5, 1.5, 2.0], [2.0, 10.0, 20.0], 1, continues=True),
        kind([1.5, 4.0, 5.0], [2.0, 10.0, 20.0], 2, continues=True),
    ]
    devices, clients = 6, 40.0
    best = 0.0
    for reader, writer in product(readers, writers):
        for n, m in product(range(1, 7), range(1, 7)):
            if n * reader.devices + m * writer.devices > devices:
                continue
            for rate in np.linspace(0, n * reader.rate[-1], 3001):
                waiting = n * np.interp(rate / n, reader.rate, reader.clients)
                each = (clients - waiting) / m
                if writer.clients[0] <= each <= writer.clients[-1]:
                    written = m * np.interp(each, writer.clients, writer.rate)
                    if abs(written - rate) < 2e-3 * rate:
                        best = max(best, written)
    problem = PoolsProblem(
        workers=tuple(
            WorkerKind(
                group=0,
                stage=one.stage,
                stages=1,
                clients=one.clients,
                rate=one.rate,
                cost=1.0,
                reads_for=one.reads_for,
                continues=one.continues,
                adjacent=True,
            )
            for one in (*readers, *writers)
        ),
        rooms=(Room(devices=devices, block=8),),
        clients=clients,
    )
    answer = solve_pools(problem, Solver(), UNLIMITED)
    assert answer is not None
    assert answer.value == pytest.approx(best, rel=5e-3)
    read, written = (
        sum(
            float(z @ one.rate)
            for z, one in zip(answer.shares, problem.workers, strict=True)
            if one.continues is continues
        )
        for continues in (False, True)
    )
    assert read == pytest.approx(written)


def test_links_between_groups_limit_what_is_read_for_another() -> None:
    workers = (
        kind([0.0, 10.0], [0.0, 1.0], 1, group=0, reads_for=1),
        kind([1.0, 9.0], [1.0, 9.0], 1, group=1, continues=True),
    )
    rooms = (Room(devices=1, block=1), Room(devices=1, block=1))
    free = PoolsProblem(workers=workers, rooms=rooms, clients=None)
    tight = PoolsProblem(workers=workers, rooms=rooms, clients=None, carried_per_s={(0, 1): 4.0})
    found = [solve_pools(one, Solver(), UNLIMITED) for one in (free, tight)]
    assert [one and one.value for one in found] == [pytest.approx(9.0), pytest.approx(4.0)]


def test_sizes_that_do_not_divide_one_another_take_whole_blocks() -> None:
    """Two of three devices and one of two do not share a block of six with one device left over:
    3 + 2 fit one block of 6 by their sum, but each size gets blocks of its own."""
    workers = (kind([1.0], [1.0], 2), kind([2.0], [1.0], 3, continues=True, group=0))
    reader = kind([0.0, 9.0], [0.0, 0.1], 2, reads_for=0)
    rooms = (Room(devices=6, block=6),)
    problem = PoolsProblem(workers=(*workers, reader), rooms=rooms, clients=None)
    answer = solve_pools(problem, Solver(), UNLIMITED)
    assert answer is not None
    assert answer.counts == (3, 0, 0)


@settings(max_examples=30)
@given(st.floats(0.2, 5), st.floats(3, 50), st.integers(2, 8))
def test_outer_levels_are_nowhere_below_a_concave_curve(
    each: float, most: float, levels: int
) -> None:
    rate, clients = curve(each, most, levels)
    outer = outer_levels(np.array(clients), np.array(rate))
    at = np.linspace(clients[0], most, 101)
    true = at / (each * (2 + at))
    order = np.argsort(outer[0])
    assert (np.interp(at, outer[0][order], outer[1][order]) >= true * (1 - 1e-9)).all()


@pytest.mark.parametrize("rate", [1.0, 7.0, 13.0, 22.0, 40.0])
def test_the_cheapest_for_a_rate_is_brute_force(rate: float) -> None:
    """Two kinds of one role at other prices: only one of them may be used; a pair that is apart."""
    rates, costs, devices = (3.0, 7.5), (2.0, 4.5), (1, 2)
    workers = tuple(
        WorkerKind(
            group=0,
            stage=stage,
            stages=1,
            clients=np.array([0.0, 1.0]),
            rate=np.array([0.0, each]),
            cost=cost,
        )
        for each, cost, stage in zip(rates, costs, devices, strict=True)
    )
    rooms = (Room(devices=8, block=8),)
    problem = PoolsProblem(
        workers=workers, rooms=rooms, clients=None, cheapest=True, least_per_s=rate
    )
    answer = solve_pools(problem, Solver(), UNLIMITED)
    needed = [int(np.ceil(rate / each - 1e-9)) for each in rates]
    fitting = [
        n * cost for n, cost, size in zip(needed, costs, devices, strict=True) if n * size <= 8
    ]
    if not fitting:
        assert answer is None
        return
    assert answer is not None
    assert answer.value == pytest.approx(min(fitting))


def test_workers_that_are_apart_are_not_used_together() -> None:
    reader = kind([0.0, 9.0], [0.0, 1.0], 1, reads_for=0)
    writers = [kind([9.0], [1.0], 1, continues=True), kind([3.0], [1.0], 1, continues=True)]
    rooms = (Room(devices=2, block=2),)
    problem = PoolsProblem(workers=(reader, *writers), rooms=rooms, clients=None, apart=((0, 1),))
    answer = solve_pools(problem, Solver(), UNLIMITED)
    assert answer is not None
    assert answer.counts == (1, 0, 1)
