"""How many devices a launch uses, from the words of its launchers and the batch system's header."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace

from planner.errors import InputError
from planner.importers.megatron.command import Command, CommandWord, Flag
from planner.importers.megatron.swift import SCRIPT
from planner.importers.shell.state import Value
from planner.importers.shell.text import Origin, is_known, plain

MOST_DEVICES = 1_000_000

_WHOLE = re.compile(r"0*([0-9]{1,18})")
_SBATCH = re.compile(r"^#SBATCH[ \t]+(.*)$", re.MULTILINE)
_PYTHON = re.compile(r"(?:\S*/)?python[0-9.]*")
_DEGREES = (
    "--tensor-model-parallel-size",
    "--pipeline-model-parallel-size",
    "--context-parallel-size",
    "--expert-model-parallel-size",
    "--moe-expert-parallel-size",
)
_NODES = ("--nnodes", "--num-nodes", "--nodes", "-N")
_PER_NODE = ("--nproc-per-node", "--num-gpus", "--ntasks-per-node", "--gpus-per-node")
_TASKS = ("--ntasks", "-n", "-np", "--np")


def devices(command: Command, text: str, variables: Mapping[str, Value]) -> tuple[int | None, str]:
    """Devices and where the number is from: the launcher's own flags, then #SBATCH lines, then a
    variable WORLD_SIZE, then one where no launcher runs the plan of one device. (None, "") when
    nothing says it.

    Raises: InputError, at the command, for more than `MOST_DEVICES`.
    """
    found, where = _stated_devices(command, text, variables)
    if found is not None and found > MOST_DEVICES:
        place = command.origin
        raise InputError(
            f"{found:,} devices from {where}; at most {MOST_DEVICES:,} are planned for",
            path=place.path,
            line=place.line,
            column=place.column,
        )
    return found, where


def _stated_devices(
    command: Command, text: str, variables: Mapping[str, Value]
) -> tuple[int | None, str]:
    if command.script == SCRIPT:
        return _of_swift(command, variables), "NPROC_PER_NODE and NNODES"
    stated: dict[str, int] = {}
    launches = [list(_options(words)) for words in command.launcher]
    launches.append(list(_flag_options(command.flags)))
    for options in launches:
        stated |= {name: value for name, value in options if value is not None}
    header = _header(text)
    if _nodes_unknown(launches, stated):
        found = _product(header | stated) if _has_nodes(header) else None
    else:
        found = _product(stated)
        if found:
            return found, "the launcher's flags"
        found = _product(header | stated)
    if found:
        return found, "the #SBATCH lines"
    size = _set_before(command, "WORLD_SIZE") or _of_variable(variables, "WORLD_SIZE")
    if size:
        return size, "the variable WORLD_SIZE"
    if _runs_alone(command) and not header and "WORLD_SIZE" not in variables:
        return 1, "python, which no launcher runs"
    return None, ""


def devices_of_a_node(command: Command, text: str) -> int | None:
    """Devices of a node as launcher or #SBATCH lines state them, None where they do not."""
    stated = _header(text)
    for words in command.launcher:
        stated |= {name: value for name, value in _options(words) if value is not None}
    return next((stated[name] for name in _PER_NODE if name in stated), None)


def _of_swift(command: Command, variables: Mapping[str, Value]) -> int | None:
    """ms-swift starts torchrun by its environment (`swift/cli/main.py`)."""
    each, nodes = (
        _set_before(command, name) or _of_variable(variables, name)
        for name in ("NPROC_PER_NODE", "NNODES")
    )
    several = "NNODES" in variables or _is_set_before(command, "NNODES")
    if each is None or (nodes is None and several):
        return None
    return each * (nodes or 1)


def _is_set_before(command: Command, name: str) -> bool:
    words = (word.text for outer in command.launcher for word in outer)
    return any(word.startswith(f"{name}=") for word in words)


def _of_variable(variables: Mapping[str, Value], name: str) -> int | None:
    value = variables.get(name)
    return _whole(plain(value)) if isinstance(value, tuple) and is_known(value) else None


def _set_before(command: Command, name: str) -> int | None:
    """The number in a variable that is set in front of the command: `NAME=4 program`."""
    found = None
    for words in command.launcher:
        for word in words:
            before, equals, value = word.text.partition("=")
            if before == name and equals and not word.problem:
                found = _whole(value)
    return found


