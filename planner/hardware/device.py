"""One accelerator in SI units. Everything that does not depend on a shape is worked out once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import RuleError
from planner.plan import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.specs.device import Attention, CollectiveLinks, DeviceSpec, MatmulConstants
    from planner.specs.files.fields import Constant
    from planner.specs.library import CollectiveLibrary

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

_EIGHT_BIT = ("fp8", "mxfp8")
_FOUR_BIT = ("nvfp4",)


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


def device_from_spec(spec: DeviceSpec) -> Device:
    """The device a device file describes."""
    peaks = spec.peak.by_format()
    memory_bytes_per_s = spec.memory.bandwidth.value
    return Device(
        name=spec.name,
        family=spec.family,
        memory_bytes=spec.memory.capacity.value,
        memory_bytes_per_s=memory_bytes_per_s,
        memory_efficiency=spec.memory.efficiency.value,
        context_bytes=spec.memory.context.value,
        eager_context_bytes=spec.memory.eager_context.value,
        workspace_bytes=spec.memory.workspace.value,
        layer_workspace_bytes=spec.memory.layer_workspace.value,
        kernel_latency_s=spec.kernel_latency.value,
        host_slowness=spec.host.slowness.value,
        speed_variation=spec.speed_variation.value,
        multiprocessors=spec.matmul.multiprocessors.value,
        wave_overlap=spec.matmul.wave_overlap.value,
        load_bytes=spec.matmul.load_bytes.value,
        shortest_split=spec.matmul.shortest_split.value,
        peak_flop_per_s=peaks,
        matmul={name: _matmul_rate(spec.matmul, peaks, name) for name in peaks},
        gradient_efficiency=spec.matmul.gradient_efficiency.value,
        block_scaled=spec.matmul.block_scaled.value,
        lane_efficiency=spec.matmul.lane_efficiency.value,
        tf32_gradient=_value(spec.matmul.gradient_efficiency_tf32),
        fp8_transposes=spec.matmul.fp8_transposes,
        narrow_load=spec.matmul.narrow_load.value,
        grouped_efficiency=spec.grouped_matmul.efficiency.value,
        grouped_gradient_efficiency=spec.grouped_matmul.gradient_efficiency.value,
        group_launch_s=spec.grouped_matmul.group_launch.value,
        attention=_attention_rate(spec.attention),
        links=_link_constants(spec.links, spec.library),
        streaming_bytes_per_s=memory_bytes_per_s * spec.memory.efficiency.value,
    )


def _matmul_rate(matmul: MatmulConstants, peaks: Mapping[str, float], precision: str) -> MatmulRate:
    """Tiles of one number format.

    A tile of a x b elements moves a + b operand elements for a * b products, so its share of the
    largest tile's rate saturates in a * b / (a + b). Starting and ending a tile takes the same time
    in every format: with a faster reduction it is worth more steps.
    """
    efficiency = _efficiency(matmul, precision)
    sixteen_bit = peaks.get("bf16", peaks.get("fp16", peaks[precision]))
    tile_flop_per_s = peaks[precision] * efficiency / matmul.multiprocessors.value
    tile_half = matmul.tile_half.value
    shares = [_saturation(a * b / (a + b), tile_half) for a, b in matmul.tiles]
    largest = max(shares)
    return MatmulRate(
        element_bytes=ELEMENT_BYTES[precision],
        reduction_half=matmul.reduction_half.value * peaks[precision] / sixteen_bit,
        tiles=tuple(
            (a, b, 2 * a * b * largest / (tile_flop_per_s * share))
            for (a, b), share in zip(matmul.tiles, shares, strict=True)
        ),
    )


def _efficiency(matmul: MatmulConstants, precision: str) -> float:
    eight_bit = matmul.efficiency_8bit or matmul.efficiency
    if precision in _EIGHT_BIT:
        return eight_bit.value
    if precision in _FOUR_BIT:
        return (matmul.efficiency_4bit or eight_bit).value
    if precision == "fp32":
        return (matmul.efficiency_fp32 or matmul.efficiency).value
    if precision == "tf32":
        return (matmul.efficiency_tf32 or matmul.efficiency).value
    return matmul.efficiency.value


def _value(constant: Constant[float] | None) -> float | None:
    return None if constant is None else constant.value


def _saturation(size: float, half: float) -> float:
    return size / (size + half)


def _attention_rate(attention: Attention) -> AttentionRate:
    older = {
        "newest": 1.0,
        "flash-2": attention.flash_2.value,
        "flash-1": attention.flash_2.value * attention.flash_1.value,
    }
    return AttentionRate(
        forward_efficiency=attention.forward_efficiency.value,
        backward_efficiency=attention.backward_efficiency.value,
        forward_block=attention.forward_block.value,
        backward_block=attention.backward_block.value,
        head_dim_half=attention.head_dim_half.value,
        head_dim_step=attention.head_dim_step.value,
        longest_block_share=attention.longest_block_share.value,
        wide_head_efficiency=attention.wide_head_efficiency.value,
        dropout_operations=attention.dropout_operations.value,
        generations={"cudnn-9.19": attention.cudnn_9_19_forward.value, **older},
        backward_generations={"cudnn-9.19": attention.cudnn_9_19_backward.value, **older},
        fp8_forward=attention.fp8_forward.value,
        fp8_backward=attention.fp8_backward.value,
    )


def _link_constants(links: CollectiveLinks, library: CollectiveLibrary) -> LinkConstants:
    reduction = links.reduction_efficiency
    return LinkConstants(
        launch_s=links.launch.value,
        step_s=links.step.value,
        network_step_s=links.network_step.value,
        ramp_s=links.ramp.value,
        intra_node_efficiency=links.intra_node_efficiency.value,
        inter_node_efficiency=links.inter_node_efficiency.value,
        all_to_all_efficiency=links.all_to_all_efficiency.value,
        all_to_all_network=links.all_to_all_network.value,
        send_efficiency=links.send_efficiency.value,
        reduction_efficiency=0.0 if reduction is None else reduction.value,
        overlap_cost=links.overlap_cost.value,
        reduction_launch_s=links.reduction_launch.value,
        mesh=links.mesh,
        local_copy=library.local_copy.value,
        low_latency_cost=library.low_latency_cost.value,
        tree_level_steps=library.tree_level_steps.value,
        all_to_all_steps=library.all_to_all_steps.value,
        fewest_switch_reducers=library.fewest_switch_reducers.value,
        ring_exits=library.ring_exits.value,
    )
