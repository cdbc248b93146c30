"""Layers priced for many shards: each part of a layer once per what its shard decides about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.training.layer.memory import LayerMemory, layer_memory, layer_weights
from planner.training.layer.operators import OperatorTime, operator_time
from planner.training.layer.passes import no_parts, part_numbers, pass_seconds
from planner.training.layer.tally import LayerTally, LayerTime
from planner.training.layer.timing import (
    layer_time,
    separable,
    tally_exchanges,
    tally_layer,
)
from planner.workload.expert_exchange import exchanges, is_exchange
from planner.workload.layers import LayerPart, layer_parts, part_operators, seen_by
from planner.workload.operators import FusedAttention, GroupedMatmul, Matmul
from planner.workload.recompute import selective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats
    from planner.hardware.device import Device
    from planner.training.scenario import Scenario
    from planner.workload.operators import Operator
    from planner.workload.shard import Shard
    from planner.workload.workload import Workload


class LayerPrice(NamedTuple):
    """A layer's bytes, its weights by shape (`layer_weights`), and its seconds on each of the
    scenario's candidate devices."""

    memory: LayerMemory
    weights: dict[str, tuple[int, int]]
    times: tuple[LayerTime, ...]


class _Operators(NamedTuple):
    """A part's operators and their seconds on each device."""

    operators: tuple[Operator, ...]
    costs: tuple[tuple[OperatorTime, ...], ...]


@dataclass(frozen=True, slots=True)
class _PartPrice:
    """The same of a part of a layer as of a layer, with the totals on each device."""

    memory: LayerMemory
    weights: dict[str, tuple[int, int]]
    tallies: tuple[LayerTally, ...]

    def __add__(self, other: _PartPrice) -> _PartPrice:
        """Of two parts that follow each other."""
        totals = zip(self.tallies, other.tallies, strict=True)
        return _PartPrice(
            self.memory + other.memory,
            self.weights | other.weights,
            tuple(one + two for one, two in totals),
        )


def prices_of(scenario: Scenario) -> LayerPrices:
    """Those of a scenario, which keeps them. Jobs that differ only in the modules that plans choose
    share the prices of operators."""
    found: LayerPrices | None = scenario.kept_of_layers.get(_PRICES)
    if found is None:
        usual = scenario.untreated
        like = None if usual is scenario else prices_of(usual)
        found = scenario.kept_of_layers[_PRICES] = LayerPrices(scenario, like)
    return found


_PRICES = "layer prices"
"""Under which name a scenario keeps them."""


