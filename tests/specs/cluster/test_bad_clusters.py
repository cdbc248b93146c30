"""Mistakes in cluster files and the whole message each of them gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.errors import InputError
from planner.specs.load import load_cluster

KEYS = "name, node_groups, fabric, links, reliability, prices, power"
CLUSTER = """\
name: c
node_groups:
  - name: a
    count: 2
    device: a100-sxm-80gb
    devices_per_node: 8
    intra_node: {bandwidth: 300 GB/s, latency: 3 us}
    network: {cards: 8, bandwidth: 25 GB/s, latency: 5 us}
"""
BANDWIDTH = "8:36: node_groups[0].network.bandwidth: "
COUNT = "4:12: node_groups[0].count: "
HOSTS = "9:12: node_groups[0].hosts: "
UNITS = (
    "accepted: B/s kb/s kbit/s kB/s KiB/s Mb/s Mbit/s MB/s MiB/s Gb/s Gbit/s GB/s GiB/s "
    "Tb/s Tbit/s TB/s TiB/s PB/s PiB/s EB/s"
)
GROUP_KEYS = (
    "name, count, device, devices_per_node, collectives, intra_node, network, scale_up, host, hosts"
)


def message(text: str, folder: Path) -> str:
    """What loading a cluster file with this text says, without the path."""
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_cluster(path)
    return str(caught.value).replace(f"{path}:", "").replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "25 GB/s",
            "25 Gbps",
            f"{BANDWIDTH}'Gbps' is not a unit of bandwidth; {UNITS}; did you mean Gbit/s?",
        ),
        (
            "25 GB/s",
            "25 gb/s",
            f"{BANDWIDTH}'gb/s' is not a unit of bandwidth; {UNITS}; did you mean GB/s?",
        ),
        ("25 GB/s", "25", f'{BANDWIDTH}bandwidth needs a unit, found 25; write it like "25 GB/s"'),
        (
            "25 GB/s",
            "'25'",
            f"{BANDWIDTH}bandwidth needs a unit, found '25'; write it like \"25 GB/s\"",
        ),
        (
            "25 GB/s",
            "4e11",
            f'{BANDWIDTH}bandwidth needs a unit, found 400000000000; write it like "25 GB/s"',
        ),
        (
            "25 GB/s",
            "fast",
            f"{BANDWIDTH}'fast' is not a bandwidth; write a number and a unit, like \"25 GB/s\"",
        ),
        ("25 GB/s", "0 GB/s", f"{BANDWIDTH}bandwidth must be positive, found '0 GB/s'"),
        ("25 GB/s", "-1 GB/s", f"{BANDWIDTH}bandwidth must be positive, found '-1 GB/s'"),
        (
            "25 GB/s",
            "1e30 GB/s",
            f"{BANDWIDTH}bandwidth '1e30 GB/s' is beyond any hardware; at most 10 PB/s",
        ),
        ("25 GB/s", ".inf", f"{BANDWIDTH}.inf is not a finite number"),
        (
            "5 us",
            "5 min",
            "8:54: node_groups[0].network.latency: 'min' is not a unit of time; "
            "accepted: ns us µs ms s",
        ),
        ("count: 2", "count: .nan", f"{COUNT}.nan is not a finite number"),
        ("count: 2", "count: 1e400", f"{COUNT}1e400 is too large for a number"),
        ("count: 2", f"count: {'9' * 50}", f"{COUNT}number 999999999999… has 50 digits"),
        ("count: 2", "count: 1000000000", f"{COUNT}must be at most 1000000, found 1000000000"),
        ("count: 2", "count: 0", f"{COUNT}must be at least 1, found 0"),
        ("count: 2", "count: 2.5", f"{COUNT}expected a whole number, found the number 2.5"),
        (
            "count: 2",
            "count: 1e3",
            f"{COUNT}expected a whole number, found a decimal one; write 1000",
        ),
        (
            "count: 2",
            "count: '2'",
            f"{COUNT}expected a whole number, found the text '2'; take the quotes away",
        ),
        (
            "count: 2",
            "count: 010",
            f"{COUNT}expected a whole number, found the text '010'; leave the leading zeros out",
        ),
        ("count: 2", "count: true", f"{COUNT}expected a whole number, found true"),
        (
            "    count: 2\n",
            "    count: 2\n    count: 3\n",
            "5:5: node_groups[0]: key 'count' again; it is already on line 4",
        ),
        (
            "devices_per_node",
            "device_per_node",
            f"6:5: node_groups[0].device_per_node: unknown key; allowed: {GROUP_KEYS}; "
            "did you mean devices_per_node?",
        ),
        (
            "cards: 8",
            "card: 8",
            "8:15: node_groups[0].network.card: unknown key; allowed: cards, bandwidth, latency, "
            "kind; did you mean cards?",
        ),
        ("    device: a100-sxm-80gb\n", "", "3:5: node_groups[0]: device is missing"),
        (
            "a100-sxm-80gb",
            "a100-sxm-80g",
            "5:13: node_groups[0].device: no device file is shipped as 'a100-sxm-80g'; "
            "`planner list` shows all, a path works too; did you mean a100-sxm-80gb?",
        ),
        ("a100-sxm-80gb", "gone.yaml", "5:13: node_groups[0].device: gone.yaml: no such file"),
        (
            "a100-sxm-80gb",
            "12",
            "5:13: node_groups[0].device: expected a mapping, found the number 12",
        ),
        ("    count: 2", "\tcount: 2", "4:1: a tab in the indentation; YAML wants spaces"),
        ("name: a", "name: &x a", "3:11: node_groups[0].name: anchor &x; write values out"),
        ("name: a", "name: *x", "3:11: node_groups[0].name: alias *x; write values out"),
        (
            "{cards: 8,",
            "{cards: 8",
            "8:33: not valid YAML: while parsing a flow mapping did not find expected ',' or '}'",
        ),
        (
            "    network: {cards: 8, bandwidth: 25 GB/s, latency: 5 us}\n",
            "",
            "3:5: node_groups[0]: network is missing; there is more than one node",
        ),
        ("name: c", "name: true", "1:7: name: expected text, found true; put it in quotes"),
        ("name: c", "name: 12", "1:7: name: expected text, found the number 12; put it in quotes"),
        (
            "name: c",
            "name: a b",
            "1:7: name: 'a b' cannot be a name: a name is 1 to 200 letters, digits and . - _ +, "
            "and begins with a letter or digit; a-b would do",
        ),
    ],
)
def test_changed_line(old: str, new: str, expected: str, tmp_path: Path) -> None:
    assert old in CLUSTER

    assert message(CLUSTER.replace(old, new, 1), tmp_path) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("zzz: 1", f"9:1: zzz: unknown key; allowed: {KEYS}"),
        ("on: 1", f"9:1: on: unknown key; allowed: {KEYS}"),
        (
            "fabrik: 1",
            f"9:1: fabrik: unknown key; allowed: {KEYS}; did you mean fabric?",
        ),
        ("<<: {a: 1}", "9:1: merge key <<; write the entries out"),
        ("---", "9:1: a second document; one file holds one"),
        ("    hosts: [x, y, z]", f"{HOSTS}3 hosts for a count of 2"),
        ("    hosts: [x, x]", f"{HOSTS}host x is named twice"),
        ("    hosts: node[2-1]", f"{HOSTS}range 2-1 in 'node[2-1]' runs backwards"),
        ("    hosts: node[1-2", f"{HOSTS}unbalanced brackets in 'node[1-2'"),
        (
            "    hosts: node[1-999999999]",
            f"{HOSTS}'node[1-999999999]' names more than 1000000 hosts",
        ),
        (
            "    hosts: [1, 2]",
            f"{HOSTS}expected host names as text, found the number 1; put it in quotes",
        ),
        (
            f"    hosts: [[{', '.join(['1'] * 3000)}]]",
            f"{HOSTS}expected host names as text, found a list",
        ),
        (
            "    hosts: [a b, c]",
            f"{HOSTS}'a b' is not a host name: a host name is 1 to 253 letters, digits and "
            ". - _, and begins with a letter or digit",
        ),
        ("    hosts: []", f"{HOSTS}no host names; write a list or node[001-128]"),
        (
            "fabric: {tiers: [{name: a, nodes: 4}, {name: b, nodes: 6}]}",
            "9:56: fabric.tiers[1].nodes: 6 nodes do not hold a whole number, above one, "
            "of tier a with 4 nodes",
        ),
        (
            "fabric: {tiers: [{name: a}, {name: b, nodes: 6}]}",
            "9:18: fabric.tiers[0]: nodes is missing; only the last tier may leave it out",
        ),
        (
            "fabric: {tiers: [{name: a, nodes: 4}, {name: a}]}",
            "9:46: fabric.tiers[1].name: tier name a is taken already",
        ),
        (
            "fabric: {tiers: [{name: a, oversubscription: 0.5}]}",
            "9:46: fabric.tiers[0].oversubscription: must be at least 1, found 0.5",
        ),
        ("fabric: {tiers: []}", "9:17: fabric.tiers: needs at least 1, found 0"),
        (
            "links: {overrides: [{between: [0, 7], bandwidth: 5 GB/s}]}",
            "9:35: links.overrides[0].between[1]: no node 7; indices are 0 to 1",
        ),
        (
            "links: {overrides: [{between: [a-0, a-2], bandwidth: 5 GB/s}]}",
            "9:37: links.overrides[0].between[1]: no node or group is named 'a-2'; "
            "did you mean a-1?",
        ),
        (
            "links: {overrides: [{between: [1, a-1], bandwidth: 5 GB/s}]}",
            "9:31: links.overrides[0].between: a link is between two different nodes or groups",
        ),
        (
            "links: {overrides: [{between: [1], bandwidth: 5 GB/s}]}",
            "9:31: links.overrides[0].between: has too few entries",
        ),
        (
            "links: {overrides: [{between: [0, 1, 1], bandwidth: 5 GB/s}]}",
            "9:31: links.overrides[0].between: takes at most 2, found 3",
        ),
        (
            "links: {overrides: [{between: [0, 0.5], bandwidth: 5 GB/s}]}",
            "9:35: links.overrides[0].between[1]: expected a node's name or index",
        ),
        (
            "links: {overrides: [{between: [0, 1], bandwidth: 5 GB/s}, "
            "{between: [1, 0], bandwidth: 5 GB/s}]}",
            "9:69: links.overrides[1].between: this pair has an override already",
        ),
        (
            "links: {matrix: gone.csv}",
            "9:17: links.matrix.file: gone.csv: no such file",
        ),
        (
            "links: {matrix: {file: gone.csv, unit: MB}}",
            f"9:40: links.matrix.unit: 'MB' is not a unit of bandwidth; {UNITS}; "
            "did you mean MB/s?",
        ),
        (
            "links: {matrix: {fil: gone.csv}}",
            "9:18: links.matrix.fil: unknown key; allowed: file, unit, per; did you mean file?",
        ),
        (
            "links: {matrix: {file: gone.csv, per: nod}}",
            "9:39: links.matrix.per: found the text 'nod'; allowed: node, card; did you mean node?",
        ),
        (
            "    scale_up: {nodes: 2}",
            "9:15: node_groups[0].scale_up: bandwidth is missing",
        ),
    ],
)
def test_added_line(line: str, expected: str, tmp_path: Path) -> None:
    assert message(f"{CLUSTER}{line}\n", tmp_path) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: the file is empty"),
        (
            "- 1\n",
            f"1:1: expected a mapping, found a list; keys: {KEYS}",
        ),
        (
            "hello\n",
            "1:1: expected a mapping, found the text 'hello'; "
            "keys: name, node_groups, fabric, links, reliability, prices, power",
        ),
        ("name: c\n", "1:1: node_groups is missing"),
        ("node_groups: []\n", "1:14: node_groups: needs at least 1, found 0"),
        ("node_groups: a\n", "1:14: node_groups: expected a list, found the text 'a'"),
        ("node_groups: [a]\n", "1:15: node_groups[0]: expected a mapping, found the text 'a'"),
        (
            "node_groups: [{}]\n",
            "1:15: node_groups[0]: device, devices_per_node, intra_node are missing",
        ),
        (
            f"{'x' * 1000}: 1\n",
            f"1:1: {'x' * 60}…: unknown key; allowed: {KEYS}\n1:1: node_groups is missing",
        ),
    ],
)
def test_whole_file(text: str, expected: str, tmp_path: Path) -> None:
    assert message(text, tmp_path) == expected


def test_several_mistakes_come_in_file_order(tmp_path: Path) -> None:
    text = (
        CLUSTER.replace("name: c", "nam: c")
        .replace("count: 2", "count: x")
        .replace("25 GB/s", "25")
    )

    assert message(text, tmp_path).splitlines() == [
        f"1:1: nam: unknown key; allowed: {KEYS}; did you mean name?",
        f"{COUNT}expected a whole number, found the text 'x'",
        f'{BANDWIDTH}bandwidth needs a unit, found 25; write it like "25 GB/s"',
    ]


def test_group_names_and_hosts_are_unique(tmp_path: Path) -> None:
    group = CLUSTER.split("node_groups:\n")[1]

    assert message(CLUSTER + group, tmp_path) == (
        "9:11: node_groups[1].name: group name a is taken already"
    )
    other = group.replace("name: a", "name: b") + "    hosts: [x, a-1]\n"
    assert message(CLUSTER + other, tmp_path) == (
        "15:12: node_groups[1].hosts: host a-1 is in group a too"
    )


def test_nodes_of_all_groups_are_counted(tmp_path: Path) -> None:
    huge = CLUSTER.replace("count: 2", "count: 900000")
    text = huge + huge.split("node_groups:\n")[1].replace("name: a", "name: b")

    assert message(text, tmp_path) == "3:3: node_groups: 1800000 nodes; at most 1000000"


def test_inline_device_is_checked_in_place(tmp_path: Path) -> None:
    device = "{name: x, memory: {capacity: {value: 80, basis: guess, source: x}}, peek: 1}"

    assert message(CLUSTER.replace("a100-sxm-80gb", device), tmp_path).splitlines() == [
        "5:31: node_groups[0].device.memory: bandwidth is missing",
        "5:50: node_groups[0].device.memory.capacity.value: size needs a unit, found 80; "
        'write it like "80 GiB"',
        "5:61: node_groups[0].device.memory.capacity.basis: found the text 'guess'; "
        "allowed: datasheet, measured, code, inferred, default, yours",
        "5:81: node_groups[0].device.peek: unknown key; allowed: name, like, generation, vendor, "
        "family, collectives, power, memory, peak, matmul, grouped_matmul, attention, host, "
        "kernel_latency, intra_node, links, sustained, speed_variation; "
        "did you mean peak?",
    ]


def test_mistakes_in_a_device_file_are_placed_there(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: x\nmemory: 80 GiB\n", encoding="utf-8")

    assert message(CLUSTER.replace("a100-sxm-80gb", "mine.yaml"), tmp_path).splitlines() == [
        "mine.yaml:1:1: peak is missing",
        "mine.yaml:2:9: memory: bandwidth is missing",
    ]
