from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.hardware.described import device_from_spec
from planner.hardware.device import Device
from planner.hardware.kernels import attention_s, grouped_matmul_s, matmul_s, memory_bound_s
from planner.specs.load import load_device

if TYPE_CHECKING:
    from collections.abc import Callable

A100 = device_from_spec(load_device("a100-sxm-80gb"))
H100 = device_from_spec(load_device("h100-sxm-80gb"))
sizes = st.integers(min_value=1, max_value=40_000)
aligned_sizes = st.integers(min_value=1, max_value=5_000).map(lambda eighth: 8 * eighth)


@given(m=sizes, n=sizes, k=sizes)
def test_a_product_is_never_faster_than_the_roofline(m: int, n: int, k: int) -> None:
    seconds = matmul_s(A100, m=m, n=n, k=k, precision="bf16")
    assert seconds >= 2 * m * n * k / A100.peak("bf16")
    assert seconds >= 2 * (m * k + k * n + m * n) / A100.memory_bytes_per_s


@given(
    m=aligned_sizes, n=aligned_sizes, k=aligned_sizes, factor=st.integers(min_value=2, max_value=4)
)
def test_more_of_anything_hardly_ever_takes_less_time(m: int, n: int, k: int, factor: int) -> None:
    """Twice the work may allow a better split of the reduction, never a large gain."""
    seconds = matmul_s(A100, m=m, n=n, k=k, precision="bf16")
    for longer in (
        matmul_s(A100, m=m * factor, n=n, k=k, precision="bf16"),
        matmul_s(A100, m=m, n=n * factor, k=k, precision="bf16"),
        matmul_s(A100, m=m, n=n, k=k * factor, precision="bf16"),
        matmul_s(A100, m=m, n=n, k=k, batch=factor, precision="bf16"),
    ):
        assert longer >= 0.8 * seconds


@given(m=aligned_sizes, n=aligned_sizes, k=aligned_sizes)
def test_a_product_and_its_transpose_cost_the_same(m: int, n: int, k: int) -> None:
    assert matmul_s(A100, m=m, n=n, k=k, precision="bf16") == pytest.approx(
        matmul_s(A100, m=n, n=m, k=k, precision="bf16"), rel=1e-12
    )


def test_one_row_more_than_a_wave_costs_part_of_another_wave() -> None:
    """108 multiprocessors, tiles of 256 x 128: 27 x 4 tiles are one wave."""
    one_wave_s = matmul_s(A100, m=27 * 256, n=4 * 128, k=8192, precision="bf16")
    more_s = matmul_s(A100, m=27 * 256 + 1, n=4 * 128, k=8192, precision="bf16")
    assert more_s > 1.05 * one_wave_s


def test_a_long_reduction_over_a_small_output_is_split() -> None:
    seconds = matmul_s(A100, m=256, n=256, k=65536, precision="bf16")
    on_the_tiles_alone_s = 65536 * 2 * 64 * 64 / (A100.peak("bf16") / 108)
    assert seconds < 0.5 * on_the_tiles_alone_s


def test_short_reductions_are_less_efficient() -> None:
    def flop_per_s(k: int) -> float:
        seconds = matmul_s(A100, m=8192, n=8192, k=k, precision="bf16")
        return 2 * 8192 * 8192 * k / seconds

    assert flop_per_s(256) < 0.8 * flop_per_s(8192)


def test_a_vector_product_is_bound_by_memory() -> None:
    seconds = matmul_s(A100, m=1, n=16384, k=16384, precision="bf16")
    read_s = 2 * 16384 * 16384 / A100.streaming_bytes_per_s
    assert seconds == pytest.approx(read_s + A100.kernel_latency_s, rel=0.01)


def test_adding_to_an_fp32_gradient_costs_memory_traffic() -> None:
    def seconds(output_bytes: float) -> float:
        return matmul_s(
            A100,
            m=8192,
            n=8192,
            k=64,
            precision="bf16",
            gradient=True,
            output_bytes=output_bytes,
        )

    plain_s, accumulated_s = seconds(2.0), seconds(8.0)
    assert accumulated_s - plain_s > 0.5 * 6 * 8192 * 8192 / A100.memory_bytes_per_s


def test_eight_bit_products_are_faster_but_not_twice_as_fast() -> None:
    bf16_s, fp8_s = (
        matmul_s(H100, m=8192, n=8192, k=8192, precision=precision) for precision in ("bf16", "fp8")
    )
    assert 1.5 < bf16_s / fp8_s < 2.0


