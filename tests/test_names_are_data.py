"""No formula, rule or validation asks for the name of a framework, a schedule or a device: what
they do is a switch of a software profile, a field of a schedule kind, or stated in the device
file."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner.schedule.registry import SCHEDULES
from planner.specs.files.catalog import list_shipped
from planner.specs.load import load_software

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[1] / "planner"
ROOMS = (
    "hardware",
    "workload",
    "serving",
    "training",
    "schedule",
    "stage_layout",
    "placement",
    "validation",
    "specs",
)
PROFILES = list_shipped("software")
DEVICES = list_shipped("device")
ENGINES = list_shipped("engine")
NAMES = frozenset(
    {*SCHEDULES, *PROFILES, *ENGINES, *(load_software(name).framework for name in PROFILES)}
)
BY_PREFIX = ("startswith", "endswith")


def texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def names_compared(source: str) -> Iterator[tuple[int, str]]:
    """Lines on which a value is compared with such a name: by an operator, a pattern, the start of
    a text, or the place of the name in a list."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            found = [text for side in (node.left, *node.comparators) for text in texts(side)]
            yield from ((node.lineno, text) for text in found if text in NAMES)
        elif isinstance(node, ast.MatchValue):
            yield from ((node.lineno, text) for text in texts(node) if text in NAMES)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            given = [text for argument in node.args for text in texts(argument)]
            if node.func.attr in BY_PREFIX:
                whole = [text for text in given if any(name.startswith(text) for name in NAMES)]
                yield from ((node.lineno, text) for text in whole if text)
            elif node.func.attr == "index":
                yield from ((node.lineno, text) for text in given if text in NAMES)


@pytest.mark.parametrize("room", ROOMS)
def test_no_name_is_asked_for(room: str) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name!r}"
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for line, name in names_compared(path.read_text(encoding="utf-8"))
    ]
    assert not found


def devices_named(source: str) -> Iterator[tuple[int, str]]:
    """Lines with the name of a shipped device, or the start of one up to a figure of it, such as
    "h100" or "mi3"."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.lower()
            if any(digit in text for digit in "0123456789") and any(
                name.startswith(text) for name in DEVICES
            ):
                yield node.lineno, node.value


@pytest.mark.parametrize("room", ROOMS)
def test_no_device_is_named(room: str) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name!r}"
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for line, name in devices_named(path.read_text(encoding="utf-8"))
    ]
    assert not found


@pytest.mark.parametrize("source", ['("v100", "t4")', 'name.startswith("MI3")', '{"t4": 1}'])
def test_a_named_device_is_seen(source: str) -> None:
    assert list(devices_named(source))


@pytest.mark.parametrize(
    "source",
    [
        'software.framework == "torchtitan"',
        'plan.schedule != "1f1b"',
        'schedule in ("zb-h1", "zb-v")',
        'schedule.startswith("dualpipe")',
        'NAMES.index("interleaved")',
        'match schedule:\n    case "gpipe":\n        pass',
    ],
)
def test_each_way_of_asking_is_seen(source: str) -> None:
    assert list(names_compared(source))


def test_a_name_that_is_stored_is_not_asked_for() -> None:
    assert not list(names_compared('kind = build("1f1b")\nname = f"zb-h{depth}"'))
