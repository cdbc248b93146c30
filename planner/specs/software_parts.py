"""Parts of a software profile: what belongs together under one key."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from planner.specs.files.fields import (
    Constant,
    Count,
    Efficiency,
    Fraction,
    Input,
    Seconds,
)
from planner.specs.files.general import general, general_part
from planner.specs.networks import NetworkShares

DataSharding = Literal["none", "optimizer", "optimizer+gradients", "full"]
ShardingGroup = Literal["all", "node"]
Granularity = Literal["none", "selective", "full"]
RecomputeModule = Literal[
    "core_attn",
    "layernorm",
    "mlp",
    "moe",
    "moe_act",
    "shared_experts",
    "mla_up_proj",
    "every_second_matmul",
]
LossCopies = Annotated[int, Field(ge=0, le=4)]
ScheduleName = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[a-z0-9][a-z0-9-]*$")]


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
    keeps_sixteen_bits: bool = False
    """Shards of the 16-bit weights are kept in addition to those of the fp32 master weights."""


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
    early_stop: bool = False
    """Full recomputation of a layer ends once all that its backward pass needs is there again:
    before its last product."""


class ScheduleSwitch(Input):
    """Pipeline schedules the framework has."""

    default: ScheduleName
    choices: Annotated[tuple[ScheduleName, ...], Field(min_length=1)]
    """Those that searches try."""
    over_slow_links: tuple[ScheduleName, ...] = ()
    """Those that searches try besides on clusters where links between nodes differ."""
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
    """Sharded parameters are gathered in 8 bits."""


class Dispatcher(Input):
    """One way in which tokens travel to their experts and back."""

    deduplicated: bool = False
    """A token goes to each device once, and crosses the network once per domain, however many of
    its experts are there."""
    reach: Literal["any", "domain"] = "any"
    """Where its ranks may lie: `domain`, in one scale-up domain."""
    calls: Count
    """Collectives that the host launches for one dispatch."""
    dispatch_launch: Constant[Seconds]
    """Host time of one dispatch in addition to those collectives."""
    network_efficiency: NetworkShares | None = None
    """Share of the network cards' rate that an exchange reaches. Default: that of the collective
    library's all-to-all."""
    multiprocessors: Constant[Count]
    """Multiprocessors that it takes from kernels that run at the same time."""


DispatcherName = Literal["alltoall", "allgather", "deepep", "hybridep", "ncclep"]
DISPATCHERS: tuple[DispatcherName, ...] = get_args(DispatcherName)


def _dispatcher(name: str) -> Dispatcher:
    return general_part("software", f"expert.dispatchers.{name}", Dispatcher)


class Dispatchers(Input):
    """What each dispatcher costs."""

    alltoall: Dispatcher = _dispatcher("alltoall")
    """Every copy of a token goes to its expert's rank, by the collective library."""
    allgather: Dispatcher = _dispatcher("allgather")
    """All tokens go to all ranks, by the collective library."""
    deepep: Dispatcher = _dispatcher("deepep")
    """DeepEP, over any network."""
    hybridep: Dispatcher = _dispatcher("hybridep")
    """HybridEP, in one scale-up domain."""
    ncclep: Dispatcher = _dispatcher("ncclep")
    """NCCL's own device-side exchange."""

    def of(self, name: str) -> Dispatcher:
        found: Dispatcher = getattr(self, name)
        return found


class Expert(Input):
    """How tokens reach their experts."""

    dispatcher: DispatcherName = "alltoall"
    """How tokens travel to their experts."""
    dispatcher_choices: tuple[DispatcherName, ...] = ()
    """Dispatchers a plan may choose from. Default: the one in `dispatcher`."""
    grouped_matmul: bool = True
    """All experts of a device run in one call."""
    fused_permutation: bool = False
    """Tokens are sorted for their experts, and back, in one kernel."""
    fused_mlp: bool = False
    """In 8 and 4 bits the experts' activation and the casts around it belong to their products."""
    fused_router: bool = False
    """Scores, choice and counts are a few kernels instead of one for each operation."""
    deduplicated: bool = False
    """With `alltoall`: it is `deepep`."""
    product_launch: Constant[Seconds] | None = None
    """Host time of one expert's part of a grouped product, which is launched expert by expert.
    Default: `host_launch` for each of one product forward and two backward."""
    quantized_launch: Constant[Seconds] | None = None
    """Host time to quantise one expert's operand and hand over its product, in 8 or 4 bits.
    Default: `host_launch`."""
    weighs_activation: bool = True
    """Probabilities weigh the activation of an expert, not its output."""
    fp32_probabilities: bool = False
    """Those probabilities are fp32."""
    fused_biases: bool = False
    """Biases of the experts' outputs and clamps of their activations belong to other kernels."""
    looped: bool = False
    """The model runs its experts in a loop of Python, expert by expert. That time is not priced,
    so a mixture is refused."""
    tensor_default: bool = False
    """Experts are split over the tensor degree where no expert-tensor degree is stated."""
    tensor_parallel_biases: bool = True
    """Experts with biases may be split over an expert-tensor degree above 1."""
    dispatchers: Dispatchers = Dispatchers()
    overlapped_share: Efficiency = general(
        "software", "expert.overlapped_share", Constant[Fraction]
    )
    """Most of an exchange, as a share, that runs during another microbatch's computation where
    `overlap` has `expert`."""

    @property
    def sends_by(self) -> DispatcherName:
        """The default dispatcher."""
        return "deepep" if self.deduplicated and self.dispatcher == "alltoall" else self.dispatcher

    @property
    def dispatcher_options(self) -> tuple[DispatcherName, ...]:
        """What a plan may choose from, the default first."""
        return tuple(dict.fromkeys((self.sends_by, *self.dispatcher_choices)))


class SharedVocabulary(Input):
    """What the framework does besides its kernels where all stages share the vocabulary layers."""

    residual_transfers: Constant[Count] = general(
        "software", "shared_vocabulary.residual_transfers", Constant[Count]
    )
    """Times that each microbatch's residual activation is read or written outside the layers."""
    residual_buffers: Constant[Count] = general(
        "software", "shared_vocabulary.residual_buffers", Constant[Count]
    )
    """Residual activations, in 16 bits, that a stage holds for the collectives of those layers."""
