"""Host lists as Slurm writes them: `node[001-128,130]` to names and back.

The syntax is that of slurm.conf(5) and `scontrol show hostnames`: names stand between commas;
brackets hold numbers and ranges, whose first number says how many digits each has; of several
brackets the last varies fastest. Beyond Slurm, text may follow the last bracket.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from planner.specs.files.repeated import first_repeated
from planner.specs.names import check_host
from planner.specs.units import describe

MOST_HOSTS = 1_000_000

_PIECE = re.compile(r"\[([^\[\]]*)\]|([^\[\],]+)")
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")
_NUMBER = re.compile(r"([0-9]{1,18})")
_MOST_BRACKETS = 2


def expand_hosts(value: object) -> tuple[str, ...]:
    """Names from a text like `gpu[01-16],login[1,3]` or a list of such texts, in order.

    Raises: ValueError, naming the part that cannot be read, for repeated names, and beyond
    `MOST_HOSTS` names.
    """
    texts = value if isinstance(value, (list, tuple)) else (value,)
    names: list[str] = []
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"expected host names as text, found {_found(text)}")
        for part in _split(text):
            names.extend(_expand_part(part, MOST_HOSTS - len(names)))
    if not names:
        raise ValueError("no host names; write a list or node[001-128]")
    repeated = first_repeated(names)
    if repeated:
        raise ValueError(f"host {repeated} is named twice")
    return tuple(names)


def _found(value: object) -> str:
    """What stands in place of a name, and what to do where quotes would make it one."""
    if isinstance(value, (bool, int, float)):
        return f"{describe(value)}; put it in quotes"
    return describe(value)


def compress_hosts(names: Iterable[str], *, suffixes: bool = True) -> str:
    """The text that `expand_hosts` reads as these host names, in their order.

    With `suffixes`, text may follow a bracket; without, the text is one that Slurm takes, where a
    part with brackets ends in one (slurm.conf(5): "unit[0-31]rack" is invalid).
    """
    parts: list[list[list[str]]] = []
    for name in names:
        parts.append([[token] for token in _NUMBER.split(name)])
        while len(parts) > 1 and _merged(parts[-2], parts[-1], suffixes=suffixes):
            parts.pop()
    return ",".join(_written(part, suffixes=suffixes) for part in parts)


def by_number(name: str) -> tuple[tuple[str, int, int], ...]:
    """Sorts names as people do: n2 before n10."""
    tokens = _NUMBER.split(name)
    numbers = [*tokens[1::2], ""]
    return tuple(
        (text, int(number or 0), len(number))
        for text, number in zip(tokens[::2], numbers, strict=True)
    )


def _split(text: str) -> list[str]:
    """Parts between commas outside brackets."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth not in (0, 1):
            raise ValueError(f"unbalanced brackets in {text[:60]!r}")
        if character == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    if depth:
        raise ValueError(f"unbalanced brackets in {text[:60]!r}")
    return [part.strip(" ") for part in (*parts, text[start:])]


def _expand_part(part: str, room: int) -> list[str]:
    choices: list[list[str]] = []
    total = 1
    for ranges, fixed in _PIECE.findall(part):
        choices.append([fixed] if fixed else _expand_ranges(ranges, part, room))
        total *= len(choices[-1])
        if total > room:
            raise ValueError(f"{part[:60]!r} names more than {MOST_HOSTS} hosts")
    names = ["".join(pieces) for pieces in product(*choices)] if choices else [""]
    for name in (names[0], names[-1]):
        check_host(name)
    return names


def _expand_ranges(ranges: str, part: str, room: int) -> list[str]:
    numbers: list[str] = []
    for piece in ranges.split(","):
        match = _RANGE.fullmatch(piece.strip(" "))
        if match is None:
            raise ValueError(
                f"{piece[:40]!r} in {part[:60]!r} is not a number or a range like 001-128"
            )
        first, last = match[1], match[2] or match[1]
        if int(last) < int(first):
            raise ValueError(f"range {piece} in {part[:60]!r} runs backwards")
        if int(last) - int(first) >= room:
            raise ValueError(f"{part[:60]!r} names more than {MOST_HOSTS} hosts")
        width = len(first)
        numbers.extend(f"{number:0{width}d}" for number in range(int(first), int(last) + 1))
    return numbers


def _merged(part: list[list[str]], after: Sequence[list[str]], *, suffixes: bool) -> bool:
    """Adds to a part the one after it, if their names in order are those of one part with
    brackets: they differ in one number, and no number left of it, which would vary more slowly,
    has several values. Left of other brackets only a number that follows joins, as those of racks
    do: mi250-[0-3],mi300-[0-3] are easier to read apart. Tokens are texts and numbers in turn, each
    with all its values."""
    if len(part) != len(after) or not (suffixes or part[-1] == [""]):
        return False
    differing = [at for at, values in enumerate(part) if values != after[at]]
    if len(differing) != 1 or differing[0] % 2 == 0:
        return False
    at = differing[0]
    if any(len(values) > 1 for values in part[:at]):
        return False
    inside = sum(len(values) > 1 for values in part[at + 1 :])
    if 1 + inside > _MOST_BRACKETS or (inside and int(after[at][0]) != int(part[at][-1]) + 1):
        return False
    part[at].extend(after[at])
    return True


def _written(part: Sequence[list[str]], *, suffixes: bool) -> str:
    several = {at for at, values in enumerate(part) if len(values) > 1}
    if several and not suffixes:
        several.add(len(part) - 2)
    return "".join(
        f"[{','.join(_ranges(values))}]" if at in several else values[0]
        for at, values in enumerate(part)
    )


def _ranges(numbers: Sequence[str]) -> Iterator[str]:
    """Runs of numbers that a range stands for, digits included: 8, 9, 10 and 08, 09, 10."""
    first = last = numbers[0]
    for number in [*numbers[1:], ""]:
        if number == f"{int(last) + 1:0{len(first)}d}":
            last = number
            continue
        yield first if first == last else f"{first}-{last}"
        first = last = number
