"""Small runs on A100 whose measured times are the model's own with other constants. The host of
their profile is fast enough not to bind them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from planner.calibration.constants import with_values
from planner.calibration.observations import Observation, device_of, observed_run
from planner.specs.device import DeviceSpec
from planner.specs.runs.build import load_runs

CLUSTER = {
    "node_groups": [
        {
            "device": "a100-sxm-80gb",
            "devices_per_node": 8,
            "intra_node": {"bandwidth": "300 GB/s"},
            "network": {"cards": 8, "bandwidth": "25 GB/s"},
        }
    ]
}
SHAPES = ((8, 1, 2, 2048), (2, 4, 1, 2048), (1, 8, 1, 1024), (4, 4, 1, 4096))
"""Tensor and data degree, micro-batch, tokens a sequence. The last spans two nodes."""


def model(hidden_size: int) -> dict[str, Any]:
    return {
        "architecture": "gpt",
        "num_layers": 4,
        "hidden_size": hidden_size,
        "num_attention_heads": hidden_size // 128,
        "vocab_size": 51200,
    }


def runs_document(hidden_sizes: tuple[int, ...] = (2048, 4096, 8192)) -> dict[str, Any]:
    """A file of runs on one or two nodes, four for each model."""
    return {
        "source": "a test",
        "cluster": CLUSTER,
        "software": "megatron-core-2024",
        "defaults": {"precision": "bf16"},
        "runs": [
            {
                "id": f"h{hidden_size}-t{tensor}-d{data}-s{seq_length}",
                "model": model(hidden_size),
                "devices": tensor * data,
                "degrees": {"tensor": tensor},
                "micro_batch_size": micro_batch_size,
                "seq_length": seq_length,
                "global_batch_size": 8 * max(data, 2),
                "measured": {"step_s": 1.0},
            }
            for hidden_size in hidden_sizes
            for tensor, data, micro_batch_size, seq_length in SHAPES
        ],
    }


@pytest.fixture(scope="session", autouse=True)
def _priced_once() -> Iterator[None]:
    """The same plan on the same device costs the same: what one test priced, others read."""
    known: dict[tuple[int, int, str], float] = {}
    kept: list[Observation] = []
    price = Observation.predicted_s

    def remembered(self: Observation, device: DeviceSpec) -> float:
        key = (id(self.scenario), id(self.plan), device.model_dump_json(exclude_unset=True))
        if key not in known:
            kept.append(self)
            known[key] = price(self, device)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Observation, "predicted_s", remembered)
        yield


@pytest.fixture(scope="session")
def untimed(tmp_path_factory: pytest.TempPathFactory) -> list[Observation]:
    """Twelve runs whose measured time means nothing yet."""
    path = tmp_path_factory.mktemp("runs") / "runs.yaml"
    path.write_text(json.dumps(runs_document()), encoding="utf-8")
    file = load_runs(path)
    assert not file.errors
    found = [observed_run(run, "runs.yaml") for run in file.runs]
    return [one for one in found if one is not None]


@pytest.fixture(scope="session")
def device(untimed: list[Observation]) -> DeviceSpec:
    return device_of(untimed, None)


Measure = Callable[..., list[Observation]]


@pytest.fixture(scope="session")
def measure(untimed: list[Observation], device: DeviceSpec) -> Measure:
    """`measure({"sustained.matmul": 0.8}, noise=0.03, rows=(0, 1, 2))`: the runs as a device with
    these constants would take them, give or take a relative standard deviation."""

    def measured(
        values: Mapping[str, float], *, noise: float = 0.0, seed: int = 0, rows: Any = range(12)
    ) -> list[Observation]:
        chance = random.Random(seed)
        changed = with_values(device, values)
        return [
            replace(
                untimed[row],
                id=f"run-{index}",
                measured_s=untimed[row].predicted_s(changed) * (1 + chance.gauss(0, noise)),
            )
            for index, row in enumerate(rows)
        ]

    return measured
