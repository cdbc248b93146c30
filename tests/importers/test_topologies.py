"""What drivers and schedulers say of nodes and switches: nvidia-smi, NCCL, Slurm, topograph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.importers.clusters.detect import read_facts
from planner.importers.clusters.facts import NodeFacts, Tier
from planner.importers.clusters.hosts import short
from planner.importers.clusters.tiers import SizedTier, sized
from planner.importers.notes import Notes
from planner.specs.cluster.hostlist import expand_hosts

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.importers.source import Source

    Sample = Callable[[str], Source]
    Written = Callable[..., Source]


def table(cells: list[str]) -> str:
    """nvidia-smi's table from the upper rows of cells, one text per row."""
    count = len(cells)
    header = "\t" + "\t".join(f"GPU{i}" for i in range(count)) + "\tCPU Affinity\n"
    return header + "".join(f"GPU{i}\t{row}\t0-23\n" for i, row in enumerate(cells))


def test_current_table_with_cards_and_control_codes(sample: Sample) -> None:
    facts = read_facts(sample("topo_h100.txt"))
    node = facts.nodes[0]
    assert (node.devices_per_node, node.nvlinks, node.cards, node.whole) == (4, 18, 2, True)
    assert node.likely_device == "h100-sxm-80gb"


def test_old_table(written: Written) -> None:
    """Cards under their own names, SOC instead of SYS, fewer columns."""
    text = (
        "\tGPU0\tGPU1\tmlx5_0\tCPU Affinity\n"
        "GPU0\t X \tNV2\tPIX\t0-19\nGPU1\tNV2\t X \tSOC\t0-19\nmlx5_0\tPIX\tSOC\t X \n"
    )
    node = read_facts(written(text)).nodes[0]
    assert (node.devices_per_node, node.nvlinks, node.cards) == (2, 2, 1)


@pytest.mark.parametrize(
    ("cells", "links"),
    [
        (["X NV12 NV12", "NV12 X NV12", "NV12 NV12 X"], 12),
        (["X NV4 NV4 NV4", "NV4 X NV4 NV4", "NV4 NV4 X NV4", "NV4 NV4 NV4 X"], 12),
        (["X NV1 NV2 SYS", "NV1 X SYS NV2", "NV2 SYS X NV1", "SYS NV2 NV1 X"], 3),
        (["X NV12 SYS SYS", "NV12 X SYS SYS", "SYS SYS X NV12", "SYS SYS NV12 X"], None),
        (["X PIX", "PIX X"], None),
        (["X"], None),
    ],
    ids=["switch", "all to all", "mesh", "pairs", "no links", "one device"],
)
def test_nvlinks_of_a_device(written: Written, cells: list[str], links: int | None) -> None:
    text = table([row.replace(" ", "\t") for row in cells])
    assert read_facts(written(text)).nodes[0].nvlinks == links


def test_several_tables_are_several_kinds_of_nodes(written: Written) -> None:
    a100 = table(["X\tNV12\tNV12", "NV12\tX\tNV12", "NV12\tNV12\tX"])
    text = f"- A100:\n```\n{a100}```\nand\n```\n{a100.replace('NV12', 'NV18')}```\n"
    assert [node.nvlinks for node in read_facts(written(text)).nodes] == [12, 18]


