"""Constants of device files and software profiles that were numbers in code once: each counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from planner.specs.load import load_device, load_software

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

DENSE = ("--model", "gpt-7.5b", "--global-batch-size", "32")
SHORT = ("--model", "gpt-7.5b", "--global-batch-size", "8", "--seq-length", "128", "--tensor", "8")
VOCABULARY = (*DENSE, "--pipeline", "4", "--schedule", "1f1b-vocab-1")


def measured(value: float) -> dict[str, object]:
    return {"value": value, "basis": "measured", "source": "a test"}


def cluster(folder: Path, device: Any) -> str:
    group = {
        "device": device,
        "devices_per_node": 8,
        "count": 1,
        "intra_node": {"bandwidth": "300 GB/s"},
    }
    path = folder / "cluster.yaml"
    path.write_text(json.dumps({"node_groups": [group]}), encoding="utf-8")
    return str(path)


def profile(folder: Path, **changes: Any) -> str:
    """Megatron Core with keys and sections changed, those it does not state left out."""
    stated = load_software("megatron-core").model_dump(
        mode="json", exclude_none=True, exclude_unset=True
    )
    for key, value in changes.items():
        stated[key] = {**stated.get(key, {}), **value} if isinstance(value, dict) else value
    path = folder / "profile.yaml"
    path.write_text(json.dumps(stated), encoding="utf-8")
    return str(path)


def estimate(planner: Run, *arguments: str) -> dict[str, Any]:
    outcome = planner("estimate", *arguments, "--json")
    assert outcome.code in (0, 1), outcome.stderr
    found: dict[str, Any] = json.loads(outcome.stdout)["plans"][0]["estimate"]
    return found


@pytest.mark.parametrize(
    ("section", "constant", "value", "flags"),
    [
        ("attention", "longest_block_share", 1.0, DENSE),
        ("attention", "head_dim_step", 96, DENSE),
        ("attention", "dropout_operations", 400.0, (*DENSE, "--precision", "bf16")),
        ("matmul", "load_bytes", 1024, ("--model", "llama-2-7b", "--global-batch-size", "32")),
        ("matmul", "shortest_split", 1_000_000, SHORT),
    ],
)
def test_a_constant_of_the_device_counts(
    planner: Run,
    tmp_path: Path,
    section: str,
    constant: str,
    value: float,
    flags: tuple[str, ...],
) -> None:
    device = load_device("a100-sxm-80gb").model_dump(mode="json", exclude_unset=True)
    general = {key: kept for key, kept in device[section].items() if key != constant}
    # Recorded graphs: else the host binds short products, and the device's constants hide.
    software = profile(tmp_path, attention="flash", cuda_graphs=True)
    steps = []
    for stated in (general, {**general, constant: measured(value)}):
        path = cluster(tmp_path, {**device, section: stated})
        steps.append(estimate(planner, "--cluster", path, "--software", software, *flags)["step_s"])
    shipped = cluster(tmp_path, "a100-sxm-80gb")
    found = estimate(planner, "--cluster", shipped, "--software", software, *flags)
    assert steps[0] == found["step_s"]
    assert steps[1] > steps[0]


@pytest.mark.parametrize(
    ("changes", "quantity", "flags"),
    [
        ({"fused": {"shortest_softmax": 4096}}, "step_s", DENSE),
        ({"fused": {"longest_softmax": 1024}}, "step_s", DENSE),
        ({"fused": {"softmax_rows": 3}}, "step_s", DENSE),
        ({"shared_vocabulary": {"residual_transfers": measured(180)}}, "step_s", VOCABULARY),
        ({"shared_vocabulary": {"residual_buffers": measured(110)}}, "peak_bytes", VOCABULARY),
    ],
    ids=lambda value: "-".join(next(iter(value.values()))) if isinstance(value, dict) else "",
)
def test_a_constant_of_the_profile_counts(
    planner: Run,
    tmp_path: Path,
    changes: dict[str, dict[str, Any]],
    quantity: str,
    flags: tuple[str, ...],
) -> None:
    def found(**changed: Any) -> float:
        software = profile(tmp_path, **changed)
        got = estimate(planner, "--cluster", "dgx-a100-8", "--nodes", "1", *flags, *run(software))
        return float(got["memory"][quantity] if quantity == "peak_bytes" else got[quantity])

    def run(software: str) -> tuple[str, str]:
        return "--software", software

    unfused = {"attention": "unfused"} if "fused" in changes else {}
    assert found(**unfused, **changes) > found(**unfused)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"fused": {"softmax_row": 4}},
            "fused.softmax_row: unknown key; allowed: ",
        ),
        (
            {"shared_vocabulary": {"residual_buffers": [11]}},
            "shared_vocabulary.residual_buffers: expected a mapping, found a list",
        ),
        (
            {"shared_vocabulary": {"residual_bufers": measured(11)}},
            "did you mean residual_buffers?",
        ),
    ],
)
def test_a_mistake_is_named(
    planner: Run, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    software = profile(tmp_path, **changes)
    outcome = planner("estimate", "--cluster", "dgx-a100-8", *DENSE, "--software", software)
    assert outcome.code == 2
    assert "profile.yaml:1:" in outcome.stderr
    assert message in " ".join(outcome.stderr.split())
