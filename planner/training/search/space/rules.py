"""The framework's rules, by name: which combinations of degrees can run.

Each rule is a sentence and a vectorised condition. The search counts what each rule removes in its
turn. A single plan that breaks a rule gets the sentence and the nearest valid values. Sources are
Megatron-LM `arguments.py` (validate_args), `transformer_config.py`, `parallel_state.py`,
`num_microbatches_calculator.py` and `pipeline_parallel/schedules.py`, and DeepSpeed
`runtime/pipe/engine.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.schedule.build import MOST_FORWARDS
from planner.training.search.space import conditions
from planner.training.search.space.facts import LONG_SEQUENCE

if TYPE_CHECKING:
    from planner.training.search.space.conditions import Columns, Holds
    from planner.training.search.space.facts import SpaceFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceRule:
    """One rule. `axes` are the columns that the condition reads, `adjusts` is the one to change
    when it fails. `sentence` may name fields of `SpaceFacts` in braces, and so may `fix`: what to
    change where it is an option outside the space. `search_only` rules keep equivalent or pointless
    combinations out of a search; a single plan may break them."""

    name: str
    sentence: str
    axes: tuple[str, ...]
    adjusts: str
    holds: Callable[[SpaceFacts, Columns], Holds]
    search_only: bool = False
    fix: str = ""

    def says(self, facts: SpaceFacts) -> str:
        """The sentence with the scenario's numbers."""
        return self.sentence.format(f=facts, long=LONG_SEQUENCE)

    def repairs(self, facts: SpaceFacts) -> str | None:
        """What to change, where it is no axis of the space."""
        return self.fix.format(f=facts) or None


