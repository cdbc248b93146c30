"""The options that commands share, in groups with the title that `--help` gives them. All are text
here: `values` and the package that they are for say what they may hold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from planner.specs.defaults import DEFAULT_HEADROOM, DEFAULT_SOFTWARE

if TYPE_CHECKING:
    from planner.specs.files.catalog import Kind

HEADROOM = f"{DEFAULT_HEADROOM:.0%}"


def option(metavar: str, help_text: str, *, names: "Kind | None" = None) -> Any:
    """`names`: the kind of shipped file whose names a shell completes."""
    complete = None if names is None else completion(names)
    return typer.Option(
        metavar=metavar, help=help_text, show_default=False, autocompletion=complete
    )


def completion(*kinds: "Kind") -> Callable[[str], list[str]]:
    """For a shell: the names of shipped files of these kinds."""

    def complete(incomplete: str) -> list[str]:
        from planner.specs.files.catalog import list_shipped

        names = (name for kind in kinds for name in list_shipped(kind))
        return [name for name in names if name.startswith(incomplete)]

    return complete


Json = Annotated[
    bool, typer.Option("--json", help="Write one JSON document to stdout and no report.")
]
PlanOrScript = Annotated[
    str,
    typer.Argument(
        metavar="FILE[#RANK]",
        help="A plan of a plan file, or a launch script.",
        show_default=False,
    ),
]
Headroom = Annotated[
    str | None, option("SHARE", f"Device memory that must stay free. [default: {HEADROOM}]")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """What is trained where."""

    TITLE: ClassVar[str] = "Model and cluster"

    cluster: Annotated[
        str, option("NAME|FILE", "Cluster: a shipped name or a YAML file.", names="cluster")
    ]
    model: Annotated[
        str, option("NAME|FILE", "Model: a shipped name or a YAML file.", names="model")
    ]
    headroom: Headroom = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedInputs:
    """What a plan is checked against. What is left out is the shipped file it was made for."""

    TITLE: ClassVar[str] = "Model and cluster"

    cluster: Annotated[
        str | None,
        option(
            "NAME|FILE",
            "Cluster: a shipped name or a YAML file. [default: as recorded]",
            names="cluster",
        ),
    ] = None
    model: Annotated[
        str | None,
        option(
            "NAME|FILE",
            "Model: a shipped name or a YAML file. [default: as recorded]",
            names="model",
        ),
    ] = None
    headroom: Annotated[
        str | None,
        option(
            "SHARE", f"Device memory that must stay free. [default: as recorded, or {HEADROOM}]"
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchInputOptions:
    """What is trained where, of a plan that a launch file may describe."""

    TITLE: ClassVar[str] = "Model and cluster"

    cluster: Annotated[
        str, option("NAME|FILE", "Cluster: a shipped name or a YAML file.", names="cluster")
    ]
    model: Annotated[
        str | None,
        option(
            "NAME|FILE",
            "Model: a shipped name or a YAML file; a launch script states its own.",
            names="model",
        ),
    ] = None
    headroom: Headroom = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedInputs:
    """What is trained where, of a plan that flags, a plan file or a launch file describe."""

    TITLE: ClassVar[str] = "Model and cluster"

    cluster: Annotated[
        str | None,
        option(
            "NAME|FILE",
            "Cluster: a shipped name or a YAML file; a plan file records its own.",
            names="cluster",
        ),
    ] = None
    model: Annotated[
        str | None,
        option(
            "NAME|FILE",
            "Model: a shipped name or a YAML file; a plan file or launch script states its own.",
            names="model",
        ),
    ] = None
    headroom: Headroom = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptOptions:
    """How a launch script is read."""

    TITLE: ClassVar[str] = "Reading a launch script"

    set: Annotated[
        str | None,
        option("NAME=VALUE,...", "Variables that a launch script leaves to its environment."),
    ] = None
    args: Annotated[
        str | None, option("TEXT", "Arguments a launch script is started with: 'bf16 2'.")
    ] = None
    command: Annotated[
        str | None, option("N", "The training command of a script that has several.")
    ] = None
    vocab_size: Annotated[
        str | None, option("N", "Size of the vocabulary, where only the tokenizer knows it.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadOptions:
    """How it is trained. What is left out comes from the model's `training:` block."""

    TITLE: ClassVar[str] = "Job"

    global_batch_size: Annotated[str | None, option("N", "Sequences per step.")] = None
    seq_length: Annotated[str | None, option("S", "Tokens per sequence.")] = None
    precision: Annotated[
        str | None, option("FORMAT", "Number format: fp32, tf32, fp16, bf16, fp8, mxfp8, nvfp4.")
    ] = None
    software: Annotated[
        str | None,
        option(
            "NAME|FILE",
            f"Software profile; a search compares several: A,B. [default: {DEFAULT_SOFTWARE}]",
            names="software",
        ),
    ] = None
    optimizer: Annotated[
        str | None,
        option("NAME", "Optimizer: adam, sgd, lion, muon, adafactor. [default: the model's, adam]"),
    ] = None
    master_weights: Annotated[
        str | None,
        option("TYPE", "Master weights: fp32, fp16, remainders (of bf16 weights) or none."),
    ] = None
    moments: Annotated[
        str | None,
        option("TYPE[,TYPE]", "Moments of the optimizer: fp32, bf16, fp16, fp8, int8."),
    ] = None
    gradients: Annotated[
        str | None, option("TYPE", "Gradients as they are kept over a step: fp32, bf16, fp16.")
    ] = None
    packed_lengths: Annotated[
        str | None,
        option("FILE|N,...", "Lengths of sequences that are packed into one of --seq-length."),
    ] = None
    offload_to: Annotated[
        str | None, option("PLACE", "Where an offloaded optimizer is: host or nvme.")
    ] = None
    update_stride: Annotated[
        str | None,
        option("N", "The device updates one of N sub-groups of an offloaded optimizer."),
    ] = None
    offload_modules: Annotated[
        str | None,
        option("NAME,...", "Modules whose activations may leave the device, such as core_attn."),
    ] = None
    recompute_modules: Annotated[
        str | None,
        option("NAME,...", "Modules that --recompute selective repeats, such as mlp."),
    ] = None
    resumes: Annotated[
        str | None,
        option("on|off", "The job must fit when it is resumed from a checkpoint. [default: on]"),
    ] = None
    fp8_param_gather: Annotated[
        str | None, option("on|off", "Weights are gathered, and kept between steps, in 8 bits.")
    ] = None
    start_whole: Annotated[
        str | None, option("on|off", "Devices make the whole model before full sharding.")
    ] = None
    context_heads: Annotated[
        str | None,
        option("N|all", "Context ranks that exchange heads (Ulysses); a ring is over the others."),
    ] = None
    loss_chunks: Annotated[
        str | None, option("N", "Chunks of the tokens in output layer and loss. [default: 1]")
    ] = None
    allocator: Annotated[
        str | None, option("NAME", "Segments of memory: caching, or expandable (they grow).")
    ] = None
    uneven_replicas: Annotated[
        str | None,
        option("on|off", "Some replicas run one microbatch more, if your framework can."),
    ] = None
    expert_capacity: Annotated[
        str | None,
        option("X", "Most tokens of an expert over the mean; more are dropped. [default: none]"),
    ] = None
    pad_experts: Annotated[
        str | None, option("on|off", "Experts always get as many tokens as their capacity.")
    ] = None
    expert_imbalance: Annotated[
        str | None, option("X", "Tokens of the busiest expert over the mean. [default: 1]")
    ] = None
    tokens: Annotated[
        str | None,
        option("N", "Tokens of the whole job, such as 15T: says how long it takes."),
    ] = None
    nodes: Annotated[
        str | None,
        option(
            "N",
            "Use N nodes: a search takes the best N, a plan the first N; a search on 96..128 adds "
            "the best plan on each number. [default: all]",
        ),
    ] = None
    devices: Annotated[str | None, option("N", "The same in devices, instead of --nodes.")] = None
