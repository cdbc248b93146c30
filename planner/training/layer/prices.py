"""Prices of layers under many shards; layers for which the shards make no difference are priced
once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from planner.training.layer.memory import LayerMemory, layer_memory, layer_weights
from planner.training.layer.operators import OperatorTime, operator_time
from planner.training.layer.timing import LayerRest, LayerTime, layer_rest
from planner.workload.layers import OperatorLists, seen_by
from planner.workload.moe import exchanges
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
    of operators; an operator is timed once on every device, and layers that differ in their
    dispatcher alone are priced together but for their exchanges."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._lists = OperatorLists(scenario.workload)
        self._known: dict[tuple[str, Shard], LayerPrice] = {}
        self._common: dict[tuple[str, Shard], _Common] = {}
        self._timed: list[dict[int, tuple[Operator, OperatorTime]]] = [
            {} for _ in scenario.candidate_devices
        ]
        """Times by the identity of an operator, which is kept with it and so stays its own."""

    def price(self, kind: str, shard: Shard) -> LayerPrice:
        """A layer of this kind under a shard."""
        key = kind, seen_by(kind, shard)
        found = self._known.get(key)
        if found is None:
            self._price(*key)
            found = self._known[key]
        return found

    def _price(self, kind: str, shard: Shard) -> None:
        """With and without another microbatch beside it."""
        common = self._common_of(kind, replace(shard, dispatcher="", expert_overlap=False))
        workload = self._scenario.workload(shard)
        sent = exchanges(workload) if common.dispatches else ()
        times = [rest.with_exchanges(workload, sent) for rest in common.rests]
        alone, paired = (
            LayerPrice(common.memory, common.weights, tuple(one[index] for one in times))
            for index in range(2)
        )
        self._known[kind, replace(shard, expert_overlap=False)] = alone
        self._known[kind, replace(shard, expert_overlap=True)] = paired

    def _common_of(self, kind: str, shard: Shard) -> _Common:
        found = self._common.get((kind, shard))
        if found is not None:
            return found
        workload = self._scenario.workload(shard)
        operators = self._lists.layer(kind, shard)
        effects = selective(workload, operators)
        topologies = [one.topology for one in self._scenario.by_type]
        devices = zip(self._scenario.candidate_devices, self._timed, topologies, strict=True)
        found = self._common[kind, shard] = _Common(
            memory=layer_memory(workload, operators, effects),
            weights=layer_weights(workload, operators),
            rests=tuple(
                layer_rest(
                    workload,
                    operators,
                    device,
                    topology,
                    costs=[_time(operator, workload, device, timed) for operator in operators],
                    effects=effects,
                )
                for device, timed, topology in devices
            ),
            dispatches=any(operator.name == "dispatch_permute" for operator in operators),
        )
        return found


class _Common(NamedTuple):
    """What layers have in common whatever their dispatcher; `dispatches`: they have experts."""

    memory: LayerMemory
    weights: dict[str, tuple[int, int]]
    rests: tuple[LayerRest, ...]
    dispatches: bool


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
