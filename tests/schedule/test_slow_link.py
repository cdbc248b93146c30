"""One stage boundary ten times slower than the others, against a hand-written event queue."""

from __future__ import annotations

import heapq
from collections import defaultdict

import numpy as np
import pytest

from planner.schedule.build import build
from planner.schedule.graph.compile import Sends
from planner.schedule.simulation.critical_path import critical_path
from planner.schedule.simulation.simulate import Durations, simulate

FORWARD_S, BACKWARD_S, LINK_S = 1.0, 2.0, 0.2
SLOW = 10


def lists(p: int, v: int, m: int) -> list[list[tuple[str, int, int]]]:
    """Kind, microbatch and chunk in the order of Megatron-LM's two schedules, written out."""
    orders = []
    for stage in range(p):
        forwards = [
            (micro + first, chunk)
            for first in range(0, m, p)
            for chunk in range(v)
            for micro in range(p)
        ]
        backwards = [(micro, v - 1 - chunk) for micro, chunk in forwards]
        warm = 2 * (p - 1 - stage) + (v - 1) * p if v > 1 else p - 1 - stage
        warm = min(warm, m * v)
        order = [("F", *one) for one in forwards[:warm]]
        for late, early in zip(forwards[warm:], backwards, strict=False):
            order += [("F", *late), ("B", *early)]
        order += [("B", *one) for one in backwards[m * v - warm :]]
        orders.append(order)
    return orders


def event_queue(p: int, v: int, m: int, links: list[float], *, waits: bool) -> float:
    """When the last pass ends. Events are "a stage is free" and "a message is there"; with `waits`
    a stage is free when its message is there."""
    orders, at = lists(p, v, m), [0] * p
    here: set[tuple[str, int, int]] = {("F", micro, 0) for micro in range(m)}
    idle = [True] * p
    channel: dict[tuple[int, int], float] = {}
    events: list[tuple[float, int, str, int, tuple[str, int, int] | None]] = []
    count, last = 0, 0.0

    def post(when: float, what: str, stage: int, item: tuple[str, int, int] | None) -> None:
        nonlocal count
        heapq.heappush(events, (when, count, what, stage, item))
        count += 1

    def start(stage: int, now: float) -> None:
        nonlocal last
        if not idle[stage] or at[stage] == len(orders[stage]):
            return
        kind, micro, chunk = orders[stage][at[stage]]
        place = chunk * p + stage
        if (kind, micro, place) not in here:
            return
        at[stage] += 1
        idle[stage] = False
        end = now + (FORWARD_S if kind == "F" else BACKWARD_S)
        last = max(last, end)
        onward = place + 1 if kind == "F" else place - 1
        free = end
        if kind == "F" and onward == p * v:
            here.add(("B", micro, place))
        elif onward >= 0:
            receiver = onward % p
            link = links[min(place, onward)]
            begin = max(end, channel.get((stage, receiver), 0.0))
            channel[stage, receiver] = begin + link
            post(begin + link, "message", receiver, (kind, micro, onward))
            free = begin + link if waits else end
        post(free, "free", stage, None)

    for stage in range(p):
        start(stage, 0.0)
    while events:
        now, _, what, stage, item = heapq.heappop(events)
        if what == "message":
            assert item is not None
            here.add(item)
        else:
            idle[stage] = True
        start(stage, now)
    assert at == [len(order) for order in orders]
    return last


@pytest.mark.parametrize(
    ("name", "v", "sends"),
    [
        ("1f1b", 1, "blocking"),
        ("1f1b", 1, "asynchronous"),
        ("interleaved", 2, "blocking"),
        ("interleaved", 2, "asynchronous"),
        ("interleaved", 4, "asynchronous"),
    ],
)
@pytest.mark.parametrize("slow", [None, 0, 1, 2])
def test_the_slowdown_is_that_of_the_event_queue(
    name: str, v: int, sends: Sends, slow: int | None
) -> None:
    p, m = 4, 16
    links = [LINK_S * (SLOW if place % p == slow else 1) for place in range(p * v - 1)]
    timeline = simulate(
        build(name, stages=p, virtual_stages=v, num_microbatches=m),
        Durations(
            forward_s=np.full((p, v), FORWARD_S),
            backward_s=np.full((p, v), BACKWARD_S),
            forward_send_s=links,
            backward_send_s=links,
            sends=sends,
        ),
    )
    expected = event_queue(p, v, m, links, waits=sends == "blocking")
    assert timeline.span_s == pytest.approx(expected, rel=1e-12)
    if slow is None:
        return
    fast = event_queue(p, v, m, [LINK_S] * (p * v - 1), waits=sends == "blocking")
    assert timeline.span_s > fast + SLOW * LINK_S - LINK_S

    share: dict[tuple[int, ...], float] = defaultdict(float)
    for segment in critical_path(timeline):
        if segment.activity.endswith("send"):
            to = segment.stage + (1 if segment.activity == "forward_send" else -1)
            share[tuple(sorted((segment.stage, to % p)))] += segment.end_s - segment.start_s
    link, waited = max(share.items(), key=lambda item: item[1])
    assert link == (slow, slow + 1)
    assert waited > sum(share.values()) / 2
