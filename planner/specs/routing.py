"""Files of routing counts: how many tokens went to each expert of each layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.specs.files.json_file import parse_json
from planner.specs.files.text_file import decode, read_bytes
from planner.specs.units import describe

if TYPE_CHECKING:
    from planner.specs.files.json_file import JsonFile

COUNTS = "logical_count"
"""The key of the counts, as SGLang names them (sgl-project/sglang, eplb/expert_location.py)."""

_MOST = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingCounts:
    """`layers`: choices of each expert, by layer; every layer has as many experts."""

    path: str
    layers: tuple[tuple[float, ...], ...]


def read_routing(path: str | Path) -> RoutingCounts:
    """The counts of a JSON file `{"logical_count": [[…], …]}`: one list for each layer, one number
    for each expert.

    Raises: InputError, with the place of what is wrong.
    """
    path = Path(path)
    file = parse_json(decode(read_bytes(path), path), str(path))
    root = file.mapping(file.tree)
    for key in root:
        if key != COUNTS:
            raise file.error(f"{key!r} is not known here", (key,), hint=f"allowed is {COUNTS}")
    if COUNTS not in root:
        raise InputError(f"{COUNTS} is missing: a list of counts for each layer", path=path)
    rows = file.sequence(root[COUNTS], (COUNTS,))
    if not rows:
        raise file.error("a list for each layer is needed, found none", (COUNTS,))
    layers = tuple(_layer(file, row, at) for at, row in enumerate(rows))
    for at, layer in enumerate(layers):
        if len(layer) != len(layers[0]):
            raise file.error(
                f"{len(layer):,} experts, where the first layer has {len(layers[0]):,}",
                (COUNTS, at),
            )
    return RoutingCounts(path=str(path), layers=layers)


def _layer(file: JsonFile, row: Any, at: int) -> tuple[float, ...]:
    for expert, count in enumerate(file.sequence(row, (COUNTS, at))):
        number = isinstance(count, int | float) and not isinstance(count, bool)
        if not number or not 0 <= count <= _MOST:
            raise file.error(
                f"a count from 0 to {_MOST:.0e} is needed, found {describe(count)}",
                (COUNTS, at, expert),
            )
    return tuple(map(float, row))
