"""Devices and the topology of a job, as device and cluster files describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from planner.hardware.device import ELEMENT_BYTES, AttentionRate, Device, LinkConstants, MatmulRate
from planner.hardware.fabric import fabric_from_spec
from planner.hardware.group import NodeKind
from planner.hardware.links import Topology

if TYPE_CHECKING:
    from planner.specs.cluster.spec import ClusterSpec, NodeGroup
    from planner.specs.device import DeviceSpec
    from planner.specs.device_parts import Attention, CollectiveLinks, MatmulConstants
    from planner.specs.files.fields import Constant
    from planner.specs.library import CollectiveLibrary

_EIGHT_BIT = ("fp8", "mxfp8")
_FOUR_BIT = ("nvfp4",)


def topology_from_spec(cluster: ClusterSpec, *, devices: int, trees: bool = True) -> Topology:
    """The first `devices` devices of a cluster, nodes in file order; `trees` as in `Topology`.

    Raises: InputError when the cluster has fewer, or a node would be used in part.
    """
    sized = cluster.sized(devices=devices)
    used = sum(group.count or 0 for group in sized.node_groups)
    whole = sized if cluster.num_nodes is None else cluster
    kinds: list[NodeKind] = []
    different: dict[tuple[object, ...], NodeKind] = {}
    types: list[tuple[DeviceSpec, Device]] = []
    for group in whole.node_groups:
        nodes = group.count or 0
        per_node = min(group.devices_per_node, devices) if used == 1 else group.devices_per_node
        known = (device for spec, device in types if spec == group.device)
        device = next(known, None)
        if device is None:
            device = device_from_spec(group.device)
            types.append((group.device, device))
        kind = _kind_from_spec(group, device, per_node)
        # Groups of equal nodes are one kind, unless a scale-up domain would reach into the next.
        apart = group.name if nodes % kind.domain_nodes else None
        values = (apart, *(getattr(kind, field.name) for field in fields(NodeKind)))
        kinds.extend([different.setdefault(values, kind)] * nodes)
    return Topology(kinds, fabric_from_spec(whole), range(used), trees=trees)


def _kind_from_spec(group: NodeGroup, device: Device, devices_per_node: int) -> NodeKind:
    fast, domain, network = group.intra_node, group.scale_up, group.network
    step_s = device.links.step_s if fast.latency_s is None else fast.latency_s
    network_step_s = device.links.network_step_s
    if network is not None and network.latency_s is not None:
        network_step_s = network.latency_s
    domain_step_s = step_s if domain is None or domain.latency_s is None else domain.latency_s
    return NodeKind(
        device=device,
        devices_per_node=devices_per_node,
        wired_devices=group.devices_per_node,
        domain_nodes=1 if domain is None else domain.nodes,
        node_bytes_per_s=fast.bandwidth_bytes_per_s,
        node_step_s=step_s,
        domain_bytes_per_s=(
            fast.bandwidth_bytes_per_s if domain is None else domain.bandwidth_bytes_per_s
        ),
        domain_step_s=domain_step_s,
        cards=1 if network is None else network.cards,
        network_bytes_per_s=0.0 if network is None else network.node_bytes_per_s,
        network_step_s=network_step_s,
        network="infiniband" if network is None else network.kind,
    )


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
    def by_generation(cudnn_9_19: float, flash_2: float) -> dict[str, float]:
        return {
            "cudnn-9.19": cudnn_9_19,
            "newest": 1.0,
            "flash-2": flash_2,
            "flash-1": flash_2 * attention.flash_1.value,
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
        generations=by_generation(attention.cudnn_9_19_forward.value, attention.flash_2.value),
        backward_generations=by_generation(
            attention.cudnn_9_19_backward.value, attention.flash_2_backward.value
        ),
        causal_backward_generations=by_generation(
            attention.cudnn_9_19_backward.value, attention.flash_2_causal_backward.value
        ),
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
        network_overlap_cost=links.network_overlap_cost.value,
        network_send_cost=links.network_send_cost.value,
        reduction_launch_s=links.reduction_launch.value,
        mesh=links.mesh,
        local_copy=library.local_copy.value,
        low_latency_cost=library.low_latency_cost.value,
        tree_level_steps=library.tree_level_steps.value,
        all_to_all_steps=library.all_to_all_steps.value,
        fewest_switch_reducers=library.fewest_switch_reducers.value,
        ring_exits=library.ring_exits.value,
    )
