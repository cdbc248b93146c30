"""`planner list` and `planner schema`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome


def test_list_as_json(planner: Callable[..., Outcome]) -> None:
    outcome = planner("list", "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    listed = json.loads(outcome.stdout)
    assert list(listed) == ["clusters", "models", "devices", "libraries", "software", "engines"]
    assert {"name": "dgx-a100-128"} in listed["clusters"]
    assert {"name": "gpt3-175b"} in listed["models"]
    assert {"name": "a100-sxm-80gb"} in listed["devices"]
    assert {"name": "nccl"} in listed["libraries"]
    assert {"name": "megatron-core"} in listed["software"]


def test_list_names_everything_within_80_columns(planner: Callable[..., Outcome]) -> None:
    listed = json.loads(planner("list", "--json").stdout)
    outcome = planner("list")
    assert (outcome.code, outcome.stderr) == (0, "")
    words = {line.split()[0] for line in outcome.stdout.splitlines() if line.strip()}
    names = {entry["name"] for entries in listed.values() for entry in entries}
    assert names <= words
    assert max(map(len, outcome.stdout.splitlines())) <= 80
    assert "Versions: 0.11 to 0.19." in " ".join(outcome.stdout.split())


@pytest.mark.parametrize("width", ["44", "60"])
def test_narrow_lists_lose_columns_and_cut_no_figure(
    planner: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    for kind in ("clusters", "models", "devices"):
        told = planner("list", kind)
        assert (told.code, told.stderr) == (0, "")
        assert "…" not in told.stdout
        assert max(map(len, told.stdout.splitlines())) <= int(width)


def test_one_kind_is_listed_alone(planner: Callable[..., Outcome]) -> None:
    told = planner("list", "cluster")
    assert told.stdout.startswith("Clusters, for --cluster\n")
    assert "gpt3-175b" not in told.stdout
    assert list(json.loads(planner("list", "engines", "--json").stdout)) == ["engines"]
    wrong = planner("list", "moduls")
    assert wrong.code == 2
    assert "did you mean models?" in wrong.stderr


@pytest.mark.parametrize(
    "kind",
    [
        "cluster",
        "model",
        "plan",
        "runs",
        "device",
        "library",
        "software",
        "engine",
        "load",
        "serving-plan",
    ],
)
def test_schemas_are_schemas(planner: Callable[..., Outcome], kind: str) -> None:
    outcome = planner("schema", kind)
    assert (outcome.code, outcome.stderr) == (0, "")
    schema = json.loads(outcome.stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"]
    jsonschema.Draft202012Validator.check_schema(schema)
