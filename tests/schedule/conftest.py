"""A naive event simulation written from the definitions of `Sends` and `Exchange`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from planner.schedule.passes import VOCAB_KINDS, PassKind, Schedule
from planner.schedule.simulation.simulate import Durations


@pytest.fixture(scope="session")
def run_naively() -> Callable[[Schedule, Durations], np.ndarray]:
    """Ends of all passes [p, n]; of idle ones that of the pass before."""
    return lambda schedule, durations: Naive(schedule, durations).run()


@dataclass
class Naive:
    """Runs every stage's list pass by pass, keeping what has arrived where, in dictionaries."""

    schedule: Schedule
    durations: Durations

    def __post_init__(self) -> None:
        schedule = self.schedule
        self.place = {
            (stage, chunk): int(position)
            for (stage, chunk), position in np.ndenumerate(schedule.placement.virtual_stage)
        }
        self.stage_at = {position: stage for (stage, _), position in self.place.items()}
        self.end: dict[tuple[int, int], float] = {}
        self.arrived: dict[tuple[str, int, int], float] = {}
        self.channel: dict[tuple[int, int], float] = {}
        self.done: dict[tuple[int, PassKind, int], float] = {}
        self.met: dict[tuple[str, int], float] = {}
        self.queue = sorted(
            (microbatch + exchange.lag, index, microbatch)
            for index, exchange in enumerate(schedule.exchanges)
            for microbatch in range(schedule.num_microbatches)
        )

    def meet(self) -> None:
        """Runs every exchange whose turn it is and whose stages are there."""
        while self.queue:
            _, index, microbatch = self.queue[0]
            exchange = self.schedule.exchanges[index]
            vocab = exchange.after in VOCAB_KINDS
            stages = range(self.schedule.stages) if vocab else [self.schedule.stages - 1]
            parties = [self.done.get((s, exchange.after, microbatch)) for s in stages]
            if any(party is None for party in parties):
                return
            before = max(self.met.values(), default=0.0)
            seconds = float(np.asarray(self.durations.exchange_s)[index])
            begin = max(before, *(party for party in parties if party is not None))
            self.met[exchange.name, microbatch] = begin + seconds
            self.queue.pop(0)

    def exchange(self, kind: PassKind, stage: int, microbatch: int, holds: bool) -> float | None:
        """When the exchange is over that a pass waits for, or that holds the stage after it."""
        ready: float | None = 0.0
        for exchange in self.schedule.exchanges:
            involved = exchange.after == kind if holds else kind in exchange.before
            if (holds and not exchange.holds) or not involved:
                continue
            if kind in VOCAB_KINDS or stage == self.schedule.stages - 1:
                ready = self.met.get((exchange.name, microbatch))
        return ready

    def pass_s(self, stage: int, kind: PassKind, chunk: int) -> float:
        at = (stage, chunk)
        if kind in VOCAB_KINDS:
            return float(np.asarray(getattr(self.durations, f"{kind.label}_s"))[stage])
        whole = float(np.asarray(self.durations.backward_s)[at])
        if kind in (PassKind.FORWARD, PassKind.BACKWARD):
            forward = float(np.asarray(self.durations.forward_s)[at])
            return forward if kind is PassKind.FORWARD else whole
        weight = float(np.asarray(self.durations.backward_weight_s)[at])
        return weight if kind is PassKind.BACKWARD_WEIGHT else whole - weight

    def need(self, stage: int, kind: PassKind, chunk: int, microbatch: int) -> float | None:
        """When the input is there; None if it is not known yet."""
        position, ways = self.place[stage, chunk], self.schedule.placement
        met = self.exchange(kind, stage, microbatch, holds=False)
        if met is None or kind in VOCAB_KINDS:
            return met
        if met:
            return max(met, self.arrived["L", position, microbatch])
        if kind is PassKind.FORWARD:
            if position in ways.starts:
                return 0.0
            return self.arrived.get(("F", position, microbatch))
        if kind is PassKind.BACKWARD_WEIGHT:
            return self.arrived.get(("W", position, microbatch))
        if position in ways.ends:
            return self.arrived.get(("L", position, microbatch))
        return self.arrived.get(("B", position, microbatch))

    def deliver(self, stage: int, kind: PassKind, chunk: int, microbatch: int, at: float) -> float:
        """Sends the result; returns when it is there."""
        position, ways = self.place[stage, chunk], self.schedule.placement
        if kind is PassKind.BACKWARD_WEIGHT or kind in VOCAB_KINDS:
            return at
        if kind is PassKind.FORWARD:
            if position in ways.ends:
                self.arrived["L", position, microbatch] = at
                return at
            target, label, boundary, sends = position + 1, "F", position, "forward_send_s"
        else:
            self.arrived["W", position, microbatch] = at
            if position in ways.starts:
                return at
            target, label, boundary, sends = position - 1, "B", position - 1, "backward_send_s"
        receiver = self.stage_at[target]
        if receiver != stage:
            begin = max(at, self.channel.get((stage, receiver), 0.0))
            at = begin + float(np.asarray(getattr(self.durations, sends))[boundary])
            self.channel[stage, receiver] = at
        self.arrived[label, target, microbatch] = at
        return at

    def run(self) -> np.ndarray:
        schedule, sends = self.schedule, self.durations.sends
        stages, count = schedule.codes.shape
        at, free = [0] * stages, [0.0] * stages
        moved = True
        while moved:
            moved = False
            for stage in range(stages):
                first, stop = schedule.steady[stage]
                passes = schedule.passes(stage)
                while at[stage] < len(passes):
                    index = at[stage]
                    steady = first <= index < stop
                    todo = [passes[index]]
                    if steady and sends == "paired" and todo[0].kind is PassKind.FORWARD:
                        assert passes[index + 1].kind is PassKind.BACKWARD
                        todo.append(passes[index + 1])
                    self.meet()
                    inputs = [self.need(stage, one.kind, one.chunk, one.microbatch) for one in todo]
                    if index:
                        before = passes[index - 1]
                        inputs.append(
                            self.exchange(before.kind, stage, before.microbatch, holds=True)
                        )
                    if (
                        len(todo) == 2
                        and schedule.placement.virtual_stage[stage, todo[1].chunk]
                        in schedule.placement.ends
                        and todo[0][1:] == todo[1][1:]
                    ):
                        inputs[1] = 0.0
                    if any(one is None for one in inputs):
                        break
                    now = max(free[stage], *(one for one in inputs if one is not None))
                    for step, one in enumerate(todo):
                        now += self.pass_s(stage, one.kind, one.chunk)
                        self.end[stage, index + step] = now
                        self.done[stage, one.kind, one.microbatch] = now
                    there = [
                        self.deliver(stage, one.kind, one.chunk, one.microbatch, now)
                        for one in todo
                    ]
                    holds = sends in ("blocking", "paired") or (
                        sends == "overlapped" and not steady
                    )
                    free[stage] = max(there) if holds else now
                    at[stage] += len(todo)
                    moved = True
        assert at == [len(schedule.passes(stage)) for stage in range(stages)]
        return np.array(
            [
                [self.end.get((s, min(i, at[s] - 1)), 0.0) for i in range(count)]
                for s in range(stages)
            ]
        )
