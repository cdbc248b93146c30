"""YAML written here reads back as the same values, and edits change nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.importers.edit import edited, plain_tree
from planner.importers.yaml_text import comment_lines, to_yaml
from planner.specs.files.yaml_file import parse_document

KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(st.characters(max_codepoint=0x2FF)),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(["yes", "null", "1e5", "0x10", "25 GB/s", "- a", "a: b", "#", "", "~", "on"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=5)


def read(text: str) -> Any:
    return plain_tree(parse_document(text, "file").tree)


@given(MAPPINGS)
def test_what_is_written_reads_back(mapping: dict[str, Any]) -> None:
    assert read(to_yaml(mapping, ["A comment."])) == mapping


@given(MAPPINGS, MAPPINGS)
def test_edited_text_has_the_new_content(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Keys that only the old content has stay, at any depth."""
    text = to_yaml(before, ["Kept."])
    wanted = {**before, **after}
    assert read(edited(text, before, wanted)) == laid_over(before, wanted)
    assert edited(text, before, before) == text


def laid_over(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        both = {key: laid_over(old[key], new[key]) for key in old if key in new}
        return {**old, **new, **both}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [laid_over(one, other) for one, other in zip(old, new, strict=True)]
    return new


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("a: 1 # one\nb: 2\n", {"a": 5, "b": 2}, "a: 5 # one\nb: 2\n"),
        ("a: {x: 1, y: 2} # c\n", {"a": {"x": 1, "y": 3}}, "a: {x: 1, y: 3} # c\n"),
        ("a: {x: 1}\n", {"a": {"x": 1, "z": 2}}, "a: {x: 1, z: 2}\n"),
        ("a: {}\n", {"a": {"z": 2}}, "a: {z: 2}\n"),
        (
            "a:\n  - x: 1 # first\n    y: 2\n# end\n",
            {"a": [{"x": 1, "y": 2, "z": 3}]},
            "a:\n  - x: 1 # first\n    y: 2\n    z: 3\n# end\n",
        ),
        ("a:\n- 1\n- 2\n", {"a": [1, 3]}, "a:\n- 1\n- 3\n"),
        ("a:\nb: 1\n", {"a": [1], "b": 1}, "a: [1]\nb: 1\n"),
        ("a: 1", {"a": 1, "b": {"c": "x y"}}, 'a: 1\nb: {c: "x y"}'),
        ("a: 'q' # why\n", {"a": "r"}, "a: r # why\n"),
    ],
)
def test_edits_by_hand(text: str, after: dict[str, Any], expected: str) -> None:
    assert edited(text, read(text), after) == expected
    assert read(expected) == after


def test_comments_are_of_readable_width() -> None:
    lines = comment_lines("word " * 60 + "\x1b[31m\nnew line")
    assert max(map(len, lines)) <= 100
    assert all(line.startswith("# ") for line in lines)
    assert "\x1b" not in "".join(lines)
