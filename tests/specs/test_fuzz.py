"""Whatever a file holds, loading it gives a value or an InputError. Damaged files of every kind are
in `tests/fuzz/`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.specs.files.document import Document
from planner.specs.files.text_file import decode
from planner.specs.files.yaml_file import parse_document
from planner.specs.load import load_cluster, load_model
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