class LayerPrices:
    """The layers of a scenario."""

    def __init__(self, scenario: Scenario, like: LayerPrices | None = None) -> None:
        """`like`: those of the same job with other modules of a layer computed again or offloaded,
        which changes none of its operators."""
        self._scenario = scenario
        self._separable = separable(scenario.job.software)
        self._known: dict[tuple[str, Shard], LayerPrice] = {}
        self._operators: dict[LayerPart, _Operators] = {} if like is None else like._operators
        self._parts: dict[LayerPart, _PartPrice] = {}
        self._rests: dict[LayerPart, _PartPrice] = {}
        """Parts without the exchanges of their experts."""
        self._rows: dict[LayerPart, int] = {}
        self._numbers: list[Floats] = [no_parts() for _ in scenario.candidate_devices]
        """By device and part (`part_numbers`)."""
        self._new_numbers: list[list[list[float]]] = [[] for _ in scenario.candidate_devices]
        self._timed: list[dict[tuple[Operator, int], OperatorTime]] = (
            [{} for _ in scenario.candidate_devices] if like is None else like._timed
        )
        self._devices = list(
            zip(
                scenario.candidate_devices,
                [one.topology for one in scenario.by_type],
                strict=True,
            )
        )

    def price(self, kind: str, shard: Shard) -> LayerPrice:
        """A layer of this kind under a shard."""
        key = kind, seen_by(kind, shard)
        found = self._known.get(key)
        if found is None:
            parts = layer_parts(self._scenario.model, *key)
            price = self._joined if self._separable else self._whole
            found = self._known[key] = price(parts, shard)
        return found

    def passes_s(self, kind: str, shards: Sequence[Shard]) -> Floats:
        """[N, T, 5]: `LayerTime.passes_s` of a layer of this kind under every shard on every
        device. Much less work than `price` for all of them."""
        if not self._separable:
            prices = [self.price(kind, shard) for shard in shards]
            return np.array([[time.passes_s for time in price.times] for price in prices])
        model, software = self._scenario.model, self._scenario.job.software
        overlapped = np.array([shard.expert_overlap for shard in shards], dtype=np.bool_)
        pieces = np.array([shard.dispatch_pieces for shard in shards], dtype=np.int64)
        parts = [layer_parts(model, kind, shard) for shard in shards]
        rows = [np.array(list(map(self._row, place))) for place in zip(*parts, strict=True)]
        found = [
            pass_seconds(software, device.multiprocessors, numbers, rows, overlapped, pieces)
            for numbers, (device, _) in zip(self._tallied(), self._devices, strict=True)
        ]
        return np.stack(found, axis=1)

    def _row(self, part: LayerPart) -> int:
        """Where a part's numbers are."""
        row = self._rows.get(part)
        if row is None:
            row = self._rows[part] = len(self._rows)
            price = self._parts.get(part) or self._part(part)
            for numbers, tally in zip(self._new_numbers, price.tallies, strict=True):
                numbers.append(part_numbers(tally))
        return row

    def _tallied(self) -> list[Floats]:
        """By device, the numbers of all parts with a row."""
        if self._new_numbers[0]:
            for index, new in enumerate(self._new_numbers):
                known = self._numbers[index]
                self._numbers[index] = np.concatenate([known, np.array(new)])
                new.clear()
        return self._numbers

    def _joined(self, parts: tuple[LayerPart, ...], shard: Shard) -> LayerPrice:
        """A layer from its parts."""
        workload = self._scenario.workload(shard)
        price, *others = (self._parts.get(part) or self._part(part) for part in parts)
        for other in others:
            price = price + other
        times = (
            tally.finish(workload, device)
            for tally, (device, _) in zip(price.tallies, self._devices, strict=True)
        )
        return LayerPrice(price.memory, price.weights, tuple(times))

    def _part(self, part: LayerPart) -> _PartPrice:
        """Parts that differ in their dispatcher alone share all but its exchanges."""
        if not part.shard.dispatcher:
            price = self._parts[part] = self._apart(part, with_exchanges=True)
            return price
        usual = LayerPart(part.name, part.shard._replace(dispatcher=""))
        rest = self._rests.get(usual)
        if rest is None:
            rest = self._rests[usual] = self._apart(usual, with_exchanges=False)
        workload = self._scenario.workload(part.shard)
        sent = exchanges(workload)
        tallies = (
            tally + tally_exchanges(workload, sent, device, topology)
            for tally, (device, topology) in zip(rest.tallies, self._devices, strict=True)
        )
        price = self._parts[part] = replace(rest, tallies=tuple(tallies))
        return price

    def _apart(self, part: LayerPart, *, with_exchanges: bool) -> _PartPrice:
        workload = self._scenario.workload(part.shard)
        operators, costs = self._operators_of(part)
        effects = selective(workload, operators)
        counted = [
            index
            for index, operator in enumerate(operators)
            if with_exchanges or not is_exchange(operator)
        ]
        return _PartPrice(
            layer_memory(workload, operators, effects),
            layer_weights(workload, operators),
            tuple(
                tally_layer(
                    workload,
                    [operators[index] for index in counted],
                    device,
                    topology,
                    [seconds[index] for index in counted],
                    [effects[index] for index in counted],
                )
                for (device, topology), seconds in zip(self._devices, costs, strict=True)
            ),
        )

    def _whole(self, parts: tuple[LayerPart, ...], shard: Shard) -> LayerPrice:
        """A layer whose parts cannot be priced one by one."""
        workload = self._scenario.workload(shard)
        known = [self._operators_of(part) for part in parts]
        operators = tuple(operator for part in known for operator in part.operators)
        effects = selective(workload, operators)
        return LayerPrice(
            layer_memory(workload, operators, effects),
            layer_weights(workload, operators),
            tuple(
                layer_time(
                    workload,
                    operators,
                    device,
                    topology,
                    costs=[cost for part in known for cost in part.costs[index]],
                    effects=effects,
                )
                for index, (device, topology) in enumerate(self._devices)
            ),
        )

    def operators(self, kind: str, shard: Shard) -> tuple[Operator, ...]:
        """Those of a layer in forward order."""
        parts = layer_parts(self._scenario.model, kind, shard)
        return tuple(one for part in parts for one in self._operators_of(part).operators)

    def _operators_of(self, part: LayerPart) -> _Operators:
        found = self._operators.get(part)
        if found is None:
            workload = self._scenario.workload(part.shard)
            operators = part_operators(workload, part.name)
            costs = tuple(
                tuple(
                    _time(operator, workload, device, timed)
                    if isinstance(operator, _SLOW)
                    else operator_time(operator, workload, device)
                    for operator in operators
                )
                for (device, _), timed in zip(self._devices, self._timed, strict=True)
            )
            found = self._operators[part] = _Operators(operators, costs)
        return found


_SLOW = (Matmul, GroupedMatmul, FusedAttention)
"""Operators whose times are kept: equal ones appear under many shards, and their kernels are
priced with care. A time depends on the operator and, for attention, on the context degree."""


def _time(
    operator: Operator,
    workload: Workload,
    device: Device,
    timed: dict[tuple[Operator, int], OperatorTime],
) -> OperatorTime:
    key = operator, workload.context_ring if isinstance(operator, FusedAttention) else 1
    found = timed.get(key)
    if found is None:
        found = timed[key] = operator_time(operator, workload, device)
    return found
