"""The numbers of a scenario that the rules compare a combination with."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

from planner.plan import DATA_SHARDINGS, DISPATCHERS
from planner.specs.job import microbatches_of_replicas
from planner.training.layer.memory import layer_memory
from planner.training.scenario import without_fused_attention
from planner.training.search.space.codes import ALL_RANKS
from planner.training.search.space.dispatchers import dispatcher_needs
from planner.workload.formats import offload_under
from planner.workload.layers import layer_operators
from planner.workload.shard import Shard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.arrays import Ints
    from planner.specs.model.spec import ModelSpec
    from planner.specs.software import SoftwareProfile
    from planner.specs.software_offload import Offload
    from planner.training.scenario import Scenario
    from planner.training.search.space.dispatchers import DispatcherNeeds
    from planner.training.search.space.restrictions import Restrictions

MODEL_AXES = ("tensor", "pipeline", "context", "expert")
"""Axes that a framework may lack."""

LONG_SEQUENCE = 8192
"""Shortest sequence, in tokens, for which the search tries context parallelism without being
asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceFacts:
    """The scenario as the rules see it. Sizes are 0 where the model has no such part. `lacking`:
    axes that the software profile does not have (`lacking_everywhere`), or not together with
    `refused_parts`, each with the axes that exclude it. Some
    fields say what the profile can do with this model: interleave on two stages, split experts over
    expert-tensor ranks, recompute all of a layer under CUDA graphs, shard gradients alongside a
    pipeline. `first_sequence_parallel`, `first_data_sharding` and `first_dispatcher` stand for all
    values where the switch changes nothing. `overlaps_experts`: exchanges of experts may run beside
    another microbatch, as far as the number format and the model decide."""

    devices: int
    layers: int
    heads: int
    query_groups: int
    ffn: int
    shared_ffn: int
    expert_ffn: int
    experts: int
    predictions: int
    seq_length: int
    global_batch_size: int
    framework: str
    software: str
    lacking: tuple[str, ...]
    refused_parts: tuple[tuple[str, tuple[str, ...]], ...]
    lacking_everywhere: tuple[str, ...]
    beyond_query_groups: bool
    rank_order: str
    uneven_layout: bool
    interleaves_two_stages: bool
    splits_experts: bool
    graphs_recompute: bool
    shards_pipelines: bool
    shards_tensors: bool
    context_excludes: tuple[str, ...]
    overlaps_with_sequence_parallel: bool
    experts_with_sequence_parallel: bool
    needs_microbatches: bool
    loops_experts: bool
    context_asked: bool
    sequence_parallel_asked: bool
    recompute_asked: bool
    selective_frees: bool
    first_sequence_parallel: int
    first_data_sharding: int
    dispatchers: tuple[DispatcherNeeds, ...]
    first_dispatcher: int
    overlaps_experts: bool
    recomputes_experts: bool
    node_devices: int
    sharded_in_groups: tuple[str, ...]
    shards_over_all: bool
    offload: Offload
    kept_by_eight_bits: bool
    state_shardings: tuple[str, ...]
    context_heads: int
    uneven_replicas: bool
    least_devices: int | None = None
    """A combination may take any number of whole nodes that has so many devices, up to all; None:
    all devices."""
    any_batch: bool = False
    """Whether it may leave a part of the global batch out."""

    def microbatches(self, c: Mapping[str, Ints]) -> tuple[Ints, ...]:
        """Of every replica, or of those that run fewest and of those that run most."""
        together = c["micro_batch_size"] * c["data"]
        return microbatches_of_replicas(
            self.global_batch_size, together, uneven=self.uneven_replicas
        )

    @property
    def batch_is_divided(self) -> str:
        """How the replicas share the global batch, in words."""
        if self.uneven_replicas:
            return (
                f"micro-batch size must divide the global batch of {self.global_batch_size}, and "
                "every replica needs a microbatch"
            )
        return f"micro-batch size · data must divide the global batch of {self.global_batch_size}"

    @property
    def offloads_optimizer(self) -> str:
        """Whether and with which data sharding the optimizer may be offloaded, in words."""
        if self.kept_by_eight_bits:
            return "stays on the device, as weights are kept in 8 bits between steps"
        return _may("be offloaded", "data sharding", self.offload.optimizer)

    @property
    def offloads_to_nvme(self) -> str:
        """The same of an optimizer on drives."""
        return _may("be kept on NVMe", "data sharding", self.offload.nvme)

    @property
    def offloads_share(self) -> str:
        """The same of a part of the optimizer."""
        shares = self.offload.optimizer_share
        rest = "; with another, all of it or nothing" if shares else ": all of it or nothing"
        return _may("be offloaded", "data sharding", shares) + rest

    @property
    def offloads_weights(self) -> str:
        """The same of weights."""
        return _may("be offloaded", "data sharding", self.offload.weights)

    @property
    def offloads_activations(self) -> str:
        """Whether and with which recomputation activations may be offloaded, in words."""
        return _may("be offloaded", "recomputation", self.offload.activations)

    @property
    def offloads_on_one_stage(self) -> str:
        """What the rule on offloaded activations adds where pipelines cannot have them."""
        return "" if self.offload.activations_in_pipelines else ", without a pipeline"

    @property
    def states_need(self) -> str:
        """The data sharding that the optimizer and its states need, in words."""
        return " or ".join(self.state_shardings)

    @property
    def in_groups(self) -> str:
        """With which data sharding replicas fall into groups, in words."""
        return _may("shard in groups", "data sharding", self.sharded_in_groups)

    @property
    def lacking_axes(self) -> str:
        """The lacking axes of the dense model, in words."""
        return ", ".join(axis for axis in self.lacking if axis != "expert") or "other"

    @property
    def excluded_axes(self) -> str:
        """The axes that a context degree excludes, in words."""
        return " or ".join(self.context_excludes) or "other"

    @property
    def of_such_models(self) -> str:
        """What the rule on axes adds where only some models or devices lack them."""
        parts = ", ".join(part for part, _ in self.refused_parts)
        return f" with {parts}" if parts else ""

    @property
    def multiples_too(self) -> str:
        """What the rule on key-value groups adds where ranks may share copies of them."""
        return ", or be a multiple of them" if self.beyond_query_groups else ""

    @property
    def evenly_exchanged(self) -> str:
        """Numbers of context ranks that heads and key-value groups are dealt out to evenly, in
        words, the tensor degree aside."""
        shared = gcd(self.heads, self.query_groups)
        return " or ".join(str(ranks) for ranks in range(1, shared + 1) if shared % ranks == 0)

    @property
    def dispatcher_ranks(self) -> str:
        """What dispatchers need of the number of their ranks, in words."""
        said = [
            f"{one.name} runs on {', '.join(map(str, one.ranks))} ranks"
            for one in self.dispatchers
            if one.ranks
        ]
        return "; ".join(said) or "dispatchers run on any number of ranks"

    @property
    def dispatcher_reach(self) -> str:
        """The ranks that dispatchers reach which do not reach all, in words."""
        said = [
            f"{one.name} reaches {one.most_ranks} ranks"
            for one in self.dispatchers
            if one.most_ranks is not None
        ]
        return "; ".join(said) or "dispatchers reach all ranks"

    @property
    def missing_dispatchers(self) -> str:
        """Dispatchers that the devices or their fabric do not have, in words."""
        return ", ".join(one.name for one in self.dispatchers if not one.runs) or "none"

    @property
    def as_many_microbatches(self) -> str:
        """What the rule on microbatches adds where the framework has one of its own."""
        if not self.needs_microbatches:
            return ""
        return f"; {self.framework} needs at least as many microbatches as stages"

    @property
    def no_experts(self) -> str:
        """What a sentence about expert degrees adds where the profile has no such axis."""
        if "expert" not in self.lacking:
            return ""
        return f", and software profile {self.software} has no expert axis"

    @classmethod
    def of(cls, scenario: Scenario, restrictions: Restrictions) -> SpaceFacts:
        model, job = scenario.model, scenario.job
        software, moe = job.software, model.moe
        sharding: str = software.data_sharding.default
        if restrictions.data_sharding and sharding not in restrictions.data_sharding:
            sharding = restrictions.data_sharding[0]
        return cls(
            devices=job.devices,
            layers=model.num_layers,
            heads=model.num_attention_heads,
            query_groups=model.num_query_groups,
            ffn=model.ffn_hidden_size if "dense" in model.layer_kinds else 0,
            shared_ffn=moe.shared_expert_ffn_hidden_size if moe else 0,
            expert_ffn=moe.ffn_hidden_size if moe else 0,
            experts=moe.num_experts if moe else 0,
            predictions=model.mtp_num_layers,
            seq_length=job.seq_length,
            global_batch_size=job.global_batch_size,
            uneven_replicas=job.software.uneven_replicas,
            framework=software.framework,
            software=software.name,
            lacking=tuple(
                axis
                for axis in MODEL_AXES
                if axis not in software.axes or axis in _refused_axes(scenario)
            ),
            refused_parts=tuple(_refused_parts(scenario).items()),
            lacking_everywhere=tuple(axis for axis in MODEL_AXES if axis not in software.axes),
            beyond_query_groups=software.tensor_beyond_query_groups,
            rank_order=software.rank_order,
            uneven_layout=software.pipeline_layout,
            interleaves_two_stages=software.interleaves_two_stages
            or "pipeline" in software.overlap,
            splits_experts=software.expert.tensor_parallel_biases
            or not (moe is not None and model.linear_bias),
            graphs_recompute=software.graphs_recompute_experts
            or not (software.cuda_graphs and moe is not None),
            shards_tensors=software.tensor_with_full_sharding,
            context_excludes=tuple(
                axis for axis in ("tensor", "pipeline") if axis not in software.context_with
            ),
            overlaps_with_sequence_parallel="tensor" in software.overlaps(job.precision)
            and software.tensor_overlap_needs_sequence_parallel,
            experts_with_sequence_parallel=moe is not None
            and software.experts_need_sequence_parallel,
            needs_microbatches=software.pipeline_needs_microbatches,
            loops_experts=software.expert.looped,
            shards_pipelines=software.pipeline_with_sharded_gradients,
            context_asked=restrictions.context is not None,
            sequence_parallel_asked=restrictions.sequence_parallel is not None,
            recompute_asked=restrictions.recompute is not None,
            selective_frees=restrictions.recompute is not None or selective_frees(scenario),
            first_sequence_parallel=int(
                (restrictions.sequence_parallel or software.sequence_parallel_options)[0]
            ),
            first_data_sharding=DATA_SHARDINGS.index(sharding),
            dispatchers=dispatcher_needs(scenario),
            first_dispatcher=DISPATCHERS.index(
                (restrictions.dispatcher or software.expert.dispatcher_options)[0]
            ),
            overlaps_experts=model.mtp_num_layers <= 1 and job.precision not in ("fp32", "tf32"),
            recomputes_experts="moe" in software.recompute.selective_modules,
            node_devices=scenario.node_devices,
            sharded_in_groups=software.data_sharding.in_groups,
            shards_over_all="all"
            in (restrictions.shard_over or software.data_sharding.tried_groups),
            offload=offload_under(software, job.precision),
            kept_by_eight_bits=software.offload.optimizer
            != offload_under(software, job.precision).optimizer,
            context_heads=_exchanging_heads(software, model),
            state_shardings=software.state_shardings(job.optimizer),
        )


