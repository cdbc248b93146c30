"""Every file the design names is shipped, loads, and says where its numbers come from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from planner.schedule.registry import SCHEDULES
from planner.specs.cluster.spec import ClusterSpec
from planner.specs.device import PRECISIONS, DeviceSpec
from planner.specs.files.catalog import Kind, list_shipped, resolve
from planner.specs.files.fields import Basis
from planner.specs.job import OPTIMIZERS
from planner.specs.load import load_cluster, load_device, load_model, load_software

SHIPPED: dict[Kind, str] = {
    "device": """a10 a100-pcie-80gb a100-sxm-40gb a100-sxm-80gb a40 a800-sxm-80gb b200-sxm b300-sxm
        gb200 gb300 gh200-96gb h100-nvl h100-pcie h100-sxm-80gb h100-sxm-96gb-500w h20 h200-nvl
        h200-sxm h800 l4 l40s mi250x mi300x mi325x mi350x mi355x rtx-3090 rtx-4090 rtx-5090
        rtx-6000-ada rtx-a6000 rtx-pro-6000 t4 v100-sxm-16gb v100-sxm-32gb""",
    "software": """accelerate-fsdp2 automodel composer-fsdp composer-fsdp-torch1 deepspeed
        deepspeed-3d-2021 fms-fsdp
        internevo megatron-core megatron-core-2024 megatron-core-ci megatron-core-mlperf
        megatron-core-overlap megatron-core-perf megatron-core-perf-24.05
        megatron-core-perf-26.06 megatron-core-perf-eager
        megatron-deepspeed-2022 megatron-deepspeed-moe megatron-kwai megatron-lm-2021
        megatron-lm-2021-03 megatron-lm-2022 torchtitan torchtitan-2024-12""",
    "cluster": """dgx-a100-8 dgx-a100-16 dgx-a100-128 dgx-a100-384 dgx-a100-1280 dgx-h100-16
        dgx-h100-128 dgx-h100-2048 gb200-nvl72-18 gb200-nvl72-144 pipette-v100-16 pipette-a100-16
        frontier-mi250x-384 mixed-a100-h100-16 two-site-a100-32""",
    "model": """gpt-1.7b gpt-3.6b gpt-7.5b gpt-18b gpt-39b gpt-76b gpt-145b gpt-310b gpt-530b gpt-1t
        megatron-22b megatron-530b gpt3-175b bloom-176b gpt-neox-20b llama-2-7b llama-2-13b
        llama-2-70b llama-3-8b llama-3-70b llama-3.1-405b mistral-7b mixtral-8x7b mixtral-8x22b
        qwen3-30b-a3b qwen3-235b-a22b deepseek-v2 deepseek-v3 gpt-oss-120b""",
}
DEVICES = list_shipped("device")
SOFTWARE = list_shipped("software")
CLUSTERS = list_shipped("cluster")
MODELS = list_shipped("model")


@pytest.mark.parametrize("kind", SHIPPED)
def test_the_named_files_are_shipped(kind: Kind) -> None:
    assert list(list_shipped(kind)) == sorted(SHIPPED[kind].split())


def _comment(kind: Kind, name: str) -> str:
    """The lines of comment at the head of a file, as one text."""
    lines = Path(resolve(kind, name)).read_text(encoding="utf-8").splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    return " ".join(line.lstrip("# ") for line in head)


@pytest.mark.parametrize("name", CLUSTERS)
def test_cluster(name: str) -> None:
    cluster = load_cluster(name)
    assert cluster.name == name
    assert cluster.num_nodes == int(name.rsplit("-", 1)[1])
    assert len(cluster.host_names()) == cluster.num_nodes
    assert "Source" in _comment("cluster", name)
    for group in cluster.node_groups:
        assert group.network is not None
        assert group.intra_node.bandwidth_bytes_per_s > group.network.bandwidth_bytes_per_s


def test_racks_of_the_nvl72_clusters() -> None:
    for name, racks in (("gb200-nvl72-18", 1), ("gb200-nvl72-144", 8)):
        cluster = load_cluster(name)
        (group,) = cluster.node_groups
        assert group.scale_up is not None
        assert group.scale_up.nodes * group.devices_per_node == 72
        assert cluster.num_devices == 72 * racks


@pytest.fixture
def two_sites() -> ClusterSpec:
    return load_cluster("two-site-a100-32")


def test_sites_meet_over_a_slow_tier(two_sites: ClusterSpec) -> None:
    site, wide_area = two_sites.tiers
    assert [group.count for group in two_sites.node_groups] == [site.nodes, site.nodes]
    network = two_sites.node_groups[0].network
    assert network is not None
    assert wide_area.bandwidth_bytes_per_s is not None
    assert wide_area.bandwidth_bytes_per_s < network.node_bytes_per_s / 50
    assert wide_area.latency_s is not None
    assert wide_area.latency_s > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_model(name: str) -> None:
    model = load_model(name)
    assert model.name == name
    assert model.assumptions == ()
    assert "Source" in _comment("model", name)


@pytest.mark.parametrize("name", MODELS)
def test_training_block_is_complete(name: str) -> None:
    model = load_model(name)
    training = model.training
    assert training.global_batch_size is not None
    assert training.seq_length is not None
    assert model.seq_length is not None
    assert training.seq_length <= model.seq_length
    assert training.precision in PRECISIONS
    assert training.optimizer in OPTIMIZERS
    assert training.software is None, "a plan is for today's framework unless the user says"


@pytest.mark.parametrize("name", SOFTWARE)
def test_software(name: str) -> None:
    profile = load_software(name)
    assert profile.name == name
    assert set(profile.overlap) <= set(profile.overlap_choices)
    assert set(profile.schedules.choices) <= set(SCHEDULES)


def _device(name: str) -> DeviceSpec:
    device = load_device(name)
    assert device.name == name
    return device


@pytest.mark.parametrize("name", DEVICES)
def test_device_rates_are_dense_and_in_order(name: str) -> None:
    rates = _device(name).peak.by_format()
    assert rates["fp32"] < rates["fp16"]
    assert rates.get("bf16", rates["fp16"]) == rates["fp16"]
    assert rates.get("tf32", rates["fp16"] / 2) == pytest.approx(rates["fp16"] / 2, rel=0.01)
    assert rates.get("fp8", 2 * rates["fp16"]) == pytest.approx(2 * rates["fp16"], rel=0.01)
    assert rates.get("mxfp8", rates.get("fp8")) == rates.get("fp8")
    assert rates.get("nvfp4", 2e99) >= 2 * rates["fp16"]


@pytest.mark.parametrize("name", DEVICES)
def test_device_memory_is_what_is_printed_on_it_or_little_less(name: str) -> None:
    printed = re.search(r"(\d+) GB", _comment("device", name))
    nominal_gib = int(printed[1]) if printed else 64
    capacity_gib = _device(name).memory.capacity.value / 2**30
    assert 0.92 * nominal_gib < capacity_gib < 1.01 * nominal_gib


def _leaves(tree: object, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], object]]:
    if isinstance(tree, dict) and "value" not in tree:
        return [leaf for key, below in tree.items() for leaf in _leaves(below, (*path, key))]
    return [(path, tree)]


SWITCHES = {
    ("name",),
    ("vendor",),
    ("family",),
    ("matmul", "tiles"),
    ("matmul", "fp8_transposes"),
    ("attention", "fused"),
    ("links", "mesh"),
    ("intra_node", "kind"),
}


@pytest.mark.parametrize("name", DEVICES)
def test_every_device_constant_has_basis_and_source(name: str) -> None:
    tree = yaml.safe_load(Path(resolve("device", name)).read_text(encoding="utf-8"))
    constants = [leaf for leaf in _leaves(tree) if leaf[0] not in SWITCHES]
    assert len(constants) >= 5
    for path, constant in constants:
        assert isinstance(constant, dict), f"{'.'.join(path)} is a bare value"
        assert set(constant) == {"value", "basis", "source"}, ".".join(path)
        assert constant["basis"] in get_args(Basis), ".".join(path)
        assert len(constant["source"]) > 10, ".".join(path)


STATED = [
    path
    for kind in ("device", "library", "software")
    for path in (Path(resolve(kind, name)) for name in list_shipped(kind))
] + sorted(Path(resolve("library", "nccl")).parents[1].joinpath("defaults").glob("*.yaml"))


@pytest.mark.parametrize("path", STATED, ids=lambda path: path.stem)
def test_what_was_inferred_says_so_twice(path: Path) -> None:
    """The basis of a constant and the first word of its source agree."""
    for place, leaf in _leaves(yaml.safe_load(path.read_text(encoding="utf-8"))):
        if isinstance(leaf, dict) and "basis" in leaf:
            by_source = leaf["source"].startswith("inferred")
            assert by_source == (leaf["basis"] == "inferred"), ".".join(place)


ESSENTIAL = {
    "memory": {"capacity", "bandwidth", "efficiency"},
    "matmul": {"multiprocessors", "efficiency", "tile_half", "reduction_half", "wave_overlap"},
    "attention": {"forward_efficiency", "backward_efficiency"},
    "links": {"launch", "step", "ramp", "intra_node_efficiency", "inter_node_efficiency"},
}


@pytest.mark.parametrize("name", DEVICES)
def test_the_constants_that_matter_are_stated_for_each_device(name: str) -> None:
    tree = yaml.safe_load(Path(resolve("device", name)).read_text(encoding="utf-8"))
    for section, constants in ESSENTIAL.items():
        assert constants <= set(tree[section]), section
    assert "kernel_latency" in tree


@pytest.mark.parametrize("name", DEVICES)
def test_peaks_and_bandwidth_are_datasheet_values(name: str) -> None:
    device = _device(name)
    rates = [getattr(device.peak, precision) for precision in device.peak.by_format()]
    assert {constant.basis for constant in [*rates, device.memory.bandwidth]} == {"datasheet"}
