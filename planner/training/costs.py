"""Cost tables: what one layer of every kind costs, for every shard of a search.

The search bounds a million combinations by gathering rows of these tables; the estimate of one
plan reads a single row. Both therefore price the same operators with the same code.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.training.layer.memory import LayerMemory
from planner.training.layer.prices import LayerPrice, prices_of
from planner.workload.formats import weight_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.training.layer.tally import LayerTime
    from planner.training.scenario import Scenario
    from planner.workload.shard import Shard

CAUSES = ("compute", "tensor", "context", "expert")
"""Parts of a pass, in the order of the tables' first axis."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostTable:
    """Rows are R shards, columns the K layer kinds of the scenario, T its device types.

    Seconds per microbatch: forward_s and backward_s are [causes, T, R, K], backward without
    recomputation. Where exchanges overlap with another microbatch's pass, these are of paired
    passes, and forward_alone_s and backward_alone_s of unpaired ones. selective_s and full_s
    [T, R, K] are what selective and full recomputation add to the backward pass; weight_gradient_s
    [T, R, K] is the part of it that zero-bubble schedules can move. type_forward_s, type_backward_s
    and type_selective_s [C, R, K] are the same for every candidate device of the scenario, each
    with the best links that nodes of its type have.
    `overlapped` [R]: rows of shards whose exchanges of experts run beside another microbatch.

    Bytes and parameters per device: [R, K], see `planner.training.layer.memory.LayerMemory`;
    placeholder_bytes [S, R, K] of one gradient of each of S weights of different shapes.
    """

    shards: tuple[Shard, ...]
    overlapped: NDArray[np.bool_]
    type_forward_s: NDArray[np.float64]
    type_backward_s: NDArray[np.float64]
    type_selective_s: NDArray[np.float64]
    forward_s: NDArray[np.float64]
    backward_s: NDArray[np.float64]
    forward_alone_s: NDArray[np.float64]
    backward_alone_s: NDArray[np.float64]
    selective_s: NDArray[np.float64]
    full_s: NDArray[np.float64]
    weight_gradient_s: NDArray[np.float64]
    hidden_s: NDArray[np.float64]
    host_bound_s: NDArray[np.float64]
    forward_host_bound_s: NDArray[np.float64]
    dense_parameters: NDArray[np.int64]
    expert_parameters: NDArray[np.int64]
    saved_bytes: NDArray[np.int64]
    selective_bytes: NDArray[np.int64]
    full_bytes: NDArray[np.int64]
    movable_bytes: NDArray[np.int64]
    selective_movable_bytes: NDArray[np.int64]
    logits_bytes: NDArray[np.int64]
    logits_working_bytes: NDArray[np.int64]
    working_bytes: NDArray[np.int64]
    backward_bytes: NDArray[np.int64]
    residual_bytes: NDArray[np.int64]
    placeholder_bytes: NDArray[np.int64]

    def some(self, rows: Sequence[int] | NDArray[np.integer]) -> CostTable:
        """Those rows alone, in that order."""
        taken = np.asarray(rows, dtype=np.int64)
        columns = {
            field.name: np.take(column, taken, axis=max(column.ndim - 2, 0))
            for field in fields(self)
            if field.name != "shards"
            for column in (getattr(self, field.name),)
        }
        return CostTable(shards=tuple(self.shards[row] for row in taken.tolist()), **columns)

    def priced(self, row: int) -> bytes:
        """All prices of a row: the same for shards that cost the same."""
        arrays = [getattr(self, field.name) for field in fields(self) if field.name != "shards"]
        rows = [one.take(row, axis=-2) if one.ndim > 1 else one[row] for one in arrays]
        return b"".join(one.tobytes() for one in rows)


