"""Clusters from files: merged, written, changed in place, and what the planner makes of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner.cli.app import run
from planner.errors import InputError
from planner.hardware.collectives import all_reduce_s
from planner.hardware.described import topology_from_spec
from planner.hardware.fabric import fabric_from_spec
from planner.importers.clusters.importer import ImportedCluster, import_cluster
from planner.importers.clusters.node_options import NodeOptions
from planner.specs.load import load_cluster

if TYPE_CHECKING:
    from collections.abc import Callable

H100 = NodeOptions(device="h100-sxm-80gb")

BASE = """\
# Our cluster.
name: ours  # since 2023
node_groups:
  # the only group
  - name: a100
    count: {count}
    device: a100-sxm-80gb
    devices_per_node: 8
    intra_node: {{bandwidth: 300 GB/s}}   # NVLink
    network: {{cards: 8, bandwidth: 25 GB/s}}
# the end
"""


@pytest.fixture
def imported(data: Path) -> Callable[..., ImportedCluster]:
    def call(*names: str, **options: Any) -> ImportedCluster:
        nodes = options.pop("nodes", H100)
        return import_cluster([str(data / name) for name in names], nodes, **options)

    return call


def group(found: ImportedCluster) -> dict[str, Any]:
    return dict(found.mapping["node_groups"][0])


def test_measured_collective_becomes_the_bandwidth_that_explains_it(
    imported: Callable[..., ImportedCluster],
) -> None:
    """The planner's own all-reduce over the imported cluster takes the time measured."""
    found = imported("nccl_two_nodes.txt", nodes=NodeOptions())
    assert (group(found)["device"], group(found)["devices_per_node"]) == ("h100-sxm-80gb", 2)
    assert group(found)["hosts"] == "gpu-[001-002]"
    topology = topology_from_spec(found.spec, devices=4)
    assert all_reduce_s(topology.group(4, 1), 2**30) == pytest.approx(0.025, rel=1e-3)


def test_partly_used_nodes(imported: Callable[..., ImportedCluster]) -> None:
    """Two of a node's four devices took part: the network bandwidth is that of the node still."""
    found = imported("nccl_two_nodes.txt", "topo_h100.txt", nodes=NodeOptions())
    alone = imported("nccl_two_nodes.txt", nodes=NodeOptions(cards=2))
    assert group(found)["devices_per_node"] == 4
    assert group(found)["network"] == group(alone)["network"]
    assert any("measured 25 ms, planned 25 ms" in clause for clause in found.notes.read)


def test_collectives_inside_and_across_nodes(imported: Callable[..., ImportedCluster]) -> None:
    found = imported("sniff_test.txt", nodes=NodeOptions())
    assert group(found)["intra_node"]["bandwidth"] == "450 GB/s"
    planned = [clause for clause in found.notes.read if "planned" in clause]
    assert len(planned) == 2
    assert all(re.search(r"\([+-]0\.[0-4]%\)", clause) for clause in planned)


def test_nvlinks_count_by_the_device(imported: Callable[..., ImportedCluster]) -> None:
    """Eighteen links are 450 GB/s on an H100 and 900 GB/s on a B200."""
    assert group(imported("topo_h100.txt", nodes=NodeOptions()))["intra_node"] == {
        "bandwidth": "450 GB/s"
    }
    b200 = imported("topo_h100.txt", nodes=NodeOptions(device="b200-sxm"))
    assert group(b200)["intra_node"] == {"bandwidth": "900 GB/s"}


def test_nccl_topology_needs_nothing_else(imported: Callable[..., ImportedCluster]) -> None:
    assert group(imported("system.xml", nodes=NodeOptions())) == {
        "name": "a100",
        "device": "a100-sxm-80gb",
        "devices_per_node": 2,
        "intra_node": {"bandwidth": "300 GB/s"},
        "network": {"cards": 2, "bandwidth": "25 GB/s"},
    }


