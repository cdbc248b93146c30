"""Seconds that ranks of one replica spend on exchanging a layer's tokens.

    n   ranks            S   bytes of the buffer that each holds          B   bytes/s of a rank

One-shot all-reduce sends S to each of n − 1 ranks; two-shot reduces a share of S and gathers it,
2 (n − 1)/n S (NVIDIA/TensorRT-LLM, cpp/tensorrt_llm/kernels/customAllReduceKernels.cu;
vllm-project/vllm, csrc/custom_all_reduce.cuh). Over several fast fabrics the collective library
sums, as in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.hardware import collectives
from planner.serving.layer.laws import ACTIVATION_BYTES
from planner.serving.scenario import WEIGHT_BYTES

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.serving.scenario import ServingScenario

_DISPATCHED_BYTES = WEIGHT_BYTES["fp8"]
"""Tokens travel to their experts in 8 bits and back in 16 (DeepSeek-AI/DeepEP, README)."""


def all_reduce_s(scenario: ServingScenario, ranks: int, size_bytes: Floats) -> Floats:
    """Seconds to sum buffers of S over the ranks; zero for one rank."""
    if ranks == 1:
        return np.zeros_like(size_bytes)
    group = scenario.stage_group
    if group is not None and ranks == group.size:
        return np.array([collectives.all_reduce_s(group, size) for size in size_bytes.tolist()])
    law, bandwidth = scenario.table.all_reduce, scenario.link_bytes_per_s
    one_shot_s = law.one_shot + size_bytes * (ranks - 1) / (bandwidth * law.one_shot_bandwidth)
    around_bytes = 2 * size_bytes * (ranks - 1) / ranks
    two_shot_s = law.two_shot + around_bytes / (bandwidth * law.two_shot_bandwidth)
    return np.minimum(one_shot_s, two_shot_s)


def routed_s(scenario: ServingScenario, tokens: Floats) -> Floats:
    """Seconds of bringing T tokens of each attention rank to all experts and back: by gathering all
    tokens everywhere and reducing the results, or by sending each to its experts' ranks, of which
    the fullest is waited for."""
    model, degrees = scenario.model, scenario.degrees
    assert model.moe is not None
    ranks = degrees.stage_devices
    everyone = tokens * degrees.attention_data * model.hidden_size * ACTIVATION_BYTES
    gathered_s = all_reduce_s(scenario, ranks, everyone)
    law = scenario.table.exchange
    copies = tokens * min(model.moe.top_k, ranks) * (ranks - 1) / ranks / degrees.tensor
    if scenario.placed is not None:
        copies = copies * scenario.placed.fullest
    sent_bytes = copies * model.hidden_size * (_DISPATCHED_BYTES + ACTIVATION_BYTES)
    exchanged_s = 2 * law.start + sent_bytes / (scenario.link_bytes_per_s * law.bandwidth)
    group = scenario.stage_group
    if group is not None:
        outside = (group.size - group.local) / (group.size - 1)
        exchanged_s = np.maximum(
            exchanged_s,
            2 * (law.start + group.network_step_s)
            + outside * sent_bytes / group.member_network_bytes_per_s,
        )
    return np.minimum(gathered_s, exchanged_s)


def sends_s(scenario: ServingScenario, tokens: Floats) -> Floats:
    """Seconds in which T tokens of a step pass from stage to stage, each device its share."""
    link, degrees = scenario.stage_link, scenario.degrees
    if link is None or degrees.pipeline == 1:
        return np.zeros_like(tokens)
    size_bytes = tokens * scenario.model.hidden_size * ACTIVATION_BYTES / degrees.tensor
    one: Floats = link.latency_s + size_bytes / link.bytes_per_s
    return (degrees.pipeline - 1) * one