def test_groups_share_waves_but_pay_for_each_start() -> None:
    """Eight experts in one call: no slower than eight calls, no faster than their work."""
    one_s = matmul_s(A100, m=512, n=4096, k=4096, precision="bf16")
    grouped_s = grouped_matmul_s(A100, groups=8, m=512, n=4096, k=4096, precision="bf16")
    whole_s = matmul_s(A100, m=8 * 512, n=4096, k=4096, precision="bf16")
    assert whole_s < grouped_s < 8 * one_s * 1.1


@pytest.mark.parametrize("backward", [False, True])
def test_attention_is_never_faster_than_its_products(backward: bool) -> None:
    seconds = attention(batch=2, heads=16, query_length=4096, key_length=4096, backward=backward)
    products = 5 if backward else 2
    flop = products * 2 * 2 * 16 * 4096 * 4096 / 2 * 128
    assert seconds > flop / A100.peak("bf16")


def attention(**changes: object) -> float:
    arguments: dict[str, object] = {
        "batch": 1,
        "heads": 32,
        "query_length": 8192,
        "key_length": 8192,
        "head_dim": 128,
        "value_dim": 128,
        "causal": True,
        "backward": False,
        "precision": "bf16",
    }
    return attention_s(A100, **{**arguments, **changes})


def test_a_causal_mask_saves_almost_half() -> None:
    assert 0.5 < attention() / attention(causal=False) < 0.6


def test_a_window_makes_long_sequences_linear() -> None:
    def seconds(length: int, window: int | None) -> float:
        return attention(query_length=length, key_length=length, window=window)

    assert seconds(65536, 1024) < 0.08 * seconds(65536, None)
    assert seconds(131072, 1024) < 2.1 * seconds(65536, 1024)


def test_queries_split_over_context_ranks_share_the_triangle() -> None:
    part_s = attention(query_length=2048)
    assert attention() < 4 * part_s < 1.25 * attention()


def test_few_heads_cannot_fill_the_device() -> None:
    assert attention(heads=2) > attention(heads=32) / 8


def test_the_backward_pass_does_two_and_a_half_times_the_products() -> None:
    assert 2.5 < attention(backward=True) / attention() < 4.0


@pytest.mark.parametrize("head_dim", [64, 192])
def test_uncommon_head_dimensions_are_less_efficient(head_dim: int) -> None:
    assert attention(head_dim=head_dim, value_dim=head_dim) > attention() * head_dim / 128


def test_memory_bound_kernels_pay_for_bytes_and_starts(device: Callable[[str], Device]) -> None:
    h200 = device("h200-sxm")
    rate = h200.memory_efficiency * 4.8e12
    assert 0.5 * 4.8e12 < rate < 4.8e12
    assert memory_bound_s(h200, 8.6e9) == pytest.approx(8.6e9 / rate + 2e-6)
    assert memory_bound_s(h200, 0.0, kernels=10) == pytest.approx(20e-6)


@pytest.mark.parametrize("gradient", [False, True])
def test_rows_of_odd_length_take_several_loads(gradient: bool) -> None:
    """The fewer bytes a row is a multiple of, the longer; the number of tokens does not matter, for
    no row is that long."""

    def seconds(columns: int, tokens: int = 16384) -> float:
        rows, reduction = (4096, tokens) if gradient else (tokens, 4096)
        return matmul_s(A100, m=rows, n=columns, k=reduction, precision="bf16", gradient=gradient)

    times = [seconds(columns) for columns in (50304, 50300, 50298, 50297)]
    assert times == sorted(set(times))
    assert seconds(50304, tokens=16383) == pytest.approx(seconds(50304), rel=1e-3)


def test_a_vocabulary_of_whole_rows_is_faster_than_gpt_2s() -> None:
    """karpathy/nanoGPT: 50,304 in place of 50,257; the output layer is 27 % of the FLOPs of the
    124M model, the rest stays, and a step takes 1 / 1.25 of the time."""
    odd, whole = (
        matmul_s(A100, m=12 * 1024, n=vocabulary, k=768, precision="bf16")
        for vocabulary in (50_257, 50_304)
    )
    share = 0.27
    assert 1 / (share * odd / whole + 1 - share) == pytest.approx(1 / 1.25, abs=0.03)


@pytest.mark.parametrize(("head_dim", "kernel"), [(80, 96), (112, 128), (150, 160)])
def test_head_dimensions_between_kernels_run_in_the_next(head_dim: int, kernel: int) -> None:
    assert attention(head_dim=head_dim, value_dim=head_dim) == pytest.approx(
        attention(head_dim=kernel, value_dim=kernel), rel=1e-9
    )
