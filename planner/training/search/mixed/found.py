"""Answers of a combination's programs, and the plans that they are."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.plan import Recompute, recomputed_per_stage
from planner.schedule.registry import kind_of
from planner.training.search.hosts.placement import placement_on
from planner.training.search.layouts.default import stages_of
from planner.training.search.mixed.order_problem import Orders
from planner.training.search.mixed.rooms import room_bytes
from planner.training.search.mixed.row_hosts import hosts_of
from planner.training.search.mixed.simulated import simulated_s
from planner.training.search.mixed.splits import even_chunks, held_bytes

if TYPE_CHECKING:
    from planner.arrays import Bools, Floats, Ints
    from planner.plan import Plan, Stage
    from planner.training.scenario import Scenario
    from planner.training.search.mixed.classes import RowClasses
    from planner.training.search.mixed.program import OrderTables
    from planner.training.search.mixed.typed import TypedCombination

BELOW = 1 - 1e-9
"""Share by which bounds are lowered, so that rounding cannot lift one above a step."""

PRICED = 32
"""Answers with several chunks on a stage whose memory is looked at."""


class FoundAnswer(NamedTuple):
    """An answer, with the layers of every chunk [p, v] where they are not spread by the rule."""

    seconds: float
    changes: int
    order: Orders
    program: OrderTables
    chunks: Ints | None = None


class FoundAnswers:
    """The best answers of all programs of a combination, `tried` of each."""

    def __init__(
        self,
        scenario: Scenario,
        of: TypedCombination,
        classes: RowClasses,
        hosts: tuple[str, ...] | None,
        tried: int,
    ) -> None:
        """`hosts`: those of every plan; where there are none, the first of each type."""
        self._scenario, self._of, self._classes, self._hosts = scenario, of, classes, hosts
        self.tried = tried
        self._found: list[FoundAnswer] = []

    @property
    def fastest_s(self) -> float:
        """Seconds of the fastest; infinite without any."""
        return min((one.seconds for one in self._found), default=inf)

    def plans(self) -> tuple[dict[Plan, float], float]:
        """The plans of the fastest answers, with what none with their types and layers takes less
        than; and the seconds of the next one, infinite without any."""
        plans: dict[Plan, float] = {}
        for one in sorted(self._found, key=lambda one: (one.seconds, one.changes)):
            plan = self._plan(one)
            if plan is None or plan in plans:
                continue
            if len(plans) == self.tried:
                return plans, one.seconds
            plans[plan] = one.seconds
        return plans, inf

    def add(self, one: FoundAnswer) -> None:
        self._found.append(one)

    def note_fitting(self, program: OrderTables, orders: Orders) -> float:
        """Remember the best answers that fit with layers spread as evenly as they can be; the step
        of the fastest, infinite where none of the first ones fits."""
        seconds = simulated_s(self._of, program, orders)
        ranked = np.argsort(seconds, kind="stable")
        if self._of.batch.virtual_stages > 1:
            first = ranked[:PRICED]
            ranked = first[self._fit(program, chosen(orders, first))][: self.tried]
        self.note(program, chosen(orders, ranked), seconds[ranked])
        return float(seconds[ranked].min(initial=inf))

    def _fit(self, program: OrderTables, orders: Orders) -> Bools:
        """[B]: whether answers fit with layers spread as evenly as they can be."""
        of, p = self._of, self._of.batch.pipeline
        rooms = np.array([room_bytes(of.ideal, types) for types in self._classes.types])
        room = np.repeat(rooms[orders.classes], p // orders.classes.shape[1], axis=1)
        held = held_bytes(of, even_chunks(of, orders.layers), program.replayed_at_most)
        return np.asarray((held <= room).all(axis=1))

    def note(self, program: OrderTables, orders: Orders, seconds: Floats) -> None:
        """Remember the best answers; of equal ones those with the fewest changes of type."""
        if not len(orders):
            return
        changes = self._classes.changes(orders.classes)
        ranked = np.lexsort((changes, np.round(seconds / max(seconds.min(), 1e-30), 9)))
        for index in ranked[: self.tried].tolist():
            one = Orders(
                classes=orders.classes[index : index + 1], layers=orders.layers[index : index + 1]
            )
            self.add(FoundAnswer(float(seconds[index]), int(changes[index]), one, program))

    def _plan(self, one: FoundAnswer) -> Plan | None:
        of, degrees, order = self._of, self._of.plan.degrees, one.order
        hosts = self._hosts or hosts_of(
            self._scenario, degrees, self._classes, order.classes[0].tolist()
        )
        if hosts is None:
            return None
        chunks = one.chunks
        if of.free and chunks is None:
            chunks = even_chunks(of, order.layers)[0]
        stages = self._stages(chunks) if of.free and chunks is not None else of.plan.stages
        return replace(
            of.plan,
            stages=stages,
            recompute=Recompute(
                granularity=of.plan.recompute.granularity,
                layers_per_stage=recomputed_per_stage(stages, one.program.recomputed),
            ),
            placement=placement_on(self._scenario, hosts),
        )

    def _stages(self, chunks: Ints) -> tuple[Stage, ...]:
        """The stages with these layers in their chunks [p, v]."""
        plan = self._of.plan
        pipeline, number = plan.degrees.pipeline, plan.virtual_stages
        positions = kind_of(plan.schedule).placement(pipeline, number).positions
        layers = np.zeros(pipeline * number, dtype=np.int64)
        layers[positions] = chunks
        return stages_of(layers.tolist(), pipeline, number, plan.schedule)


def chosen(orders: Orders, which: Ints) -> Orders:
    """Some of the answers."""
    return Orders(classes=orders.classes[which], layers=orders.layers[which])
