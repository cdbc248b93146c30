"""Seconds of one kernel on a device: the larger of its arithmetic and its memory traffic.

    m, n, k   rows, columns and reduction length of a product C[m, n] = A[m, k] B[k, n]
    P         multiprocessors of the device

Roofline: Williams, Waterman and Patterson 2009. Quantisation in tiles and waves: NVIDIA, "Matrix
Multiplication Background User's Guide"; Anthony et al. 2024 (arXiv:2401.14489), section 3.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd
from typing import TYPE_CHECKING

from planner.hardware.device import ELEMENT_BYTES

if TYPE_CHECKING:
    from planner.hardware.device import Device, MatmulRate

_PARTIAL_SUM_BYTES = ELEMENT_BYTES["fp32"]
"""Partial sums of a split reduction are kept in fp32."""
_BACKWARD_QUERY_PRODUCTS = 3
_BACKWARD_VALUE_PRODUCTS = 2
"""The backward pass of fused attention does five products where the forward pass does two: the
scores again, dQ and dK over the head dimension; dP and dV over the value dimension (Dao 2023,
arXiv:2307.08691, algorithm 2)."""
_STANDARD_HEAD = 128
"""The head dimension to which the attention efficiencies of device files refer."""


@lru_cache(maxsize=1 << 16)
def matmul_s(
    device: Device,
    *,
    m: int,
    n: int,
    k: int,
    batch: int = 1,
    precision: str,
    gradient: bool = False,
    backward: bool = False,
    output_bytes: float = 2.0,
) -> float:
    """Seconds of `batch` products [m, k] x [k, n].

    `gradient`: a weight gradient, which reads both operands transposed. `backward`: a weight
    gradient, or an input gradient, which reads one operand transposed. `output_bytes`: memory
    traffic per output element; 8 when it is added to an fp32 gradient (read and written). Raises:
    RuleError("precision") when the device does not have the format.
    """
    rate = device.matmul_rate(precision)
    compute_s = _tiles_s(device, rate, m, n, k, batch, output_bytes=output_bytes)
    if gradient:
        compute_s /= device.gradient_efficiency
    if precision == "mxfp8":
        compute_s /= device.block_scaled
    if backward and precision == "tf32" and device.tf32_gradient is not None:
        compute_s /= device.tf32_gradient
    if batch > 1 and _leaves_tensor_cores(device, rate, n, k if not gradient else m):
        fp32_flop_per_s = device.peak_flop_per_s.get("fp32")
        if fp32_flop_per_s is not None:
            lanes_s = 2.0 * batch * m * n * k / (fp32_flop_per_s * device.lane_efficiency)
            compute_s = max(compute_s, lanes_s)
    else:
        compute_s *= _narrow_rows(device, rate, n, m if gradient else k)
    traffic_bytes = batch * ((m + n) * k * rate.element_bytes + m * n * output_bytes)
    return max(compute_s, traffic_bytes / device.streaming_bytes_per_s) + device.kernel_latency_s


def _leaves_tensor_cores(device: Device, rate: MatmulRate, *row_lengths: int) -> bool:
    """Whether a batched product of 16-bit operands has rows whose length is not a multiple of the
    widest load (NVIDIA, "Matrix Multiplication Background User's Guide", tensor core requirements).
    """
    elements = device.load_bytes // max(1, int(rate.element_bytes))
    return int(rate.element_bytes) == 2 and gcd(elements, *row_lengths) < elements


def _narrow_rows(device: Device, rate: MatmulRate, *row_lengths: int) -> float:
    """Slowdown of a product by the lengths of its operands' rows, in elements: where a length is
    not a multiple of the widest load, one load becomes several (NVIDIA, "Matrix Multiplication
    Background User's Guide", tensor core requirements)."""
    elements = device.load_bytes // max(1, int(rate.element_bytes))
    loads = elements // gcd(elements, *row_lengths)
    return 1.0 + device.narrow_load * (loads - 1)


@lru_cache(maxsize=1 << 16)
def grouped_matmul_s(
    device: Device,
    *,
    groups: int,
    m: int,
    n: int,
    k: int,
    precision: str,
    gradient: bool = False,
    output_bytes: float = 2.0,
) -> float:
    """Seconds of the products of `groups` experts in one call, [m, k] x [k, n] for each.

    Forward and input gradient: m is the tokens of one expert. `gradient`: k is. Arguments and
    errors otherwise as `matmul_s`.
    """
    rate = device.matmul_rate(precision)
    compute_s = _tiles_s(device, rate, m, n, k, groups, output_bytes=None)
    if gradient:
        compute_s /= device.gradient_efficiency * device.grouped_gradient_efficiency
    else:
        compute_s /= device.grouped_efficiency
    traffic_bytes = groups * ((m + n) * k * rate.element_bytes + m * n * output_bytes)
    return (
        max(compute_s, traffic_bytes / device.streaming_bytes_per_s)
        + device.kernel_latency_s
        + groups * device.group_launch_s
    )


def _tiles_s(
    device: Device,
    rate: MatmulRate,
    m: int,
    n: int,
    k: int,
    batch: int,
    *,
    output_bytes: float | None,
) -> float:
    """Seconds of the best tile: whole waves of whole tiles, each as long as the reduction.

    A grid that leaves multiprocessors idle may split the reduction (`output_bytes` given); the
    partial sums are then written, read and added in a second kernel.
    """
    multiprocessors = device.multiprocessors
    overlap = device.wave_overlap
    half = rate.reduction_half
    best_s = float("inf")
    for rows, columns, step_s in rate.tiles:
        tiles = -(-m // rows) * -(-n // columns) * batch
        waves = tiles / multiprocessors
        if waves > 1.0:
            waves += (1.0 - overlap) * (ceil(waves) - waves)
            best_s = min(best_s, waves * step_s * (k + half))
            continue
        best_s = min(best_s, step_s * (k + half))
        if output_bytes is None:
            continue
        splits = 2
        while tiles * splits <= multiprocessors and k >= splits * device.shortest_split:
            partial_bytes = m * n * batch * _PARTIAL_SUM_BYTES * (splits + 1)
            split_s = (
                step_s * (k / splits + half)
                + partial_bytes / device.streaming_bytes_per_s
                + device.kernel_latency_s
            )
            best_s = min(best_s, split_s)
            splits *= 2
    return best_s


@lru_cache(maxsize=1 << 16)
def attention_s(
    device: Device,
    *,
    batch: int,
    heads: int,
    query_length: int,
    key_length: int,
    head_dim: int,
    value_dim: int,
    causal: bool,
    backward: bool,
    precision: str,
    kv_heads: int | None = None,
    window: int | None = None,
    generation: str = "newest",
    eight_bit: bool = False,
) -> float:
    """Seconds of fused (flash) attention: softmax(Q K^T) V, or its backward pass.

    Q is [batch, heads, query_length, head_dim], K [batch, kv_heads, key_length, head_dim], V
    [batch, kv_heads, key_length, value_dim]. `causal` with fewer queries than keys: the queries are
    spread evenly over the sequence, as balanced context parallelism does. `window`: the most keys
    that one query sees. `generation`: cudnn-9.19, newest, flash-2 or flash-1. `eight_bit`: products
    in 8 bits of a job in `precision`. Raises: RuleError("precision") as `matmul_s`.
    """
    rate = device.attention
    head, value = (_next(width, rate.head_dim_step) for width in (head_dim, value_dim))
    if backward:
        block, efficiency = rate.backward_block, rate.backward_efficiency
        products = _BACKWARD_QUERY_PRODUCTS * head + _BACKWARD_VALUE_PRODUCTS * value
    else:
        block, efficiency = rate.forward_block, rate.forward_efficiency
        products = head + value
    kernels = rate.generations
    if backward:
        kernels = rate.causal_backward_generations if causal else rate.backward_generations
    efficiency *= kernels[generation]
    if eight_bit:
        efficiency *= rate.fp8_backward if backward else rate.fp8_forward
    efficiency *= _head_efficiency(head, rate.head_dim_half, rate.wide_head_efficiency)
    flop_per_s = device.peak(precision) * efficiency
    pair_flop = 2.0 * products
    keys = _keys_per_query(key_length, block, causal, window)
    mean_s = batch * heads * query_length * keys * pair_flop / flop_per_s
    longest = key_length if window is None else min(key_length, window + block)
    longest_s = block * longest * pair_flop * device.multiprocessors / flop_per_s
    compute_s = max(longest_s, mean_s + rate.longest_block_share * longest_s)
    query_elements = batch * heads * query_length * (head_dim + value_dim)
    key_elements = batch * (kv_heads or heads) * key_length * (head_dim + value_dim)
    tensors = 2.0 if backward else 1.0
    traffic_bytes = tensors * ELEMENT_BYTES[precision] * (query_elements + key_elements)
    return max(compute_s, traffic_bytes / device.streaming_bytes_per_s) + device.kernel_latency_s


def _next(width: int, step: int) -> int:
    """The first multiple of a step that is at least `width`."""
    return -(-width // step) * step


def _head_efficiency(head_dim: int, half: float, wide_efficiency: float) -> float:
    """Relative to head dimension 128. Small heads do little arithmetic for each exponential;
    wide ones leave fewer registers for the tile."""
    if head_dim > _STANDARD_HEAD:
        return wide_efficiency
    return head_dim * (_STANDARD_HEAD + half) / (_STANDARD_HEAD * (head_dim + half))


def _keys_per_query(key_length: int, block: float, causal: bool, window: int | None) -> float:
    """Mean number of keys that a query is multiplied with; blocks on the diagonal count whole."""
    reach = key_length if window is None else min(window, key_length)
    if not causal:
        return float(reach)
    in_triangle = reach - reach * reach / (2.0 * key_length)
    return min(in_triangle + block / 2.0, float(key_length))


def memory_bound_s(device: Device, size_bytes: float, kernels: float = 1.0) -> float:
    """Seconds of kernels that read and write `size_bytes` in total and do little arithmetic."""
    return size_bytes / device.streaming_bytes_per_s + kernels * device.kernel_latency_s
