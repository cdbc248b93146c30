"""A node that combines the best of several nodes in every respect, for bounds: no node of the
cluster is better than it."""

from __future__ import annotations

from dataclasses import fields, replace
from math import gcd
from typing import TYPE_CHECKING, Any

from planner.hardware.device import AttentionRate, LinkConstants

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.hardware.device import Device, MatmulRate
    from planner.hardware.group import NodeKind

_LESS_IS_BETTER = frozenset(
    {
        "kernel_latency_s",
        "context_bytes",
        "eager_context_bytes",
        "workspace_bytes",
        "layer_workspace_bytes",
        "speed_variation",
        "group_launch_s",
        "forward_block",
        "backward_block",
        "head_dim_half",
        "longest_block_share",
        "dropout_operations",
        "shortest_split",
        "launch_s",
        "step_s",
        "node_step_s",
        "domain_step_s",
        "network_step_s",
        "ramp_s",
        "overlap_cost",
        "network_overlap_cost",
        "network_send_cost",
        "reduction_launch_s",
        "mesh",
        "local_copy",
        "low_latency_cost",
        "tree_level_steps",
        "all_to_all_steps",
        "fewest_switch_reducers",
        "host_slowness",
        "wired_devices",
        "cards",
    }
)


_DEVICE_BY_ITSELF = (
    "name",
    "peak_flop_per_s",
    "matmul",
    "load_bytes",
    "attention",
    "links",
    "fp8_transposes",
    "tf32_gradient",
)
_ATTENTION_BY_ITSELF = (
    "generations",
    "backward_generations",
    "causal_backward_generations",
    "head_dim_step",
)


def best_kind(kinds: Sequence[NodeKind]) -> NodeKind:
    """One node with the best constant of each kind; devices and domains as large as the first's."""
    if len(set(kinds)) == 1:
        return kinds[0]
    whole = ("device", "devices_per_node", "domain_nodes", "network")
    fastest = max(kinds, key=lambda kind: kind.device.links.all_to_all_network)
    return replace(
        kinds[0],
        network=fastest.network,
        device=best_device(tuple(dict.fromkeys(kind.device for kind in kinds))),
        **_best_fields(kinds, without=whole),
    )


def best_device(devices: Sequence[Device]) -> Device:
    """One device with the best constant of each kind. Matrix products take the fastest device's
    tiles, number format by number format; where kernels and loads come in steps, it has the largest
    step that divides all of them."""
    if len(devices) == 1:
        return devices[0]
    peaks: dict[str, float] = {}
    rates: dict[str, MatmulRate] = {}
    for device in devices:
        for precision, peak in device.peak_flop_per_s.items():
            if peak > peaks.get(precision, 0.0):
                peaks[precision], rates[precision] = peak, device.matmul_rate(precision)
    attentions = [device.attention for device in devices]
    return replace(
        devices[0],
        name=" or ".join(device.name for device in devices),
        peak_flop_per_s=peaks,
        matmul=rates,
        attention=AttentionRate(
            **_best_fields(attentions, without=_ATTENTION_BY_ITSELF),
            head_dim_step=gcd(*(attention.head_dim_step for attention in attentions)),
            generations=_largest([attention.generations for attention in attentions]),
            backward_generations=_largest([one.backward_generations for one in attentions]),
            causal_backward_generations=_largest(
                [one.causal_backward_generations for one in attentions]
            ),
        ),
        links=LinkConstants(**_best_fields([device.links for device in devices])),
        load_bytes=gcd(*(device.load_bytes for device in devices)),
        fp8_transposes=all(device.fp8_transposes for device in devices),
        tf32_gradient=_fastest([device.tf32_gradient for device in devices]),
        **_best_fields(devices, without=_DEVICE_BY_ITSELF),
    )


def _best_fields(values: Sequence[Any], *, without: Sequence[str] = ()) -> dict[str, Any]:
    names = [field.name for field in fields(values[0]) if field.name not in without]
    best: dict[str, Any] = {}
    for name in names:
        found = [getattr(value, name) for value in values]
        best[name] = min(found) if name in _LESS_IS_BETTER else max(found)
    return best


def _fastest(gradients: Sequence[float | None]) -> float | None:
    """None, which means no slowing at all, where one device has None."""
    known = [one for one in gradients if one is not None]
    return max(known) if len(known) == len(gradients) else None


def _largest(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: max(value[name] for value in values) for name in values[0]}
