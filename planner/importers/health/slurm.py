"""States of nodes as Slurm prints them: `scontrol show node`, `sinfo`, `sinfo -N`, `sinfo -R`."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.cluster.hostlist import expand_hosts
from planner.wording.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

GONE = ("down", "drain", "fail", "error", "inval", "unk", "maint", "future", "power", "perfctrs")
"""What states of nodes that no job gets begin with (Slurm man page sinfo, NODE STATE CODES)."""
NOT_RESPONDING = "*"
_NODE = re.compile(r"^NodeName=(\S+)", re.MULTILINE)
_STATE = re.compile(r"^\s*State=(\S+)", re.MULTILINE)
_HEADERS = ("NODELIST", "HOSTNAMES")


def is_slurm(text: str) -> bool:
    return _NODE.search(text) is not None or _header(text.splitlines()) is not None


def lost_hosts(text: str, path: Path) -> dict[str, str]:
    """Hosts that no job gets, each with its state or the reason given. Raises: InputError."""
    return dict(_of_scontrol(text) if _NODE.search(text) else _of_sinfo(text.splitlines(), path))


def is_gone(state: str) -> bool:
    """Whether a state such as `IDLE+DRAIN` or `mixed*` keeps jobs away."""
    lowered = state.lower()
    return NOT_RESPONDING in lowered or any(
        part.startswith(GONE) for part in re.split(r"[+ ]", lowered)
    )


def _of_scontrol(text: str) -> Iterator[tuple[str, str]]:
    starts = [*(match.start() for match in _NODE.finditer(text)), len(text)]
    for start, end in pairwise(starts):
        block = text[start:end]
        state = _STATE.search(block)
        if state is not None and is_gone(state[1]):
            yield _NODE.findall(block)[0], state[1].lower()


def _header(lines: Sequence[str]) -> tuple[int, list[str]] | None:
    for number, line in enumerate(lines):
        words = line.split()
        if any(word in _HEADERS for word in words):
            return number, words
    return None


def _of_sinfo(lines: Sequence[str], path: Path) -> Iterator[tuple[str, str]]:
    found = _header(lines)
    assert found is not None
    start, words = found
    reasons = "REASON" in words
    if not reasons and "STATE" not in words:
        raise InputError("sinfo lists no states", path=path, line=start + 1, hint="add %T")
    hosts_at = next(at for at, word in enumerate(words) if word in _HEADERS)
    for number, line in enumerate(lines[start + 1 :], start=start + 2):
        cells = line.split()
        if not cells:
            continue
        if len(cells) < len(words):
            problem = f"{plural(len(cells), 'column')}; the header has {len(words)}"
            raise InputError(problem, path=path, line=number)
        if reasons:  # the reason comes first and may hold blanks
            cells = [" ".join(cells[: len(cells) - len(words) + 1]), *cells[-len(words) + 1 :]]
        state = cells[words.index("REASON" if reasons else "STATE")]
        if reasons or is_gone(state):
            try:
                hosts = expand_hosts(cells[hosts_at])
            except ValueError as error:
                raise InputError(str(error), path=path, line=number) from error
            yield from ((host, state) for host in hosts)
