"""Megatron-LM's own rules about its arguments, written down apart from the exporter.

A second reading of `arguments.py` (validate_args), `transformer_config.py` (__post_init__),
`parallel_state.py` (initialize_model_parallel), `num_microbatches_calculator.py`, `schedules.py`
and `moe_layer.py` of commit d98e8a64, as conditions on flags.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

Flags = dict[str, list[str]]


def parse(text: str) -> tuple[Flags, dict[str, str]]:
    """Flags and environment of a file of arguments."""
    environment = dict(re.findall(r"^# export (\w+)=(.*)$", text, re.MULTILINE))
    words = shlex.split(text.replace("\\\n", " "), comments=True)
    flags: Flags = {}
    for word in words:
        if word.startswith("--"):
            assert word not in flags, f"{word} is given twice"
            flags[word] = []
            last = flags[word]
        else:
            last.append(word)
    return flags, environment


class Arguments:
    """Flags by name, with Megatron-LM's defaults."""

    def __init__(self, flags: Flags) -> None:
        self.flags = flags

    def on(self, name: str) -> bool:
        return f"--{name}" in self.flags

    def text(self, name: str, default: str = "") -> str:
        return " ".join(self.flags.get(f"--{name}", [default]))

    def number(self, name: str, default: int = 0) -> int:
        return int(self.text(name, str(default)))


def parse_layout(layout: str) -> list[str]:
    """Chunks in virtual-stage order, a letter for each layer: parentheses are expanded first,
    then single characters, each once."""
    text = layout.replace(",", "")
    text = re.sub(r"\(([^)]+)\)\*(\d+)", lambda found: found[1] * int(found[2]), text)
    text = re.sub(r"(.)\*(\d+)", lambda found: found[1] * int(found[2]), text)
    return text.split("|")


def broken(flags: Flags, environment: dict[str, str], world: int) -> Iterator[str]:
    """Ids of the rules that the arguments break on `world` devices."""
    a = Arguments(flags)
    tensor, pipeline = a.number("tensor-model-parallel-size", 1), _pipeline(a)
    context = a.number("context-parallel-size", 1)
    if world % (tensor * pipeline * context):
        yield "world"
        return
    data = world // (tensor * pipeline * context)
    yield from _grids(a, world=world, data=data)
    if a.number("num-attention-heads") % tensor:
        yield "heads"
    groups = a.number("num-query-groups", 1) if a.on("group-query-attention") else 0
    if groups and groups % tensor and tensor % groups:
        yield "kv"
    if a.number("ffn-hidden-size") % tensor and not _all_experts(a):
        yield "ffn"
    yield from _sequence(a, tensor=tensor, context=context)
    if a.number("global-batch-size") % (a.number("micro-batch-size") * data):
        yield "batch"
    yield from _layers(a, pipeline)
    microbatches = a.number("global-batch-size") // (a.number("micro-batch-size") * data)
    yield from _interleaving(a, pipeline=pipeline, microbatches=microbatches)
    yield from _recompute(a)
    yield from _sharding(a)
    yield from _experts(a, tensor)
    yield from _environment(a, environment, many=tensor > 1 or context > 1)


def _pipeline(a: Arguments) -> int:
    return a.number("pipeline-model-parallel-size", 1)


def _all_experts(a: Arguments) -> bool:
    return a.on("num-experts") and not a.on("moe-layer-freq")


def _grids(a: Arguments, *, world: int, data: int) -> Iterator[str]:
    tensor, pipeline = a.number("tensor-model-parallel-size", 1), _pipeline(a)
    expert = a.number("expert-model-parallel-size", 1)
    expert_tensor = a.number("expert-tensor-parallel-size", tensor)
    if world % (expert_tensor * expert * pipeline):
        yield "expert-world"
        return
    if expert > 1 and (not a.on("num-experts") or a.number("num-experts") % expert):
        yield "experts"
    if a.on("use-tp-pp-dp-mapping"):
        expert_data = world // (expert_tensor * expert * pipeline)
        if pipeline > 1 and expert_data != data:
            yield "order"
        if a.on("use-megatron-fsdp"):
            yield "order"


