"""Bytes of one rank of a replica, and how many tokens its KV cache holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.serving.layer.attention import kv_bytes_per_token
from planner.serving.layer.laws import ACTIVATION_BYTES
from planner.serving.scenario import WEIGHT_BYTES
from planner.workload.parameters import attention_parameters, mlp_parameters

if TYPE_CHECKING:
    from planner.serving.scenario import ServingScenario

_LOGIT_BYTES = 4
"""Logits are in fp32."""
_KEPT = 2
"""Copies of the hidden state that live on while tokens are chosen: the last layer's output and its
residual."""
_BUFFERS = 4
"""Copies of the hidden state that live at once in a layer: residual, norm, input and output of a
product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingMemory:
    """Of the fullest rank. `kv_bytes` is what the engine's rule leaves to the KV cache; `windows`
    are bytes per cached token by window (None: the whole context)."""

    weight_bytes: float
    activation_bytes: float
    kv_bytes: float
    windows: tuple[tuple[int | None, float], ...]
    block_tokens: int

    def request_bytes(self, tokens: float) -> float:
        """Of one request with so many tokens, in whole blocks."""
        held = -(-tokens // self.block_tokens) * self.block_tokens
        return sum(
            size * (held if window is None else min(held, window)) for window, size in self.windows
        )

    @property
    def kv_tokens(self) -> int:
        """Tokens of whole context that the cache holds."""
        whole = sum(size for window, size in self.windows if window is None)
        each = whole or sum(size for _, size in self.windows)
        return max(0, int(self.kv_bytes / each))


def serving_memory(scenario: ServingScenario) -> ServingMemory:
    """Bytes of one rank under the engine's rule."""
    rule, stages = scenario.engine.memory, scenario.degrees.pipeline
    capacity = scenario.device.memory.capacity.value
    weight_bytes = _weight_bytes(scenario) + _drafter_bytes(scenario)
    activation_bytes = _activation_bytes(scenario)
    other_bytes = 0 if rule.other is None else rule.other.value
    if rule.across is not None and scenario.degrees.stage_devices > 1:
        other_bytes += rule.across.value
    if rule.of == "total":
        used = weight_bytes + other_bytes + (activation_bytes if rule.other else 0)
        kv_bytes = capacity * rule.share.value - used
    else:
        kv_bytes = (capacity - weight_bytes - activation_bytes - other_bytes) * rule.share.value
    windows = tuple((window, size / stages) for window, size in kv_bytes_per_token(scenario))
    if scenario.drafter is not None:
        windows += kv_bytes_per_token(scenario.drafter)
    return ServingMemory(
        weight_bytes=weight_bytes,
        activation_bytes=activation_bytes,
        kv_bytes=max(0.0, kv_bytes),
        windows=windows,
        block_tokens=rule.block_tokens,
    )


def _weight_bytes(scenario: ServingScenario) -> float:
    model, degrees = scenario.model, scenario.degrees
    attention = attention_parameters(model) * WEIGHT_BYTES[scenario.attention_format]
    total = model.num_layers * attention / degrees.tensor
    shared = WEIGHT_BYTES[scenario.shared_format] / degrees.tensor
    dense = model.layer_kinds.count("dense")
    total += dense * mlp_parameters(model, model.ffn_hidden_size) * shared
    moe = model.moe
    if moe is not None:
        experts = moe.num_experts * mlp_parameters(model, moe.ffn_hidden_size)
        each = experts * WEIGHT_BYTES[scenario.expert_format] / degrees.stage_devices
        if moe.shared_expert_ffn_hidden_size:
            each += mlp_parameters(model, moe.shared_expert_ffn_hidden_size) * shared
        total += model.layer_kinds.count("moe") * each
    total /= degrees.pipeline
    tables = 1 if model.tie_embeddings or degrees.pipeline > 1 else 2
    table_bytes = model.vocab_size * model.hidden_size * ACTIVATION_BYTES
    return total + tables * table_bytes / degrees.tensor


def _drafter_bytes(scenario: ServingScenario) -> float:
    """Weights of what drafts, on every stage; a layer of the model shares its tables, and joins two
    hidden states by a product of its own."""
    drafting, drafter = scenario.drafting, scenario.drafter
    if drafting is None or drafter is None:
        return 0.0
    if not drafting.own_layer:
        return _weight_bytes(drafter)
    model, tensor = drafter.model, drafter.degrees.tensor
    tables = (1 if model.tie_embeddings else 2) * model.vocab_size * model.hidden_size
    joined = 2 * model.hidden_size**2
    return _weight_bytes(drafter) + (joined - tables) * ACTIVATION_BYTES / tensor


def _activation_bytes(scenario: ServingScenario) -> float:
    """Of a step with the most tokens: a few copies of the hidden state, the widest MLP's product,
    and logits of the running sequences. Where the engine's rule says how many copies of the logits
    choosing takes, layers are done by then, but for the room of experts' products, which stays
    (vllm/v1/worker/gpu_model_runner.py, profile_run; vllm/v1/worker/workspace.py)."""
    model, limits, tensor = scenario.model, scenario.engine.scheduler, scenario.degrees.tensor
    copies = scenario.engine.memory.logits
    hidden_bytes = limits.max_step_tokens * model.hidden_size * ACTIVATION_BYTES
    product_bytes = 2 * limits.max_step_tokens * model.ffn_hidden_size / tensor * ACTIVATION_BYTES
    layer_bytes = _BUFFERS * hidden_bytes + product_bytes
    vocabulary_bytes = limits.max_running * model.vocab_size * _LOGIT_BYTES
    if copies is None:
        return layer_bytes + scenario.queries * vocabulary_bytes / tensor
    chosen_bytes = _KEPT * hidden_bytes + copies.value * vocabulary_bytes
    return max(layer_bytes, chosen_bytes) + _routed_bytes(scenario)


def _routed_bytes(scenario: ServingScenario) -> float:
    """Of the two workspaces of the experts' products: rows of every chosen expert, as wide as the
    first product or the hidden state, and as the product of the two halves of the first
    (vllm/model_executor/layers/fused_moe, workspace_shapes)."""
    model, degrees = scenario.model, scenario.degrees
    moe = model.moe
    if moe is None:
        return 0.0
    width = moe.ffn_hidden_size * degrees.expert / degrees.stage_devices
    rows = scenario.engine.scheduler.max_step_tokens * moe.top_k
    return rows * (max(2 * width, model.hidden_size) + width) * ACTIVATION_BYTES
