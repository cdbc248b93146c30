"""Values of JSON texts are found where they stand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.specs.files.json_file import find_values, nearest_value, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.specs.files.document import Location

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)  # fmt: skip


def locations(value: Any, above: Location = ()) -> Iterator[tuple[Location, Any]]:
    yield above, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from locations(item, (*above, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from locations(item, (*above, index))


@given(value=VALUES, indent=st.sampled_from([None, 0, 3]), ascii_only=st.booleans())
def test_every_value_is_where_its_span_says(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    all_of_it = dict(locations(value))
    found = find_values(text, all_of_it)
    assert found.keys() == all_of_it.keys()
    for location, item in all_of_it.items():
        span = found[location]
        read, _ = json.JSONDecoder().raw_decode(text, span.start)
        assert (read, type(read)) == (item, type(item))
        if not isinstance(item, dict | list):
            assert json.loads(text[span.start : span.end]) == item


def test_what_is_missing_is_sought_around_it() -> None:
    text = '{"a": {"b": [1, 22]}}'
    assert find_values(text, [("a", "c")]) == {}
    for location, at in ((("a", "c"), 6), (("a", "b", 7), 12), (("a", "b", 1), 16), (("z",), 0)):
        span = nearest_value(text, location)
        assert span is not None
        assert span.start == at
    assert nearest_value("", ("a",)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "a": 2}', "f:2:2: key 'a' is given twice in one mapping"),
        ('{"a": {"b": 1}, "c": [{"b": 2, "b": 3}]}', "f:1:32: key 'b' is given twice"),
        ('{"a": [1, NaN]}', "f:1:11: NaN is not a number"),
        ("[-Infinity]", "f:1:2: -Infinity is not a number"),
        ('{"a": 1e999}', "f:1:7: 1e999 is too large for a number"),
        ('{"a": ' + "9" * 5000 + "}", "f:1:7: number 999999999999… has 5000 digits"),
        ('{"a": [1,}', "f:1:10: not valid JSON: expecting value"),
        ("", "f:1:1: not valid JSON: expecting value"),
        ("[" * 100_000, "f:1:202: nested more than 200 deep"),
        ('{"a": ' * 5000 + "1" + "}" * 5000, "f:1:1202: nested more than 200 deep"),
    ],
)
def test_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_json(text, "f")
    assert str(refused.value).startswith(message)


@given(value=VALUES)
def test_errors_are_at_the_value_they_are_about(value: Any) -> None:
    file = parse_json(json.dumps(value, indent=1), "f")
    assert file.tree == value
    for location, item in locations(value):
        error = file.error("wrong", location)
        assert error.line is not None
        assert error.column is not None
        rest = "\n".join(file.text.split("\n")[error.line - 1 :])[error.column - 1 :]
        assert json.JSONDecoder().raw_decode(rest)[0] == item
