"""Constants of collective libraries are files: named by vendor, by device, or by node group."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from planner.specs.library import load_library
from planner.specs.load import load_device
from planner.specs.networks import NetworkShares

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]
    Write = Callable[..., str]

CONSTANTS = (
    "local_copy",
    "low_latency_cost",
    "tree_level_steps",
    "all_to_all_steps",
    "fewest_switch_reducers",
    "ring_exits",
    "sustained_all_to_all",
)


def library(**values: Any) -> dict[str, Any]:
    """NCCL with other values."""
    mapping = load_library("nccl").model_dump(mode="json", exclude_none=True)
    for name, value in values.items():
        if isinstance(value, dict):
            mapping[name] |= {network: measured(share) for network, share in value.items()}
        else:
            mapping[name] = measured(value)
    return mapping


def measured(value: float) -> dict[str, Any]:
    return {"value": value, "basis": "measured", "source": "a test"}


@pytest.fixture
def cluster(tmp_path: Path) -> Write:
    """`cluster(collectives=…)` writes a cluster of nodes of eight devices and returns its path."""

    def write(*, name: str = "cluster.yaml", device: Any = "h100-sxm-80gb", **group: Any) -> str:
        around = {
            "device": device,
            "devices_per_node": 8,
            "count": 4,
            "intra_node": {"bandwidth": "450 GB/s"},
            "network": {"cards": 8, "bandwidth": "50 GB/s"},
        }
        path = tmp_path / name
        path.write_text(json.dumps({"node_groups": [{**around, **group}]}), encoding="utf-8")
        return str(path)

    return write


def estimate(planner: Run, cluster: str, *flags: str) -> dict[str, Any]:
    outcome = planner("estimate", "--cluster", cluster, *flags, "--json")
    assert outcome.code in (0, 1), outcome.stderr
    document: dict[str, Any] = json.loads(outcome.stdout)
    return document


def step_s(document: dict[str, Any]) -> float:
    return float(document["plans"][0]["estimate"]["step_s"])


DENSE = ("--model", "gpt-7.5b", "--global-batch-size", "32")
EIGHT = ("--nodes", "1", "--tensor", "8")
SHORT = ("--model", "gpt-7.5b", "--global-batch-size", "8", "--seq-length", "128", *EIGHT)
GRAPHS = ("--software", "megatron-core-perf")
EXPERTS = ("--model", "mixtral-8x7b", "--global-batch-size", "32", "--expert", "8")
# Where the host binds, a change of the first two hides behind its launches: hence the larger
# microbatches and the recorded graphs.
CASES: dict[str, tuple[Any, tuple[str, ...], dict[str, Any]]] = {
    "local_copy": (4.0, (*DENSE, *EIGHT, "--micro-batch-size", "4"), {}),
    "low_latency_cost": (1.1, (*SHORT, *GRAPHS), {}),
    "tree_level_steps": (
        0.0,
        (*DENSE, "--nodes", "1", "--tensor", "8", "--sequence-parallel", "off"),
        {"device": "a100-sxm-80gb"},
    ),
    "all_to_all_steps": (30.0, (*EXPERTS, "--nodes", "1"), {}),
    "fewest_switch_reducers": (
        9,
        (*DENSE, *EIGHT, "--sequence-parallel", "off", "--micro-batch-size", "16"),
        {},
    ),
    "ring_exits": (1, (*DENSE, "--data-sharding", "none"), {}),
    "sustained_all_to_all": (
        {"infiniband": 0.3},
        (*EXPERTS, "--nodes", "2", "--tensor", "2", "--expert-tensor", "2"),
        {"network": {"cards": 8, "bandwidth": "50 GB/s", "kind": "infiniband"}},
    ),
}


@pytest.mark.parametrize("constant", CONSTANTS)
def test_every_constant_counts(planner: Run, cluster: Write, constant: str) -> None:
    value, flags, group = CASES[constant]
    as_shipped = step_s(estimate(planner, cluster(**group), *flags))
    named = step_s(estimate(planner, cluster(collectives="nccl", **group), *flags))
    inline = library(**{constant: value})
    changed = step_s(estimate(planner, cluster(collectives=inline, **group), *flags))
    assert named == as_shipped
    assert changed != as_shipped


def test_every_constant_of_a_library_is_tried_here() -> None:
    about = {"name", "description", "source", "vendors"}
    assert set(load_library("nccl").model_dump()) - about == set(CONSTANTS) == set(CASES)


def test_a_library_is_found_beside_the_file_that_names_it(
    planner: Run, cluster: Write, tmp_path: Path
) -> None:
    slow = json.dumps(library(local_copy=40.0))
    (tmp_path / "mine.yaml").write_text(slow, encoding="utf-8")
    devices = tmp_path / "devices"
    devices.mkdir()
    (devices / "theirs.yaml").write_text(slow, encoding="utf-8")
    device = load_device("h100-sxm-80gb").model_dump(mode="json", exclude_unset=True)
    device["collectives"] = "./theirs.yaml"
    (devices / "own.yaml").write_text(json.dumps(device), encoding="utf-8")
    by_group = estimate(planner, cluster(collectives="mine.yaml"), *DENSE, *EIGHT)
    by_device = estimate(planner, cluster(device="devices/own.yaml"), *DENSE, *EIGHT)
    shipped = estimate(planner, cluster(), *DENSE, *EIGHT)
    assert step_s(by_group) == step_s(by_device) > step_s(shipped)
    overruled = cluster(device="devices/own.yaml", collectives="nccl")
    assert step_s(estimate(planner, overruled, *DENSE, *EIGHT)) == step_s(shipped)


def test_a_plan_records_the_library(planner: Run, cluster: Write, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    digests = set()
    for value in (0.4, 0.5):
        mine.write_text(json.dumps(library(local_copy=value)), encoding="utf-8")
        document = estimate(planner, cluster(collectives="mine.yaml"), *DENSE, *EIGHT)
        digests.add(document["inputs"]["cluster"]["sha256"])
    assert len(digests) == 2


def test_the_vendor_decides_where_nothing_is_named(planner: Run, cluster: Write) -> None:
    def noted(vendor: str, **group: Any) -> list[str]:
        device = load_device("a100-sxm-80gb").model_dump(mode="json", exclude_unset=True)
        document = estimate(
            planner, cluster(device={**device, "vendor": vendor}, **group), *DENSE, *EIGHT
        )
        return [note for note in document["inputs"]["assumptions"] if "no library" in note]

    assert not noted("NVIDIA")
    assert not noted("amd")
    assert not noted("intel", collectives="rccl")
    assert noted("intel") == [
        "cluster: collectives of group group-0 as in nccl (no library is shipped for vendor intel)"
    ]


@pytest.mark.parametrize(
    ("collectives", "message"),
    [
        (
            "ncl",
            "node_groups[0].collectives: no library file is shipped as 'ncl'; `planner list` shows "
            "all, a path works too; did you mean nccl?",
        ),
        ("./none.yaml", "node_groups[0].collectives: "),
        (
            {**library(), "local_coppy": 1},
            "node_groups[0].collectives.local_coppy: unknown key; allowed: name, description",
        ),
        (
            {**library(), "ring_exits": {"value": 0, "basis": "measured", "source": "x"}},
            "node_groups[0].collectives.ring_exits.value: must be at least 1, found 0",
        ),
        (
            {key: value for key, value in library().items() if key != "local_copy"},
            "node_groups[0].collectives: local_copy is missing",
        ),
    ],
    ids=["name", "path", "key", "value", "missing"],
)
def test_what_is_wrong_is_said_at_its_place(
    planner: Run, cluster: Write, collectives: Any, message: str
) -> None:
    outcome = planner("estimate", "--cluster", cluster(collectives=collectives), *DENSE)
    assert outcome.code == 2
    assert outcome.stderr.startswith("error: ")
    assert "cluster.yaml:1:" in outcome.stderr
    assert message in " ".join(outcome.stderr.split())


@pytest.mark.parametrize("name", ["nccl", "rccl"])
def test_shipped_libraries_say_where_their_numbers_come_from(name: str) -> None:
    shipped = load_library(name)
    for constant in CONSTANTS:
        value = getattr(shipped, constant)
        for stated in dict(value).values() if isinstance(value, NetworkShares) else (value,):
            assert stated.basis != "default"
            assert stated.basis in ("measured", "code") or "inferred from" in stated.source


def test_nodes_with_different_libraries_wait_for_the_slower(planner: Run, tmp_path: Path) -> None:
    def searched(*libraries: Any) -> dict[str, Any]:
        groups = [
            {
                "name": f"group-{index}",
                "count": 1,
                "device": "h100-sxm-80gb",
                "devices_per_node": 8,
                "collectives": one,
                "intra_node": {"bandwidth": "450 GB/s"},
                "network": {"cards": 8, "bandwidth": "50 GB/s"},
            }
            for index, one in enumerate(libraries)
        ]
        path = tmp_path / "two.yaml"
        path.write_text(json.dumps({"node_groups": groups}), encoding="utf-8")
        flags = ("--tensor", "8", "--pipeline", "1", "--recompute", "none", "--top", "1", "--json")
        outcome = planner("search", "--cluster", str(path), *DENSE, *flags)
        assert outcome.code == 0, outcome.stderr
        document: dict[str, Any] = json.loads(outcome.stdout)
        assert document["search"]["combination_gap"] < 1e-4
        return document

    slow = library(local_copy=4.0, low_latency_cost=9.0, all_to_all_steps=9.0)
    fast_s, mixed_s, slow_s = (
        step_s(searched(*pair)) for pair in (("nccl", "nccl"), ("nccl", slow), (slow, slow))
    )
    assert fast_s < mixed_s <= slow_s * (1 + 1e-9)
