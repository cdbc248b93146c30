"""Device files and software profiles: defaults, constants and round trips."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from planner.errors import InputError
from planner.specs.device import DeviceSpec
from planner.specs.files.catalog import list_shipped
from planner.specs.files.document import document_of
from planner.specs.files.problems import validate
from planner.specs.load import load_device, load_software
from planner.specs.schema import json_schema
from planner.specs.software import SoftwareProfile


def constant(value: object) -> dict[str, object]:
    return {"value": value, "basis": "measured", "source": "here"}


SMALLEST: dict[str, Any] = {
    "name": "tiny",
    "memory": {"capacity": constant("16 GiB"), "bandwidth": constant("1 TB/s")},
    "peak": {"fp32": constant("10 TFLOP/s"), "fp16": constant("100 TFLOP/s")},
    "matmul": {"multiprocessors": constant(80)},
}


def device(**changes: object) -> DeviceSpec:
    return validate(document_of({**SMALLEST, **changes}, "d"), DeviceSpec)


def test_smallest_device() -> None:
    spec = device()

    assert spec.memory.capacity.value == 16 * 2**30
    assert spec.memory.capacity.basis == "measured"
    assert spec.memory.bandwidth.value == 1e12
    assert spec.peak.by_format() == {"fp32": 1e13, "fp16": 1e14}
    assert spec.peak.bf16 is None
    assert spec.matmul.multiprocessors.value == 80
    assert spec.links.reduction_efficiency is None
    assert spec.vendor == "nvidia"
    assert spec.source is None


def test_general_values_say_so() -> None:
    spec = device()

    assert spec.kernel_latency.value == 3e-6
    assert spec.kernel_latency.basis == "default"
    assert "not measured" in spec.links.launch.source


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peak": {}}, "d: peak: no number format given; at least one of fp32, tf32, fp16"),
        (
            {"kernel_latency": constant(3e-6)},
            'd: kernel_latency.value: time needs a unit, found 3e-06; write it like "5 us"',
        ),
        ({"speed_variation": [0.01]}, "d: speed_variation: expected a mapping, found a list"),
        (
            {"speed_variation": {"value": 0.01, "basis": "measured"}},
            "d: speed_variation: source is missing",
        ),
        (
            {"matmul": {**SMALLEST["matmul"], "tiles": [[128]]}},
            "d: matmul.tiles[0]: has too few entries",
        ),
        (
            {"matmul": {**SMALLEST["matmul"], "tile_half": constant(-1)}},
            "d: matmul.tile_half.value: must be at least 0, found -1",
        ),
        (
            {"attention": {"sequence_haIf": constant(1)}},
            "d: attention.sequence_haIf: unknown key; allowed: fused, forward_efficiency",
        ),
    ],
)
def test_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        device(**changes)

    assert str(caught.value).startswith(message)


def test_default_outside_the_choices() -> None:
    profile = load_software("megatron-core").model_dump(mode="json")
    profile["schedules"]["default"] = "zb-h1"

    with pytest.raises(InputError) as caught:
        validate(document_of(profile, "s"), SoftwareProfile)

    assert str(caught.value).startswith("s: schedules.default: 'zb-h1' is not among the choices: ")


@pytest.mark.parametrize(
    ("loaded", "model"),
    [
        *((load_device(name), DeviceSpec) for name in list_shipped("device")),
        *((load_software(name), SoftwareProfile) for name in list_shipped("software")),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_is_dumped_loads_again(loaded: BaseModel, model: type[BaseModel]) -> None:
    dumped = loaded.model_dump(mode="json")

    again = validate(document_of(dumped, "again"), model)

    assert again.model_dump(mode="json") == dumped


def test_choices_begin_with_the_default() -> None:
    profile = load_software("megatron-core")

    assert profile.attention_kernels[0] == profile.attention
    assert profile.sequence_parallel_options[0] == profile.sequence_parallel
    assert profile.source_file is not None
    assert profile.source_file.path.endswith("megatron-core.yaml")


OURS = """name: ours
like: megatron-core
description: Megatron Core with one overlap
source: our launch script
fused: {rotary: false}
overlap: [gradient_reduce]
host_launch: 5 us
"""


def test_a_profile_like_another_states_only_what_differs(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(OURS, encoding="utf-8")
    base, ours = load_software("megatron-core"), load_software(tmp_path / "ours.yaml")

    assert ours.overlap == ("gradient_reduce",)
    assert ours.fused == base.fused.model_copy(update={"rotary": False})
    assert (ours.host_launch.value, ours.host_launch.basis) == (5e-6, "yours")
    stated = {"name", "like", "description", "source", "fused", "overlap", "host_launch"}
    assert ours.model_dump(exclude=stated) == base.model_dump(exclude=stated)
    errors = Draft202012Validator(json_schema("software")).iter_errors(yaml.safe_load(OURS))
    assert list(errors) == []


def test_what_a_profile_is_like_shapes_its_digest(tmp_path: Path) -> None:
    """A plan is stale, too, where the profile changed that its own is like."""
    base, ours = tmp_path / "base.yaml", tmp_path / "ours.yaml"
    ours.write_text(OURS.replace("like: megatron-core", "like: base.yaml"), encoding="utf-8")
    digests = set()
    for launch in ("6 us", "7 us"):
        named = OURS.replace("name: ours", "name: base").replace("5 us", launch)
        base.write_text(named, encoding="utf-8")
        source = load_software(ours).source_file
        assert source is not None
        digests.add(source.sha256)
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("like: megatron-cor", "did you mean megatron-core?"),
        ("like: ours.yaml", "without end"),
        ("like: gone.yaml", "gone.yaml"),
        ("likes: megatron-core", "did you mean like?"),
    ],
)
def test_a_profile_like_none_is_said(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(OURS.replace("like: megatron-core", line), encoding="utf-8")

    with pytest.raises(InputError, match=re.escape(said)):
        load_software(path)
