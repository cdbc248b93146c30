"""What a configuration of torchtitan switches in its software profile, and its number format."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.importers.values import Values
    from planner.specs.software import SoftwareProfile

SECTIONS = ("parallelism", "experimental", "training")
"""Where degrees are, or were."""
_TYPES = {"bfloat16": "bf16", "float32": "fp32"}


def precision_of(read: Values) -> str:
    """8 bits where a converter makes layers so, else the type that layers run in."""
    converters = read.at("model", "converters") or ()
    named = " ".join(map(str, converters if isinstance(converters, tuple) else (converters,)))
    old = read.flag("float8", "enable_float8_linear") or read.flag("float8", "enable_fp8_linear")
    if "mx" in named:
        return "mxfp8"
    if "float8" in named or old:
        return "fp8"
    return read.word(_TYPES, "training", "mixed_precision_param") or "bf16"


def switched(read: Values, profile: SoftwareProfile) -> SoftwareProfile:
    """The compiler, tensor communication beside products, and gathers in 8 bits."""
    components = read.at("compile", "components")
    whole = components is None or "model" in components
    compiled = bool(read.flag("training", "compile")) or (
        bool(read.flag("compile", "enable")) and whole
    )
    beside = any(read.flag(section, "enable_async_tensor_parallel") for section in SECTIONS[:2])
    overlap = [one for one in profile.overlap if one != "tensor"]
    gathers = any(
        read.flag(*at, "enable_fsdp_float8_all_gather")
        for at in (("float8",), ("quantize", "linear", "float8"))
    )
    return profile.model_copy(
        update={
            "compile": compiled,
            "overlap": (*(["tensor"] if beside and compiled else []), *overlap),
            "fp8": profile.fp8.model_copy(update={"parameter_gather": gathers}),
        }
    )
