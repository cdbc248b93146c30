"""One word, one thing: the glossary has every word that users meet, and no word that is gone."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner.cli.commands import COMMANDS, Program
from planner.plan_document import plan_schema
from planner.schedule.registry import SCHEDULES
from planner.specs.device import DeviceSpec
from planner.specs.model.architecture import ARCHITECTURES
from planner.specs.schema import SchemaKind, json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")

NOT_IN_THE_GLOSSARY = {
    "planner/plans/1": "the name of the format, which `planner schema plan` prints",
    "help": "every program's",
}
"""Words that users meet and the glossary leaves out, with the reason."""

NOT_IN_THE_GLOSSARY |= dict.fromkeys(
    ARCHITECTURES, "a family of models, which the model schema lists"
)

SAME_NAME: dict[str, str] = {}
"""Public classes that share a name with another, with the reason."""


def words() -> set[str]:
    """The code words in the first two columns of the glossary's tables, `--seq-length` as
    `seq_length`; the third has what others call them."""
    rows = [line.split(" | ") for line in GLOSSARY.splitlines() if line.startswith("| ")]
    cells = [cell for row in rows for cell in row[:2]]
    found = (word for cell in cells for word in re.findall(r"`([^`/]+)`", cell))
    return {plain(word) for word in found if not word.startswith("planner ")}


def plain(word: str) -> str:
    return word.removeprefix("--").replace("-", "_")


def keys_and_values(schema: Any) -> Iterator[str]:
    """Names of properties and values of enumerations, anywhere in a JSON Schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        yield from (value for value in schema.get("enum", ()) if isinstance(value, str))
        if isinstance(schema.get("const"), str):
            yield schema["const"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from keys_and_values(part)


def device_words() -> set[str]:
    """Constants of device files: `planner schema cluster` describes them one by one."""
    return set(keys_and_values(DeviceSpec.model_json_schema()))


def options() -> Iterator[str]:
    """Long names of the options of all commands."""
    waiting: list[Any] = [Program(name="planner").get_command(None, name) for name in COMMANDS]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        for parameter in command.params:
            yield from (name for name in parameter.opts if name.startswith("--"))


def missing(met: set[str]) -> list[str]:
    known = words() | {plain(word) for word in NOT_IN_THE_GLOSSARY}
    return sorted(word for word in met if plain(word) not in known)


def test_every_key_and_value_of_a_plan_file_is_in_the_glossary() -> None:
    assert missing(set(keys_and_values(plan_schema()))) == []


@pytest.mark.parametrize("kind", ["cluster", "model", "runs", "study", "software"])
def test_every_key_and_value_of_other_files_is_in_the_glossary(kind: SchemaKind) -> None:
    met = set(keys_and_values(json_schema(kind)))
    assert missing(met if kind == "software" else met - device_words()) == []


def test_every_option_is_in_the_glossary() -> None:
    found = set(options())
    assert {"--tensor", "--within-of-best", "--nodes-per-site"} <= found
    assert missing(found) == []


def test_every_schedule_and_framework_is_in_the_glossary() -> None:
    assert missing(set(SCHEDULES) | frameworks()) == []


def frameworks() -> set[str]:
    """Those that run some schedule."""
    return {one.framework for kind in SCHEDULES.values() for one in kind.runs_on}


def test_the_glossary_has_no_word_that_is_gone() -> None:
    met = {
        plain(word)
        for word in (*options(), *SCHEDULES, *frameworks(), *keys_and_values(plan_schema()))
    }
    for kind in ("cluster", "model", "runs", "study", "software", "load"):
        met |= {plain(word) for word in keys_and_values(json_schema(kind))}
    assert sorted(words() - met) == []


def test_what_is_left_out_of_the_glossary_is_not_in_it() -> None:
    assert sorted(words() & {plain(word) for word in NOT_IN_THE_GLOSSARY}) == []


def test_no_two_public_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "planner").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    assert len(homes) > 200
    shared = {name: places for name, places in homes.items() if len(places) > 1}
    assert {name: places for name, places in shared.items() if name not in SAME_NAME} == {}
    assert sorted(SAME_NAME) == sorted(shared)
