"""Decisions that a plan names and flags make: precision, recomputation, sharding, overlap."""

from __future__ import annotations

import re
from math import isnan, nan

from planner.importers.megatron.flags import Flags
from planner.importers.notes import Notes
from planner.specs.ranges import MOST_TIMES

_RANKS = re.compile(r"\b[0-9]{1,6}\b", re.ASCII)
_FSDP_SHARDING = {
    "no_shard": "none",
    "optim": "optimizer",
    "optim_grads": "optimizer+gradients",
    "optim_grads_params": "full",
}
_ZERO_SHARDING = ("none", "optimizer", "optimizer+gradients", "full")
_FP8_RECIPES = {
    "delayed": "fp8",
    "tensorwise": "fp8",
    "blockwise": "fp8",
    "mxfp8": "mxfp8",
    "custom": "fp8",
}
_BACKENDS = {"flash": "flash", "fused": "flash", "auto": "flash", "unfused": "unfused",
             "local": "unfused"}  # fmt: skip


_IMPLEMENTATIONS = ("transformer_engine", "local", "inference_optimized")


_CAPACITY = "--moe-expert-capacity-factor"
_TRAINING_CAPACITY = "--moe-train-capacity-factor"
EXPERT_OVERLAP = "--overlap-moe-expert-parallel-comm"
SHARED_EXPERT_OVERLAP = "--moe-shared-expert-overlap"
_DISPATCHERS = {
    "allgather": "allgather",
    "alltoall": "alltoall",
    "alltoall_seq": "alltoall",
    "flex": "flex",
}
"""`alltoall_seq` is the dispatcher of mcore 0.9 that gathers tokens over tensor ranks first."""
_CONTEXT_WAYS = ("megatron_cp_algo", "ulysses_cp_algo", "hybrid_cp_algo", "hybrid_adaptive_cp_algo",
                 "adaptive_cp_algo", "kvallgather_cp_algo")  # fmt: skip
"""Of MindSpeed-LLM."""
_FLEXIBLE = ("deepep", "hybridep", "ncclep")


def precision(flags: Flags, notes: Notes) -> str:
    if flags.given("--fp4-format"):
        return "nvfp4"
    if any(flags.given(name) for name in ("--fp8-format", "--fp8-hybrid", "--fp8-e4m3")):
        recipe = flags.choice("--fp8-recipe", _FP8_RECIPES)
        return _FP8_RECIPES[recipe or "delayed"]
    if flags.given("--bf16"):
        return "bf16"
    if flags.given("--fp16"):
        return "fp16"
    notes.assumed.append(
        "precision fp32 (neither --bf16 nor --fp16, either of which is several times faster)"
    )
    return "fp32"


def recompute(flags: Flags, notes: Notes) -> tuple[str, int | None, tuple[str, ...]]:
    """Granularity, layers of each chunk (None: all), and the modules of selective recomputation,
    to which the old --moe-layer-recompute adds the experts (`transformer_config.py`)."""
    granularity = flags.choice("--recompute-granularity", ("full", "selective"))
    if granularity is None and flags.given("--recompute-activations"):
        granularity = "selective"
    method = flags.choice("--recompute-method", ("uniform", "block"))
    old = flags.given("--deepspeed-activation-checkpointing")
    if granularity is None and (old or method is not None):
        granularity = "full"
    modules = flags.words("--recompute-modules") or ()
    if flags.given("--moe-layer-recompute") and granularity != "full":
        granularity, modules = "selective", (*(modules or ("core_attn",)), "moe")
    if granularity != "full":
        return granularity or "none", None, modules if granularity else ()
    layers = flags.integer("--recompute-num-layers")
    if method == "block":
        return "full", layers, ()
    if layers is not None and layers > 1:
        notes.left_out.append(
            f"--recompute-num-layers {layers} keeps one input for {layers} layers; one for each "
            "layer is planned for"
        )
    return "full", None, ()


def data_sharding(flags: Flags, notes: Notes) -> str:
    """BF16_Optimizer of DeepSpeed trains bf16 without ZeRO, and shards its states over the replicas
    (`runtime/bf16_optimizer.py`)."""
    if flags.given("--use-torch-fsdp2"):
        return "full"
    if flags.given("--use-megatron-fsdp"):
        strategy = flags.choice("--data-parallel-sharding-strategy", _FSDP_SHARDING)
        return _FSDP_SHARDING[strategy or "no_shard"]
    stage = flags.integer("--zero-stage", least=0, most=3)
    if flags.given("--deepspeed") and flags.given("--bf16") and not stage:
        notes.assumed.append("optimizer states sharded, by DeepSpeed's BF16_Optimizer")
        return "optimizer"
    if stage is not None:
        return _ZERO_SHARDING[stage]
    return "optimizer" if flags.given("--use-distributed-optimizer") else "none"


def reduces_in_bf16(flags: Flags) -> bool:
    """Gradients are kept and reduced in bf16: by a flag of its own, or because the optimizer takes
    them so (arguments.py)."""
    return flags.given("--grad-reduce-in-bf16") or flags.text("--main-grads-dtype") == "bf16"


