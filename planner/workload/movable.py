"""What offloading activations may move to the hosts: all that a layer keeps, or the inputs of named
modules.

A named module moves the tensors that its backward pass reads and that are large enough (Megatron-LM
`pipeline_parallel/fine_grained_activation_offload.py`: `saved_tensors_hooks` around the module).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.workload.operators import Operator
    from planner.workload.workload import Workload

_LATENT = ("query_norm", "key_value_norm", "query_up", "key_value_up", "qk_norm")
_QKV = ("qkv", "query", "query_down")
_MLP = ("mlp_up", "router")
_KEPT_BY = {
    "attn_norm": ("attention_norm",),
    "qkv_linear": (*_QKV, *_LATENT),
    "core_attn": ("query_key_value",),
    "attn_proj": ("attention_projection",),
    "mlp_norm": ("mlp_norm",),
    "expert_fc1": ("expert_up",),
    "moe_act": ("expert_activation", "expert_clamp"),
}
"""The operators that are charged with what a module reads. Attention is charged with what only its
core keeps, the projection with attention's output."""
_NORMS_AGAIN = {"attn_norm": _QKV, "qkv_linear": _LATENT, "mlp_norm": _MLP}
"""The same where norms are computed again: their inputs stay, and are as large as what the products
after them would keep."""


def movable_bytes(
    workload: Workload, operator: Operator, kept_bytes: int, recomputed: frozenset[str]
) -> int:
    """Of the `kept_bytes` of an operator of a layer those that may leave, while the `recomputed`
    modules are computed again. Logits never leave."""
    if operator.module == "logits":
        return 0
    offload = workload.software.offload
    if not offload.modules:
        return kept_bytes
    if kept_bytes < offload.smallest_tensor.value * workload.element_bytes:
        return 0
    again = _NORMS_AGAIN if "layernorm" in recomputed else {}
    names = {name for one in offload.modules for name in again.get(one, _KEPT_BY[one])}
    if workload.software.fused.norm_in_linear and workload.model.mla is None:
        names |= {"attention_norm"} if "qkv_linear" in offload.modules else set()
    core = operator.module == "core_attn" and "core_attn" in offload.modules
    return kept_bytes if core or operator.name in names else 0
