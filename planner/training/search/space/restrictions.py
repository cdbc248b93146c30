"""What the user restricts the search to, and the text of the options that say so."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.plan import DATA_SHARDINGS, GRANULARITIES
from planner.schedule.registry import SCHEDULES, runnable
from planner.specs.files.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from planner.specs.software import SoftwareProfile

NUMBER_AXES = (
    "tensor",
    "pipeline",
    "data",
    "context",
    "expert",
    "expert_tensor",
    "micro_batch_size",
    "virtual_stages",
)
SWITCH_AXES = ("schedule", "recompute", "sequence_parallel", "data_sharding")
LARGEST = 1_000_000
"""Largest number that an option takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restrictions:
    """The values each axis may take; None leaves the axis to the search."""

    tensor: tuple[int, ...] | None = None
    pipeline: tuple[int, ...] | None = None
    data: tuple[int, ...] | None = None
    context: tuple[int, ...] | None = None
    expert: tuple[int, ...] | None = None
    expert_tensor: tuple[int, ...] | None = None
    micro_batch_size: tuple[int, ...] | None = None
    virtual_stages: tuple[int, ...] | None = None
    schedule: tuple[str, ...] | None = None
    recompute: tuple[str, ...] | None = None
    sequence_parallel: tuple[bool, ...] | None = None
    data_sharding: tuple[str, ...] | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))


def option_name(axis: str) -> str:
    """The command-line option of an axis."""
    return "--" + axis.replace("_", "-")


def parse_restrictions(flags: Mapping[str, str | None]) -> Restrictions:
    """Restrictions from the text of options, keyed by axis; None means not given.

    Raises: InputError that names the option and what it may hold.
    """
    parsed: dict[str, tuple[int, ...] | tuple[str, ...] | tuple[bool, ...]] = {}
    for axis, text in flags.items():
        if text is None:
            continue
        if axis in NUMBER_AXES:
            parsed[axis] = _numbers(axis, text)
        elif axis == "sequence_parallel":
            parsed[axis] = tuple(word == "on" for word in _words(axis, text, ("on", "off")))
        elif axis == "recompute":
            parsed[axis] = _words(axis, text, GRANULARITIES)
        elif axis == "data_sharding":
            parsed[axis] = _words(axis, text, DATA_SHARDINGS)
        else:
            parsed[axis] = _words(axis, text, None)
    return Restrictions(**parsed)  # type: ignore[arg-type]


def check_choices(restrictions: Restrictions, software: SoftwareProfile) -> None:
    """Raises InputError when an option names what the framework of the profile cannot run."""
    for axis, message, hint in unoffered(restrictions, software):
        raise InputError(f"{option_name(axis)}: {message}", hint=hint)


def unoffered(
    restrictions: Restrictions, software: SoftwareProfile
) -> Iterator[tuple[str, str, str | None]]:
    """Values that the framework of the profile cannot run: axis, message and hint."""
    offered: dict[str, tuple[str, ...]] = {
        "schedule": tuple(
            dict.fromkeys((*software.schedules.choices, *runnable(software.framework)))
        ),
        "recompute": software.recompute.choices,
        "data_sharding": software.data_sharding.choices,
        "sequence_parallel": tuple(_on_off(on) for on in software.sequence_parallel_options),
    }
    for axis, choices in offered.items():
        asked = getattr(restrictions, axis)
        for value in asked or ():
            word = _on_off(value) if isinstance(value, bool) else value
            if word not in choices:
                yield (
                    axis,
                    f"software profile {software.name} has no {word!r}; "
                    f"it has {', '.join(choices)}",
                    _elsewhere(word) if axis == "schedule" else None,
                )


def _elsewhere(schedule: str) -> str | None:
    """Which frameworks run a schedule, or what it may be a misspelling of."""
    if schedule not in SCHEDULES:
        return did_you_mean(schedule, SCHEDULES)
    found = [f"{one.framework} ({one.provider})" for one in SCHEDULES[schedule].runs_on]
    return f"{schedule} runs on {', '.join(found)}"


def _on_off(on: bool) -> str:
    return "on" if on else "off"


def _numbers(axis: str, text: str) -> tuple[int, ...]:
    values = []
    for part in _parts(axis, text):
        if not (part.isascii() and part.isdigit() and 1 <= int(part[:8]) <= LARGEST):
            raise InputError(
                f"{option_name(axis)}: {part!r} is not a whole number from 1 to {LARGEST:,}",
                hint=f"write one or several, such as {option_name(axis)} 1,2,4",
            )
        values.append(int(part))
    return tuple(sorted(set(values)))


def _words(axis: str, text: str, allowed: tuple[str, ...] | None) -> tuple[str, ...]:
    words = _parts(axis, text)
    for word in words:
        if allowed is not None and word not in allowed:
            raise InputError(
                f"{option_name(axis)}: unknown value {word!r}; allowed: {', '.join(allowed)}",
                hint=did_you_mean(word, allowed),
            )
    return tuple(dict.fromkeys(words))


def _parts(axis: str, text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InputError(
            f"{option_name(axis)}: {text!r} is not a comma list", hint="write it like 1,2,4"
        )
    return parts
