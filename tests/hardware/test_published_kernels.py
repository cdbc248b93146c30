"""Kernel times against published measurements: MooreThreads/SimuMax, measured kernel efficiencies
of an A100 PCIe and a B200, drawn at random from its tables. Tolerances are what the fit reaches."""

from __future__ import annotations

from statistics import mean, median
from typing import TYPE_CHECKING

import pytest

from planner.hardware.kernels import attention_s, grouped_matmul_s, matmul_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.hardware.device import Device

PEAK_FLOP_PER_S = {"a100-pcie-80gb": 312e12, "b200-sxm": 2250e12}

# m, n, k, weight gradient, bytes per output element, measured share of the peak
MATMULS = {
    "a100-pcie-80gb": [
        (4096, 5120, 102400, False, 2, 0.7619),
        (4096, 8192, 28672, False, 2, 0.7464),
        (4096, 5120, 24576, False, 2, 0.7844),
        (129280, 7168, 4096, True, 8, 0.7122),
        (24640, 5120, 1536, False, 2, 0.7029),
        (4096, 8192, 8192, False, 2, 0.7327),
        (4096, 4096, 3584, False, 2, 0.7270),
        (4096, 16128, 4096, False, 2, 0.7344),
        (4096, 8192, 32128, False, 2, 0.7493),
        (4096, 1024, 4096, False, 2, 0.4576),
        (4096, 7168, 4096, True, 8, 0.6913),
        (4096, 5120, 3072, False, 2, 0.7175),
        (4096, 8192, 10240, False, 2, 0.7544),
        (4096, 5120, 576, False, 2, 0.5918),
        (4096, 7168, 4096, False, 2, 0.7110),
        (768, 4096, 4096, True, 8, 0.7251),
        (2560, 8192, 4096, True, 8, 0.7024),
        (4096, 1536, 5120, False, 2, 0.7877),
    ],
    "b200-sxm": [
        (16384, 24576, 1536, False, 2, 0.5059),
        (4096, 2048, 4096, True, 8, 0.6171),
        (5120, 12288, 4096, True, 4, 0.4937),
        (32128, 16384, 4096, True, 8, 0.4524),
        (3584, 4096, 4096, True, 4, 0.5839),
        (4096, 8192, 2560, False, 2, 0.6551),
        (4096, 8192, 28672, False, 2, 0.4819),
        (8192, 14336, 4096, True, 8, 0.4568),
        (4096, 8192, 28672, False, 2, 0.4847),
        (32768, 53248, 16384, False, 2, 0.4750),
        (26624, 16384, 4096, True, 4, 0.4931),
        (8192, 8192, 28672, False, 2, 0.5049),
        (64128, 8192, 4096, True, 8, 0.4529),
        (16384, 6656, 4096, True, 4, 0.4893),
        (102400, 5120, 16384, True, 8, 0.4922),
        (65536, 16384, 5120, False, 2, 0.4961),
        (3072, 5120, 24640, True, 4, 0.5403),
        (2048, 26624, 16384, False, 2, 0.4800),
    ],
}

# experts, m, n, k, weight gradient, measured share of the peak
GROUPED = {
    "a100-pcie-80gb": [
        (40, 616, 3072, 5120, False, 0.6313),
        (20, 1232, 3072, 5120, False, 0.7074),
        (40, 616, 1536, 5120, False, 0.6582),
        (20, 5120, 3072, 1232, True, 0.6036),
        (40, 5120, 1536, 616, True, 0.5198),
    ],
    "b200-sxm": [
        (32, 1024, 4096, 7168, False, 0.4571),
        (64, 512, 7168, 4096, False, 0.4046),
        (128, 256, 4096, 7168, False, 0.2714),
        (256, 128, 4096, 7168, False, 0.2081),
        (256, 4096, 7168, 128, True, 0.0775),
        (32, 4096, 7168, 1024, True, 0.2888),
        (40, 9832, 3072, 5120, False, 0.4746),
    ],
}

# sequence, heads, head dimension, value dimension, backward, share of the peak if nothing were
# masked
ATTENTION = {
    "a100-pcie-80gb": [
        (4096, 128, 192, 128, False, 1.073),
        (4096, 32, 128, 128, False, 1.132),
        (4096, 8, 128, 128, False, 0.7768),
        (4096, 4, 128, 128, False, 0.5142),
        (4096, 64, 192, 128, True, 0.7943),
        (4096, 64, 128, 128, True, 1.0051),
        (4096, 8, 128, 128, True, 0.7628),
    ],
    "b200-sxm": [
        (4096, 64, 128, 128, False, 0.8715),
        (4096, 16, 128, 128, False, 0.5783),
        (4096, 4, 128, 128, False, 0.1669),
        (131072, 16, 128, 128, False, 0.9888),
        (4096, 128, 192, 128, False, 0.8306),
        (4096, 64, 128, 128, True, 0.7294),
        (4096, 8, 128, 128, True, 0.6586),
        (32768, 64, 192, 128, True, 0.6489),
    ],
}


