from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner.errors import InputError
from planner.specs.load import load_cluster, load_device, parse_cluster

if TYPE_CHECKING:
    from planner.specs.cluster.spec import ClusterSpec

GROUP: dict[str, object] = {
    "device": "a100-sxm-80gb",
    "devices_per_node": 8,
    "intra_node": {"bandwidth": "300 GB/s"},
    "network": {"cards": 4, "bandwidth": "200 Gbit/s", "latency": "5 us"},
}


def cluster_of(*groups: dict[str, object], **more: object) -> ClusterSpec:
    return parse_cluster({"node_groups": list(groups), **more})


def test_values_are_in_base_units() -> None:
    group = cluster_of({**GROUP, "count": 2, "name": "a"}).node_groups[0]

    assert group.device == load_device("a100-sxm-80gb")
    assert group.intra_node.bandwidth_bytes_per_s == 300e9
    assert group.intra_node.latency_s is None
    assert group.network is not None
    assert group.network.bandwidth_bytes_per_s == 25e9
    assert group.network.node_bytes_per_s == 100e9
    assert group.network.latency_s == 5e-6
    assert group.hosts == ("a-0", "a-1")


def test_what_is_left_out_is_named() -> None:
    cluster = cluster_of(GROUP)

    assert cluster.name == "cluster"
    assert cluster.node_groups[0].name == "group-0"
    assert cluster.num_nodes is None
    assert cluster.num_devices is None
    assert cluster.tiers == ()
    assert cluster.assumptions == (
        "cluster: intra_node latency of group group-0 from device file a100-sxm-80gb",
        "cluster: group group-0 has as many nodes as the job needs",
        "cluster: one non-blocking network tier (no fabric given)",
    )


def test_hosts_give_the_count() -> None:
    cluster = cluster_of({**GROUP, "hosts": "node[01-03]"})

    assert cluster.num_nodes == 3
    assert cluster.host_names() == ("node01", "node02", "node03")


def test_one_node_needs_no_network() -> None:
    single = {key: value for key, value in GROUP.items() if key != "network"}

    cluster = cluster_of(single)

    assert cluster.sized(devices=4).num_nodes == 1
    with pytest.raises(InputError, match="no network, so it holds one node, not 2"):
        cluster.sized(devices=16)


def test_tiers_and_scale_up() -> None:
    cluster = cluster_of(
        {**GROUP, "count": 36, "scale_up": {"nodes": 18, "bandwidth": "900 GB/s"}},
        fabric={
            "tiers": [
                {"name": "leaf", "nodes": 18, "oversubscription": 1},
                {"name": "wide-area", "bandwidth": "1 GB/s", "latency": "10 ms"},
            ]
        },
    )

    scale_up = cluster.node_groups[0].scale_up
    assert scale_up is not None
    assert (scale_up.nodes, scale_up.bandwidth_bytes_per_s) == (18, 900e9)
    leaf, wide = cluster.tiers
    assert (leaf.name, leaf.nodes, leaf.oversubscription) == ("leaf", 18, 1.0)
    assert (wide.nodes, wide.bandwidth_bytes_per_s, wide.latency_s) == (None, 1e9, 0.01)


def test_overrides_by_name_and_index() -> None:
    cluster = cluster_of(
        {**GROUP, "hosts": "n[0-3]"},
        links={"overrides": [{"between": ["n3", 1], "bandwidth": "5 GB/s", "latency": "1 ms"}]},
    )

    (override,) = cluster.overrides
    assert override.between == (3, 1)
    assert override.bandwidth_bytes_per_s == 5e9
    assert override.latency_s == 1e-3


def test_overrides_between_groups_are_of_all_pairs_of_their_nodes() -> None:
    """A host named like a group is meant before the group."""
    groups = [{**GROUP, "name": name, "count": 2} for name in ("here", "there")]
    link: dict[str, object] = {"between": ["here", "there"], "bandwidth": "5 GB/s"}
    cluster = cluster_of(*groups, links={"overrides": [link]})
    pairs = [one.between for one in cluster.overrides]
    assert pairs == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert [one.between for one in cluster.sized(nodes=3).overrides] == [(0, 2), (1, 2)]
    named = [groups[0], {**groups[1], "hosts": ["here", "x"]}]
    apart = cluster_of(*named, links={"overrides": [{**link, "between": ["here", "x"]}]})
    assert [one.between for one in apart.overrides] == [(2, 3)]
    for other in (["here", "here"], ["here", "here-1"]):
        with pytest.raises(InputError, match="between two different nodes or groups"):
            cluster_of(*groups, links={"overrides": [{**link, "between": other}]})
    again = [link, {**link, "between": ["here-0", "there-1"]}]
    with pytest.raises(InputError, match="this pair has an override already"):
        cluster_of(*groups, links={"overrides": again})


