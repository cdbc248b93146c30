"""A training step is slower than single kernels, by the factors of the device file alone."""

from __future__ import annotations

from planner.hardware.described import device_from_spec
from planner.hardware.kernels import matmul_s
from planner.hardware.sustained import in_training, sustained_device
from planner.specs.load import load_cluster, load_device


def test_products_slow_down_by_the_factor() -> None:
    spec = load_device("h100-sxm-80gb")
    alone, training = device_from_spec(spec), device_from_spec(sustained_device(spec))
    shape = {"m": 8192, "n": 8192, "k": 8192}
    ratio = matmul_s(alone, precision="bf16", **shape) / matmul_s(
        training, precision="bf16", **shape
    )
    assert abs(ratio - spec.sustained.matmul.value) < 0.01
    assert matmul_s(alone, precision="fp8", **shape) == matmul_s(training, precision="fp8", **shape)


def test_a_device_without_factors_is_unchanged() -> None:
    spec = load_device("v100-sxm-32gb")
    assert sustained_device(spec) == spec


def test_every_group_of_a_cluster_is_slowed() -> None:
    cluster = load_cluster("mixed-a100-h100-16")
    for before, after in zip(cluster.node_groups, in_training(cluster).node_groups, strict=True):
        expected = before.device.matmul.efficiency.value * before.device.sustained.matmul.value
        assert after.device.matmul.efficiency.value == expected


def test_collectives_between_nodes_keep_their_share_of_the_cards() -> None:
    spec = load_device("a100-sxm-80gb")
    alone, training = device_from_spec(spec).links, device_from_spec(sustained_device(spec)).links
    share = training.inter_node_efficiency / alone.inter_node_efficiency
    assert share == spec.sustained.network.value < 1
    assert training.intra_node_efficiency == alone.intra_node_efficiency