@pytest.mark.parametrize(
    ("name", "mean_error", "median_error"),
    [("a100-pcie-80gb", 0.04, 0.02), ("b200-sxm", 0.10, 0.05)],
)
def test_matrix_products(
    device: Callable[[str], Device], name: str, mean_error: float, median_error: float
) -> None:
    errors = []
    for m, n, k, gradient, output_bytes, share in MATMULS[name]:
        measured_s = 2 * m * n * k / (share * PEAK_FLOP_PER_S[name])
        estimated_s = matmul_s(
            device(name),
            m=m,
            n=n,
            k=k,
            precision="bf16",
            gradient=gradient,
            output_bytes=output_bytes,
        )
        errors.append(abs(estimated_s / measured_s - 1))
    assert mean(errors) < mean_error
    assert median(errors) < median_error


@pytest.mark.parametrize(("name", "mean_error"), [("a100-pcie-80gb", 0.05), ("b200-sxm", 0.13)])
def test_grouped_products(device: Callable[[str], Device], name: str, mean_error: float) -> None:
    errors = []
    for groups, m, n, k, gradient, share in GROUPED[name]:
        measured_s = 2 * groups * m * n * k / (share * PEAK_FLOP_PER_S[name])
        estimated_s = grouped_matmul_s(
            device(name),
            groups=groups,
            m=m,
            n=n,
            k=k,
            precision="bf16",
            gradient=gradient,
            output_bytes=8.0 if gradient else 2.0,
        )
        errors.append(abs(estimated_s / measured_s - 1))
    assert mean(errors) < mean_error


@pytest.mark.parametrize(("name", "mean_error"), [("a100-pcie-80gb", 0.04), ("b200-sxm", 0.11)])
def test_attention(device: Callable[[str], Device], name: str, mean_error: float) -> None:
    errors = []
    for length, heads, head_dim, value_dim, backward, share in ATTENTION[name]:
        flop = 2 * heads * length * length * (head_dim + value_dim) * (2.5 if backward else 1)
        measured_s = flop / (share * PEAK_FLOP_PER_S[name])
        estimated_s = attention_s(
            device(name),
            batch=1,
            heads=heads,
            query_length=length,
            key_length=length,
            head_dim=head_dim,
            value_dim=value_dim,
            causal=True,
            backward=backward,
            precision="bf16",
        )
        errors.append(abs(estimated_s / measured_s - 1))
    assert mean(errors) < mean_error


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("a100-sxm-80gb", 245e12, 275e12),  # public cuBLAS results; stas00/ml-engineering: 271
        ("h200-sxm", 770e12, 798e12),  # cuBLAS on random data
        ("h100-sxm-80gb", 730e12, 794e12),  # stas00/ml-engineering: 794 at best
        ("mi300x", 600e12, 782e12),  # stas00/ml-engineering: 668 to 782
        ("mi325x", 720e12, 843e12),  # AMD 843 at best, stas00/ml-engineering 785
        ("mi250x", 120e12, 147e12),  # stas00/ml-engineering: 147 on one die
        ("v100-sxm-16gb", 85e12, 110e12),
    ],
)
def test_large_products(
    device: Callable[[str], Device], name: str, low: float, high: float
) -> None:
    precision = "fp16" if name.startswith("v100") else "bf16"
    seconds = matmul_s(device(name), m=8192, n=8192, k=8192, precision=precision)
    assert low < 2 * 8192**3 / seconds < high


@pytest.mark.parametrize(
    ("length", "causal", "backward", "flop_per_s"),
    [
        (4096, False, False, 368e12),
        (16384, False, False, 370e12),
        (4096, True, False, 319e12),
        (16384, True, False, 335e12),
        (4096, False, True, 310e12),
        (16384, False, True, 322e12),
    ],
)
def test_flash_attention_2_on_h100(
    device: Callable[[str], Device], length: int, causal: bool, backward: bool, flop_per_s: float
) -> None:
    """Shah et al. 2024 (arXiv:2407.08608), figures 5 and 6: 16,384 tokens, 16 heads of 128."""
    flop = 4 * 16384 * length * 2048 * (2.5 if backward else 1) / (2 if causal else 1)
    seconds = attention_s(
        device("h100-sxm-80gb"),
        batch=16384 // length,
        heads=16,
        query_length=length,
        key_length=length,
        head_dim=128,
        value_dim=128,
        causal=causal,
        backward=backward,
        precision="bf16",
        generation="flash-2",
    )
    assert flop / seconds == pytest.approx(flop_per_s, rel=0.045)


@pytest.mark.parametrize(
    ("n", "k", "seconds"),
    [(7168, 2048, 2645.58e-6), (1024, 7168, 1283.69e-6), (2112, 7168, 2813.79e-6)],
)
def test_long_products_on_mi355x(
    device: Callable[[str], Device], n: int, k: int, seconds: float
) -> None:
    """ROCm/aiter, pull request 2559: bf16, 131,072 rows, tuned."""
    estimated_s = matmul_s(device("mi355x"), m=131072, n=n, k=k, precision="bf16")
    assert estimated_s == pytest.approx(seconds, rel=0.07)