def test_overrides_need_a_count() -> None:
    with pytest.raises(InputError, match="every group needs a count"):
        cluster_of(GROUP, links={"overrides": [{"between": [0, 1], "bandwidth": "5 GB/s"}]})


def test_sized_takes_the_first_nodes_in_file_order() -> None:
    cluster = cluster_of(
        {**GROUP, "name": "a", "count": 2},
        {**GROUP, "name": "b", "count": 3, "devices_per_node": 4},
        links={
            "overrides": [
                {"between": [0, 2], "bandwidth": "5 GB/s"},
                {"between": [0, 4], "bandwidth": "6 GB/s"},
            ]
        },
    )

    taken = cluster.sized(devices=20)

    assert taken.host_names() == ("a-0", "a-1", "b-0")
    assert taken.num_devices == 20
    assert [one.between for one in taken.overrides] == [(0, 2)]
    assert cluster.sized(nodes=1).host_names() == ("a-0",)
    assert cluster.sized() == cluster


def test_sized_fills_groups_without_a_count() -> None:
    cluster = cluster_of({**GROUP, "name": "a"})

    assert cluster.sized(devices=24).host_names() == ("a-0", "a-1", "a-2")
    assert cluster.sized(nodes=2).num_devices == 16
    assert cluster.sized(devices=3).num_nodes == 1


def test_sized_cuts_the_matrix(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("GB/s,a,b,c\na,0,1,2\nb,3,0,4\nc,5,6,0\n", encoding="utf-8")
    cluster = parse_cluster({"node_groups": [GROUP], "links": {"matrix": "m.csv"}}, folder=tmp_path)

    matrix = cluster.sized(nodes=2).matrix

    assert matrix is not None
    assert matrix.bytes_per_s == ((None, 1e9), (3e9, None))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"nodes": 3}, "cluster c has 2 nodes with 16 devices, fewer than the 3 nodes asked for"),
        (
            {"devices": 17},
            "cluster c has 2 nodes with 16 devices, fewer than the 17 devices asked for",
        ),
        (
            {"devices": 12},
            "12 devices leave a node of group group-0 partly used (8 devices each); use 16 or 8",
        ),
    ],
)
def test_sizes_that_do_not_fit(size: dict[str, int], message: str) -> None:
    cluster = cluster_of({**GROUP, "count": 2}, name="c")

    with pytest.raises(InputError) as caught:
        cluster.sized(**size)

    assert str(caught.value) == message


def test_no_count_and_no_job() -> None:
    with pytest.raises(InputError, match="group group-0 has no count; give --nodes or --devices"):
        cluster_of(GROUP).sized()
    with pytest.raises(InputError, match="has no count, so no host names"):
        cluster_of(GROUP).host_names()


def test_a_device_file_beside_the_cluster(tmp_path: Path) -> None:
    device = "name: mine\nmemory:\n  capacity: {value: 16 GiB, basis: datasheet, source: x}\n"
    device += "  bandwidth: {value: 1 TB/s, basis: datasheet, source: x}\n"
    device += "peak: {fp16: {value: 100 TFLOP/s, basis: datasheet, source: x}}\n"
    device += "matmul: {multiprocessors: {value: 80, basis: datasheet, source: x}}\n"
    (tmp_path / "mine.yaml").write_text(device, encoding="utf-8")
    path = tmp_path / "c.yaml"
    group = "{device: ./mine.yaml, devices_per_node: 4, intra_node: {bandwidth: 150 GB/s}}"
    path.write_text(f"node_groups:\n  - {group}\n", encoding="utf-8")

    cluster = load_cluster(path)

    assert cluster.name == "c"
    assert cluster.node_groups[0].device.name == "mine"
    assert cluster.node_groups[0].device.peak.by_format() == {"fp16": 100e12}


def test_digest_covers_the_files_a_cluster_refers_to(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("GB/s,a,b\na,0,1\nb,3,0\n", encoding="utf-8")
    text = "node_groups:\n  - device: a100-sxm-80gb\n    devices_per_node: 8\n"
    text += "    intra_node: {bandwidth: 300 GB/s}\n"
    text += "    network: {cards: 4, bandwidth: 25 GB/s}\nlinks: {matrix: m.csv}\n"
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    before = load_cluster(path).source
    (tmp_path / "m.csv").write_text("GB/s,a,b\na,0,1\nb,4,0\n", encoding="utf-8")
    after = load_cluster(path).source

    assert before is not None
    assert after is not None
    assert before.path == after.path == str(path)
    assert before.sha256 != after.sha256
    assert len(after.sha256) == 64


def test_inline_clusters_have_no_source() -> None:
    assert cluster_of(GROUP).source is None


def test_values_are_frozen_and_hashable() -> None:
    cluster = cluster_of({**GROUP, "count": 2})

    assert hash(cluster) == hash(replace(cluster))
    with pytest.raises(AttributeError):
        cluster.name = "x"  # type: ignore[misc]
