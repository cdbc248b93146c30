"""What the user restricts the search to, and the option texts that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.plan import DATA_SHARDINGS, DISPATCHERS, GRANULARITIES
from planner.schedule.registry import SCHEDULES, runnable
from planner.specs.files.spelling import did_you_mean
from planner.specs.ranges import not_whole, whole
from planner.specs.ranges import option_name as option_name

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    "dispatch_pieces",
)
"""Axes whose values are whole numbers."""
SWITCH_AXES = (
    "dispatcher",
    "expert_overlap",
    "schedule",
    "recompute",
    "sequence_parallel",
    "data_sharding",
    "shard_over",
    "optimizer_offload",
    "weight_offload",
    "activation_offload",
)
"""Axes whose values are words, shares, or on and off."""
SHARE_AXES = ("optimizer_offload", "activation_offload")
"""Axes that are shares."""
ON_OFF_AXES = ("sequence_parallel", "expert_overlap", "weight_offload")
"""Axes that are on or off."""
GROUPS = ("all", "node")
"""Sharding groups that are no numbers."""
WORDS = {
    "recompute": GRANULARITIES,
    "data_sharding": DATA_SHARDINGS,
    "dispatcher": DISPATCHERS,
}
"""The words that an axis allows, where they do not depend on the framework."""
LARGEST = 1_000_000
"""Largest number that an option accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restrictions:
    """The values each axis may take; None leaves the axis to the search."""

    tensor: tuple[int, ...] | None = None
    pipeline: tuple[int, ...] | None = None
    data: tuple[int, ...] | None = None
    context: tuple[int, ...] | None = None
    expert: tuple[int, ...] | None = None
    expert_tensor: tuple[int, ...] | None = None
    dispatcher: tuple[str, ...] | None = None
    expert_overlap: tuple[bool, ...] | None = None
    dispatch_pieces: tuple[int, ...] | None = None
    micro_batch_size: tuple[int, ...] | None = None
    virtual_stages: tuple[int, ...] | None = None
    schedule: tuple[str, ...] | None = None
    recompute: tuple[str, ...] | None = None
    sequence_parallel: tuple[bool, ...] | None = None
    data_sharding: tuple[str, ...] | None = None
    shard_over: tuple[int | str, ...] | None = None
    optimizer_offload: tuple[float, ...] | None = None
    weight_offload: tuple[bool, ...] | None = None
    activation_offload: tuple[float, ...] | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))


def parse_restrictions(flags: Mapping[str, str | None]) -> Restrictions:
    """Restrictions from the text of options, keyed by axis; None means not given.

    Raises: InputError that names the option and what it may hold.
    """
    return _restrictions(
        {axis: _parsed(axis, text) for axis, text in flags.items() if text is not None}
    )


def restrictions_of(axes: Mapping[str, object]) -> Restrictions:
    """Restrictions from one or several values of each axis; None leaves the axis to the search.

    Raises: InputError that names the axis as its option does, and what it may hold.
    """
    return _restrictions(
        {axis: _listed(axis, given) for axis, given in axes.items() if given is not None}
    )


def _restrictions(axes: Mapping[str, Iterable[object]]) -> Restrictions:
    checked = {axis: _checked(axis, values) for axis, values in axes.items()}
    return Restrictions(**checked)  # type: ignore[arg-type]


def _parsed(axis: str, text: str) -> Sequence[int | float | bool | str]:
    parts = _parts(axis, text)
    if axis in NUMBER_AXES:
        return [_number(axis, part) for part in parts]
    if axis in ON_OFF_AXES:
        return [_known(axis, part, ("on", "off")) == "on" for part in parts]
    if axis in SHARE_AXES:
        return [_share(axis, part) for part in parts]
    if axis == "shard_over":
        return [part if part in GROUPS else _group(axis, part) for part in parts]
    return parts


