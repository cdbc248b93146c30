from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.specs.cluster.matrix import load_matrix
from planner.specs.load import load_cluster

MATRIX = "MB/s,n1,n2,n3\nn1,9,100,200\nn2,300,-,400\nn3,500,600,\n"
CLUSTER = """\
node_groups:
  - device: a100-sxm-80gb
    devices_per_node: 8
    intra_node: {bandwidth: 300 GB/s}
    network: {cards: 4, bandwidth: 25 GB/s}
"""


def written(folder: Path, text: str, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, *, unit: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        load_matrix(path, unit=unit)
    return str(caught.value).removeprefix(f"{path}:")


def test_rows_send_and_columns_receive(tmp_path: Path) -> None:
    matrix = load_matrix(written(tmp_path, MATRIX))

    assert matrix.hosts == ("n1", "n2", "n3")
    assert matrix.bytes_per_s == ((None, 1e8, 2e8), (3e8, None, 4e8), (5e8, 6e8, None))


def test_unit_of_the_cluster_file(tmp_path: Path) -> None:
    path = written(tmp_path, MATRIX.replace("MB/s", "sender"))

    assert load_matrix(path, unit="Gbit/s").bytes_per_s[0][1] == 100 * 125e6


def test_rows_in_another_order_are_sorted(tmp_path: Path) -> None:
    lines = MATRIX.splitlines()
    shuffled = written(tmp_path, "\n".join([lines[0], lines[3], lines[1], lines[2]]) + "\n")

    assert load_matrix(shuffled).bytes_per_s == load_matrix(written(tmp_path, MATRIX)).bytes_per_s


def test_quoted_cells_spaces_and_empty_lines(tmp_path: Path) -> None:
    text = '"MB/s", "n1" ,n2\n\n"n1",,"1.5e2"\r\nn2, 7 ,\n'

    assert load_matrix(written(tmp_path, text)).bytes_per_s == ((None, 150e6), (7e6, None))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("MB/s", "", "1:1: no unit; write it in the corner cell or as links.matrix.unit"),
        ("MB/s", "host", "1:1: the corner cell holds 'host', not a unit; accepted: B/s"),
        ("n1,n2,n3", "n1,n2,n2", "1:12: host n2 is named twice"),
        ("n1,n2,n3", "n1,,n3", "1:9: '' is not a host name: "),
        ("300", "fast", "3:4: expected a number, found 'fast'"),
        ("400", "nan", "3:10: expected a number, found 'nan'"),
        ("400", "1_000", "3:10: expected a number, found '1_000'"),
        ("400", "٤", "3:10: expected a number, found '٤'"),
        ("400", "-4", "3:10: bandwidth must be positive, found -4"),
        ("400", "0", "3:10: bandwidth must be positive, found 0"),
        ("400", "0.00001", "3:10: 0.00001 is below any network; at least 100 kB/s"),
        ("400", "1e300", "3:10: 1e300 is beyond any network"),
        ("400", "1e400", "3:10: 1e400 is beyond any network"),
        ("n2,300", "n4,300", "3:1: row of host 'n4', which the header lacks"),
        ("n2,300", "n1,300", "3:1: host n1 has two rows"),
        ("n3,500,600,\n", "", "1:1: no row for host n3; the header names it"),
        ("300,-,400", "300,-", "3:1: 2 values for 3 hosts"),
        ("300,-,400", "300,-,400,1", "3:1: 4 values for 3 hosts"),
        ("300,-,400", '"300,-,400', "3:1: a quote that is not closed on its line"),
        ("400", "4" * 200_000, "3:1: not CSV: field larger than field limit (131072)"),
        (MATRIX, "MB/s\n", "1:1: the header names no hosts"),
        (MATRIX, "\n", " the matrix is empty"),
        (MATRIX, "\x00", "1:1: character U+0000 is not text; is this a binary file?"),
    ],
)
def test_refused_with_its_place(old: str, new: str, expected: str, tmp_path: Path) -> None:
    assert old in MATRIX

    assert refusal(written(tmp_path, MATRIX.replace(old, new, 1))).startswith(expected)


def test_two_units_that_differ(tmp_path: Path) -> None:
    path = written(tmp_path, MATRIX)

    assert load_matrix(path, unit="MB/s").bytes_per_s[0][1] == 1e8
    assert refusal(path, unit="GB/s") == "1:1: the corner cell says MB/s, the cluster file GB/s"


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("matrix") / "m.csv"
    path.write_bytes(text.encode("utf-8", errors="replace"))
    try:
        matrix = load_matrix(path)
    except InputError:
        return
    assert len(matrix.bytes_per_s) == len(matrix.hosts)


