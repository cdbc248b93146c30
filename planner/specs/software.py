"""Software profiles: what a training framework does with a plan, and what it costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from planner.specs.experts import Expert
from planner.specs.files.fields import Bytes, Constant, Count, Fraction, Input, Name, Seconds, Text
from planner.specs.files.general import general
from planner.specs.files.source import SourceFile
from planner.specs.optimizers import (
    MomentType,
    OptimizerName,
    Optimizers,
    StateChoices,
    StateType,
)
from planner.specs.software_offload import Offload, Resume
from planner.specs.software_parts import (
    ContextRing,
    DataShardingSwitch,
    Fp8,
    FullSharding,
    Fused,
    RecomputeSwitch,
    ScheduleSwitch,
    SharedVocabulary,
    Workspaces,
)
from planner.specs.software_words import Allocator, QuantizedFormat

FrameworkName = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[a-z0-9][a-z0-9-]*$")]
AttentionKernel = Literal["flash", "unfused"]
Overlap = Literal[
    "tensor", "gradient_reduce", "parameter_gather", "pipeline", "expert", "shared_expert"
]
ModelAxis = Literal["tensor", "pipeline", "context", "expert"]
RankOrder = Literal["tp-cp-ep-dp-pp", "tp-cp-ep-pp-dp"]


class SoftwareProfile(Input):
    """One way a framework is used. Switches are facts about it, constants are measured."""

    name: Name
    like: Text | None = None
    """A shipped profile, or a profile file: what is left out here is as there."""
    description: Text
    source: Text
    """Where the switches were read: repository, version, files."""
    framework: FrameworkName
    """Which framework it is: exporters write for frameworks by this name, and schedules say by it
    who runs them. What the framework does with a plan is said by the switches below, not by it."""
    version: Text
    attention: AttentionKernel
    attention_choices: tuple[AttentionKernel, ...] = ()
    """Kernels a plan may choose from. Default: the one in `attention`."""
    attention_generation: Literal["newest", "cudnn-9.19", "flash-2", "flash-1"] = "newest"
    """Which fused attention kernels the framework calls."""
    fused: Fused
    compile: bool = False
    """A compiler fuses the remaining memory-bound operators."""
    dropout: bool | Literal["model"]
    """Hidden and attention dropout are on; "model": where the model is trained with it."""
    sequence_parallel: bool
    """Default when the tensor degree is above 1."""
    sequence_parallel_choices: tuple[bool, ...] = ()
    """Default: the value of `sequence_parallel`."""
    tensor_backward_overlap: bool
    """Backward collectives of column-parallel layers run while the weight-gradient product is
    computed."""
    gradient_dtype: StateType
    """Type in which gradients are kept (main gradients)."""
    gradient_reduce_dtype: StateType
    """Type in which gradients travel."""
    fp16_gradients: bool = False
    """In fp16 jobs gradients are kept and reduced in fp16, whatever the two types above say."""
    keeps_local_gradients: bool = False
    """The 16-bit gradients of the backward pass stay allocated in addition to wider main gradients.
    """
    gradient_placeholders: bool = False
    """Where products add to the main gradients themselves, autograd gets a tensor in the gradient's
    place, one for every shape of weight, that stays allocated."""
    bucket_buffers: Annotated[int, Field(ge=0, le=8)] = 0
    """Buffers of `bucket_bytes` each that reduction copies gradients through; 0 where it works in
    place."""
    master_weights: bool
    """A 32-bit copy of the weights belongs to the optimizer."""
    master_weight_dtype: Literal["fp32", "fp16", "remainders"] = "fp32"
    """Type of that copy; `remainders` are the 16 bits of fp32 that a bf16 weight lacks, where the
    weights themselves are kept in bf16."""
    optimizer_state_dtype: MomentType
    """Type of the moments."""
    second_moment_dtype: MomentType | None = None
    """That of the second moment, where it differs."""
    state_choices: StateChoices = StateChoices()
    optimizer_choices: tuple[OptimizerName, ...] = ("adam", "sgd")
    optimizers: Optimizers = Optimizers()
    data_sharding: DataShardingSwitch
    full_sharding: FullSharding = FullSharding()
    resume: Resume = Resume()
    offload: Offload = Offload()
    printed_stage: Literal["fullest", "first", "last"] = "fullest"
    """The pipeline stage whose memory the framework's logs show: that of the rank that writes
    them."""
    pipeline_keeps_outputs: bool = False
    """The last stage keeps the 16-bit logits of every microbatch until the step ends."""
    pipeline_keeps_whole: bool = False
    """With a pipeline, sharded weights stay gathered and gradients whole until the last
    microbatch."""
    recompute: RecomputeSwitch
    schedules: ScheduleSwitch
    pipeline_layout: bool
    """Chunks may hold different numbers of layers."""
    pipeline_with_sharded_gradients: bool = True
    """A pipeline may be combined with gradients or weights sharded over the data axis."""
    tensor_with_full_sharding: bool = True
    """A tensor degree may be combined with weights sharded over the data axis."""
    pipeline_with_tied_embeddings: bool = True
    """A pipeline may hold a model whose embedding and output layer share weights."""
    predictions_in_parallel: bool = True
    """Layers that predict further tokens may be combined with a pipeline or a context degree. The
    stage that has them then keeps a copy of the embedding."""
    context_with: tuple[Literal["tensor", "pipeline"], ...] = ("tensor", "pipeline")
    """Degrees above 1 that may be combined with a context degree."""
    context_with_unfused_attention: bool = False
    """A context degree needs no fused kernels of attention. TransformerEngine and PyTorch have
    context parallelism only with them: ranks of a ring join their parts by the softmax statistics
    that fused kernels return (`get_attention_backend` of TransformerEngine)."""
    tensor_with_experts: bool = True
    """A tensor degree may be combined with a mixture of experts."""
    tensor_beyond_query_groups: bool = True
    """The tensor degree may be a multiple of the key-value groups, copies of which ranks share."""
    pipeline_needs_microbatches: bool = False
    """A schedule with one chunk per stage needs at least as many microbatches as stages."""
    pipeline_cuts_micro_batch: bool = False
    """The micro-batch size that a measured run states is the batch of a replica. A pipeline cuts it
    into as many microbatches as it has stages."""
    overlap: tuple[Overlap, ...] = ()
    """What runs behind computation by default."""
    overlap_choices: tuple[Overlap, ...] = ()
    """What can be switched on."""
    tensor_overlap_excludes: tuple[QuantizedFormat, ...] = ()
    """Number formats in which tensor communication cannot overlap."""
    tensor_overlap_of_sums: bool = True
    """Tensor communication also overlaps where it carries a sum of several products, or feeds
    those of weight gradients. PyTorch fuses a collective with products that read what it gathers
    as their left operand, or with the one product whose output it scatters."""
    tensor_overlap_needs_sequence_parallel: bool = False
    """Where tensor communication overlaps, tensor parallelism needs sequence parallelism."""
    experts_need_sequence_parallel: bool = False
    """A mixture of experts under tensor parallelism needs sequence parallelism."""
    asynchronous_sends: bool = False
    """A stage never waits for its pipeline sends. Otherwise it waits for every one of them, or,
    under an interleaved schedule, in warm-up and cool-down alone where `overlap` has `pipeline` and
    sends in pairs where it does not. Schedules that split backwards decide by themselves."""
    interleaves_two_stages: bool = True
    """Interleaved schedules run on 2 stages even where pipeline sends do not overlap."""
    scatter_gather_sends: bool
    """Activations sent to the next stage are divided by the tensor degree."""
    whole_gradient_sends: bool = False
    """Gradients are sent back whole by every tensor rank, though activations are divided."""
    mask_sends: bool = False
    """Every tensor rank sends the attention mask, seq_length × seq_length in 16 bits, along with
    each microbatch's activation."""
    collective_trees: bool = True
    """All-reduce may run over trees; otherwise around rings alone."""
    axes: tuple[ModelAxis, ...] = ("tensor", "pipeline", "context", "expert")
    """What the framework can split a model over, in addition to data."""
    context_heads: Count | Literal["all"] | None = None
    """Ranks of a context group that exchange heads, so that each has whole sequences of some heads;
    keys and values go around a ring over what is left. Default: none, the ring is over all."""
    context_sends: ContextRing = ContextRing()
    exchanges_heads: bool = False
    """A job may choose how many ranks exchange heads."""
    uneven_replicas: bool = False
    """Replicas may run different numbers of microbatches, which differ by one."""
    rank_order: RankOrder = "tp-cp-ep-dp-pp"
    cuda_graphs: bool = False
    """Kernels are launched from recorded graphs."""
    graphs_hold_experts: bool = False
    """Graphs of jobs in 8 and 4 bits are of whole steps, experts included."""
    graphs_recompute_experts: bool = True
    """Graphs can record a mixture of experts under full recomputation."""
    launch_blocking: bool = False
    """The host waits for every kernel before it launches the next (`CUDA_LAUNCH_BLOCKING`): its
    time and the device's add up."""
    host_launch: Constant[Seconds]
    """Host time of one operator, forward or backward: dispatch and its kernel launches."""
    collective_launch: Constant[Seconds]
    """Host time to launch one collective: process-group bookkeeping and stream events."""
    tensor_collective_wait: Constant[Seconds] | None = None
    """What a device idles at each tensor collective where the host waits for the device before and
    after it; left out where the host's launches run ahead."""
    owner_broadcast: Constant[Seconds] | None = None
    """Cost of one broadcast where each owner of a shard sends its updated weights in turn; left
    out where all are gathered at once."""
    step_overhead: Constant[Seconds]
    """Fixed host work of one step: loading data, logging, clearing."""
    allocator: Allocator = "caching"
    """Whether memory is reserved in segments of fixed sizes, or in segments that grow
    (`expandable_segments`)."""
    allocator_slack: Constant[Fraction]
    """Reserved over allocated memory, minus 1, with segments of fixed sizes."""
    expandable_slack: Constant[Fraction] = general(
        "software", "expandable_slack", Constant[Fraction]
    )
    """The same with segments that grow."""
    workspaces: Workspaces = Workspaces()
    lazy_loading: bool = True
    """Kernels are loaded to the device when they are first used, not all at the start."""
    communication_buffers: Constant[Bytes]
    """Buffers of the collective library, outside the allocator, per device."""
    tensor_communication_buffers: Constant[Bytes] | None = None
    """Further ones of the communicators that only tensor ranks have. Default: none."""
    bucket_bytes: Constant[Bytes]
    """Gradients reduced in one call, in `gradient_reduce_dtype`."""
    fp8: Fp8 = Fp8()
    expert: Expert = Expert()
    shared_vocabulary: SharedVocabulary = SharedVocabulary()

    _file: SourceFile | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _defaults_are_choices(self) -> SoftwareProfile:
        for field in ("data_sharding", "recompute", "schedules"):
            switch = getattr(self, field)
            if switch.default not in switch.choices:
                listed = ", ".join(switch.choices)
                text = f"{switch.default!r} is not among the choices: {listed}"
                raise PydanticCustomError(
                    "rule", "{text}", {"text": text, "at": (field, "default")}
                )
        return self

    def drops_out(self, model_dropout: bool) -> bool:
        """Whether a model trains with dropout, given what it says itself."""
        return model_dropout if self.dropout == "model" else self.dropout

    @property
    def slack(self) -> float:
        """Reserved over allocated memory, minus 1."""
        slack = self.expandable_slack if self.allocator == "expandable" else self.allocator_slack
        return slack.value

    def state_shardings(self, optimizer: str) -> tuple[str, ...]:
        """Data sharding that the optimizer and the types of its states need; () for any."""
        master = self.master_weight_dtype if self.master_weights else "none"
        kinds = (master, self.optimizer_state_dtype, self.second_moment_dtype)
        return self.state_choices.shardings(kinds, self.optimizers.of(optimizer))

    @property
    def attention_kernels(self) -> tuple[AttentionKernel, ...]:
        """What a plan may choose from, the default first."""
        return tuple(dict.fromkeys((self.attention, *self.attention_choices)))

    @property
    def sequence_parallel_options(self) -> tuple[bool, ...]:
        """What a plan may choose from, the default first."""
        return tuple(dict.fromkeys((self.sequence_parallel, *self.sequence_parallel_choices)))

    def overlaps(self, precision: str) -> tuple[Overlap, ...]:
        """What runs behind computation by default in that number format."""
        excluded = precision in self.tensor_overlap_excludes
        return tuple(name for name in self.overlap if not (excluded and name == "tensor"))

    @property
    def expert_overlap_options(self) -> tuple[bool, ...]:
        """Whether exchanges of experts run beside another microbatch: what a plan may choose from,
        the default first."""
        default = "expert" in self.overlap
        return tuple(dict.fromkeys((default, False, "expert" in self.overlap_choices)))

    @property
    def source_file(self) -> SourceFile | None:
        """The file the profile was read from."""
        return self._file
