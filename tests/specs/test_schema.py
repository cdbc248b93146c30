from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from planner.specs.files.catalog import list_shipped, resolve
from planner.specs.schema import SCHEMA_KINDS, SchemaKind, json_schema


@cache
def validator(kind: SchemaKind) -> Draft202012Validator:
    return Draft202012Validator(json_schema(kind))


def problems(kind: SchemaKind, content: object) -> list[str]:
    return [error.message for error in validator(kind).iter_errors(content)]


@pytest.mark.parametrize("kind", SCHEMA_KINDS)
def test_schemas_are_valid_and_named(kind: SchemaKind) -> None:
    schema = json_schema(kind)

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:planner:schema:{kind}:1"
    assert schema["title"] == f"planner {kind}"
    assert schema["additionalProperties"] is False
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("kind", SCHEMA_KINDS)
def test_every_object_is_closed_and_every_definition_has_a_plain_name(kind: SchemaKind) -> None:
    schema = json_schema(kind)

    for name, definition in schema["$defs"].items():
        assert re.fullmatch(r"[A-Za-z0-9]+", name)
        mapping = definition.get("anyOf", [definition])[-1]
        assert mapping["additionalProperties"] is False
        assert mapping["description"]


@pytest.mark.parametrize("kind", ["cluster", "model", "device", "software"])
def test_shipped_files_follow_their_schema(kind: Any) -> None:
    for name in list_shipped(kind):
        content = yaml.safe_load(resolve(kind, name).read_text(encoding="utf-8"))
        assert problems(kind, content) == []


def test_descriptions_are_the_docstrings_of_fields() -> None:
    schema = json_schema("model")

    assert schema["properties"]["vocab_size"]["description"] == "Of the tokenizer, without padding."
    network = json_schema("cluster")["$defs"]["NetworkInput"]["properties"]
    assert network["bandwidth"]["description"].startswith("Of one card, one direction. A bandwidth")


GROUP = {
    "device": "a100-sxm-80gb",
    "devices_per_node": 8,
    "intra_node": {"bandwidth": "300 GB/s"},
}


@pytest.mark.parametrize("text", ["300 GB/s", "300GB/s", "200 Gbit/s", "1.5e3 MiB/s", ".5 GB/s"])
def test_units_are_accepted(text: str) -> None:
    group = {**GROUP, "intra_node": {"bandwidth": text}}

    assert problems("cluster", {"node_groups": [group]}) == []


@pytest.mark.parametrize("value", [300, "300", "300 GBps", "300 gb/s", "fast", "300 GB/s x"])
def test_other_units_are_not(value: object) -> None:
    group = {**GROUP, "intra_node": {"bandwidth": value}}

    assert problems("cluster", {"node_groups": [group]})


def test_devices_are_names_or_mappings() -> None:
    assert problems("cluster", {"node_groups": [{**GROUP, "device": {"name": "x"}}]})
    assert problems("cluster", {"node_groups": [{**GROUP, "device": 12}]})
    assert problems("cluster", {"node_groups": [{**GROUP, "hosts": "n[1-2]"}]}) == []
    assert problems("cluster", {"node_groups": [{**GROUP, "hosts": ["a", "b"]}]}) == []


def test_runs_may_give_part_of_a_model() -> None:
    runs = {
        "cluster": {"node_groups": [GROUP]},
        "model": {"architecture": "gpt", "moe": {"num_experts": 4}},
        "runs": [{"id": "a", "devices": 8, "model": {"num_layers": 2}, "measured": {"step_s": 1}}],
    }

    assert problems("runs", runs) == []
    assert problems("runs", {**runs, "model": {"num_layer": 2}})
    assert problems("runs", {**runs, "runs": [{"devices": 8}]}) == ["'id' is a required property"]


def test_the_schema_of_models_knows_every_architecture() -> None:
    example = Path(resolve("model", "gpt-1.7b")).read_text(encoding="utf-8")

    assert problems("model", yaml.safe_load(example)) == []
    assert problems("model", {**yaml.safe_load(example), "architecture": "nothing"})