RULES = (
    SpaceRule(
        name="layers",
        sentence="every stage needs at least one of the {f.layers} layers (and the same number as "
        "the others where the framework has no uneven layouts)",
        axes=("pipeline",),
        adjusts="pipeline",
        holds=conditions.stages,
    ),
    SpaceRule(
        name="heads",
        sentence="the tensor degree must divide the {f.heads} attention heads",
        axes=("tensor",),
        adjusts="tensor",
        holds=lambda f, c: f.heads % c["tensor"] == 0,
    ),
    SpaceRule(
        name="kv",
        sentence="the tensor degree must divide the {f.query_groups} key-value groups"
        "{f.multiples_too}",
        axes=("tensor",),
        adjusts="tensor",
        holds=conditions.kv,
    ),
    SpaceRule(
        name="ffn",
        sentence="the tensor degree must divide the MLP's hidden size ({f.ffn}; of shared experts "
        "{f.shared_ffn})",
        axes=("tensor",),
        adjusts="tensor",
        holds=conditions.ffn,
    ),
    SpaceRule(
        name="cp",
        sentence="twice the context degree must divide the sequence length {f.seq_length}",
        axes=("context",),
        adjusts="context",
        holds=lambda f, c: (c["context"] == 1) | (f.seq_length % (2 * c["context"]) == 0),
    ),
    SpaceRule(
        name="context-heads",
        sentence="context ranks that exchange heads must divide the context degree and the "
        "attention heads and the key-value groups of every tensor rank ({f.heads} and "
        "{f.query_groups} in all)",
        axes=("tensor", "context"),
        adjusts="context",
        holds=conditions.exchanged_heads,
        fix="--context-heads {f.evenly_exchanged} divide these heads and groups",
    ),
    SpaceRule(
        name="context-use",
        sentence="context parallelism is tried for sequences of {long} tokens or more, unless "
        "--context asks for it",
        axes=("context",),
        adjusts="context",
        holds=lambda f, c: (c["context"] == 1) | (f.seq_length >= LONG_SEQUENCE) | f.context_asked,
        search_only=True,
    ),
    SpaceRule(
        name="framework",
        sentence="software profile {f.software} has no {f.lacking_axes} parallelism"
        "{f.of_such_models}",
        axes=("tensor", "pipeline", "context"),
        adjusts="tensor",
        holds=conditions.framework,
    ),
    SpaceRule(
        name="world",
        sentence="tensor · pipeline · context · data must equal the {f.devices} devices",
        axes=("tensor", "pipeline", "context", "data"),
        adjusts="data",
        holds=conditions.world,
    ),
    SpaceRule(
        name="experts",
        sentence="the expert degree must divide the number of experts ({f.experts}){f.no_experts}",
        axes=("expert",),
        adjusts="expert",
        holds=conditions.experts,
    ),
    SpaceRule(
        name="expert-loop",
        sentence="under software profile {f.software} a mixture's experts run in a loop of Python, "
        "whose time is not known; take a profile with grouped experts",
        axes=("expert",),
        adjusts="expert",
        holds=conditions.expert_loop,
    ),
    SpaceRule(
        name="expert-ffn",
        sentence="the expert-tensor degree must divide the experts' hidden size "
        "{f.expert_ffn}{f.no_experts}",
        axes=("expert_tensor",),
        adjusts="expert_tensor",
        holds=conditions.expert_tensor,
    ),
    SpaceRule(
        name="expert-world",
        sentence="expert · expert-tensor must divide the devices of a stage, "
        "tensor · context · data",
        axes=("tensor", "context", "data", "expert", "expert_tensor"),
        adjusts="expert",
        holds=conditions.expert_world,
    ),
    SpaceRule(
        name="expert-bias",
        sentence="experts with biases need expert-tensor 1 in {f.framework}",
        axes=("expert_tensor",),
        adjusts="expert_tensor",
        holds=conditions.expert_biases,
    ),
    SpaceRule(
        name="one-dispatcher",
        sentence="without an expert degree there is nothing to dispatch, and dispatchers are "
        "counted once",
        axes=("expert", "dispatcher"),
        adjusts="dispatcher",
        holds=conditions.one_dispatcher,
        search_only=True,
    ),
    SpaceRule(
        name="dispatcher-devices",
        sentence="dispatchers that the cluster's devices or their fabric lack: "
        "{f.missing_dispatchers}",
        axes=("expert", "dispatcher"),
        adjusts="dispatcher",
        holds=conditions.dispatcher_devices,
    ),
    SpaceRule(
        name="dispatcher-reach",
        sentence="the ranks of a dispatcher are expert · expert-tensor, and lie side by side among "
        "those that it reaches: {f.dispatcher_reach}",
        axes=("expert", "expert_tensor", "dispatcher"),
        adjusts="dispatcher",
        holds=conditions.dispatcher_reach,
    ),
    SpaceRule(
        name="dispatcher-ranks",
        sentence="the ranks of a dispatcher are expert · expert-tensor, and {f.dispatcher_ranks}",
        axes=("expert", "expert_tensor", "dispatcher"),
        adjusts="dispatcher",
        holds=conditions.dispatcher_ranks,
    ),
    SpaceRule(
        name="expert-overlap",
        sentence="exchanges of experts run beside another microbatch only with an expert degree "
        "above 1, alltoall or a dispatcher of its own kernels, 16-bit weights and at most one "
        "multi-token-prediction module",
        axes=("expert", "dispatcher", "expert_overlap"),
        adjusts="expert_overlap",
        holds=conditions.expert_overlap,
    ),
    SpaceRule(
        name="order",
        sentence="with rank order {f.rank_order} and several stages, expert · expert-tensor must "
        "equal tensor · context, and a model without experts has no context parallelism",
        axes=("pipeline", "tensor", "context", "expert", "expert_tensor"),
        adjusts="expert",
        holds=conditions.order,
    ),
    SpaceRule(
        name="batch",
        sentence="micro-batch size · data must divide the global batch of {f.global_batch_size}",
        axes=("data", "micro_batch_size"),
        adjusts="micro_batch_size",
        holds=conditions.batch,
    ),
    SpaceRule(
        name="sp",
        sentence="under sequence parallelism the tensor degree must divide the sequence of one "
        "device, {f.seq_length} / context",
        axes=("tensor", "context", "sequence_parallel"),
        adjusts="tensor",
        holds=conditions.sequence_parallel,
    ),
    SpaceRule(
        name="sp-experts",
        sentence="expert and tensor parallelism together use sequence parallelism, unless "
        "--sequence-parallel says otherwise",
        axes=("tensor", "expert", "sequence_parallel"),
        adjusts="sequence_parallel",
        holds=conditions.expert_sequence_parallel,
        search_only=True,
    ),
    SpaceRule(
        name="one-tensor",
        sentence="with tensor 1 sequence parallelism changes nothing and is counted once",
        axes=("tensor", "sequence_parallel"),
        adjusts="sequence_parallel",
        holds=conditions.one_tensor,
        search_only=True,
    ),
    SpaceRule(
        name="chunks",
        sentence="each of the pipeline · virtual stages chunks needs at least one of the "
        "{f.layers} layers (and the same number as the others where the framework has no uneven "
        "layouts)",
        axes=("pipeline", "virtual_stages"),
        adjusts="virtual_stages",
        holds=conditions.chunks,
    ),
    SpaceRule(
        name="vpp",
        sentence="interleaved needs at least 2 stages with at least 2 virtual stages each, and so "
        "does looped-bfs; V-shaped schedules and DualPipe run exactly 2 chunks per stage, the "
        "others one",
        axes=("pipeline", "virtual_stages", "schedule"),
        adjusts="virtual_stages",
        holds=conditions.schedule(about_microbatches=False),
    ),
    SpaceRule(
        name="vpp-sends",
        sentence="{f.framework} interleaves on 2 stages only where pipeline sends overlap",
        axes=("pipeline", "schedule"),
        adjusts="pipeline",
        holds=conditions.two_stage_interleaving,
    ),
    SpaceRule(
        name="expert-overlap-stages",
        sentence="exchanges of experts run beside another microbatch on one stage, or under an "
        "interleaved schedule with virtual stages",
        axes=("pipeline", "virtual_stages", "schedule", "expert_overlap"),
        adjusts="expert_overlap",
        holds=conditions.expert_overlap_stages,
    ),
    SpaceRule(
        name="shared-vocabulary",
        sentence="schedules that share the vocabulary among stages do not support multi-token "
        "prediction; the model has {f.predictions} such layers",
        axes=("schedule",),
        adjusts="schedule",
        holds=conditions.shared_vocabulary,
    ),
    SpaceRule(
        name="one-stage",
        sentence="with one stage every microbatch runs forward and back before the next, so every "
        "schedule is 1f1b",
        axes=("pipeline", "schedule"),
        adjusts="schedule",
        holds=conditions.one_stage,
        search_only=True,
    ),
    SpaceRule(
        name="vpp-mb",
        sentence="interleaved takes microbatches (global batch / (micro-batch size · data)) in "
        "groups as large as the pipeline degree, and the last group must not be smaller; DualPipe "
        "needs at least two microbatches per stage, and even numbers of stages and microbatches"
        "{f.as_many_microbatches}",
        axes=("pipeline", "virtual_stages", "schedule", "data", "micro_batch_size"),
        adjusts="micro_batch_size",
        holds=conditions.microbatches,
    ),
    SpaceRule(
        name="schedule-size",
        sentence="a step is simulated forward by forward, and pipeline · virtual stages · "
        f"microbatches (global batch / (micro-batch size · data)) may be {MOST_FORWARDS:,} at most",
        axes=("pipeline", "virtual_stages", "data", "micro_batch_size"),
        adjusts="micro_batch_size",
        holds=conditions.simulated,
    ),
    SpaceRule(
        name="selective-use",
        sentence="selective recomputation is tried only where it frees memory that the layers keep",
        axes=("recompute",),
        adjusts="recompute",
        holds=conditions.selective_use,
        search_only=True,
    ),
    SpaceRule(
        name="expert-overlap-recompute",
        sentence="exchanges of experts run beside another microbatch only where the backward pass "
        "does not compute them again: without full recomputation, and without moe among the "
        "recomputed modules",
        axes=("recompute", "expert_overlap"),
        adjusts="expert_overlap",
        holds=conditions.expert_overlap_recompute,
    ),
    SpaceRule(
        name="graphs",
        sentence="{f.framework} cannot record CUDA graphs of a mixture of experts with full "
        "recomputation, and the software profile records graphs",
        axes=("recompute",),
        adjusts="recompute",
        holds=conditions.graphs,
    ),
    SpaceRule(
        name="tensor-overlap",
        sentence="software profile {f.software} overlaps tensor communication, which needs "
        "sequence parallelism",
        axes=("tensor", "sequence_parallel"),
        adjusts="sequence_parallel",
        holds=conditions.tensor_overlap,
    ),
    SpaceRule(
        name="experts-in-sequence",
        sentence="{f.framework} trains a mixture of experts under tensor parallelism with sequence "
        "parallelism only",
        axes=("tensor", "sequence_parallel"),
        adjusts="sequence_parallel",
        holds=conditions.experts_in_sequence,
    ),
    SpaceRule(
        name="sharded-tensor",
        sentence="{f.framework} shards weights over the data axis only without tensor parallelism",
        axes=("tensor", "data_sharding"),
        adjusts="data_sharding",
        holds=conditions.sharded_tensor,
    ),
    SpaceRule(
        name="sharded-pipeline",
        sentence="{f.framework} shards gradients and weights only without a pipeline",
        axes=("pipeline", "data_sharding"),
        adjusts="data_sharding",
        holds=conditions.sharded_pipeline,
    ),
    SpaceRule(
        name="one-replica",
        sentence="with one replica there is nothing to shard over, and data sharding is counted "
        "once",
        axes=("data", "context", "data_sharding"),
        adjusts="data_sharding",
        holds=conditions.one_replica,
        search_only=True,
    ),
    SpaceRule(
        name="sharding-groups",
        sentence="a sharding group has at least 2 of the data · context replicas (1 where only the "
        "optimizer is sharded), in groups of one size, and as many groups must divide the replicas "
        "of the experts",
        axes=(
            "tensor",
            "context",
            "data",
            "expert",
            "expert_tensor",
            "data_sharding",
            "shard_over",
        ),
        adjusts="shard_over",
        holds=conditions.where_chosen("shard_over", conditions.sharding_groups),
    ),
    SpaceRule(
        name="sharded-in-groups",
        sentence="under software profile {f.software} replicas shard in groups with data sharding "
        "{f.in_groups}",
        axes=("data_sharding", "shard_over"),
        adjusts="shard_over",
        holds=conditions.where_chosen("shard_over", conditions.sharded_in_groups),
    ),
    SpaceRule(
        name="optimizer-states",
        sentence="under software profile {f.software} the job's optimizer with these types of "
        "states needs data sharding {f.states_need}",
        axes=("data_sharding",),
        adjusts="data_sharding",
        holds=conditions.optimizer_states,
    ),
    SpaceRule(
        name="optimizer-offload",
        sentence="under software profile {f.software} the optimizer may be offloaded with data "
        "sharding {f.offloads_optimizer}",
        axes=("data_sharding", "optimizer_offload"),
        adjusts="optimizer_offload",
        holds=conditions.where_chosen("optimizer_offload", conditions.offloaded_optimizer),
    ),
    SpaceRule(
        name="optimizer-offload-share",
        sentence="under software profile {f.software} a part of the optimizer may be offloaded "
        "with data sharding {f.offloads_share}, otherwise all of it or nothing",
        axes=("data_sharding", "optimizer_offload"),
        adjusts="optimizer_offload",
        holds=conditions.where_chosen("optimizer_offload", conditions.offloaded_share),
    ),
    SpaceRule(
        name="offload-to-nvme",
        sentence="under software profile {f.software} an offloaded optimizer may be kept on NVMe "
        "with data sharding {f.offloads_to_nvme}",
        axes=("data_sharding", "optimizer_offload"),
        adjusts="data_sharding",
        holds=conditions.where_chosen("optimizer_offload", conditions.offloaded_to_nvme),
    ),
    SpaceRule(
        name="weight-offload",
        sentence="under software profile {f.software} weights may be offloaded with data sharding "
        "{f.offloads_weights}",
        axes=("data_sharding", "weight_offload"),
        adjusts="weight_offload",
        holds=conditions.where_chosen("weight_offload", conditions.offloaded_weights),
    ),
    SpaceRule(
        name="activation-offload",
        sentence="under software profile {f.software} activations may be offloaded with "
        "recomputation {f.offloads_activations}{f.offloads_on_one_stage}",
        axes=("pipeline", "recompute", "activation_offload"),
        adjusts="activation_offload",
        holds=conditions.where_chosen("activation_offload", conditions.offloaded_activations),
    ),
    SpaceRule(
        name="offload-together",
        sentence="{f.framework} offloads weights and the optimizer together or not at all",
        axes=("optimizer_offload", "weight_offload"),
        adjusts="weight_offload",
        holds=conditions.offloaded_together,
    ),
    SpaceRule(
        name="several-groups",
        sentence="a sharding group of a node is tried where there are more replicas than that",
        axes=("tensor", "context", "data", "shard_over"),
        adjusts="shard_over",
        holds=conditions.where_chosen("shard_over", conditions.several_groups),
        search_only=True,
    ),
)
"""Every rule."""
