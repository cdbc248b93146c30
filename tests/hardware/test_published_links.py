"""Collectives against published measurements of nccl-tests and NCCL. Tolerances are what the fit
reaches on all points of the sources; large messages are closer than short ones."""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING

import pytest

from planner.hardware.collectives import (
    all_gather_s,
    all_reduce_s,
    all_to_all_s,
    reduce_scatter_s,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.hardware.links import ProcessGroup, Topology

OPERATIONS: dict[str, Callable[[ProcessGroup, float], float]] = {
    "all_reduce": all_reduce_s,
    "all_gather": all_gather_s,
    "reduce_scatter": reduce_scatter_s,
    "all_to_all": all_to_all_s,
}

MIB = 2**20

# ai-dynamo/aiconfigurator, NCCL 2.27.3 (A100) and 2.29.2: one node, fp16.
# operation, members, MiB, microseconds
ONE_NODE = {
    "a100-sxm-80gb": (
        300e9,
        [
            ("all_reduce", 8, 4, 77.31),
            ("all_reduce", 8, 64, 595.3),
            ("all_reduce", 8, 512, 4225.9),
            ("all_reduce", 4, 64, 544.3),
            ("all_reduce", 2, 64, 391.5),
            ("all_reduce", 2, 512, 2781.1),
            ("all_gather", 8, 1, 26.79),
            ("all_gather", 8, 64, 351.6),
            ("all_gather", 4, 512, 2102.0),
            ("all_gather", 2, 512, 1789.8),
            ("reduce_scatter", 8, 64, 327.2),
            ("reduce_scatter", 4, 256, 1034.8),
            ("all_to_all", 8, 64, 347.6),
            ("all_to_all", 4, 512, 2065.7),
        ],
    ),
    "h100-sxm-80gb": (
        450e9,
        [
            ("all_reduce", 8, 4, 50.49),
            ("all_reduce", 8, 64, 324.53),
            ("all_reduce", 8, 512, 2111.06),
            ("all_reduce", 4, 64, 330.4),
            ("all_reduce", 2, 512, 1686.4),
            ("all_gather", 8, 1, 17.13),
            ("all_gather", 8, 64, 208.14),
            ("all_gather", 4, 512, 1267.5),
            ("all_gather", 2, 512, 1038.6),
            ("reduce_scatter", 8, 64, 200.75),
            ("reduce_scatter", 2, 512, 1077.9),
            ("all_to_all", 8, 64, 221.29),
            ("all_to_all", 4, 512, 1397.0),
        ],
    ),
    "b200-sxm": (
        900e9,
        [
            ("all_reduce", 8, 64, 278.3),
            ("all_reduce", 8, 512, 1334.6),
            ("all_reduce", 4, 256, 659.1),
            ("all_reduce", 2, 512, 1005.3),
            ("all_gather", 8, 256, 393.1),
            ("all_gather", 4, 512, 710.6),
            ("all_gather", 2, 512, 612.3),
            ("reduce_scatter", 8, 512, 766.5),
            ("reduce_scatter", 4, 256, 380.5),
            ("all_to_all", 8, 512, 834.2),
            ("all_to_all", 4, 64, 124.8),
        ],
    ),
    "v100-sxm-16gb": (  # VIA-Research/vTrain, trace/v100
        150e9,
        [
            ("all_reduce", 8, 16, 273.8),
            ("all_reduce", 8, 128, 1777.1),
            ("all_reduce", 8, 1024, 13969.0),
            ("all_reduce", 2, 128, 5968.0),
            ("all_reduce", 2, 1024, 47610.0),
        ],
    ),
}


@pytest.mark.parametrize("name", ONE_NODE)
def test_inside_one_node(topology: Callable[..., Topology], name: str) -> None:
    intra, points = ONE_NODE[name]
    node = topology(name, nodes=1, intra=intra)
    errors = [
        abs(OPERATIONS[operation](node.group(members, 1), mebibytes * MIB) / (measured / 1e6) - 1)
        for operation, members, mebibytes, measured in points
    ]
    assert mean(errors) < 0.09
    assert max(errors) < 0.26


# bytes and microseconds of an all-reduce over all devices
TWO_P4DE = [(134217728, 3912.9), (536870912, 13552.0), (2147483648, 51406.0)]
TWO_P5 = [(134217728, 870.3), (536870912, 2559.2), (4294967296, 17286.0), (17179869184, 66132.0)]
TWO_OCI = [(1073741824, 4478.8), (4294967296, 17228.0), (17179869184, 68359.0)]
EIGHT_COREWEAVE = [(536870912, 2984.6), (2147483648, 11163.0), (8589934592, 43980.0)]
ONE_RACK = [(536870912, 1806.7), (2147483648, 5589.1), (8589934592, 20299.0)]
TWO_RACKS = [(2147483648, 6264.0), (8589934592, 21493.0), (17179869184, 42067.0)]
TWENTY_RACKS = [(8589934592, 45004.0), (17179869184, 84625.0)]


@pytest.mark.parametrize(
    ("settings", "points", "tolerance"),
    [
        # aws-samples/awsome-distributed-training, nccl-tests: 4 and 32 cards of 100 Gb/s
        ({"device": "a100-sxm-80gb", "nodes": 2, "cards": 4, "card": 12.5e9}, TWO_P4DE, 0.15),
        (
            {"device": "h100-sxm-80gb", "nodes": 2, "intra": 450e9, "cards": 32, "card": 12.5e9},
            TWO_P5,
            0.16,
        ),
        # oracle-quickstart/oci-hpc, BM.GPU.H100.8
        ({"device": "h100-sxm-80gb", "nodes": 2, "intra": 450e9, "card": 50e9}, TWO_OCI, 0.06),
        # coreweave/nccl-tests README, H100 and GB200
        (
            {"device": "h100-sxm-80gb", "nodes": 8, "intra": 450e9, "card": 50e9},
            EIGHT_COREWEAVE,
            0.10,
        ),
        *(
            (
                {
                    "device": "gb200",
                    "nodes": nodes,
                    "per_node": 4,
                    "intra": 900e9,
                    "cards": 4,
                    "card": 50e9,
                    "domain": 18,
                },
                points,
                0.15,
            )
            for nodes, points in ((18, ONE_RACK), (36, TWO_RACKS), (360, TWENTY_RACKS))
        ),
    ],
)
def test_across_nodes(
    topology: Callable[..., Topology],
    settings: dict[str, object],
    points: list[tuple[int, float]],
    tolerance: float,
) -> None:
    cluster = topology(**settings)
    group = cluster.group(cluster.devices, 1)
    for size_bytes, measured in points:
        assert all_reduce_s(group, size_bytes) == pytest.approx(measured / 1e6, rel=tolerance)
