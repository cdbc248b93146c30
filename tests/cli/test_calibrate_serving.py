"""`planner calibrate` of serving runs: tables in, an engine file or a refusal out."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest

from planner.calibration.serving.constants import FLOORS, EngineOnDevice, value_of, with_values
from planner.calibration.serving.observations import holder_of, observed_rows
from planner.specs.engine import load_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

DEVICE, BANDWIDTH = "h100-sxm-80gb", "products.bf16.bandwidth"
LOADS = (1, 4, 16, 48)
COLUMNS = (
    *("id", "model", "device", "devices", "tensor", "mode", "framework", "weight_format"),
    *("input_length", "output_length", "load_kind", "load", "lengths", "tpot_mean_ms"),
)


def write_table(path: Path, times_s: Mapping[int, float]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for load, time_s in times_s.items():
            run = (f"c{load}", "llama-3-8b", DEVICE, 1, 1, "agg", "vllm", "bf16")
            requests = (512, 64, "concurrency", load, "3 requests per unit of concurrency")
            table.writerow((*run, *requests, 1e3 * time_s))


@pytest.fixture
def table_of(tmp_path: Path) -> Callable[..., Path]:
    """`table_of({"floors": 2.0})`: runs as fast as such an engine would be."""

    def written(values: Mapping[str, float], loads: tuple[int, ...] = LOADS) -> Path:
        path = tmp_path / "mine.csv"
        write_table(path, dict.fromkeys(loads, 1.0))
        observed, left_out = observed_rows(path, None)
        assert not left_out
        holder = holder_of(load_engine("vllm"), observed, DEVICE)
        changed = with_values(holder, values, "a test")
        times_s = [one.predicted_s(changed) for one in observed]
        write_table(path, dict(zip(loads, times_s, strict=True)))
        return path

    return written


def test_the_engine_file_that_is_written_removes_the_error(
    planner: Run, table_of: Callable[..., Path], tmp_path: Path
) -> None:
    table, out = table_of({BANDWIDTH: 0.6}), tmp_path / "my-vllm.yaml"
    outcome = planner("calibrate", str(table), "--engine-file", str(out))
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith(f"vllm on {DEVICE}: {BANDWIDTH} refitted to 4 runs, written")
    assert "on runs left out (one run of 4 at a time)" in " ".join(outcome.stdout.split())
    engine = load_engine(out)
    found = EngineOnDevice(engine=engine, device=DEVICE, table=engine.kernels[DEVICE])
    assert value_of(found, BANDWIDTH) == pytest.approx(0.6, rel=0.02)
    assert found.table.basis == "measured"
    assert f"fit to 4 serving runs of {table}" in found.table.source
    errors = []
    for options in ((), ("--engine-file", str(out))):
        validated = planner("validate", str(table), "--json", *options)
        errors.append(json.loads(validated.stdout)["summary"]["tpot"]["mean_abs_error"])
    assert errors[0] > 0.1
    assert errors[1] < 0.01


def test_json_and_a_refusal_of_too_few_runs(
    planner: Run, table_of: Callable[..., Path], tmp_path: Path
) -> None:
    table, out = table_of({FLOORS: 2.0}, LOADS[:2]), tmp_path / "out.yaml"
    outcome = planner("calibrate", str(table), "--engine-file", str(out), "--json")
    assert (outcome.code, outcome.stderr) == (1, "")
    document = json.loads(outcome.stdout)
    assert document["refusal"] == (
        f"3 runs with a TPOT or TTFT are needed; 2 are on vllm on {DEVICE}"
    )
    assert (document["engine"], document["device"]) == ("vllm", DEVICE)
    assert set(document["errors_by_figure"]) == {"tpot"}
    assert document["written"] is None
    assert not out.exists()


def test_constants_change_nothing_else(table_of: Callable[..., Path]) -> None:
    observed, _ = observed_rows(table_of({}), None)
    holder = holder_of(load_engine("vllm"), observed, DEVICE)
    values = {FLOORS: 1.5, BANDWIDTH: 0.5, "host.step": 0.002, "all_reduce.one_shot": 9e-6}
    changed = with_values(holder, values, "a test")
    for name, value in values.items():
        if name != FLOORS:
            assert value_of(changed, name) == value
    table = holder.table
    assert changed.table.small_kernel == pytest.approx(1.5 * table.small_kernel)
    for name, law in table.experts.items():
        found = changed.table.experts[name]
        assert found.floor == pytest.approx(1.5 * law.floor)
        assert found.model_copy(update={"floor": law.floor}) == law
    assert with_values(holder, {}, "a test").table == table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device-file", "out.yaml"], "--device-file is for training runs; "),
        ([], "--engine-file OUT.yaml says which file to write"),
        (
            ["--engine-file", "o.yaml", "--engine", "sglang"],
            "--engine: no run with a TPOT ",
        ),
        (["--engine-file", "o.yaml", "--device", "h100"], "--device: no run with a TPOT or TTFT "),
        (["--engine-file", "o.yaml", "--plan", "a.json"], "--plan is for training runs; "),
        (["megatron-sc21", "--engine-file", "o.yaml"], "megatron-sc21 is not a table of serving "),
    ],
)
def test_bad_input(
    planner: Run, table_of: Callable[..., Path], arguments: list[str], message: str
) -> None:
    outcome = planner("calibrate", str(table_of({}, LOADS[:1])), *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {message}")


def test_engine_files_are_for_serving_runs(planner: Run) -> None:
    outcome = planner("calibrate", "megatron-sc21", "--engine-file", "out.yaml")
    assert outcome.stderr.startswith("error: --engine-file is for serving runs; megatron-sc21")
    outcome = planner("validate", "megatron-sc21", "--engine-file", "out.yaml")
    assert outcome.stderr.startswith("error: --engine-file is for serving runs; training runs take")