def _exchanging_heads(software: SoftwareProfile, model: ModelSpec) -> int:
    """Context ranks that exchange heads, `ALL_RANKS` for all of them, 1 for none."""
    if software.context_heads is None or (model.mla is not None and model.mla.indexer is not None):
        return 1
    return ALL_RANKS if software.context_heads == "all" else software.context_heads


def _refused_parts(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """Parts of the model and kernels, and the axes that the framework does not combine with
    them."""
    software, model = scenario.job.software, scenario.model
    refused: dict[str, tuple[str, ...]] = {}
    if model.tie_embeddings and not software.pipeline_with_tied_embeddings:
        refused["tied embeddings"] = ("pipeline",)
    if model.mtp_num_layers and not software.predictions_in_parallel:
        name = "layers that predict further tokens (mtp_num_layers: 0 leaves them out)"
        refused[name] = ("pipeline", "context")
    if model.moe is not None and not software.tensor_with_experts:
        refused["experts"] = ("tensor",)
    if software.attention == "unfused" and not software.context_with_unfused_attention:
        devices = without_fused_attention(scenario.cluster)
        why = f" ({devices} has no fused kernels)" if devices else ""
        refused[f"unfused attention{why}"] = ("context",)
    return refused


def _refused_axes(scenario: Scenario) -> set[str]:
    return {axis for axes in _refused_parts(scenario).values() for axis in axes}


def selective_frees(scenario: Scenario) -> bool:
    """Whether selective recomputation frees any memory that this model's layers keep."""
    workload = scenario.workload(Shard())
    memories = [layer_memory(workload, layer_operators(workload, k)) for k in scenario.kinds]
    return any(memory.selective_bytes < memory.saved_bytes for memory in memories)


def _may(what: str, axis: str, choices: Sequence[str]) -> str:
    return f"may {what} with {axis} {' or '.join(choices)}" if choices else f"cannot {what}"
