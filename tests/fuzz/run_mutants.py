"""The fuzz of parsers: damaged files are taken or refused with a message, in time."""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
import time
import traceback
import warnings
from contextlib import chdir
from dataclasses import fields, is_dataclass
from itertools import product
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from planner.errors import LONGEST_LINE, PlannerError
from tests.fuzz.contracts import broken_contracts
from tests.fuzz.families import FAMILIES, Family
from tests.fuzz.mutate import damaged, damaged_tree
from tests.fuzz.program import (
    OutOfTime,
    call,
    last_place,
    memory_limit,
    more_memory,
    time_limit,
)
from tests.fuzz.samples import Sample, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fuzz.report import Report

MORE_BYTES = 2**30
"""Address space that a parser may take beside what the program has."""
COMMAND_CPU_S = 20.0
MOST_LINES = 6
_PLACE = re.compile(r"[^:\n]+:[0-9]+:[0-9]+: ")
"""Of a file that the mutant names, in which something is wrong too."""


def run_mutants(
    report: Report,
    *,
    seed: int,
    count: int,
    families: Sequence[str] | None = None,
    until: float | None = None,
) -> None:
    """`count` mutants of each family, in turns; stops at the monotonic time `until`."""
    chosen = [family for family in FAMILIES if not families or family.name in families]
    with TemporaryDirectory() as folder, chdir(folder), memory_limit():
        for name, text in surroundings().items():
            Path(name).write_text(text)
        for index, family in product(range(seed, seed + count), chosen):
            if until is not None and time.monotonic() > until:
                return
            if index % family.every == 0:
                _run(report, family, index)


def mutant(family: Family, index: int) -> tuple[Sample, bytes]:
    """The mutant of a number: the same one always."""
    rng = Random(f"{family.name} {index}")
    sample = rng.choice(family.samples())
    if sample.tree is not None and rng.random() < 0.6:
        try:
            return sample, damaged_tree(rng, sample.tree, as_json=sample.name.endswith("json"))
        except RecursionError:
            pass  # Deeper than can be written; the text is damaged instead.
    return sample, damaged(rng, sample.text)


def _run(report: Report, family: Family, index: int) -> None:
    sample, data = mutant(family, index)
    path = sample.name
    Path(path).write_bytes(data)
    report.ran[f"mutants: {family.name}"] += 1
    problems = list(_read(report, family, path))
    taken = problems == ["taken"]
    commands = []
    if taken:
        problems = []
        follow = Random(index).random() < family.followed
        if family.command is not None and follow:
            commands = [family.command(path)]
            problems = list(_command(report, family, commands[0]))
    for problem in problems:
        what, _, detail = problem.partition("|")
        _keep(report, f"{family.name}-{index}", f"{family.name}: {what}", detail, path, commands)
        print(f"{family.name} {index}: {what}: {detail[:200]}", file=sys.stderr)


def _keep(report: Report, name: str, what: str, detail: str, path: str, commands: Any) -> None:
    with TemporaryDirectory() as folder:
        for one in (path, *surroundings(), "device-cluster.yaml"):
            if Path(one).exists():
                shutil.copy(one, folder)
        report.failed(name, what, detail, files=Path(folder), commands=commands)


def _read(report: Report, family: Family, path: str) -> Iterator[str]:
    """What is wrong with how the parser took a file, or "taken"."""
    try:
        with warnings.catch_warnings(), time_limit(family.cpu_s), more_memory(MORE_BYTES):
            warnings.simplefilter("error")
            found = family.read(path)
    except OutOfTime:
        yield f"hang|{last_place()}"
    except PlannerError as error:
        report.codes[f"{family.name}: refused"] += 1
        message = str(error)
        if not 0 < len(message) <= MOST_LINES * (LONGEST_LINE + 1):
            yield f"message|{len(message)} characters"
        elif family.placed and not (message.startswith(path) or _PLACE.match(message)):
            yield f"no place|{message[:300]}"
    except Exception as error:
        yield f"{type(error).__name__}|{error} in {last_place()}\n{traceback.format_exc()}"
    else:
        report.codes[f"{family.name}: taken"] += 1
        wrong = next(strange_numbers(found), None)
        yield f"number|{wrong}" if wrong else "taken"


def _command(report: Report, family: Family, arguments: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with the command that goes on with a file."""
    ran = call(arguments, cpu_s=COMMAND_CPU_S)
    report.codes[f"{family.name}: {arguments[0]} ended with {ran.code}"] += 1
    if ran.raised:
        yield f"{arguments[0]} raised|{ran.raised}\n{ran.trace}"
    elif (ran.code == 2 or ran.stderr) and not _messages(ran.stderr):
        yield f"{arguments[0]} messages|{ran.stderr[:300]!r}"
    elif ran.code in (0, 1) and arguments[0] == "estimate":
        broken = next(broken_contracts(ran.stdout), None)
        if broken:
            yield f"{arguments[0]} contract|{broken}"
    elif ran.code in (0, 1):
        if arguments[-1] in ("--json", "json"):
            json.loads(ran.stdout)
    elif ran.code != 2:
        yield f"exit code|{ran.code}"


def _messages(stderr: str) -> bool:
    lines = stderr.splitlines()
    return bool(lines) and all(
        line.startswith(("error: ", "note: ")) and line.isprintable() and len(line) <= LONGEST_LINE
        for line in lines
    )


def strange_numbers(value: Any, at: str = "") -> Iterator[str]:
    """Numbers of a value that are not finite or are below 0, with their place."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value) or value < 0:
            yield f"{at} is {value}"
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from strange_numbers(getattr(value, name), f"{at}.{name}")
    elif is_dataclass(value):
        for field in fields(value):
            yield from strange_numbers(getattr(value, field.name), f"{at}.{field.name}")
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from strange_numbers(one, f"{at}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from strange_numbers(one, f"{at}[{index}]")