def test_header_names_the_hosts(tmp_path: Path) -> None:
    written(tmp_path, MATRIX)
    path = written(tmp_path, CLUSTER + "links: {matrix: m.csv}\n", "c.yaml")

    cluster = load_cluster(path)

    assert cluster.host_names() == ("n1", "n2", "n3")
    assert cluster.num_devices == 24
    assert cluster.matrix is not None
    assert cluster.matrix.bytes_per_s[1] == (3e8, None, 4e8)


def test_values_of_cards_are_summed(tmp_path: Path) -> None:
    written(tmp_path, MATRIX)
    path = written(tmp_path, CLUSTER + "links: {matrix: {file: m.csv, per: card}}\n", "c.yaml")

    matrix = load_cluster(path).matrix

    assert matrix is not None
    assert matrix.bytes_per_s[1] == (12e8, None, 16e8)


def test_listed_hosts_order_the_matrix(tmp_path: Path) -> None:
    written(tmp_path, MATRIX)
    text = CLUSTER + "    hosts: [n3, n1, n2]\nlinks: {matrix: m.csv}\n"

    matrix = load_cluster(written(tmp_path, text, "c.yaml")).matrix

    assert matrix is not None
    assert matrix.bytes_per_s == ((None, 5e8, 6e8), (2e8, None, 1e8), (4e8, 3e8, None))


def test_groups_share_the_header_in_order(tmp_path: Path) -> None:
    written(tmp_path, MATRIX)
    group = CLUSTER.split("node_groups:\n")[1]
    first = group.replace("- device", "- count: 2\n    device")
    second = group.replace("- device", "- count: 1\n    device")
    text = f"node_groups:\n{first}{second}links: {{matrix: m.csv}}\n"

    cluster = load_cluster(written(tmp_path, text, "c.yaml"))

    assert [group.hosts for group in cluster.node_groups] == [("n1", "n2"), ("n3",)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "    hosts: [n1, n2, n4]",
            "7:17: links.matrix: m.csv has no host n4",
        ),
        ("    count: 2", "7:17: links.matrix: m.csv names 3 hosts, the cluster has 2 nodes"),
    ],
)
def test_matrix_that_does_not_match(line: str, expected: str, tmp_path: Path) -> None:
    written(tmp_path, MATRIX)
    path = written(tmp_path, f"{CLUSTER}{line}\nlinks: {{matrix: m.csv}}\n", "c.yaml")

    with pytest.raises(InputError) as caught:
        load_cluster(path)

    assert str(caught.value).startswith(f"{path}:{expected}")


def test_a_host_of_the_matrix_that_no_group_has_is_named_where_it_stands(tmp_path: Path) -> None:
    matrix = written(tmp_path, MATRIX)
    path = written(tmp_path, f"{CLUSTER}    hosts: [n1, n2]\nlinks: {{matrix: m.csv}}\n", "c.yaml")
    with pytest.raises(InputError) as caught:
        load_cluster(path)
    column = MATRIX.splitlines()[0].index("n3") + 1
    assert str(caught.value).startswith(
        f"{matrix}:1:{column}: no node group of {path} has a host n3"
    )


def test_matrix_of_several_nodes_needs_a_network(tmp_path: Path) -> None:
    written(tmp_path, MATRIX)
    text = CLUSTER.replace("    network: {cards: 4, bandwidth: 25 GB/s}\n", "")
    path = written(tmp_path, text + "links: {matrix: m.csv}\n", "c.yaml")

    with pytest.raises(InputError) as caught:
        load_cluster(path)

    assert str(caught.value) == (
        f"{path}:2:5: node_groups[0]: network is missing; there is more than one node"
    )


def test_mistakes_in_the_matrix_are_placed_there(tmp_path: Path) -> None:
    written(tmp_path, MATRIX.replace("400", "x"))
    path = written(tmp_path, CLUSTER + "links: {matrix: m.csv}\n", "c.yaml")

    with pytest.raises(InputError) as caught:
        load_cluster(path)

    assert str(caught.value) == (
        f"{tmp_path / 'm.csv'}:3:10: expected a number, found 'x'; "
        "leave the cell empty where nothing was measured"
    )
