"""Whatever a file holds, loading it gives a value or an InputError."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from planner.errors import InputError
from planner.specs.cluster.spec import ClusterSpec
from planner.specs.files.catalog import resolve
from planner.specs.files.document import Document
from planner.specs.files.text_file import decode
from planner.specs.files.yaml_file import parse_document
from planner.specs.load import load_cluster, load_model, parse_cluster, parse_model
from planner.specs.model.spec import ModelSpec
from planner.specs.runs.build import load_runs

if TYPE_CHECKING:
    from collections.abc import Callable

SCRAPS = st.sampled_from(
    [
        "name",
        "node_groups",
        "count",
        "device",
        ": ",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "'",
        '"',
        "|",
        ">",
        "&a",
        "*a",
        "!!int",
        "<<",
        "---",
        "...",
        "%YAML 1.1",
        "?",
        "#",
        "\\",
        "\t",
        "25 GB/s",
        "1e400",
        ".inf",
        "null",
        "true",
        "0x1",
        "\u2028",
        "\x85",
        "\ufeff",
        "é",
        "💥",
    ]
)
TEXT = st.one_of(st.text(max_size=200), st.lists(SCRAPS, max_size=40).map("".join))
SHIPPED_CLUSTER = resolve("cluster", "dgx-a100-8").read_bytes()
SHIPPED_MODEL = resolve("model", "gpt-1.7b").read_bytes()


def outcome(load: Callable[..., Any], *arguments: object) -> Any:
    """What a loader returns, or the text of its InputError; anything else fails the test."""
    try:
        return load(*arguments)
    except InputError as error:
        return str(error)


def parsed(data: bytes) -> Document:
    return parse_document(decode(data, "f"), "f")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "f.yaml"


@given(TEXT)
@example("a: !<tag:yaml.org,2002:str> b")
@example("? ? ? a")
@example("!!")
@example("%TAG ! tag:x,2000:\n---\n!y a: b")
@example("\ufeff\ufeffa: 1")
@example('a: "\\ud800"')
@example('"\\0": 1')
def test_any_text_is_a_document_or_refused(text: str) -> None:
    found = outcome(parsed, text.encode("utf-8", errors="surrogatepass"))

    if isinstance(found, Document):
        assert found.tree is not None
    else:
        assert found.startswith("f")
        assert len(found) < 2000


@given(st.binary(max_size=200))
def test_any_bytes_load_or_are_refused(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    for load in (load_cluster, load_model, load_runs):
        with pytest.raises(InputError, match=r"."):
            load(file)


@settings(max_examples=300)
@given(
    original=st.sampled_from([SHIPPED_CLUSTER, SHIPPED_MODEL]),
    start=st.integers(0, 2000),
    length=st.integers(0, 30),
    new=st.one_of(SCRAPS.map(str.encode), st.binary(max_size=10)),
)
def test_damaged_files_load_or_are_refused(
    file: Path, original: bytes, start: int, length: int, new: bytes
) -> None:
    file.write_bytes(original[:start] + new + original[start + length :])
    for load, kind in ((load_cluster, ClusterSpec), (load_model, ModelSpec)):
        found = outcome(load, file)
        assert isinstance(found, kind) or found.startswith(str(file))


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=10),
        st.sampled_from(["25 GB/s", "a100-sxm-80gb", "gpt", "node[1-3]", "5%"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
CLUSTER: dict[str, Any] = {
    "node_groups": [
        {
            "device": "a100-sxm-80gb",
            "devices_per_node": 8,
            "intra_node": {"bandwidth": "300 GB/s"},
            "network": {"cards": 8, "bandwidth": "25 GB/s"},
        }
    ]
}


@given(key=st.sampled_from(["name", "node_groups", "fabric", "links", "x"]), value=VALUES)
def test_any_value_of_a_cluster_is_taken_or_refused(key: str, value: Any) -> None:
    found = outcome(parse_cluster, {**CLUSTER, key: value})

    assert isinstance(found, ClusterSpec) or found.startswith("cluster: ")


@given(
    key=st.sampled_from(
        [
            "name",
            "count",
            "device",
            "devices_per_node",
            "intra_node",
            "network",
            "hosts",
            "scale_up",
        ]
    ),
    value=VALUES,
)
def test_any_value_of_a_group_is_taken_or_refused(key: str, value: Any) -> None:
    group = {**CLUSTER["node_groups"][0], key: value}
    found = outcome(parse_cluster, {"node_groups": [group]})

    assert isinstance(found, ClusterSpec) or found.startswith("cluster: ")


@given(
    key=st.sampled_from(
        [
            "architecture",
            "num_layers",
            "hidden_size",
            "num_attention_heads",
            "vocab_size",
            "moe",
            "ffn_hidden_size",
            "head_dim",
            "mla",
            "training",
            "num_query_groups",
            "norm",
        ]
    ),
    value=VALUES,
)
def test_any_value_of_a_model_is_taken_or_refused(key: str, value: Any) -> None:
    model = {"architecture": "gpt", "num_layers": 2, "hidden_size": 8, "num_attention_heads": 2}
    found = outcome(parse_model, {**model, "vocab_size": 10, key: value})

    assert isinstance(found, ModelSpec) or found.startswith("model: ")