def test_matrix_is_written_beside_the_cluster(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mine.yaml"
    arguments = ["import", "cluster", str(data / "matrix.csv"), "--device", "a100-sxm-80gb"]
    assert run([*arguments, "-o", str(target)]) == 0
    assert capsys.readouterr().out == ""
    cluster = load_cluster(str(target))
    assert cluster.matrix is not None
    assert cluster.matrix.bytes_per_s[1] == (17346.823e6, None, 19282.933e6)
    assert cluster.host_names() == ("n0", "n1", "n2")
    assert (tmp_path / "mine-bandwidth.csv").read_text().startswith("MB/s,n0,n1,n2\nn0,,19635.359,")
    assert cluster.node_groups[0].network is not None
    assert cluster.node_groups[0].network.node_bytes_per_s == pytest.approx(19635.359e6, rel=1e-3)


def test_matrix_of_an_output_to_stdout(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It goes to the current folder, but never over a file that is something else."""
    monkeypatch.chdir(tmp_path)
    arguments = ["import", "cluster", str(data / "matrix.csv"), "--device", "a100-sxm-80gb"]
    assert run([*arguments, "--json"]) == 0
    mapping = json.loads(capsys.readouterr().out)
    assert mapping["links"] == {"matrix": "matrix-bandwidth.csv"}
    assert run(arguments) == 0
    (tmp_path / "matrix-bandwidth.csv").write_text("mine")
    assert run(arguments) == 2
    assert "exists and would be replaced" in capsys.readouterr().err


def test_three_files_make_one_cluster(tmp_path: Path, data: Path) -> None:
    (tmp_path / "topology.conf").write_text(
        "SwitchName=s0 Nodes=n[0,2]\nSwitchName=s1 Nodes=n1\nSwitchName=t Switches=s[0-1]\n"
    )
    names = [str(tmp_path / "topology.conf"), str(data / "matrix.csv"), str(data / "system.xml")]
    found = import_cluster(names, NodeOptions())
    assert found.spec.host_names() == ("n0", "n2", "n1")
    assert found.spec.matrix is not None
    assert found.spec.matrix.bytes_per_s[0] == (None, 19204.908e6, 19635.359e6)
    assert [(tier.name, tier.nodes) for tier in found.spec.tiers] == [("leaf", 2), ("spine", None)]
    assert found.spec.node_groups[0].devices_per_node == 2


def test_files_that_contradict_each_other(tmp_path: Path, data: Path) -> None:
    other = tmp_path / "other.conf"
    other.write_text("SwitchName=s0 Nodes=n[0-3]\n")
    with pytest.raises(InputError, match=r"matrix.csv: lists 3 hosts, .*other.conf lists 4; n3 is"):
        import_cluster([str(other), str(data / "matrix.csv")], H100)
    with pytest.raises(InputError, match="both say bandwidth between nodes"):
        import_cluster([str(data / "matrix.csv"), str(data / "matrix.csv")], H100)
    with pytest.raises(InputError, match=r"mpigraph.json: lists 2 hosts"):
        import_cluster([str(data / "matrix.csv"), str(data / "mpigraph.json")], H100)


def test_what_nothing_says_is_asked_for(imported: Callable[..., ImportedCluster]) -> None:
    with pytest.raises(InputError, match="which devices the nodes have; give --device NAME"):
        imported("topology.conf", nodes=NodeOptions())
    with pytest.raises(InputError, match="how many devices a node has, and no shipped cluster"):
        imported("topology.conf", nodes=NodeOptions(device="t4"))
    with pytest.raises(InputError, match="how fast the devices of a node reach each other"):
        imported("topology.conf", nodes=NodeOptions(device="h100-sxm-80g", devices_per_node=4))
    with pytest.raises(InputError, match="how fast the network is; give --network-bandwidth"):
        imported("topology.conf", nodes=NodeOptions(device="b200-sxm"))
    with pytest.raises(InputError, match=r"did you mean h100-sxm-80gb\?"):
        imported("topology.conf", nodes=NodeOptions(
            device="h100-sxm-80g", devices_per_node=8, intra_node_bandwidth="450 GB/s",
            network_bandwidth="50 GB/s"))  # fmt: skip


def test_options_win(imported: Callable[..., ImportedCluster]) -> None:
    stated = NodeOptions(
        device="h200-sxm",
        devices_per_node=4,
        intra_node_bandwidth="400 GB/s",
        network_bandwidth="200 Gbit/s",
        cards=2,
    )
    assert group(imported("nccl_two_nodes.txt", nodes=stated)) == {
        "name": "h200",
        "count": 2,
        "device": "h200-sxm",
        "devices_per_node": 4,
        "intra_node": {"bandwidth": "400 GB/s"},
        "network": {"cards": 2, "bandwidth": "200 Gbit/s"},
        "hosts": "gpu-[001-002]",
    }


def test_blocks_of_racks_share_the_fast_fabric(tmp_path: Path) -> None:
    path = tmp_path / "topology.conf"
    path.write_text("BlockName=b1 Nodes=n[01-18]\nBlockName=b2 Nodes=n[19-36]\nBlockSizes=18\n")
    rack = import_cluster([str(path)], NodeOptions(device="gb200"))
    assert group(rack)["scale_up"] == {"nodes": 18, "bandwidth": "900 GB/s"}
    other = import_cluster([str(path)], H100)
    assert "scale_up" not in group(other)
    assert other.mapping["fabric"]["tiers"] == [{"name": "block", "nodes": 18}, {"name": "top"}]


def test_domains_that_switches_cross_win(tmp_path: Path) -> None:
    """Rails join the first devices of all racks: their switches say nothing about neighbours."""
    path = tmp_path / "graph.json"
    entries = [
        {
            "id": f"n{i}",
            "type": "gb200",
            "network_layers": [f"leaf-{i % 2}"],
            "labels": {"accelerator.topograph.run/domain": f"nvl-{i // 2}"},
        }
        for i in range(4)
    ]
    path.write_text(json.dumps({"instances": entries}))
    found = import_cluster([str(path)], NodeOptions())
    assert group(found)["scale_up"]["nodes"] == 2
    assert found.spec.host_names() == ("n0", "n1", "n2", "n3")
    assert any("cross the accelerator domains" in clause for clause in found.notes.left_out)


def test_regions(imported: Callable[..., ImportedCluster]) -> None:
    found = imported("regions.csv")
    pairs = [link["between"] for link in found.mapping["links"]["overrides"]]
    assert ["Belgium", "NL"] in pairs
    assert ["NL", "London"] in pairs
    first = found.spec.overrides[0]
    assert (first.bandwidth_bytes_per_s, first.latency_s) == (0.2425 * 2**30, 0.004)
    assert found.spec.host_names()[:2] == ("Belgium", "Germany")


def test_regions_are_sites_of_several_nodes(data: Path, tmp_path: Path) -> None:
    """Inside a site the network of the device's usual cluster, between sites what was measured,
    and for the pairs the file leaves out the middle of it."""
    target = tmp_path / "sites.yaml"
    command = ["import", "cluster", str(data / "regions.csv"), "--device", "a100-sxm-80gb"]
    assert run([*command, "--nodes-per-site", "3", "-o", str(target)]) == 0
    cluster = load_cluster(str(target))
    assert [(group.name, group.count) for group in cluster.node_groups] == [
        ("Belgium", 3), ("Germany", 3), ("NL", 3), ("London", 3), ("Iowa", 3),
    ]  # fmt: skip
    assert len(cluster.overrides) == 10 * 3 * 3
    fabric = fabric_from_spec(cluster)

    def reached(sender: int, receiver: int) -> tuple[float, float]:
        hop = fabric.hop(sender, receiver, bytes_per_s=2e11, latency_s=5e-6, apart=1)
        return hop.bytes_per_s, hop.latency_s

    assert reached(0, 1) == (2e11, 5e-6)
    assert reached(0, 3) == reached(2, 5) == (0.2425 * 2**30, 0.004)
    assert reached(0, 12) == (0.0283203125 * 2**30, 0.049)


def test_sites_need_links_and_a_file_of_their_own(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix = ["import", "cluster", str(data / "matrix.csv"), "--device", "a100-sxm-80gb"]
    assert run([*matrix, "--nodes-per-site", "2"]) == 2
    assert "--nodes-per-site is for links between regions" in capsys.readouterr().err
    base = tmp_path / "base.yaml"
    base.write_text(BASE.format(count=5))
    command = ["import", "cluster", str(data / "regions.csv"), "--into", str(base)]
    assert run([*command, "--nodes-per-site", "2"]) == 2
    assert "--nodes-per-site makes a new file" in capsys.readouterr().err


def test_into_changes_only_what_was_read(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "ours.yaml"
    target.write_text(BASE.format(count=3))
    assert run(["import", "cluster", str(data / "matrix.csv"), "--into", str(target)]) == 0
    capsys.readouterr()
    lines = target.read_text().splitlines()
    assert lines[0] == "# Our cluster."
    assert lines[1].startswith("# Changed by planner")
    before = [line for line in lines if not line.startswith("# Changed") and "sha256" not in line]
    added = [line for line in before if line not in BASE.format(count=3).splitlines()]
    assert [line.strip() for line in added if not line.startswith("#  ")] == [
        'hosts: "n[0-2]"',
        "links: {matrix: ours-bandwidth.csv}",
    ]
    cluster = load_cluster(str(target))
    assert (cluster.name, cluster.num_nodes) == ("ours", 3)
    assert cluster.matrix is not None


def test_into_several_times(tmp_path: Path, data: Path) -> None:
    """Each import adds what it knows; repeating one changes nothing more."""
    target = tmp_path / "new.yaml"
    first = ["import", "cluster", str(data / "topology.conf"), "--into", str(target)]
    assert run([*first, "--device", "h200-sxm", "--network-bandwidth", "50 GB/s"]) == 0
    assert run(["import", "cluster", str(data / "topo_h100.txt"), "--into", str(target)]) == 0
    cluster = load_cluster(str(target))
    one = cluster.node_groups[0]
    assert (one.device.name, one.devices_per_node, one.count) == ("h200-sxm", 4, 17)
    assert [tier.nodes for tier in cluster.tiers] == [6, None]
    text = target.read_text()
    assert run(["import", "cluster", str(data / "topo_h100.txt"), "--into", str(target)]) == 0
    assert target.read_text() == text


def test_into_replaces_links_of_the_same_pair(tmp_path: Path, data: Path) -> None:
    target = tmp_path / "regions.yaml"
    first = ["import", "cluster", str(data / "regions.csv"), "--into", str(target)]
    assert run([*first, "--device", "a100-sxm-80gb"]) == 0
    faster = tmp_path / "faster.csv"
    text = (data / "regions.csv").read_text().replace("Belgium,NL,3,0.2425", "Belgium,NL,2,0.5")
    faster.write_text(text)
    assert run(["import", "cluster", str(faster), "--into", str(target)]) == 0
    cluster = load_cluster(str(target))
    assert len(cluster.overrides) == 10
    assert max(link.bandwidth_bytes_per_s for link in cluster.overrides) == 0.5 * 2**30


@pytest.mark.parametrize(
    ("base", "arguments", "message"),
    [
        (BASE.format(count=4), ["matrix.csv"], "has 4 nodes, the imported files list 3 hosts"),
        (BASE.format(count=4).replace("count", "conut"), ["matrix.csv"], "did you mean count?"),
        (BASE.format(count=3), ["topology.conf"], "has 3 nodes, the imported files list 17"),
        (BASE.format(count=3), ["matrix.csv", "-o", "x.yaml"], "--into and --output are both"),
        (BASE.format(count=3), ["matrix.csv", "--unit", "furlong"], "--unit: 'furlong' is not"),
        (BASE.format(count=3), ["matrix.csv", "--format", "csv"], "--format 'csv' is not one of"),
        (BASE.format(count=3), ["matrix.csv", "--cards", "0"], "--cards: '0' is not a whole"),
        (BASE.format(count=3), ["matrix.csv", "--network-bandwidth", "50"], "needs a unit"),
        (BASE.format(count=3), ["gpt3_175b.sh"], "is none of: nccl-tests, all-reduce-bench"),
        (BASE.format(count=3), ["published_configs.json"], "is JSON, but of none of"),
    ],
)
def test_refused_changes_leave_the_file_alone(
    tmp_path: Path,
    data: Path,
    base: str,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = tmp_path / "ours.yaml"
    target.write_text(base)
    filled = [str(data / arguments[0]), *arguments[1:]]
    assert run(["import", "cluster", *filled, "--into", str(target)]) == 2
    assert message in capsys.readouterr().err
    assert target.read_text() == base
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours.yaml"]


def test_secrets_of_the_environment_go_nowhere(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "nccl.yaml"
    assert run(["import", "cluster", str(data / "nccl_report.json"), "-o", str(target)]) == 0
    written = capsys.readouterr()
    for text in (target.read_text(), written.out, written.err):
        assert "hunter2" not in text
        assert "AWS_SECRET" not in text


def test_what_is_printed_cannot_drive_a_terminal(tmp_path: Path, data: Path) -> None:
    report = json.loads((data / "nccl_report.json").read_text())
    for device in report["config"]["devices"]:
        device["device_info"] = "NVIDIA H100 80GB HBM3\u001b[2J\n# injected: yes"
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    found = import_cluster([str(path)], NodeOptions())
    said = "".join(found.notes.lines()) + found.text
    assert "\u001b" not in said
    assert not any(line.startswith("# injected") for line in found.text.splitlines())


def test_same_files_same_bytes(imported: Callable[..., ImportedCluster]) -> None:
    names = ("topology.conf", "system.xml")
    assert imported(*names).text == imported(*names).text


def test_standard_input(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (data / "topo_h100.txt").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert run(["import", "cluster", "-"]) == 0
    assert "name: imported\n" in capsys.readouterr().out


def test_every_device_on_a_board_has_a_card(imported: Callable[..., ImportedCluster]) -> None:
    """Where no shipped cluster has nodes of the device and nothing else is said."""
    stated = NodeOptions(device="h200-sxm", network_bandwidth="50 GB/s")
    assert group(imported("topology.conf", nodes=stated))["network"]["cards"] == 8
    cards = NodeOptions(device="rtx-4090", devices_per_node=8, network_bandwidth="10 GB/s")
    of_cards = group(imported("topology.conf", nodes=cards))
    assert of_cards["network"]["cards"] == 1
    assert of_cards["intra_node"] == {"bandwidth": "31.5 GB/s"}