def _runs_alone(command: Command) -> bool:
    """Whether `python` runs the training script by itself, and the plan is of one device: Megatron-
    LM takes a world of 1 where its environment names none (`arguments.py`)."""
    words = [word for outer in command.launcher for word in outer if "=" not in word.text]
    if not command.script or not words or not _PYTHON.fullmatch(words[0].text):
        return False
    if any(word.text in ("-m", "--module") for word in words):
        return False
    degrees = (flag for flag in command.flags if flag.name in _DEGREES)
    return all([value.text for value in flag.values] == ["1"] for flag in degrees)


def slurm_variables(text: str) -> dict[str, str]:
    """Variables that Slurm sets from the #SBATCH lines of a script (sbatch(1), "OUTPUT ENVIRONMENT
    VARIABLES")."""
    header = _header(text)
    found: dict[str, int] = {}
    nodes = next((header[name] for name in _NODES if name in header), None)
    tasks = next((header[name] for name in _TASKS if name in header), None)
    tasks_per_node = header.get("--ntasks-per-node")
    if nodes is not None:
        found |= {"SLURM_NNODES": nodes, "SLURM_JOB_NUM_NODES": nodes}
    if tasks_per_node is not None:
        found["SLURM_NTASKS_PER_NODE"] = tasks_per_node
        tasks = tasks or (nodes and nodes * tasks_per_node)
    if tasks:
        found |= {"SLURM_NTASKS": tasks, "SLURM_NPROCS": tasks}
    if "--gpus-per-node" in header:
        devices = header["--gpus-per-node"]
        found |= {"SLURM_GPUS_PER_NODE": devices, "SLURM_GPUS_ON_NODE": devices}
    return {name: str(value) for name, value in found.items()}


def _header(text: str) -> dict[str, int]:
    """Options with a number in the #SBATCH lines."""
    nowhere = Origin("", 1, 1)
    words = tuple(CommandWord(part, nowhere) for part in " ".join(_SBATCH.findall(text)).split())
    return {name: value for name, value in _options(words) if value is not None}


def _nodes_unknown(launches: list[list[tuple[str, int | None]]], stated: Mapping[str, int]) -> bool:
    """Whether a launcher gets a number of nodes that this file does not state."""
    names = {name for options in launches for name, _ in options}
    return _has_nodes(names) and not _has_nodes(stated)


def _has_nodes(names: Container[str]) -> bool:
    return any(name in names for name in _NODES)


def _product(stated: Mapping[str, int]) -> int | None:
    nodes = next((stated[name] for name in _NODES if name in stated), None)
    per_node = next((stated[name] for name in _PER_NODE if name in stated), None)
    tasks = next((stated[name] for name in _TASKS if name in stated), None)
    if per_node is not None:
        found = per_node * (nodes or 1) if nodes is not None or tasks is None else None
    else:
        found = tasks if tasks != nodes else None
    return found or None


def _options(words: tuple[CommandWord, ...]) -> Iterator[tuple[str, int | None]]:
    """Options with a number: `--nnodes 4`, `--nnodes=4`, `-N4`; None where it is unknown."""
    for index, word in enumerate(words):
        name, equals, text = word.text.partition("=")
        value = replace(word, text=text)
        short = re.fullmatch(r"(-[Nn])([0-9]+)", word.text)
        if short:
            name, value = short[1], replace(word, text=short[2])
        elif not equals:
            value = words[index + 1] if index + 1 < len(words) else CommandWord("", word.origin)
        yield from _number(name, value)


def _flag_options(flags: tuple[Flag, ...]) -> Iterator[tuple[str, int | None]]:
    for flag in flags:
        if flag.values:
            yield from _number(flag.name, flag.values[0])


def _number(name: str, value: CommandWord) -> Iterator[tuple[str, int | None]]:
    name = name.replace("_", "-") if name.startswith("--") else name
    last = re.split(r"[:-]", value.text)[-1]
    if not name.startswith("-"):
        return
    if value.problem:
        yield name, None
    elif (number := _whole(last)) is not None:
        yield name, number


def _whole(text: str) -> int | None:
    """The number that digits make; for more than 18 digits, a number too large for anything."""
    if not (text.isascii() and text.isdigit()):
        return None
    match = _WHOLE.fullmatch(text)
    return int(match[1]) if match else 10**18
