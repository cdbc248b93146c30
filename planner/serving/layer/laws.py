"""Seconds of one kernel: a floor, and traffic and arithmetic that overlap in part.

    floor + (traffic^x + arithmetic^x)^(1/x)

With x = ∞ it is the roofline (Williams, Waterman and Patterson 2009); a finite x rounds its knee.
Arguments are arrays over the tokens of a step, T.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from planner.serving.scenario import WEIGHT_BYTES

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.serving.scenario import ServingScenario
    from planner.specs.engine_kernels import KernelLaw

ACTIVATION_BYTES = WEIGHT_BYTES["bf16"]


def law_s(
    scenario: ServingScenario,
    law: KernelLaw,
    size_bytes: Floats,
    flop: Floats,
    blend: float,
    *,
    chain_s: float = 0.0,
) -> Floats:
    """Seconds of a kernel that moves `size_bytes` and does `flop`, whose sum takes `chain_s`."""
    traffic_s = size_bytes / (scenario.memory_bytes_per_s * law.bandwidth)
    arithmetic_s = flop / (scenario.sustained_peak(law.arithmetic) * law.peak)
    together_s = (traffic_s**blend + arithmetic_s**blend + chain_s**blend) ** (1 / blend)
    total: Floats = law.floor + together_s
    return total


def product_s(
    scenario: ServingScenario, tokens: Floats, n: float, k: float, weights: str
) -> Floats:
    """Seconds of [T, k] x [k, n] with weights in a format."""
    size_bytes = n * k * WEIGHT_BYTES[weights] + tokens * (n + k) * ACTIVATION_BYTES
    law = scenario.product_law(weights)
    blend = scenario.engine.blend.value
    chain_s = law.chain_of(n, k) * k
    return law_s(scenario, law, size_bytes, 2 * tokens * n * k, blend, chain_s=chain_s)


def activated(experts: float, share: float, tokens: Floats) -> Floats:
    """Experts that at least one of the tokens meets, where each token meets `share` of all."""
    met: Floats = experts * (1 - (1 - share) ** tokens)
    return met


def _above(devices: int) -> float:
    """Standard deviations by which the highest of so many normal values is above their mean, on
    average: Φ⁻¹((n − 3/8)/(n + 1/4)) (Blom 1958)."""
    return NormalDist().inv_cdf((devices - 3 / 8) / (devices + 1 / 4)) if devices > 1 else 0.0


def fullest(experts: float, share: float, tokens: Floats, devices: int) -> tuple[Floats, Floats]:
    """Experts met and rows of the fullest of so many devices, each with its part of the experts, by
    chance alone: both are sums of many choices, so about normal."""
    met = activated(experts, share, tokens) / devices
    rows = tokens * share * experts / devices
    above, own = _above(devices), experts / devices
    missed = np.clip(1 - met / own, 0.0, 1.0)
    most_met = np.minimum(own, met + above * np.sqrt(met * missed))
    return most_met, rows + above * np.sqrt(rows * (1 - 1 / devices))


def fullest_as_counted(chances: Floats, tokens: Floats, devices: int) -> tuple[Floats, Floats]:
    """[L, G, T] experts met and rows of each group of experts, were it the fullest: as `fullest`,
    from the chances [L, G, E / G] of the experts. The slowest of them takes at least as long as the
    fullest takes on average."""
    met_each = 1 - (1 - chances[..., None]) ** tokens
    met, of_group = met_each.sum(axis=2), chances.sum(axis=2)[..., None]
    rows, share = of_group * tokens, of_group / of_group.sum(axis=1, keepdims=True)
    above = _above(devices)
    spread = np.sqrt((met_each * (1 - met_each)).sum(axis=2))
    most_met = np.minimum(chances.shape[2], met + above * spread)
    return most_met, rows + above * np.sqrt(rows * (1 - share))


def experts_s(scenario: ServingScenario, tokens: Floats, shared: float = 0.0) -> Floats:
    """Seconds of the routed experts of the slowest device, and of so many `shared` ones that all
    tokens choose. `tokens` route together (of all attention ranks). Weights of the experts that are
    met are read once; each one's rows are padded by half a tile. Where routing was counted, the
    mean over the layers."""
    moe, degrees = scenario.model.moe, scenario.degrees
    assert moe is not None
    width = moe.ffn_hidden_size * degrees.expert / degrees.stage_devices
    matrices = 3 if scenario.model.gated_mlp else 2
    elements = matrices * scenario.model.hidden_size * width
    share, placed = moe.top_k / moe.num_experts, scenario.placed
    if placed is None:
        met, rows = fullest(moe.num_experts, share, tokens, degrees.expert)
    else:
        met, rows = fullest_as_counted(placed.chances, tokens, degrees.expert)
    met = np.maximum(met, np.minimum(1.0, tokens * share)) + shared
    rows = rows + tokens * shared
    law = scenario.expert_law()
    size_bytes = met * elements * WEIGHT_BYTES[scenario.expert_format]
    size_bytes = size_bytes + rows * (2 * scenario.model.hidden_size + matrices * width) * (
        ACTIVATION_BYTES
    )
    flop = 2 * (rows + met * law.tile / 2) * elements
    seconds = law_s(scenario, law, size_bytes, flop, scenario.engine.expert_blend.value)
    if placed is None:
        return seconds
    slowest: Floats = seconds.max(axis=1).mean(axis=0)
    return slowest


def small_s(scenario: ServingScenario, kernels: int, tokens: Floats, width: float) -> Floats:
    """Seconds of elementwise kernels that read and write T · width elements each."""
    size_bytes = 2 * tokens * width * ACTIVATION_BYTES
    one: Floats = scenario.table.small_kernel + size_bytes / scenario.memory_bytes_per_s
    return kernels * one
