"""Field types of the input models: a value as the user writes it, checked, in SI base units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from planner.specs import quantities, unit_text, units
from planner.specs.names import LONGEST_NAME, NAME_PATTERN, NAME_RULE, check_name

T = TypeVar("T")


class Input(BaseModel):
    """Base of everything a user writes: no unknown keys, no silent conversions, no changes."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        defer_build=True,
        allow_inf_nan=False,
    )


def _quantity(
    kind: quantities.Kind, parse: Callable[[object], Any], show: Callable[[Any], str]
) -> Any:
    schema = {
        "type": "string",
        "pattern": kind.pattern,
        "examples": [kind.example],
        "description": f"A {kind.name} with its unit: {quantities.accepted_units(kind)}.",
    }
    return (BeforeValidator(parse), PlainSerializer(show), WithJsonSchema(schema))


_BYTES = _quantity(quantities.BYTES, units.parse_bytes, unit_text.format_bytes)
_BYTES_PER_SECOND = _quantity(
    quantities.BYTES_PER_SECOND, units.parse_bytes_per_second, unit_text.format_bytes_per_second
)
_SECONDS = _quantity(quantities.SECONDS, units.parse_seconds, unit_text.format_seconds)
_DURATION = _quantity(quantities.DURATION, units.parse_duration, unit_text.format_duration)
_FLOP_PER_SECOND = _quantity(
    quantities.FLOP_PER_SECOND, units.parse_flop_per_second, unit_text.format_flop_per_second
)
_WATTS = _quantity(quantities.WATTS, units.parse_watts, unit_text.format_watts)
_GRAMS_PER_KWH = _quantity(
    quantities.GRAMS_PER_KWH, units.parse_grams_per_kwh, unit_text.format_grams_per_kwh
)
_REQUESTS_PER_SECOND = _quantity(
    quantities.REQUESTS_PER_SECOND,
    units.parse_requests_per_second,
    unit_text.format_requests_per_second,
)
_FRACTION_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "string", "pattern": r"^[0-9]*\.?[0-9]+ *%$"},
    ],
    "examples": [0.05, "5%"],
}
_TOKENS_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": r"^[0-9]*\.?[0-9]+([eE][0-9]+)? *[kKMBTP]?$"},
    ],
    "examples": ["15T", 300_000_000_000],
}
_NAME_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_NAME,
    "pattern": f"^{NAME_PATTERN}$",
    "description": f"{NAME_RULE[:1].upper()}{NAME_RULE[1:]}.",
}

Bytes = Annotated[int, *_BYTES]
BytesPerSecond = Annotated[float, *_BYTES_PER_SECOND]
Seconds = Annotated[float, *_SECONDS]
Duration = Annotated[float, *_DURATION]
FlopPerSecond = Annotated[float, *_FLOP_PER_SECOND]
Watts = Annotated[float, *_WATTS]
RequestsPerSecond = Annotated[float, *_REQUESTS_PER_SECOND]
GramsPerKwh = Annotated[float, *_GRAMS_PER_KWH]
Tokens = Annotated[int, BeforeValidator(units.parse_tokens), WithJsonSchema(_TOKENS_SCHEMA)]
Fraction = Annotated[float, BeforeValidator(units.parse_fraction), WithJsonSchema(_FRACTION_SCHEMA)]

Count = Annotated[int, Field(ge=1, le=1_000_000)]
"""How many of something a person could list or build."""
Size = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""A dimension of a model or a batch."""
Number = Annotated[float, Field(ge=0, le=1e12)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Name = Annotated[str, AfterValidator(check_name), WithJsonSchema(_NAME_SCHEMA)]

Basis = Literal["datasheet", "measured", "code", "inferred", "default", "yours"]


class Constant(Input, Generic[T]):
    """A number that can be checked: its value, what kind of number it is, and where it stands. A
    bare value is the user's own."""

    value: T
    """The value, with its unit where it has one."""
    basis: Basis
    """`datasheet`: the vendor states it. `measured`: it was measured, see `source`. `code`: it
    stands in the source of the framework or library. `inferred`: worked out from measurements of
    something else. `default`: nobody did; the planner's general value. `yours`:
    stated without a source."""
    source: Text
    """Where the value was read: a document, a table, a measurement."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, given: object) -> object:
        if isinstance(given, (str, int, float)) and not isinstance(given, bool):
            return {"value": given, "basis": "yours", "source": "stated without a source"}
        return given

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        kinds = {"Bytes": Bytes, "BytesPerSecond": BytesPerSecond, "Seconds": Seconds}
        kinds |= {"Duration": Duration}
        kinds |= {"FlopPerSecond": FlopPerSecond, "Fraction": Fraction, "Count": Count}
        kinds |= {"Watts": Watts}
        names = [name for name, kind in kinds.items() if kind == params[0]]
        return f"Constant{names[0] if names else 'Number'}"


LEAST_EFFICIENCY = 0.001


def _reached(constant: Constant[float]) -> Constant[float]:
    if constant.value < LEAST_EFFICIENCY:
        text = f"an efficiency is at least {LEAST_EFFICIENCY:.1%}, found {constant.value:g}"
        raise PydanticCustomError("rule", "{text}", {"text": text, "at": ("value",)})
    return constant


Efficiency = Annotated[Constant[Fraction], AfterValidator(_reached)]
"""A share of a rate that something reaches, which a time is divided by: never 0."""
