"""What one device executes: operators with local shapes.

An operator says how much work it is, what it keeps for the backward pass (`saved_bytes`) and how
many parameters it owns on this device (`parameters`). It does not say how long it takes: that is
`planner.training.layer`'s business. `module` is the unit that selective recompute can drop and
redo.

All sizes are per device and per microbatch; bytes are of the tensors as the framework keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.specs.networks import NetworkShares


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """`pieces`: parts of the tokens that it treats one after the other, each with kernels and
    messages of its own."""

    name: str
    module: str
    saved_bytes: int = 0
    parameters: int = 0
    expert: bool = False
    pieces: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Matmul(Operator):
    """`batch` products (m × k)·(k × n); the backward pass does two of the same size.

    `weight` is false for products of two activations. With `quantized` the product runs in the
    job's 8- or 4-bit format when there is one, else in 16 bit. `matrices` are the output widths of
    the separate matrices that frameworks without fused projections multiply with. Of an input or a
    gradient that is quantised before tensor ranks gather it, each rank quantises one of
    `input_shards` or `gradient_shards` parts.
    """

    m: int
    n: int
    k: int
    batch: int = 1
    weight: bool = True
    quantized: bool = True
    matrices: tuple[int, ...] = ()
    input_shards: int = 1
    gradient_shards: int = 1

    @property
    def parts(self) -> tuple[int, ...]:
        return self.matrices or (self.n,)

    @property
    def flops(self) -> int:
        return 2 * self.batch * self.m * self.n * self.k


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedMatmul(Operator):
    """`groups` experts' products (m_g × k)·(k × n) in one call, `m` rows in all. Its input, or the
    gradient of its output, is already quantised where another kernel wrote it in that format.
    `in_flight_bytes`: tokens of other pieces on their way meanwhile."""

    groups: int
    m: int
    n: int
    k: int
    input_quantized: bool = False
    gradient_quantized: bool = False
    in_flight_bytes: int = 0

    @property
    def flops(self) -> int:
        return 2 * self.m * self.n * self.k


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedAttention(Operator):
    """Softmax(QKᵀ)V in one kernel. `query_length` is this device's share of the sequence and
    `key_length` the whole; a causal mask halves the work, a window caps it."""

    batch: int
    heads: int
    query_length: int
    key_length: int
    head_dim: int
    value_dim: int
    window: int | None = None

    @property
    def scored_keys(self) -> float:
        """Mean number of keys a query scores under the causal mask and the window."""
        if self.window is None or self.window >= self.key_length:
            return self.key_length / 2
        return self.window * (1 - self.window / (2 * self.key_length))

    @property
    def flops(self) -> float:
        return (
            2
            * self.batch
            * self.heads
            * self.query_length
            * self.scored_keys
            * (self.head_dim + self.value_dim)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointwise(Operator):
    """Work bound by memory traffic: bytes read plus bytes written, and the number of kernels.
    `forward_launches` and `backward_launches` are the operators that an eager host launches; they
    may outnumber the kernels, since the smallest take the device no time. `held_bytes` are the
    gradients that live at once in the backward pass; default: what one kernel moves then, without
    what was saved. `output_bytes` are those of the saved that the operator itself makes."""

    forward_bytes: float
    backward_bytes: float
    output_bytes: int = 0
    held_bytes: int | None = None
    forward_kernels: int = 1
    backward_kernels: int = 1
    forward_launches: int | None = None
    backward_launches: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective(Operator):
    """Communication inside a layer.

    `operation`: all_reduce | all_gather | reduce_scatter | all_to_all | ring_exchange.
    `axis` names the group (tensor, context, expert, expert_tensor). `buffer_bytes` is the whole
    buffer of the group's largest side on one device: what all_reduce reduces, what all_gather ends
    with, what reduce_scatter starts with, what one device sends in all_to_all; one hop's block for
    ring_exchange, which makes (degree − 1) hops.
    `runs_with` names what the framework always runs at the same time: "" (nothing),
    "weight_gradient", "attention", "shared_experts". `copies` > 1: the buffer holds that many
    copies of each token for different ranks; one copy travels to each domain, and at most
    `group_top_k` of `num_groups` equal parts of the ranks have any. `calls`: collectives that the
    host launches for it; `launch_s`: host time in addition to theirs. `network_efficiency` (None:
    that of the library's all-to-all) and `multiprocessors` are what an expert exchange reaches and
    takes.
    """

    operation: str
    axis: str
    buffer_bytes: int
    in_forward: bool
    in_backward: bool
    runs_with: str = ""
    hops: int = 1
    copies: int = 1
    calls: int = 1
    launch_s: float = 0.0
    network_efficiency: NetworkShares | None = None
    multiprocessors: int = 0
    num_groups: int = 1
    group_top_k: int = 1
