"""Parts of a software profile: what belongs together under one key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from planner.specs.files.fields import (
    Constant,
    Count,
    Input,
)
from planner.specs.files.general import general
from planner.specs.software_words import (
    DataSharding,
    Granularity,
    LossCopies,
    QuantizedFormat,
    RecomputeModule,
    ScheduleName,
    ShardingGroup,
)


class Fused(Input):
    """Which memory-bound operators run as one kernel."""

    softmax: bool
    """Scale, mask and softmax of unfused attention."""
    shortest_softmax: Count = general("software", "fused.shortest_softmax", Constant[Count]).value
    """Fewest keys that this kernel works on."""
    longest_softmax: Count = general("software", "fused.longest_softmax", Constant[Count]).value
    """Keys up to which it works."""
    softmax_rows: Count = general("software", "fused.softmax_rows", Constant[Count]).value
    """How many queries, and how many heads of the microbatch, it works on at a time."""
    softmax_in_fp32: bool = True
    """Without that kernel, 16-bit scores are converted to fp32 and back."""
    norm: bool
    norm_in_linear: bool = False
    """The linear layer after a norm computes it, as one module: that of attention, unless
    it is latent, and of a dense MLP."""
    bias_activation: bool
    """The MLP's bias and activation (with its gate)."""
    bias_dropout_add: bool
    """Bias, dropout and residual addition."""
    rotary: bool
    latent_rotary: bool = False
    """The rotation of latent attention's queries and keys, and their putting together."""
    cross_entropy: bool
    """The loss in a few kernels of its own instead of a dozen. Unless a switch below says
    otherwise, the fp32 probabilities stay."""
    loss_copies: LossCopies = 0
    """fp32 copies of the logits that an uncompiled loss holds in addition to the probabilities."""
    split_loss_copies: LossCopies | None = None
    """The same where the vocabulary is split over tensor ranks. Default: `loss_copies`."""
    fused_loss_copies: LossCopies = 0
    """The same of the loss in kernels of its own."""
    loss_compiled: bool | Literal["always"] = True
    """The loss is compiled where the model is, or always. It then keeps the 16-bit logits, and
    their gradient is a new tensor."""
    loss_keeps_logits: bool = False
    """The loss in kernels of its own keeps the 16-bit logits, not fp32 probabilities, and their
    gradient is a new tensor."""
    chunks_loss: bool = False
    """Output layer and loss can take the tokens of a microbatch in several chunks, each with its
    backward pass before the next."""
    loss_chunks: Count | None = None
    """How many. Default: all tokens at once."""
    loss_in_place: bool = False
    """The loss kernels turn the 16-bit logits into their gradient where they lie; no fp32 copy."""
    logits_outlive_backward: bool = False
    """The trainer holds the logits until the backward pass of the microbatch has ended."""
    gradient_accumulation: bool = True
    """The weight-gradient matmul adds into the main gradient itself."""


class DataShardingSwitch(Input):
    """What is sharded over the data axis."""

    default: DataSharding
    choices: Annotated[tuple[DataSharding, ...], Field(min_length=1)]
    in_groups: tuple[DataSharding, ...] = ()
    """Those that may be over a part of the replicas, so that every group of replicas has a copy of
    what is sharded."""
    tried_groups: Annotated[tuple[ShardingGroup, ...], Field(min_length=1)] = ("all",)
    """Over which replicas searches try to shard: all, or those of a node."""
    groups_hold: Literal["states", "weights"] = "states"
    """What a group has a copy of under full sharding: everything that is sharded, or the 16-bit
    weights alone, for the backward passes, beside those that all replicas share."""
    groups_reduce: Literal["shares", "whole"] = "shares"
    """Gradients are divided inside a group and their shares added up between groups, or an
    all-reduce over all replicas adds up whole gradients."""
    groups_wait: bool = False
    """Under full sharding, groups add up their gradients after the last microbatch, and not after
    every one."""


class FullSharding(Input):
    """How weights and gradients that are sharded over all replicas live."""

    ends_in_root: bool = False
    """Embedding and head are gathered with the root, which stays whole from the first layer's
    forward pass to its backward pass. Otherwise they are gathered and freed as layers are."""
    gathers_into_pool: bool = False
    """Gathers work in buffers of a stream of their own, from which layers get copies."""
    units_gathered: Count = general(
        "software", "full_sharding.units_gathered", Constant[Count]
    ).value
    """Layers that are whole at a time without such buffers: the one in use and those fetched
    ahead."""
    units_reduced: Count = general("software", "full_sharding.units_reduced", Constant[Count]).value
    """Layers whose gradients are whole, in the type in which they are reduced, at a time."""
    starts_whole: bool = False
    """Every device makes the whole model, in the format of the passes, before it is sharded."""
    keeps_sixteen_bits: bool = False
    """Shards of the 16-bit weights are kept in addition to those of the fp32 master weights."""


