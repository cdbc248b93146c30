"""Data flows one way: imports go down the floors of CONTRIBUTING.md, and nowhere in a circle."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

Module = tuple[str, ...]


@cache
def floors() -> dict[Module, dict[str, int]]:
    """Of every house in the block of CONTRIBUTING.md: the floor of each room, the ground first."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text.split("```floors\n")[1].split("```")[0]
    houses: dict[Module, dict[str, int]] = {}
    for line in block.splitlines():
        if line.endswith("/"):
            house: dict[str, int] = houses.setdefault(
                tuple(line.strip("/").split("/")), {"__init__": 0}
            )
        elif line.strip():
            number, rooms = line.split(maxsplit=1)
            house.update(dict.fromkeys(rooms.split(), int(number)))
    return houses


@cache
def imports() -> dict[Module, set[Module]]:
    """What every module of the package imports from it, type-only and late imports too."""
    modules = {
        path.relative_to(ROOT).with_suffix("").parts: path
        for path in sorted((ROOT / "planner").rglob("*.py"))
    }
    found: dict[Module, set[Module]] = {}
    for module, path in modules.items():
        found[module] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [(*node.module.split("."), alias.name) for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [tuple(alias.name.split(".")) for alias in node.names]
            else:
                continue
            for name in names:
                if name[0] == "planner":
                    candidates = (name, (*name, "__init__"), name[:-1], (*name[:-1], "__init__"))
                    found[module].add(next(one for one in candidates if one in modules))
    return found


def crossings(house: Module) -> dict[str, dict[str, tuple[Module, Module]]]:
    """Which rooms of a folder import which, each with one example."""
    depth = len(house)
    found: dict[str, dict[str, tuple[Module, Module]]] = defaultdict(dict)
    for module, imported in imports().items():
        if module[:depth] != house:
            continue
        for other in sorted(imported):
            if other[:depth] == house and other[depth] != module[depth]:
                found[module[depth]].setdefault(other[depth], (module, other))
    return found


def houses() -> list[Module]:
    return sorted({module[:at] for module in imports() for at in range(1, len(module))})


@pytest.mark.parametrize("house", houses(), ids="/".join)
def test_rooms_of_a_folder_import_each_other_in_no_circle(house: Module) -> None:
    graph = {room: set(others) for room, others in crossings(house).items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"{'/'.join(house)}: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(
    "house",
    [
        ("planner",),
        ("planner", "serving"),
        ("planner", "training"),
        ("planner", "training", "search"),
    ],
    ids="/".join,
)
def test_imports_go_down_the_floors(house: Module) -> None:
    floor = floors()[house]
    wrong = [
        f"{'.'.join(module)} (floor {floor[room]}) imports {'.'.join(other)} (floor {floor[below]})"
        for room, others in crossings(house).items()
        for below, (module, other) in others.items()
        if floor[below] >= floor[room]
    ]
    assert not wrong


def test_every_room_has_a_floor() -> None:
    for house, floor in floors().items():
        rooms = {module[len(house)] for module in imports() if module[: len(house)] == house}
        assert set(floor) == rooms


def test_only_the_solver_and_writers_of_programs_import_pulp() -> None:
    writers = {"solver", "placement"}
    for path in (ROOT / "planner").rglob("*.py"):
        if "import pulp" in (text := path.read_text(encoding="utf-8")) or "from pulp" in text:
            assert path.relative_to(ROOT / "planner").parts[0] in writers, path


def test_only_commands_and_reports_print() -> None:
    for path in (ROOT / "planner").rglob("*.py"):
        calls = [
            node
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ]
        assert not calls or path.relative_to(ROOT / "planner").parts[0] in {"cli", "reports"}, path