def cost_table(scenario: Scenario, shards: Sequence[Shard]) -> CostTable:
    """Price every kind of layer under every shard."""
    kinds, devices = scenario.kinds, scenario.candidate_devices
    prices = prices_of(scenario)
    found = [[prices.price(kind, shard) for kind in kinds] for shard in shards]
    residual_bytes = [scenario.workload(shard).residual_bytes() for shard in shards]
    memories = [[layer.memory for layer in row] for row in found]
    times = [
        [[layer.times[device] for layer in row] for row in found] for device in range(len(devices))
    ]
    memory_columns: dict[str, Any] = {
        field.name: np.array(
            [[getattr(memory, field.name) for memory in row] for row in memories], dtype=np.int64
        )
        for field in fields(LayerMemory)
    }
    names = (
        "selective_s",
        "full_s",
        "weight_gradient_s",
        "hidden_s",
        "host_bound_s",
        "forward_host_bound_s",
    )
    seconds: dict[str, Any] = {name: _seconds(times, name) for name in names}
    for name in ("forward", "backward", "forward_alone", "backward_alone"):
        seconds[f"{name}_s"] = _by_cause(times, name)
    by_type = {
        "type_forward_s": seconds["forward_s"].sum(axis=0),
        "type_backward_s": seconds["backward_s"].sum(axis=0),
        "type_selective_s": seconds["selective_s"],
    }
    if len(devices) > len(scenario.device_types):
        seconds = {name: found.min(axis=-3, keepdims=True) for name, found in seconds.items()}
    return CostTable(
        shards=tuple(shards),
        overlapped=np.array([shard.expert_overlap for shard in shards], dtype=np.bool_),
        **seconds,
        **by_type,
        residual_bytes=np.array(residual_bytes, dtype=np.int64),
        placeholder_bytes=weight_bytes(scenario.job.precision) * _by_shape(found),
        **memory_columns,
    )


def joined(parts: Sequence[CostTable]) -> CostTable:
    """The rows of all tables. Rows are the second-to-last axis, or the only axis of a vector."""
    shards = tuple(shard for part in parts for shard in part.shards)
    columns = {}
    for name in (field.name for field in fields(CostTable) if field.name != "shards"):
        arrays = [getattr(part, name) for part in parts]
        columns[name] = np.concatenate(arrays, axis=max(arrays[0].ndim - 2, 0))
    return CostTable(shards=shards, **columns)


def all_causes_s(seconds: NDArray[np.float64], rows: NDArray[np.integer]) -> NDArray[np.float64]:
    """[T, N, K]: seconds [causes, T, R, K] of passes through layers, of N rows. Causes are added up
    for these rows alone where the table has more."""
    if len(rows) < seconds.shape[-2]:
        return np.asarray(seconds[:, :, rows].sum(axis=0))
    return np.asarray(seconds.sum(axis=0)[:, rows])


def _by_shape(found: list[list[LayerPrice]]) -> NDArray[np.int64]:
    """[S, R, K]: elements of each weight of a layer, at the first weight of that shape under a
    shard and 0 at the others."""
    names = list(dict.fromkeys(name for row in found for layer in row for name in layer.weights))
    elements = np.zeros((len(names), len(found), len(found[0]) if found else 0), dtype=np.int64)
    for r, row in enumerate(found):
        first: dict[tuple[int, int], int] = {}
        for k, layer in enumerate(row):
            for name, (n, m) in layer.weights.items():
                elements[first.setdefault((n, m), names.index(name)), r, k] = n * m
    return elements


def _by_cause(times: list[list[list[LayerTime]]], name: str) -> NDArray[np.float64]:
    """[causes, T, R, K]: seconds of the pass `name` ("forward"), from `times` by device type, shard
    and layer kind."""
    return np.array(
        [
            [
                [[getattr(getattr(time, name), f"{cause}_s") for time in row] for row in rows]
                for rows in times
            ]
            for cause in CAUSES
        ]
    )


def _seconds(times: list[list[list[LayerTime]]], name: str) -> NDArray[np.float64]:
    """[T, R, K]: the figure `name` of every layer."""
    return np.array([[[getattr(time, name) for time in row] for row in rows] for rows in times])