class ContextRing(Input):
    """How the framework sends keys and values around the context ranks."""

    whole_heads: bool = False
    """Keys and values are repeated for every query head before they travel."""
    fp32_sums: bool = False
    """Outputs are merged, and gradients added up and sent, in fp32."""
    waits_when_compiled: bool = False
    """A compiled model waits for a transfer where it starts it."""


class Workspaces(Input):
    """Scratch memory of matrix products, by number of workspaces; the device file has their
    sizes."""

    handles: Count = general("software", "workspaces.handles", Constant[Count]).value
    """Threads that call the matrix library: forward and backward pass."""
    layers: Annotated[int, Field(ge=0, le=64)] = 0
    """Streams on which a library of linear layers calls it, one if it has one."""
    grouped: Annotated[int, Field(ge=0, le=64)] = 0
    """Streams more where a device runs several experts in one call."""


class RecomputeSwitch(Input):
    """What the backward pass can compute again."""

    default: Granularity
    choices: Annotated[tuple[Granularity, ...], Field(min_length=1)]
    partial: bool = True
    """`full` recomputes a number of layers of every chunk. Otherwise it is all of them."""
    selective_modules: tuple[RecomputeModule, ...] = ("core_attn",)
    """What `selective` recomputes."""
    module_choices: tuple[RecomputeModule, ...] = ()
    """Modules that the framework can name. Default: those above."""
    tried_modules: tuple[RecomputeModule, ...] = ()
    """Those that searches try, one by one."""
    early_stop: bool = False
    """Full recomputation of a layer ends once all that its backward pass needs is there again:
    before its last product."""


class ScheduleSwitch(Input):
    """Pipeline schedules the framework has."""

    default: ScheduleName
    choices: Annotated[tuple[ScheduleName, ...], Field(min_length=1)]
    """Those that searches try."""
    over_slow_links: tuple[ScheduleName, ...] = ()
    """Further schedules that searches try on clusters where links between nodes differ."""
    default_with_chunks: ScheduleName = "interleaved"
    """The default where a stage has several chunks (virtual stages)."""
    unstated_chunks: Count | None = None
    """Chunks of a stage where a schedule that needs several is named and their number is not."""

    def default_for(self, virtual_stages: int) -> str:
        """The schedule of a plan that names none."""
        return self.default_with_chunks if virtual_stages > 1 else self.default


class Fp8(Input):
    """What low-precision recipes cover."""

    attention: bool = False
    """Attention itself runs in 8 bits."""
    amax_pass: bool = False
    """Tensors scaled as a whole are read once more for their largest element (current or dynamic
    scaling, not delayed)."""
    compiled: bool = False
    """A compiler fuses the casts of an 8-bit job, and the other memory-bound operators with them,
    whatever `compile` says."""
    weights_cached: bool = True
    """8-bit copies of the weights are kept for all microbatches of a step."""
    parameter_gather: bool = False
    """Sharded parameters are gathered in 8 bits, and are in 8 bits between steps."""
    parameter_gather_choices: tuple[bool, ...] = ()
    """Whether a job may gather them in 8 bits, and may not, beside what the profile does."""
    tensor_gathers: tuple[QuantizedFormat, ...] = ()
    """Formats in which, under sequence parallelism, products quantise what they gather before it
    travels."""
    output_layer: tuple[QuantizedFormat, ...] = ()
    """Formats in which the output layer runs too. In the others it runs in 16 bits."""


class SharedVocabulary(Input):
    """What the framework does in addition to its kernels where all stages share the vocabulary
    layers."""

    residual_transfers: Constant[Count] = general(
        "software", "shared_vocabulary.residual_transfers", Constant[Count]
    )
    """Times that each microbatch's residual activation is read or written outside the layers."""
    residual_buffers: Constant[Count] = general(
        "software", "shared_vocabulary.residual_buffers", Constant[Count]
    )
    """Residual activations, in 16 bits, that a stage holds for the collectives of those layers."""
