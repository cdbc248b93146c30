"""Values of single settings as options and files give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from planner.errors import InputError
from planner.specs import ranges
from planner.specs.optimizers import MasterType, MomentType, StateType
from planner.specs.packed import packed_lengths
from planner.specs.software_offload import offloaded_alone
from planner.specs.software_words import (
    Allocator,
    OffloadModule,
    OffloadPlace,
    RecomputeModule,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from planner.specs.software import SoftwareProfile


MASTERS = get_args(MasterType)
MOMENTS = get_args(MomentType)
STATES = get_args(StateType)
ALL = "all"
PLACES = get_args(OffloadPlace)
ALLOCATORS = get_args(Allocator)
RECOMPUTED = get_args(RecomputeModule)
OFFLOADED = get_args(OffloadModule)


def check_together(named: tuple[str, ...]) -> None:
    """Raises: InputError for an offloaded module without one it needs beside it."""
    lacking = offloaded_alone(named)
    if lacking is not None:
        name, other = lacking
        raise InputError(
            f"--offload-modules: {name} is offloaded only with {other}, which keeps the same "
            "tensor",
            hint=f"give {name},{other}",
        )


def moments_of(given: object) -> tuple[str, ...] | None:
    """One type, or those of the first and the second moment: a text with a comma, or several."""
    if given is None:
        return None
    several: Iterable[Any] = given.split(",") if isinstance(given, str) else given  # type: ignore[assignment]
    found = tuple(str(ranges.word("--moments", str(one).strip(), MOMENTS)) for one in several)
    if not 1 <= len(found) <= 2:
        raise InputError(
            f"--moments: {len(found)} types; one is for both moments, two are for each by itself"
        )
    return found


def modules_of(option: str, given: object, allowed: tuple[str, ...]) -> tuple[str, ...] | None:
    """Each module once, in the order given: a text with commas, or several."""
    if given is None:
        return None
    several: Iterable[Any] = given.split(",") if isinstance(given, str) else given  # type: ignore[assignment]
    words = (ranges.word(option, str(one).strip(), allowed) for one in several)
    return tuple(dict.fromkeys(str(word) for word in words))


def packed_of(options: Mapping[str, Any]) -> dict[str, int | None]:
    """Of lengths that are given, or of a document."""
    given = options.get("packed_lengths")
    if given is not None:
        found = packed_lengths(given)
        return {"packed_length": found.each, "longest_packed": found.longest}
    most = ranges.LONGEST_SEQUENCE
    each = ranges.whole("packed_length", options.get("packed_length"), most=most)
    return {"packed_length": each}


def ranks_of(given: object) -> int | str | None:
    """All ranks of a group, or so many."""
    if given is None or given == ALL:
        return None if given is None else ALL
    return ranges.whole("--context-heads", given, most=ranges.MOST_DEVICES)  # type: ignore[arg-type]


def check_choices(
    option: str,
    does: str,
    wanted: Iterable[str],
    choices: Iterable[str | None],
    software: SoftwareProfile,
) -> None:
    """Raises: InputError for a value that is not among the choices of a profile."""
    listed = tuple(dict.fromkeys(str(one) for one in choices))
    for one in wanted:
        if one not in listed:
            raise InputError(
                f"{option}: software profile {software.name} {does} {', '.join(listed)}, not {one}"
            )