def optimizer_offload(flags: Flags) -> float:
    """The share of the optimizer on the host, all of it unless a flag says otherwise
    (arguments.py)."""
    if not flags.given("--optimizer-cpu-offload"):
        return 0.0
    name = "--optimizer-offload-fraction"
    share = flags.number(name)
    if share is not None and share > 1:
        raise flags.error(f"{share:g} is not a share from 0 to 1", name)
    return 1.0 if share is None else round(share, 3)


def offload_modules(flags: Flags) -> tuple[str, ...]:
    """The modules whose activations leave (`transformer_config.py`, `offload_modules`)."""
    if not flags.given("--fine-grained-activation-offloading"):
        return ()
    return flags.words("--offload-modules") or ()


def activation_offload(flags: Flags, layers: int) -> float:
    """The share of the activations on the host: of named modules, or those of the first layers
    (`transformer_config.py`, `activation_offload_fraction`, `cpu_offloading_num_layers`)."""
    name = "--activation-offload-fraction"
    if offload_modules(flags):
        share = flags.number(name)
        if share is not None and share > 1:
            raise flags.error(f"{share:g} is not a share from 0 to 1", name)
        return 1.0 if share is None else round(share, 3)
    name = "--cpu-offloading-num-layers"
    offloaded = flags.integer(name, least=0) or 0
    if offloaded > layers:
        raise flags.error(f"{offloaded} layers of {layers}", name)
    return round(offloaded / layers, 3)


def overlap(flags: Flags, virtual_stages: int) -> tuple[str, ...]:
    """In the order of the software profile's choices. Interleaved schedules overlap their sends
    unless told not to (arguments.py)."""
    interleaved = virtual_stages > 1 and not flags.given("--no-overlap-p2p-communication")
    chosen = {
        "tensor": flags.given("--tp-comm-overlap"),
        "gradient_reduce": flags.given("--overlap-grad-reduce"),
        "parameter_gather": flags.given("--overlap-param-gather"),
        "pipeline": interleaved or flags.given("--overlap-p2p-communication"),
        "expert": flags.given(EXPERT_OVERLAP),
        "shared_expert": flags.given(SHARED_EXPERT_OVERLAP),
    }
    return tuple(name for name, on in chosen.items() if on)


def dispatcher(flags: Flags) -> str:
    """Without a flag tokens are gathered by all ranks; `flex` is a library of its own."""
    chosen = flags.choice("--moe-token-dispatcher-type", _DISPATCHERS) or "allgather"
    if chosen != "flex":
        return _DISPATCHERS[chosen]
    return flags.choice("--moe-flex-dispatcher-backend", _FLEXIBLE) or "deepep"


def attention(flags: Flags) -> str | None:
    """`--transformer-impl local` builds layers without Transformer Engine, whose attention is
    unfused (`gpt_layer_specs.py`)."""
    if flags.given("--use-flash-attn"):
        return "flash"
    if flags.choice("--transformer-impl", _IMPLEMENTATIONS) == "local":
        return "unfused"
    backend = flags.choice("--attention-backend", _BACKENDS)
    return None if backend is None else _BACKENDS[backend]


def capacity(flags: Flags) -> dict[str, float | bool | None]:
    """The capacity of experts, and whether their input is padded to it. A negative factor is none
    (transformer_config.py)."""
    factor = _factor(flags, _CAPACITY)
    padded = flags.given("--moe-pad-expert-input-to-capacity")
    return {"capacity_factor": factor, "padded": padded and factor is not None}


def deepspeed_capacity(flags: Flags) -> dict[str, float | bool | None]:
    """As `capacity`, of Megatron-DeepSpeed: experts are padded to it; where no token may be dropped
    it is that of the fullest expert (DeepSpeed `sharded_moe.py`, `topkgating`)."""
    if flags.given("--disable-moe-token-dropping"):
        return {"capacity_factor": None, "padded": False}
    return {"capacity_factor": _factor(flags, _TRAINING_CAPACITY) or 1.0, "padded": True}


def refuse_capacities(flags: Flags) -> None:
    """Raises: InputError for a capacity that is no factor, also where no expert has it."""
    for name in (_CAPACITY, _TRAINING_CAPACITY):
        _factor(flags, name)


def _factor(flags: Flags, name: str) -> float | None:
    """None without the flag, and for a negative factor."""
    text = flags.text(name)
    if text is None:
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = nan
    if isnan(factor) or factor == 0 or factor > MOST_TIMES:
        raise flags.error(f"{text[:20]!r} is not a factor above 0", name)
    return factor if factor > 0 else None


def context_heads(flags: Flags) -> dict[str, int | str | None]:
    """Context ranks that exchange heads: all of them, or the first of hierarchical sizes, whose
    groups are the inner ones (`parallel_state.py`, `create_hierarchical_groups`)."""
    ways = set(flags.words("--cp-comm-type") or ("p2p",))
    way = flags.choice("--context-parallel-algo", _CONTEXT_WAYS)
    if ways == {"a2a"} or way == "ulysses_cp_algo":
        return {"context_heads": "all"}
    name = "--hierarchical-context-parallel-sizes"
    text = " ".join(flags.words(name) or ())
    if ways != {"a2a+p2p"} or not text:
        return {"context_heads": None}
    sizes = [int(one) for one in _RANKS.findall(text)]
    if not sizes or sizes[0] < 1:
        raise flags.error(f"{text[:20]!r} are no numbers of ranks", name)
    return {"context_heads": sizes[0]}
