"""Short names of what a plan decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Degrees, Plan, Stage

AXIS_LETTERS = {
    "tensor": "t",
    "pipeline": "p",
    "data": "d",
    "context": "c",
    "expert": "e",
    "expert_tensor": "et",
}
ALWAYS_NAMED = ("tensor", "pipeline", "data")
AXIS_ABBREVIATIONS = {
    "tensor": "TP",
    "pipeline": "PP",
    "data": "DP",
    "context": "CP",
    "expert": "EP",
    "expert_tensor": "ETP",
}
"""What most frameworks call the degrees."""
SHARDING_NAMES = {
    "optimizer": "ZeRO-1",
    "optimizer+gradients": "ZeRO-2",
    "full": "ZeRO-3, FSDP",
}
"""What most frameworks call data sharding."""

TIME_LABELS = {
    "compute_s": "compute",
    "recompute_s": "recompute",
    "tensor_comm_s": "tensor communication",
    "context_comm_s": "context communication",
    "expert_comm_s": "expert communication",
    "pipeline_comm_s": "pipeline communication",
    "bubble_s": "pipeline bubble",
    "data_comm_s": "data communication",
    "optimizer_s": "optimizer",
    "jitter_s": "device jitter",
    "offload_s": "offloading",
}


def degrees(value: Degrees) -> str:
    """`t8 p4 d16`, and the other axes when they are not 1."""
    return " ".join(
        f"{letter}{getattr(value, axis)}"
        for axis, letter in AXIS_LETTERS.items()
        if axis in ALWAYS_NAMED or getattr(value, axis) != 1
    )


def schedule(plan: Plan) -> str:
    """`1f1b`, `interleaved×2`."""
    if plan.virtual_stages == 1:
        return plan.schedule
    return f"{plan.schedule}×{plan.virtual_stages}"


def recompute(plan: Plan) -> str:
    """`none`, `selective`, `full` (every layer), `full 3` (up to 3 layers a stage), `selective
    (mlp, moe_act)` for modules that the plan chooses."""
    named = f" ({', '.join(plan.recompute_modules)})" if plan.recompute_modules else ""
    return recompute_kind(plan) + named


def recompute_kind(plan: Plan) -> str:
    """The same without the names of modules."""
    chosen = plan.recompute
    if chosen.granularity != "full":
        return chosen.granularity
    if all(
        layers == stage.num_layers
        for layers, stage in zip(chosen.layers_per_stage, plan.stages, strict=True)
    ):
        return "full"
    return f"full {max(chosen.layers_per_stage)}"


def data_sharding(plan: Plan) -> str:
    """`none`, `optimizer (ZeRO-1)`, `full (ZeRO-3, FSDP) over 8 of 32 replicas`."""
    known = SHARDING_NAMES.get(plan.data_sharding)
    said = f"{plan.data_sharding} ({known})" if known else plan.data_sharding
    if plan.shard_over is None:
        return said
    return f"{said} over {plan.shard_over} of {plan.degrees.data * plan.degrees.context} replicas"


def experts(plan: Plan) -> str:
    """`, dispatcher deepep beside another microbatch`, `, dispatcher alltoall in 4 pieces`; empty
    without an expert degree."""
    if plan.dispatcher is None:
        return ""
    beside = " beside another microbatch" if plan.expert_overlap else ""
    pieces = f" in {plan.dispatch_pieces} pieces" if plan.dispatch_pieces > 1 else ""
    return f", dispatcher {plan.dispatcher}{beside}{pieces}"


def offloading(plan: Plan) -> str:
    """What is in the memory of the hosts: `none`, `0.5 of the optimizer`, `optimizer, weights`,
    `activations (core_attn, attn_proj)`."""
    named = f" ({', '.join(plan.offload_modules)})" if plan.offload_modules else ""
    return offloaded_kinds(plan) + named


def offloaded_kinds(plan: Plan) -> str:
    """The same without the names of modules."""
    share, kept = plan.optimizer_offload, plan.activation_offload
    parts = [
        *(["optimizer"] if share == 1 else [f"{share:.3g} of the optimizer"] if share else []),
        *(["weights"] if plan.weight_offload else []),
        *(["activations"] if kept == 1 else [f"{kept:.3g} of the activations"] if kept else []),
    ]
    return ", ".join(parts) or "none"


def on_off(flag: bool) -> str:
    return "on" if flag else "off"


def one_line(plan: Plan) -> str:
    """A plan in a few words, for prose: degrees, micro-batch, schedule, recompute."""
    parts = [
        degrees(plan.degrees),
        f"micro-batch {plan.micro_batch_size}",
        schedule(plan),
        f"recompute {recompute(plan)}",
    ]
    return ", ".join(parts)


def stage_layers(plan: Plan) -> str:
    """Layers of each stage, runs of equal stages shortened: `12×7, 11`."""
    return layer_runs(plan.stages)


def layer_runs(stages: Sequence[Stage]) -> str:
    """Layers of some stages in order, runs of equal stages shortened: `12×7, 11`."""
    runs: list[tuple[int, int]] = []
    for stage in stages:
        if runs and runs[-1][0] == stage.num_layers:
            runs[-1] = (stage.num_layers, runs[-1][1] + 1)
        else:
            runs.append((stage.num_layers, 1))
    return ", ".join(f"{layers}×{times}" if times > 1 else str(layers) for layers, times in runs)