def _listed(axis: str, given: object) -> Iterable[object]:
    """The values of an axis that is given one value or several."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        return (given,)
    values = tuple(given)
    if not values:
        raise InputError(f"{option_name(axis)}: no value is given", hint="None leaves it open")
    return values


def _checked(axis: str, values: Iterable[object]) -> tuple[object, ...]:
    """Each value once: numbers in ascending order, words in the order given."""
    if axis in NUMBER_AXES:
        name = option_name(axis)
        return tuple(sorted({whole(name, value, most=LARGEST) for value in values}))  # type: ignore[arg-type, type-var]
    if axis in ON_OFF_AXES:
        return tuple(dict.fromkeys(_switch(axis, value) for value in values))
    if axis in SHARE_AXES:
        return tuple(dict.fromkeys(_share(axis, value) for value in values))
    if axis == "shard_over":
        return tuple(dict.fromkeys(_group(axis, value) for value in values))
    return tuple(dict.fromkeys(_known(axis, value, WORDS.get(axis)) for value in values))


def _group(axis: str, value: object) -> int | str:
    """All replicas, those of a node, or a number of them."""
    if value in GROUPS:
        return str(value)
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= LARGEST:
        raise InputError(
            f"{option_name(axis)}: {value!r} is neither all nor node nor a whole number from 1 to "
            f"{LARGEST:,}",
            hint=did_you_mean(str(value), GROUPS),
        )
    return number


def _share(axis: str, value: object) -> float:
    """A share from nothing to all, in thousandths."""
    amount: object = value
    if isinstance(value, str):
        number = value.removesuffix("%").rstrip()
        with suppress(ValueError):
            amount = float(number) / (100 if value.endswith("%") else 1)
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount <= 1:
        raise InputError(
            f"{option_name(axis)}: {value!r} is not a share from 0 to 1",
            hint="write it like 0.5 or 50%",
        )
    return round(float(amount), 3)


def _switch(axis: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{option_name(axis)}: {value!r} is neither True nor False")
    return value


def check_choices(restrictions: Restrictions, software: SoftwareProfile) -> None:
    """Raises InputError when an option names something that the profile's framework cannot run."""
    for axis, message, hint in unoffered(restrictions, software):
        raise InputError(f"{option_name(axis)}: {message}", hint=hint)


def unoffered(
    restrictions: Restrictions, software: SoftwareProfile
) -> Iterator[tuple[str, str, str | None]]:
    """Values that the profile's framework cannot run: axis, message and hint."""
    offered: dict[str, tuple[str, ...]] = {
        "schedule": tuple(
            dict.fromkeys((*software.schedules.choices, *runnable(software.framework)))
        ),
        "recompute": software.recompute.choices,
        "data_sharding": software.data_sharding.choices,
        "sequence_parallel": tuple(_on_off(on) for on in software.sequence_parallel_options),
        "dispatcher": software.expert.dispatcher_options,
        "expert_overlap": tuple(_on_off(on) for on in software.expert_overlap_options),
        "dispatch_pieces": tuple(map(str, software.expert.dispatch_piece_options)),
    }
    for axis, choices in offered.items():
        asked = getattr(restrictions, axis)
        for value in asked or ():
            word = _on_off(value) if isinstance(value, bool) else str(value)
            if word not in choices:
                yield (
                    axis,
                    f"software profile {software.name} has no {word!r}; "
                    f"it has {', '.join(choices)}",
                    _elsewhere(word) if axis == "schedule" else None,
                )


def _elsewhere(schedule: str) -> str | None:
    """Which frameworks run the schedule, or which schedule the name may be a misspelling of."""
    if schedule not in SCHEDULES:
        return did_you_mean(schedule, SCHEDULES)
    found = [f"{one.framework} ({one.provider})" for one in SCHEDULES[schedule].runs_on]
    return f"{schedule} runs on {', '.join(found)}"


def _on_off(on: bool) -> str:
    return "on" if on else "off"


def _number(axis: str, part: str) -> int:
    digits = part.lstrip("0")
    known = part.isascii() and part.isdigit() and len(digits) <= len(str(LARGEST))
    if not known or not 1 <= int(digits or "0") <= LARGEST:
        raise InputError(
            not_whole(option_name(axis), part, LARGEST).message,
            hint=f"write one or several, such as {option_name(axis)} 1,2,4",
        )
    return int(digits)


def _known(axis: str, word: object, allowed: tuple[str, ...] | None) -> str:
    """The word, if it is allowed; for schedules, the software profile decides which are."""
    if not isinstance(word, str) or (allowed is not None and word not in allowed):
        choices = f"; allowed: {', '.join(allowed)}" if allowed is not None else ""
        raise InputError(
            f"{option_name(axis)}: unknown value {word!r}{choices}",
            hint=did_you_mean(str(word), allowed or ()),
        )
    return word


def _parts(axis: str, text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InputError(
            f"{option_name(axis)}: {text!r} is not a comma list", hint="write it like 1,2,4"
        )
    return parts
