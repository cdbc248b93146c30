"""What offloading activations may move to the hosts: all that a layer keeps, or the inputs of named
modules.

A named module moves the tensors that its backward pass reads and that are large enough (Megatron-LM
`pipeline_parallel/fine_grained_activation_offload.py`: `saved_tensors_hooks` around the module).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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


class Movable(NamedTuple):
    """What of a layer may leave: all of it where `names` is None; else what the operators of these
    names keep, and `core` attention, of `smallest_bytes` or more. Logits never leave."""

    names: frozenset[str] | None
    core: bool = False
    smallest_bytes: float = 0.0

    @classmethod
    def of(cls, workload: Workload, recomputed: frozenset[str]) -> Movable:
        """While the `recomputed` modules are computed again."""
        software = workload.software
        modules = software.offload.modules
        if not modules:
            return cls(None)
        again = _NORMS_AGAIN if "layernorm" in recomputed else {}
        names = {name for one in modules for name in again.get(one, _KEPT_BY[one])}
        if software.fused.norm_in_linear and workload.model.mla is None:
            names |= {"attention_norm"} if "qkv_linear" in modules else set()
        smallest_bytes = software.offload.smallest_tensor.value * workload.element_bytes
        return cls(frozenset(names), "core_attn" in modules, smallest_bytes)

    def bytes_of(self, operator: Operator, kept_bytes: int) -> int:
        """Of the `kept_bytes` of an operator of a layer those that may leave."""
        if operator.module == "logits":
            return 0
        if self.names is None:
            return kept_bytes
        if kept_bytes < self.smallest_bytes:
            return 0
        core = self.core and operator.module == "core_attn"
        return kept_bytes if core or operator.name in self.names else 0
