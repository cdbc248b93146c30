"""Devices described in a cluster file, in as few figures as a person has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import jsonschema
import pytest
import yaml

from planner.specs.device import DeviceSpec, Generation
from planner.specs.like import stand_ins
from planner.specs.load import load_cluster, load_device

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

FOUR_FIGURES = {
    "name": "mine",
    "memory": {"capacity": "24 GiB", "bandwidth": "936 GB/s"},
    "peak": "71 TFLOP/s",
    "generation": "ampere",
}


@pytest.fixture
def estimated(planner: Run, tmp_path: Path) -> Callable[[Any], Outcome]:
    """An estimate on a node of eight of a device."""

    def estimate(device: Any) -> Outcome:
        path = tmp_path / "cluster.yaml"
        group = {
            "count": 1,
            "device": device,
            "devices_per_node": 8,
            "intra_node": {"bandwidth": "12 GB/s"},
        }
        path.write_text(yaml.safe_dump({"node_groups": [group]}))
        model = ("--model", "gpt-1.7b", "--global-batch-size", "64")
        return planner("estimate", "--cluster", str(path), *model, "--recompute", "full", "--json")

    return estimate


def test_four_figures_suffice(estimated: Callable[[Any], Outcome], tmp_path: Path) -> None:
    done = estimated(FOUR_FIGURES)
    assert done.code == 0, done.stderr
    assumptions = json.loads(done.stdout)["inputs"]["assumptions"]
    said = "cluster: device mine: kernels and links inferred from a100-pcie-80gb"
    assert said in assumptions
    device = load_cluster(str(tmp_path / "cluster.yaml")).node_groups[0].device
    assert device.memory.capacity.value == 24 * 2**30
    assert (device.memory.capacity.basis, device.matmul.efficiency.basis) == ("yours", "default")
    assert device.peak.by_format() == {"fp16": 71e12, "bf16": 71e12}
    assert device.matmul.multiprocessors.value == round(108 * 71 / 312)
    base = load_device("a100-pcie-80gb")
    assert device.attention.forward_block.value == base.attention.forward_block.value


def test_without_a_generation_values_are_general(estimated: Callable[[Any], Outcome]) -> None:
    done = estimated({key: FOUR_FIGURES[key] for key in ("name", "memory", "peak")})
    assert done.code == 0, done.stderr
    assert "device mine: general values for kernels and links" in done.stdout


def test_like_a_shipped_device(estimated: Callable[[Any], Outcome], tmp_path: Path) -> None:
    """What is stated counts, all else is as shipped."""
    done = estimated({"like": "a100-sxm-80gb", "memory": "40 GiB"})
    assert done.code == 0, done.stderr
    assert "device like-a100-sxm-80gb: what it does not state is as of a100-sxm-80gb" in done.stdout
    cluster = load_cluster(str(tmp_path / "cluster.yaml"))
    device, base = cluster.node_groups[0].device, load_device("a100-sxm-80gb")
    assert device.memory.capacity.value == 40 * 2**30
    assert device.memory.bandwidth == base.memory.bandwidth
    assert (device.peak, device.links, device.sustained) == (base.peak, base.links, base.sustained)
    shipped = estimated("a100-sxm-80gb")
    ours, theirs = (
        json.loads(one.stdout)["plans"][0]["estimate"]["step_s"] for one in (done, shipped)
    )
    assert ours == theirs


def test_a_stated_peak_leaves_no_format_of_another(
    estimated: Callable[[Any], Outcome], tmp_path: Path
) -> None:
    assert estimated({"like": "h100-sxm-80gb", "name": "h20", "peak": "148 TFLOP/s"}).code == 0
    device = load_cluster(str(tmp_path / "cluster.yaml")).node_groups[0].device
    assert device.peak.by_format() == {"fp16": 148e12, "bf16": 148e12}


def test_a_file_may_be_like_another(estimated: Callable[[Any], Outcome], tmp_path: Path) -> None:
    (tmp_path / "half.yaml").write_text("name: half\nlike: h100-sxm-80gb\nmemory: 40 GiB\n")
    (tmp_path / "quarter.yaml").write_text("name: quarter\nlike: ./half.yaml\nmemory: 20 GiB\n")
    done = estimated("./quarter.yaml")
    assert done.code in (0, 1), done.stderr
    device = load_cluster(str(tmp_path / "cluster.yaml")).node_groups[0].device
    assert device.memory.capacity.value == 20 * 2**30
    assert device.peak == load_device("h100-sxm-80gb").peak


def test_a_base_counts_in_the_digest_of_a_cluster(
    estimated: Callable[[Any], Outcome], tmp_path: Path
) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("name: base\nlike: h100-sxm-80gb\nmemory: 40 GiB\n")

    def digest() -> str:
        done = estimated({"like": "./base.yaml"})
        found: str = json.loads(done.stdout)["inputs"]["cluster"]["sha256"]
        return found

    before = digest()
    base.write_text("name: base\nlike: h100-sxm-80gb\nmemory: 41 GiB\n")
    assert digest() != before


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({**FOUR_FIGURES, "like": "t4"}, "like and generation are both given"),
        ({"like": "a100-sxm-80", "memory": "40 GiB"}, "did you mean a100-sxm-80gb"),
        ({**FOUR_FIGURES, "generation": "amper"}, "did you mean ampere?"),
        ({**FOUR_FIGURES, "memory": "24"}, "size needs a unit"),
        ({**FOUR_FIGURES, "peak": "71"}, "rate needs a unit"),
        ({"name": "x", "generation": "ampere", "peak": "71 TFLOP/s"}, "memory"),
        ({"name": "x", "memory": FOUR_FIGURES["memory"]}, "peak is missing"),
    ],
)
def test_refusals(estimated: Callable[[Any], Outcome], device: Any, message: str) -> None:
    refused = estimated(device)
    assert refused.code == 2
    assert message in refused.stderr
    assert "cluster.yaml:" in refused.stderr


def test_devices_that_are_like_each_other(
    estimated: Callable[[Any], Outcome], tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nlike: ./b.yaml\n")
    (tmp_path / "b.yaml").write_text("name: b\nlike: ./a.yaml\n")
    refused = estimated("./a.yaml")
    assert refused.code == 2
    assert "without end" in refused.stderr


def test_a_part_with_several_versions(estimated: Callable[[Any], Outcome]) -> None:
    refused = estimated("h100")
    assert refused.code == 2
    assert "shipped are h100-nvl, h100-pcie, h100-sxm-80gb and h100-sxm-96gb-500w" in refused.stderr
    assert "did you mean gh200-96gb?" in estimated("gh200").stderr


@pytest.mark.parametrize("kind", ["device", "software"])
def test_schemas_of_what_a_cluster_and_a_job_name(planner: Run, kind: str) -> None:
    schema = json.loads(planner("schema", kind).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == f"planner {kind}"


def test_schema_of_a_device_takes_few_figures(planner: Run) -> None:
    schema = json.loads(planner("schema", "device").stdout)
    jsonschema.validate(FOUR_FIGURES, schema)
    jsonschema.validate({"like": "a100-sxm-80gb", "memory": "40 GiB"}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**FOUR_FIGURES, "generation": "ampere2"}, schema)


DEVICES = """a10 a40 gh200-96gb h100-nvl h100-pcie h20 h200-nvl h800 l4 l40s mi325x mi350x mi355x
rtx-3090 rtx-4090 rtx-5090 rtx-6000-ada rtx-a6000 rtx-pro-6000"""


@pytest.mark.parametrize("name", DEVICES.split())
def test_devices_people_own_are_shipped(estimated: Callable[[Any], Outcome], name: str) -> None:
    done = estimated(name)
    assert done.code == 0, done.stderr
    plan = json.loads(done.stdout)["plans"][0]["estimate"]
    assert 0.02 < plan["mfu"] < 0.75


def test_stand_ins_are_shipped_and_are_those_of_all_generations() -> None:
    assert tuple(stand_ins().generations) == get_args(Generation)
    for name in (*stand_ins().generations.values(), stand_ins().multiprocessor):
        assert load_device(name).name == name


def test_without_a_generation_the_peak_tells_how_many_multiprocessors() -> None:
    """156 TFLOP/s are half of the A100's 312, which 108 multiprocessors have."""
    described = {"name": "x", "memory": FOUR_FIGURES["memory"], "peak": "156 TFLOP/s"}
    assert DeviceSpec.model_validate(described).matmul.multiprocessors.value == 54
