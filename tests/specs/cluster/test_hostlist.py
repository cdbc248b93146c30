from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.specs.cluster.hostlist import by_number, compress_hosts, expand_hosts


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
        ([1], "expected host names as text, found the number 1; put it in quotes"),
        (None, "expected host names as text, found nothing"),
        ({"a": 1}, "expected host names as text, found a mapping"),
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


@pytest.mark.parametrize(
    ("text", "names"),
    [
        # slurm.conf(5), NodeName, and the man pages of the hostlist functions
        ("linux[0-2,128]", ["linux0", "linux1", "linux2", "linux128"]),
        ("lx[15,18,32-33]", ["lx15", "lx18", "lx32", "lx33"]),
        ("linux[0000-0002]", ["linux0000", "linux0001", "linux0002"]),
        (
            "rack[0-1]_blade[0-2]",
            [f"rack{rack}_blade{blade}" for rack in (0, 1) for blade in (0, 1, 2)],
        ),
        ("tux[0-2,12,20-21]", ["tux0", "tux1", "tux2", "tux12", "tux20", "tux21"]),
        ("node1,node[3-4]", None),
    ],
)
def test_documented_slurm_lists(text: str, names: list[str] | None) -> None:
    expanded = expand_hosts(text)
    if names is not None:
        assert list(expanded) == names
        assert compress_hosts(names) == compress_hosts(names, suffixes=False) == text
    else:
        assert compress_hosts(expanded) == "node[1,3-4]"


@pytest.mark.parametrize(
    ("names", "text", "for_slurm"),
    [
        ("n1 n2 n10", "n[1-2,10]", "n[1-2,10]"),
        ("n08 n09 n10 n11", "n[08-11]", "n[08-11]"),
        ("n8 n9 n10", "n[8-10]", "n[8-10]"),
        ("n1 n02 n003", "n[1,02,003]", "n[1,02,003]"),
        ("n3 n1 n2", "n[3,1-2]", "n[3,1-2]"),
        ("rack0_blade3 rack1_blade3", "rack[0-1]_blade3", "rack[0-1]_blade[3]"),
        ("n1-ib n2-ib", "n[1-2]-ib", "n1-ib,n2-ib"),
        ("login a1 a2 b", "login,a[1-2],b", "login,a[1-2],b"),
        ("a1b1 a2b1 a1b2 a2b2", "a[1-2]b1,a[1-2]b2", "a[1-2]b[1],a[1-2]b[2]"),
        ("1 2 3", "[1-3]", "[1-3]"),
        ("mi2-0 mi2-1 mi5-0 mi5-1", "mi2-[0-1],mi5-[0-1]", "mi2-[0-1],mi5-[0-1]"),
    ],
)
def test_short_forms(names: str, text: str, for_slurm: str) -> None:
    assert compress_hosts(names.split()) == text
    assert compress_hosts(names.split(), suffixes=False) == for_slurm


def slurm_accepts(part: str) -> bool:
    """slurm.conf(5): one of the brackets is at the end of the name."""
    return "[" not in part or part.endswith("]")


@given(
    st.lists(
        st.from_regex(r"[a-b]{0,1}-?[0-9]{1,3}([a-b_-][0-9]{0,3}){0,2}(\.x)?", fullmatch=True)
        .map(lambda name: name.lstrip("-") or "a")
        .filter(lambda name: name[0].isalnum()),
        min_size=1,
        max_size=24,
        unique=True,
    ),
    st.booleans(),
)
def test_what_is_compressed_expands_to_the_same_in_order(names: list[str], suffixes: bool) -> None:
    text = compress_hosts(names, suffixes=suffixes)

    assert expand_hosts(text) == tuple(names)
    if not suffixes:
        parts = re.split(r",(?![^\[]*\])", text)
        assert all(map(slurm_accepts, parts)), parts


@given(racks=st.integers(1, 12), nodes=st.integers(2, 12), width=st.integers(1, 3))
def test_racks_of_nodes_are_one_part(racks: int, nodes: int, width: int) -> None:
    names = [f"r{r}n{n:0{width}d}" for r in range(racks) for n in range(nodes)]

    assert "," not in compress_hosts(names).replace("],", "")
    assert expand_hosts(compress_hosts(names)) == tuple(names)


def test_a_hundred_thousand_hosts_are_compressed_at_once() -> None:
    names = [f"r{index // 18:04d}-n{index % 18:02d}" for index in range(18 * 5000)]

    assert compress_hosts(names) == "r[0000-4999]-n[00-17]"


def test_people_sort_by_number() -> None:
    assert sorted(["n10", "n2", "a", "n2b", "n02"], key=by_number) == [
        "a",
        "n2",
        "n2b",
        "n02",
        "n10",
    ]
