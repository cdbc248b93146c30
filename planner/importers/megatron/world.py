"""How many devices a launch uses, by the words of its launchers and the batch system's header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from planner.importers.megatron.command import Command, Flag, Word
from planner.importers.shell.state import Value
from planner.importers.shell.text import is_known, plain

MOST_DEVICES = 1_000_000

_WHOLE = re.compile(r"[0-9]{1,9}")
_SBATCH = re.compile(r"^#SBATCH[ \t]+(.*)$", re.MULTILINE)
_NODES = ("--nnodes", "--num-nodes", "--nodes", "-N")
_PER_NODE = ("--nproc-per-node", "--num-gpus", "--ntasks-per-node", "--gpus-per-node")
_TASKS = ("--ntasks", "-n", "-np", "--np")


def devices(command: Command, text: str, variables: Mapping[str, Value]) -> tuple[int | None, str]:
    """Devices and where the number is from: the launcher's own flags, then #SBATCH lines, then a
    variable WORLD_SIZE. (None, "") when nothing says it."""
    stated: dict[str, int] = {}
    launches = [_options(words) for words in command.launcher]
    launches.append(_flag_options(command.flags))
    for options in launches:
        stated |= dict(options)
    found = _product(stated)
    if found:
        return found, "the launcher's flags"
    header = " ".join(_SBATCH.findall(text))
    words = [Word(part, command.origin) for part in header.split()]
    found = _product(dict(_options(tuple(words))) | stated)
    if found:
        return found, "the #SBATCH lines"
    world = variables.get("WORLD_SIZE")
    if isinstance(world, tuple) and is_known(world) and _WHOLE.fullmatch(plain(world)):
        size = int(plain(world))
        return (size, "the variable WORLD_SIZE") if 1 <= size <= MOST_DEVICES else (None, "")
    return None, ""


def _product(stated: Mapping[str, int]) -> int | None:
    nodes = next((stated[name] for name in _NODES if name in stated), None)
    per_node = next((stated[name] for name in _PER_NODE if name in stated), None)
    tasks = next((stated[name] for name in _TASKS if name in stated), None)
    if per_node is not None:
        found = per_node * (nodes or 1) if nodes is not None or tasks is None else None
    else:
        found = tasks if tasks != nodes else None
    return found if found and 1 <= found <= MOST_DEVICES else None


def _options(words: tuple[Word, ...]) -> Iterator[tuple[str, int]]:
    """Options with a number: `--nnodes 4`, `--nnodes=4`, `-N4`."""
    texts = [word.text for word in words]
    for index, text in enumerate(texts):
        name, equals, value = text.partition("=")
        short = re.fullmatch(r"(-[Nn])([0-9]+)", text)
        if short:
            name, value = short[1], short[2]
        elif not equals:
            value = texts[index + 1] if index + 1 < len(texts) else ""
        yield from _number(name, value)


def _flag_options(flags: tuple[Flag, ...]) -> Iterator[tuple[str, int]]:
    for flag in flags:
        if flag.values:
            yield from _number(flag.name, flag.values[0].text)


def _number(name: str, value: str) -> Iterator[tuple[str, int]]:
    name = name.replace("_", "-") if name.startswith("--") else name
    last = re.split(r"[:-]", value)[-1]
    if name.startswith("-") and _WHOLE.fullmatch(last):
        yield name, int(last)