def _sequence(a: Arguments, *, tensor: int, context: int) -> Iterator[str]:
    length = a.number("seq-length")
    if context > 1 and length % (2 * context):
        yield "cp"
    if a.on("sequence-parallel") and (tensor == 1 or length // context % tensor):
        yield "sp"
    if a.on("tp-comm-overlap") and not a.on("sequence-parallel"):
        yield "sp"
    if a.number("max-position-embeddings") < length:
        yield "posemb"


def _layers(a: Arguments, pipeline: int) -> Iterator[str]:
    layers = a.number("num-layers")
    ways = [
        name
        for name in (
            "num-layers-per-virtual-pipeline-stage",
            "num-virtual-stages-per-pipeline-rank",
            "pipeline-model-parallel-layout",
        )
        if a.on(name)
    ]
    if len(ways) > 1:
        yield "layers"
    virtual = a.number("num-virtual-stages-per-pipeline-rank", 1)
    if not a.on("pipeline-model-parallel-layout"):
        if layers % (pipeline * virtual):
            yield "layers"
        return
    chunks = parse_layout(a.text("pipeline-model-parallel-layout"))
    whole = "".join(chunks)
    if len(chunks) % pipeline or "" in chunks:
        yield "layers"
    if not re.fullmatch(r"Et*m*L", whole) or whole.count("t") != layers:
        yield "layers"
    predictions = a.number("mtp-num-layers")
    if whole.count("m") != predictions or (predictions and "m" * predictions not in chunks[-1]):
        yield "layers"


def _interleaving(a: Arguments, *, pipeline: int, microbatches: int) -> Iterator[str]:
    virtual = a.number("num-virtual-stages-per-pipeline-rank", 1)
    if a.on("pipeline-model-parallel-layout"):
        virtual = len(parse_layout(a.text("pipeline-model-parallel-layout"))) // pipeline
    if microbatches < 1:
        yield "batch"
    if virtual == 1:
        return
    if pipeline < (3 if a.on("no-overlap-p2p-communication") else 2):
        yield "vpp"
    if microbatches < pipeline or 0 < microbatches % pipeline < pipeline:
        yield "vpp-mb"


def _recompute(a: Arguments) -> Iterator[str]:
    granularity = a.text("recompute-granularity")
    stated = a.on("recompute-method"), a.on("recompute-num-layers")
    if granularity == "full" and stated != (True, True):
        yield "recompute"
    if granularity != "full" and any(stated):
        yield "recompute"
    if granularity == "full" and a.number("recompute-num-layers") < 1:
        yield "recompute"
    modules = a.flags.get("--recompute-modules", [])
    if "moe_act" in modules and not a.on("moe-grouped-gemm"):
        yield "recompute"
    if "mla_up_proj" in modules and not a.on("multi-latent-attention"):
        yield "recompute"
    delayed = a.on("fp8-format") and a.text("fp8-recipe", "delayed") == "delayed"
    if delayed and {"moe_act", "layernorm"} & set(modules):
        yield "recompute"
    if granularity == "full" and a.text("cuda-graph-impl", "none") in (
        "local",
        "transformer_engine",
    ):
        yield "graphs"


def _sharding(a: Arguments) -> Iterator[str]:
    fsdp = a.on("use-megatron-fsdp")
    sharded = a.on("use-distributed-optimizer") or fsdp
    if a.on("overlap-param-gather") and not (sharded and a.on("overlap-grad-reduce")):
        yield "overlap"
    if fsdp and a.text("ckpt-format") != "fsdp_dtensor":
        yield "fsdp"
    if a.on("fp8-param-gather") and not (a.on("use-distributed-optimizer") and a.on("fp8-format")):
        yield "fp8"
    if a.on("fp8-format") and a.on("fp4-format"):
        yield "fp8"
    if a.on("bf16") and a.on("fp16"):
        yield "precision"
    if a.on("accumulate-allreduce-grads-in-fp32") and a.on("grad-reduce-in-bf16"):
        yield "precision"


def _experts(a: Arguments, tensor: int) -> Iterator[str]:
    if not a.on("num-experts"):
        if any(name.startswith(("--moe-", "--expert-")) for name in a.flags):
            yield "experts"
        return
    if tensor > 1 and not a.on("sequence-parallel"):
        yield "sp"
    expert_tensor = a.number("expert-tensor-parallel-size", tensor)
    if not a.on("disable-bias-linear") and expert_tensor > 1:
        yield "expert-bias"
    if a.number("moe-ffn-hidden-size") % expert_tensor:
        yield "ffn"
    if a.number("moe-router-topk", 2) == 1 and not a.on("moe-router-pre-softmax"):
        yield "topk"
    alone = a.number("expert-model-parallel-size", 1) * expert_tensor == 1
    if alone and a.text("moe-token-dispatcher-type") == "flex":
        yield "flex"
    if a.on("multi-latent-attention") and a.on("group-query-attention"):
        yield "kv"


def _environment(a: Arguments, environment: dict[str, str], *, many: bool) -> Iterator[str]:
    connections = environment.get("CUDA_DEVICE_MAX_CONNECTIONS")
    if a.on("use-megatron-fsdp"):
        if connections == "1":
            yield "env"
    elif many and connections != "1":
        yield "env"
