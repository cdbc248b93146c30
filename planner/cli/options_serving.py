"""Options of commands that read serving plans, or search for them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from planner.cli.options import option

Engine = Annotated[
    str | None,
    option(
        "NAME|FILE",
        "Engine: vllm, sglang, trtllm or atom. [default: vllm]",
        names="engine",
    ),
]
_RANKS = "Ranks with requests of their own that share the experts."
_WEIGHTS = "Format of the weights: bf16, fp8, fp8-block, int8, mxfp4, nvfp4, int4. [default: bf16]"
_KV_FORMAT = "Format of the KV cache: bf16, fp8. [default: the engine's]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOptions:
    """A serving replica in place of a training plan."""

    TITLE: ClassVar[str] = "Serving"

    serving: Annotated[
        str | None, option("LOAD.yaml", "Requests to serve, in place of a training job.")
    ] = None
    engine: Engine = None
    attention_data: Annotated[str | None, option("N", _RANKS)] = None
    weights: Annotated[str | None, option("FORMAT", _WEIGHTS)] = None
    kv_format: Annotated[str | None, option("FORMAT", _KV_FORMAT)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSearchOptions(ServingOptions):
    """The same for a search, which takes several values, and what narrows it besides."""

    attention_data: Annotated[str | None, option("N,...", _RANKS)] = None
    weights: Annotated[str | None, option("FORMAT,...", _WEIGHTS)] = None
    kv_format: Annotated[str | None, option("FORMAT,...", _KV_FORMAT)] = None
    objective: Annotated[
        str | None,
        option(
            "NAME",
            "throughput, cost, devices or energy. [default: throughput; devices for requests at a "
            "rate]",
        ),
    ] = None
    max_running: Annotated[
        str | None, option("N,...", "Requests of a rank at a time. [default: the engine's]")
    ] = None
    max_step_tokens: Annotated[
        str | None,
        option("N,...", "Prompt tokens of a step. [default: around the engine's]"),
    ] = None
    confidence: Annotated[
        str | None,
        option(
            "SHARE",
            "Chance with which the limits of the load shall be kept, by how far published runs are "
            "off, such as 90%. [default: the estimate keeps them]",
        ),
    ] = None
    disaggregated: Annotated[
        str | None,
        option("on|off", "Prompts are read in pools of their own. [default: where better]"),
    ] = None