def test_slices_of_devices_are_said(written: Written) -> None:
    slices = "GPU 0: A100\n  MIG 3g.20gb Device 0: (UUID: MIG-b0)\n"
    read = read_facts(written(slices + table(["X\tNV12", "NV12\tX"])))
    assert "MIG slices of devices: whole devices are planned for" in read.notes.left_out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\tGPU0\tGPU1\nGPU0\tX\tNV4\n", r"f:1: no row for GPU1; was the output cut"),
        ("\tGPU0\tGPU1\nGPU0\tX\n", r"f:2: GPU0: 1 cells for 2 columns"),
        ("\tGPU0\tGPU1\nGPU0\tX\tFAST\nGPU1\tX\tX\n", r"f:2:8: GPU0: 'FAST' is not a connection"),
        ("\tGPU0\tGPU1\nGPU0\tX\tNV4\nGPU0\tX\tNV4\n", r"f:3: GPU0 has two rows"),
        ("\tGPU0\tGPU1\nGPU0\tX\tNV4\nGPU1\tX\tNV4\n", r"GPU1 to itself is NV4, not X"),
    ],
)
def test_table_refusals(written: Written, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_facts(written(text, "f"), format_name="nvidia-smi")


def test_nccl_topology(sample: Sample) -> None:
    node = read_facts(sample("system.xml")).nodes[0]
    assert (node.devices_per_node, node.nvlinks, node.likely_device) == (2, 12, "a100-sxm-80gb")
    assert (node.cards, node.card_bytes_per_s) == (2, 25e9)


def test_nccl_topology_without_nvlink(sample: Sample, written: Written) -> None:
    """Sixteen lanes of 16 GT/s carry 31.5 GB/s each way."""
    text = "\n".join(
        line for line in sample("system.xml").text.splitlines() if "nvlink" not in line
    )
    node = read_facts(written(text)).nodes[0]
    assert node.nvlinks is None
    assert node.intra_node_bytes_per_s == pytest.approx(31.5e9, rel=1e-3)


def test_slower_cards_do_not_count(sample: Sample, written: Written) -> None:
    text = sample("system.xml").text.replace('speed="200000"', 'speed="10000"', 1)
    facts = read_facts(written(text))
    assert (facts.nodes[0].cards, facts.nodes[0].card_bytes_per_s) == (1, 25e9)
    assert any("1 network cards slower" in clause for clause in facts.notes.left_out)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><system version="1">&b;</system>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"f:1:\d+: a document type, which no topology file has"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><system/>', "a document type"),
        ("<system><cpu>", r"f:1:\d+: not valid XML: no element found"),
        ("<system/>", "holds no device"),
        ("<system>" + "<pci>" * 100, "more elements, or deeper ones"),
        ('<system><gpu sm="big"/></system>', r"f:1:9: gpu sm='big' is not a whole number"),
        ('<system><gpu sm="80"/><gpu sm="90"/></system>', "devices of different kinds"),
        ("<graphs/>", "is not a topology"),
    ],
)
def test_xml_refusals(written: Written, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_facts(written(text, "f"))


def test_slurm_tree(sample: Sample) -> None:
    facts = read_facts(sample("topology.conf"))
    assert len(facts.hosts) == 17
    assert [tier.name for tier in facts.tiers] == ["leaf"]
    assert facts.tiers[0].groups[0] == tuple(f"dev{i}" for i in range(6))
    assert any("LinkSpeed" in clause for clause in facts.notes.left_out)


def test_slurm_yaml_takes_the_default_topology(sample: Sample) -> None:
    facts = read_facts(sample("topology.yaml"))
    assert facts.hosts == ("node01", "node02", "node03", "node04")
    assert facts.tiers == (Tier(name="leaf", groups=(("node01", "node02"), ("node03", "node04"))),)
    assert any("topo2" in clause for clause in facts.notes.left_out)


def test_slurm_blocks_and_rings(written: Written) -> None:
    text = "blockname=b1 nodes=n[1-4] \\\n\nBlockName=b2 Nodes=n[5-8] # rack 2\nBlockSizes=4,8\n"
    facts = read_facts(written(text))
    assert facts.domains == (("n1", "n2", "n3", "n4"), ("n5", "n6", "n7", "n8"))
    ring = read_facts(written("RingName=r0 Nodes=n[01-08]\nRingName=r1 Nodes=n[09-16]\n"))
    assert ring.tiers[0].name == "ring"
    assert "the order of nodes in a ring" in ring.notes.left_out


def test_slurm_tree_of_three_levels(written: Written) -> None:
    lines = [f"SwitchName=l{i} Nodes=n[{2 * i}-{2 * i + 1}]" for i in range(4)]
    lines += ["SwitchName=s0 Switches=l[0-1]", "SwitchName=s1 Switches=l[2-3]"]
    lines += ["SwitchName=top Switches=s[0-1]"]
    facts = read_facts(written("\n".join(reversed(lines))))
    assert facts.hosts == tuple(f"n{i}" for i in range(8))
    assert [(tier.name, len(tier.groups)) for tier in facts.tiers] == [("leaf", 4), ("spine", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SwitchName=s0\n", r"f:1: switch s0 has neither Nodes nor Switches"),
        ("SwitchName=s0 Nodes=n[1-\n", r"f:1: unbalanced brackets"),
        ("SwitchName=s0 Nodes=n[1-99999999]\n", r"f:1: .* names more than 1000000 hosts"),
        ("SwitchName=s0 Nodes=n1\nSwitchName=s0 Nodes=n2\n", r"f:2: s0 is named twice"),
        ("SwitchName=s0 Nodes=n1\nSwitchName=s1 Nodes=n1\n", r"node n1 is below s0 and s1"),
        ("SwitchName=s0 Switches=s1\n", r"switch s0 has s1 below, not in the file"),
        ("SwitchName=s0 Nodes=n1\nBlockName=b Nodes=n2\n", r"f:2: a block after a tree"),
        ("SwitchName=s0 Nodes=a Nodes=b\n", r"f:1: Nodes is given twice"),
        ("SwitchName=s0 Nodes=a\nnonsense\n", r"f:2: expected NAME=VALUE, found 'nonsense'"),
        ("BlockName=b Nodes=n1\nBlockSizes=x\n", r"f:2: block size 'x' is not a whole number"),
    ],
)
def test_conf_refusals(written: Written, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_facts(written(text, "f"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- topology: a\n  flat: true\n", r"a flat topology says nothing of switches"),
        ("- topology: a\n  torus3d: {}\n", r"a torus3d topology says nothing"),
        ("- topology: a\n  tree: {}\n  block: {}\n", r"needs one of tree, block, ring"),
        ("- topology: a\n  tree:\n    switches: 3\n", r"f:3:5: .*expected switches, a list"),
        (
            "- topology: a\n  tree:\n    switches:\n    - nodes: n1\n",
            r"f:4:7: .*expected switch: a",
        ),
        ("- topology: &a x\n  tree: *a\n", r"f:1:13: .*expected switches, a list"),
        ("- topology: x\n  tree: *a\n", r"f:2:9: .*alias \*a, and no anchor &a above it"),
    ],
)
def test_yaml_refusals(written: Written, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_facts(written(text, "f"), format_name="slurm-yaml")


def test_topograph(sample: Sample) -> None:
    facts = read_facts(sample("topograph.json"))
    assert facts.hosts == ("n1", "n2", "n3", "n4")
    assert facts.tiers == (Tier(name="leaf", groups=(("n1", "n3"), ("n2", "n4"))),)
    assert facts.nodes == (NodeFacts(likely_device="h100-sxm-80gb", because="instance type H100"),)


def test_topograph_domains(written: Written) -> None:
    labelled = ", ".join(
        f'{{"id": "n{i}", "labels": {{"accelerator.topograph.run/domain": "nvl-{i // 2}"}}}}'
        for i in range(4)
    )
    facts = read_facts(written(f'{{"instances": [{labelled}]}}'))
    assert facts.domains == (("n0", "n1"), ("n2", "n3"))
    assert facts.tiers == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"instances": []}', r"expected one instance or more"),
        ('{"instances": [{"name": "a"}]}', r"f:1:16: instances\[0\]: id: expected text"),
        ('{"instances": [{"id": "a"}, {"id": "a"}]}', r"instance a is listed twice"),
        ('{"instances": [{"id": "a", "network_layers": [1]}]}', r"expected names of switches"),
    ],
)
def test_topograph_refusals(written: Written, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_facts(written(text, "f"))


def test_hosts_of_equal_switches_lie_side_by_side() -> None:
    tiers = [Tier(name="leaf", groups=(("a", "c"), ("b", "d")))]
    assert sized(("a", "b", "c", "d"), tiers, Notes()) == (
        ("a", "c", "b", "d"),
        [SizedTier(name="leaf", nodes=2)],
    )


def test_one_smaller_switch_comes_last() -> None:
    tiers = [Tier(name="leaf", groups=(("a",), ("b", "c"), ("d", "e")))]
    hosts, found = sized(("a", "b", "c", "d", "e"), tiers, Notes())
    assert (hosts[-1], found) == ("a", [SizedTier(name="leaf", nodes=2)])


def test_unequal_switches_are_left_out() -> None:
    notes = Notes()
    tiers = [Tier(name="leaf", groups=(("a",), ("b",), ("c", "d", "e")))]
    assert sized(("a", "b", "c", "d", "e"), tiers, notes)[1] == []
    assert notes.left_out == [
        "tier leaf of 3 switches: they hold 3, 1 nodes, and not the same each"
    ]


@given(
    leaves=st.integers(1, 4),
    spines=st.integers(1, 3),
    nodes=st.integers(1, 4),
    seed=st.randoms(use_true_random=False),
)
def test_sized_tiers_have_the_groups_they_came_from(
    leaves: int, spines: int, nodes: int, seed: object
) -> None:
    """Whatever the order of the file, index // nodes tells which switch a host is below."""
    count = leaves * spines * nodes
    names = [f"n{i}" for i in range(count)]
    by_leaf = [tuple(names[i : i + nodes]) for i in range(0, count, nodes)]
    width = nodes * leaves
    by_spine = [tuple(names[i : i + width]) for i in range(0, count, width)]
    seed.shuffle(names)  # type: ignore[attr-defined]
    tiers = [Tier(name="leaf", groups=tuple(by_leaf)), Tier(name="spine", groups=tuple(by_spine))]
    hosts, found = sized(tuple(names), tiers, Notes())
    assert sorted(hosts) == sorted(names)
    for tier in found:
        groups = by_leaf if tier.name == "leaf" else by_spine
        chunks = [set(hosts[i : i + tier.nodes]) for i in range(0, count, tier.nodes)]
        assert sorted(map(sorted, chunks)) == sorted(map(sorted, groups))


@given(
    st.lists(
        st.from_regex(r"[a-c]{1,2}-?[0-9]{0,3}(\.x)?", fullmatch=True),
        min_size=1,
        max_size=12,
        unique=True,
    )
)
def test_short_lists_of_hosts_expand_to_the_same(names: list[str]) -> None:
    assert expand_hosts(short(names)) == tuple(names)


def test_devices_beside_grace(written: Written) -> None:
    """Four devices with 18 links are GB200 where the processors have 72 cores each."""
    row = "GPU{} \t{}\t{}\t0\tN/A\n"
    text = "\tGPU0\tGPU1\tGPU2\tGPU3\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\n"
    for place in range(4):
        cells = "\t".join(" X " if other == place else "NV18" for other in range(4))
        text += row.format(place, cells, "0-71" if place < 2 else "72-143")
    assert read_facts(written(text)).nodes[0].likely_device == "gb200"
    other = written(text.replace("72-143", "0-71"))
    assert read_facts(other).nodes[0].likely_device == "h100-sxm-80gb"
