"""Layers priced for many shards: each part of a layer once per what its shard decides about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from planner.training.layer.memory import LayerMemory, layer_memory, layer_weights
from planner.training.layer.operators import OperatorTime, operator_time
from planner.training.layer.tally import LayerTally, LayerTime
from planner.training.layer.timing import layer_time, separable, tally_layer
from planner.workload.layers import LayerPart, layer_parts, part_operators, seen_by
from planner.workload.recompute import selective

if TYPE_CHECKING:
    from planner.training.scenario import Scenario
    from planner.workload.operators import Operator
    from planner.workload.shard import Shard


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


class _PartPrice(NamedTuple):
    """The same of a part of a layer as of a layer, with the totals on each device."""

    memory: LayerMemory
    weights: dict[str, tuple[int, int]]
    tallies: tuple[LayerTally, ...]


class LayerPrices:
    """The layers of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._separable = separable(scenario.job.software)
        self._known: dict[tuple[str, Shard], LayerPrice] = {}
        self._operators: dict[LayerPart, _Operators] = {}
        self._parts: dict[LayerPart, _PartPrice] = {}
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

    def _joined(self, parts: tuple[LayerPart, ...], shard: Shard) -> LayerPrice:
        """A layer from its parts."""
        workload = self._scenario.workload(shard)
        priced = [self._parts.get(part) or self._part(part) for part in parts]
        return LayerPrice(
            LayerMemory.joined([part.memory for part in priced]),
            {name: shape for part in priced for name, shape in part.weights.items()},
            tuple(
                LayerTally.joined([part.tallies[index] for part in priced]).finish(workload, device)
                for index, (device, _) in enumerate(self._devices)
            ),
        )

    def _part(self, part: LayerPart) -> _PartPrice:
        workload = self._scenario.workload(part.shard)
        operators, costs = self._operators_of(part)
        effects = selective(workload, operators)
        price = self._parts[part] = _PartPrice(
            layer_memory(workload, operators, effects),
            layer_weights(workload, operators),
            tuple(
                tally_layer(workload, operators, device, topology, seconds, effects)
                for (device, topology), seconds in zip(self._devices, costs, strict=True)
            ),
        )
        return price

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

    def _operators_of(self, part: LayerPart) -> _Operators:
        found = self._operators.get(part)
        if found is None:
            workload = self._scenario.workload(part.shard)
            operators = part_operators(workload, part.name)
            costs = tuple(
                tuple(operator_time(operator, workload, device) for operator in operators)
                for device, _ in self._devices
            )
            found = self._operators[part] = _Operators(operators, costs)
        return found
