"""What fixes the operators of one layer on one device.

Legend: b micro-batch size, S sequence length, n = b·S/c tokens of one device (c context degree),
r = tokens of the residual stream (n/t under sequence parallelism, else n), h hidden size,
t tensor degree, z bytes per element.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, log, sqrt
from typing import TYPE_CHECKING

from planner.workload.formats import QUANTIZED_BYTES, gradient_bytes, weight_bytes

if TYPE_CHECKING:
    from planner.specs.experts import Dispatcher
    from planner.specs.model.spec import ModelSpec
    from planner.specs.software import SoftwareProfile
    from planner.workload.shard import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Everything that fixes the operators of one layer."""

    model: ModelSpec
    software: SoftwareProfile
    precision: str
    seq_length: int
    expert_imbalance: float
    shard: Shard
    packed_length: int | None = None
    """Tokens of the sequence that a token is in, where several fill the job's sequence length."""

    @property
    def element_bytes(self) -> int:
        return weight_bytes(self.precision)

    @property
    def operand_bytes(self) -> float:
        """Bytes per element of a matmul input as it is kept for the weight gradient."""
        return QUANTIZED_BYTES.get(self.precision, self.element_bytes)

    @property
    def gathers_quantized(self) -> bool:
        """Whether products quantise their inputs and gradients before tensor ranks gather them
        (TransformerEngine `gather_along_first_dim` with a quantizer; torchao
        `Float8ColwiseParallel`, `Float8RowwiseParallel`)."""
        return self.shard.sequence_parallel and self.precision in self.software.fp8.tensor_gathers

    @property
    def quantized(self) -> bool:
        """Whether matmuls run in 8 or 4 bits."""
        return self.precision in QUANTIZED_BYTES

    @property
    def base_precision(self) -> str:
        """What everything but the quantised matmuls runs in."""
        return "bf16" if self.quantized else self.precision

    @property
    def weight_gradient_bytes(self) -> int:
        """Bytes moved per element of a weight gradient by the matmul that makes it: read and
        written when it accumulates into the main gradient itself."""
        if not self.software.fused.gradient_accumulation:
            return self.element_bytes
        return 2 * gradient_bytes(self.software, self.precision)

    @property
    def keeps_placeholders(self) -> bool:
        """Whether weights of layers keep placeholders of their gradients, one for every shape."""
        software = self.software
        return software.gradient_placeholders and software.fused.gradient_accumulation

    @property
    def dropout(self) -> bool:
        """Whether hidden and attention dropout are on."""
        return self.software.drops_out(self.model.dropout)

    def fuses(self, operator: str) -> bool:
        """Whether a memory-bound operator is one kernel, by hand or by a compiler."""
        fused: bool = getattr(self.software.fused, operator)
        return fused or self.compiled

    @property
    def compiled(self) -> bool:
        return self.software.compile or (self.quantized and self.software.fp8.compiled)

    @property
    def compiles_loss(self) -> bool:
        compiled = self.software.fused.loss_compiled
        return compiled == "always" or (self.compiled and compiled)

    @property
    def fuses_loss(self) -> bool:
        return self.software.fused.cross_entropy or self.compiles_loss

    @property
    def loss_copies(self) -> int:
        """fp32 copies of the logits that the loss holds in addition to the probabilities."""
        fused = self.software.fused
        if self.fuses_loss:
            return fused.fused_loss_copies if self.shard.vocabulary == 1 else 0
        split = self.shard.tensor > 1 and fused.split_loss_copies is not None
        return (fused.split_loss_copies or 0) if split else fused.loss_copies

    @property
    def keeps_logits(self) -> bool:
        """Whether the loss keeps the 16-bit logits for its backward pass (or their gradient, in
        their place) instead of fp32 probabilities. Kernels that compute the probabilities again do
        (Dao-AILab/flash-attention `ops/triton/cross_entropy.py`: `save_for_backward(logits, lse,
        labels)`), and so does a compiled loss, which reads its input again. Not where all stages
        share the vocabulary."""
        fused = self.software.fused
        kept = fused.loss_keeps_logits if fused.cross_entropy else self.compiles_loss
        return self.loss_in_place or (kept and self.shard.vocabulary == 1)

    @property
    def loss_in_place(self) -> bool:
        """Not where all stages share the vocabulary, which has kernels of its own."""
        return self.software.fused.loss_in_place and self.shard.vocabulary == 1

    @property
    def loss_chunks(self) -> int:
        """Chunks in which output layer and loss take the tokens of a microbatch."""
        return (self.software.fused.loss_chunks or 1) if self.shard.vocabulary == 1 else 1

    @property
    def local_seq_length(self) -> int:
        return self.seq_length // self.shard.context

    @property
    def context_heads(self) -> int:
        """Context ranks that exchange heads for parts of the sequence; 1 where none do."""
        stated, context = self.software.context_heads, self.shard.context
        if stated is None or (self.model.mla is not None and self.model.mla.indexer is not None):
            return 1
        return context if stated == "all" else gcd(stated, context)

    @property
    def context_ring(self) -> int:
        """Context ranks around which keys and values travel."""
        return self.shard.context // self.context_heads

    @property
    def tokens(self) -> int:
        return self.shard.micro_batch_size * self.local_seq_length

    @property
    def residual_tokens(self) -> int:
        return self.tokens // self.shard.tensor if self.shard.sequence_parallel else self.tokens

    @property
    def expert_load(self) -> float:
        """Tokens that the fullest expert rank gets, over the mean of what is routed: all that is
        routed to it, at most its capacity, or exactly that where its input is padded."""
        expert = self.software.expert
        capacity = expert.capacity_factor
        if capacity is None:
            return self._routed_load
        return capacity if expert.padded else min(self._routed_load, capacity)

    @property
    def _routed_load(self) -> float:
        """The load of the fullest of e ranks, where the busiest of E experts has
        `expert_imbalance` times the mean. Loads of experts with the deviation s have a maximum of
        1 + s·sqrt(2 ln E) (the first term of that of E normal variables), ranks hold E/e experts
        each, so that theirs vary by s·sqrt(e/E), and e of them have the maximum."""
        moe, ranks = self.model.moe, self.shard.expert
        if moe is None or ranks == 1:
            return 1.0
        share = ranks * log(ranks) / (moe.num_experts * log(moe.num_experts))
        return 1 + (self.expert_imbalance - 1) * sqrt(share)

    @property
    def dispatcher(self) -> Dispatcher:
        """What carries tokens to their experts."""
        return self.software.expert.dispatchers.of(self.dispatcher_name)

    @property
    def dispatcher_name(self) -> str:
        return self.shard.dispatcher or self.software.expert.sends_by

    @property
    def token_copies(self) -> int:
        """Experts a token is sent to, where the dispatcher sends one copy per domain for all of
        them there; else 1, because every copy travels on its own."""
        moe = self.model.moe
        return moe.top_k if moe and self.dispatcher.deduplicated else 1

    @property
    def vocabulary_rows(self) -> int:
        """Rows of the embedding, and of the output layer, on one device."""
        ranks = self.shard.tensor * self.shard.vocabulary
        return self.model.padded_vocab_size(ranks) // ranks

    @property
    def learned_positions(self) -> int:
        """Parameters of the position embedding, which every tensor rank has whole: rows for the
        model's longest sequence, or for the job's where that is longer."""
        if self.model.position_embedding != "learned":
            return 0
        return max(self.model.seq_length or 0, self.seq_length) * self.model.hidden_size

    def residual_bytes(self) -> int:
        return self.element_bytes * self.residual_tokens * self.model.hidden_size
