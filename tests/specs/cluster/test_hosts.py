from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.specs.cluster.hosts import expand_hosts


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("node1", ("node1",)),
        ("node[1-3]", ("node1", "node2", "node3")),
        ("node[001-003,130]", ("node001", "node002", "node003", "node130")),
        ("node[098-101]", ("node098", "node099", "node100", "node101")),
        ("r[1-2]-n[1,3]", ("r1-n1", "r1-n3", "r2-n1", "r2-n3")),
        ("a[1-2],b, c3", ("a1", "a2", "b", "c3")),
        (["x", "y[1-2]"], ("x", "y1", "y2")),
        ("gpu[1-2].cluster.local", ("gpu1.cluster.local", "gpu2.cluster.local")),
    ],
)
def test_expansion(value: object, names: tuple[str, ...]) -> None:
    assert expand_hosts(value) == names


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "'' is not a host name"),
        ("a,", "'' is not a host name"),
        ("node[]", "'' in 'node[]' is not a number or a range like 001-128"),
        ("node[a-b]", "'a-b' in 'node[a-b]' is not a number or a range like 001-128"),
        ("node[1--3]", "'1--3' in 'node[1--3]' is not a number"),
        ("node[3-1]", "range 3-1 in 'node[3-1]' runs backwards"),
        ("node]1[", "unbalanced brackets in 'node]1['"),
        ("node[[1]]", "unbalanced brackets in 'node[[1]]'"),
        ("n[1-2],n2", "host n2 is named twice"),
        ("-node", "'-node' is not a host name"),
        ("nöde", "'nöde' is not a host name"),
        ("a\nb", "'a\\nb' is not a host name"),
        ("n[0-999999],x", "'x' names more than 1000000 hosts"),
        ("n[0-999][0-999][0-999]", "'n[0-999][0-999][0-999]' names more than 1000000 hosts"),
        ([], "no host names"),
        ([1], "expected host names as text, found 1"),
        (None, "expected host names as text, found None"),
        ({"a": 1}, "expected host names as text, found {'a': 1}"),
    ],
)
def test_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        expand_hosts(value)

    assert str(caught.value).startswith(message)


def test_a_million_hosts_are_the_most() -> None:
    assert len(expand_hosts("n[000000-999999]")) == 1_000_000


@given(st.integers(0, 5000), st.integers(0, 300), st.integers(1, 6))
def test_ranges_keep_their_width(first: int, more: int, width: int) -> None:
    names = expand_hosts(f"n[{first:0{width}d}-{first + more}]")

    assert [int(name[1:]) for name in names] == list(range(first, first + more + 1))
    assert all(len(name) > width for name in names)


@given(st.text(alphabet="n0123456789[],- ", max_size=20))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    try:
        names = expand_hosts(text)
    except ValueError:
        return
    assert len(set(names)) == len(names) > 0
