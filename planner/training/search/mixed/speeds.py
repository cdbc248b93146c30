"""What stages of every device type take, and how many stages a type can make up.

The device types of a combination are levels, fastest first. A stage goes at the pace of its slowest
device; its level is the level of that device's type. Letters: N plans, p stages, T levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.hardware.ideal import IdealTopology
from planner.training.batch import FULL, OUTER_KINDS, SELECTIVE

if TYPE_CHECKING:
    from planner.arrays import Floats, Ints
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.scenario import Scenario


def is_mixed(scenario: Scenario) -> bool:
    """Whether the stages of the (ideal) scenario can have different device types, or nodes of
    different sizes."""
    topology = scenario.topology
    if not isinstance(topology, IdealTopology):
        return False
    return len(topology.real_devices) > 1 or topology.sizes_differ


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Speeds:
    """Seconds of one microbatch on each level. `layer_s`: all passes of the cheapest layer;
    `replay_s`: the forward of the cheapest, that a recomputed layer repeats; `ends_s` [N, p, T]:
    what a stage holds besides layers."""

    types: Ints
    """[N, T]: the index of each level's device type in the scenario's `candidate_devices`."""
    stages: Ints
    """[N, T]: most stages of this level or a faster one."""
    layer_s: Floats
    replay_s: Floats
    """[N, T] each."""
    ends_s: Floats
    kinds_s: Floats
    """[N, T, K]: all passes of a layer of each kind, without what full recomputation repeats."""
    forward_share: Floats
    """[N]: no kind of layer has a larger share of its time in the forward pass, on any level."""
    layers: int
    """Layers of the model."""
    held: Ints
    """Their kinds."""
    counts: Ints
    """[K]: how many there are of each kind, embedding and head among them."""

    @classmethod
    def of(cls, scenario: Scenario, table: CostTable, batch: Batch) -> Speeds:
        """`scenario` and `table` are of the ideal topology."""
        forward = table.type_forward_s[:, batch.row].swapaxes(0, 1)
        kinds = forward + table.type_backward_s[:, batch.row].swapaxes(0, 1)
        types = np.argsort(kinds.sum(axis=-1), axis=1, kind="stable")
        selective = batch.granularity == SELECTIVE
        if selective.any():
            added = table.type_selective_s[:, batch.row].swapaxes(0, 1)
            kinds = kinds + added * selective[:, None, None]
        forward = np.take_along_axis(forward, types[..., None], axis=1)
        kinds = np.take_along_axis(kinds, types[..., None], axis=1)
        if batch.kind.shares_vocabulary:
            kinds[..., -OUTER_KINDS:] = 0.0
        counts, held = batch.load.counts.sum(axis=(0, 1)), layer_columns(scenario)
        outside = batch.load.counts.sum(axis=1)
        outside[:, held] = 0
        share = forward / np.where(kinds > 0, kinds, np.inf)
        return cls(
            types=types,
            stages=_stages(scenario, batch.pipeline, types),
            layer_s=kinds[..., held].min(axis=-1),
            replay_s=forward[..., held].min(axis=-1) * (batch.granularity == FULL)[:, None],
            ends_s=np.einsum("ntk,pk->npt", kinds, outside),
            kinds_s=kinds,
            forward_share=share.max(axis=(1, 2)),
            layers=int(counts[held].sum() // batch.kind.parameter_copies),
            held=held,
            counts=counts,
        )

    @property
    def levels(self) -> int:
        return int(self.types.shape[1])


def layer_columns(scenario: Scenario) -> Ints:
    """The columns of cost tables that are layers which stages divide among themselves: not the
    embedding, the head and the modules that stay with it."""
    kinds = scenario.kinds[:-OUTER_KINDS]
    return np.array([index for index, kind in enumerate(kinds) if kind != "mtp"], dtype=np.int64)


def _stages(scenario: Scenario, pipeline: int, types: Ints) -> Ints:
    """Each stage of a level takes all of its devices from the types up to it."""
    topology = scenario.topology
    assert isinstance(topology, IdealTopology)
    devices = np.bincount(topology.device_of_rank, minlength=len(topology.real_devices))
    each = scenario.job.devices // pipeline
    found: Ints = np.minimum(np.cumsum(devices[types], axis=1) // each, pipeline)
    return found
