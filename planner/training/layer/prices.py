"""Prices of layers under many shards; layers for which the shards make no difference are priced
once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from planner.training.layer.memory import LayerMemory, layer_memory, layer_weights
from planner.training.layer.operators import OperatorTime, operator_time
from planner.training.layer.timing import LayerTime, layer_time
from planner.workload.layers import OperatorLists, seen_by
from planner.workload.recompute import selective

if TYPE_CHECKING:
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


class LayerPrices:
    """The layers of a scenario. Parts that layers share, of one shard or of several, are one list
    of operators; an operator is timed once on every device."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._lists = OperatorLists(scenario.workload)
        self._known: dict[tuple[str, Shard], LayerPrice] = {}
        self._timed: list[dict[int, tuple[Operator, OperatorTime]]] = [
            {} for _ in scenario.candidate_devices
        ]
        """Times by the identity of an operator, which is kept with it and so stays its own."""

    def price(self, kind: str, shard: Shard) -> LayerPrice:
        """A layer of this kind under a shard."""
        key = kind, seen_by(kind, shard)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._price(*key)
        return found

    def _price(self, kind: str, shard: Shard) -> LayerPrice:
        workload = self._scenario.workload(shard)
        operators = self._lists.layer(kind, shard)
        effects = selective(workload, operators)
        alone = [one.topology for one in self._scenario.by_type]
        devices = zip(self._scenario.candidate_devices, self._timed, alone, strict=True)
        return LayerPrice(
            layer_memory(workload, operators, effects),
            layer_weights(workload, operators),
            tuple(
                layer_time(
                    workload,
                    operators,
                    device,
                    topology,
                    costs=[_time(operator, workload, device, timed) for operator in operators],
                    effects=effects,
                )
                for device, timed, topology in devices
            ),
        )


def _time(
    operator: Operator,
    workload: Workload,
    device: Device,
    timed: dict[int, tuple[Operator, OperatorTime]],
) -> OperatorTime:
    found = timed.get(id(operator))
    if found is None:
        found = timed[id(operator)] = operator, operator_time(operator, workload, device)
    return found[1]
