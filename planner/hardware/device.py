"""One accelerator in SI units. Everything that does not depend on a shape is worked out once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import RuleError
from planner.plan import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Mapping


ELEMENT_BYTES: Mapping[str, float] = {
    "fp32": 4.0,
    "tf32": 4.0,
    "fp16": 2.0,
    "bf16": 2.0,
    "fp8": 1.0,
    "mxfp8": 1.0 + 1 / 32,
    "nvfp4": 0.5 + 1 / 16,
}
"""Bytes of one matrix element, block scales included (OCP MX: one byte for 32 elements; NVFP4: one
byte for 16)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatmulRate:
    """Matrix multiplication in one number format.

    `tiles` are (rows, columns, seconds that one multiprocessor takes for one step of the
    reduction over the whole tile); `reduction_half` is the start and end of a tile counted in
    such steps.
    """

    element_bytes: float
    reduction_half: float
    tiles: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionRate:
    """Fused attention: shares of the peak at head dimension 128, and the rows that one
    multiprocessor takes."""

    forward_efficiency: float
    backward_efficiency: float
    forward_block: float
    backward_block: float
    head_dim_half: float
    head_dim_step: int
    longest_block_share: float
    wide_head_efficiency: float
    dropout_operations: float
    generations: Mapping[str, float]
    """Speed of each generation of kernels, forward, relative to the efficiencies above."""
    backward_generations: Mapping[str, float]
    causal_backward_generations: Mapping[str, float]
    fp8_forward: float
    fp8_backward: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConstants:
    """How the collective library uses the links; `planner/hardware/collectives.py` has the model.

    `reduction_efficiency` is 0 where the switches cannot reduce. The last six describe the library
    alone (`planner.specs.library`).
    """

    launch_s: float
    step_s: float
    network_step_s: float
    ramp_s: float
    intra_node_efficiency: float
    inter_node_efficiency: float
    all_to_all_efficiency: float
    all_to_all_network: float
    send_efficiency: float
    reduction_efficiency: float
    overlap_cost: float
    network_overlap_cost: float
    network_send_cost: float
    reduction_launch_s: float
    mesh: bool
    local_copy: float
    low_latency_cost: float
    tree_level_steps: float
    all_to_all_steps: float
    fewest_switch_reducers: int
    ring_exits: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Device:
    """One accelerator. Compared by identity, so it can key a cache at no cost."""

    name: str
    family: str | None
    memory_bytes: int
    memory_bytes_per_s: float
    memory_efficiency: float
    context_bytes: int
    eager_context_bytes: int
    workspace_bytes: int
    layer_workspace_bytes: int
    kernel_latency_s: float
    host_slowness: float
    speed_variation: float
    multiprocessors: int
    wave_overlap: float
    load_bytes: int
    shortest_split: int
    peak_flop_per_s: Mapping[str, float]
    matmul: Mapping[str, MatmulRate]
    gradient_efficiency: float
    block_scaled: float
    lane_efficiency: float
    tf32_gradient: float | None
    fp8_transposes: bool
    narrow_load: float
    grouped_efficiency: float
    grouped_gradient_efficiency: float
    group_launch_s: float
    attention: AttentionRate
    links: LinkConstants
    streaming_bytes_per_s: float

    def peak(self, precision: str) -> float:
        """Dense flop/s in a number format.

        Raises: RuleError("precision") when the device does not have the format.
        """
        peak = self.peak_flop_per_s.get(precision)
        if peak is None:
            raise RuleError(
                "precision",
                f"{self.name} has no {precision}",
                hint=f"it has {', '.join(p for p in self.peak_flop_per_s if p in PRECISIONS)}",
            )
        return peak

    def matmul_rate(self, precision: str) -> MatmulRate:
        """Matrix multiplication in a number format. Raises: as `peak`."""
        rate = self.matmul.get(precision)
        if rate is None:
            self.peak(precision)
            raise KeyError(precision)
        return rate
