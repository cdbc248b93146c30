"""`planner calibrate`: runs files and training logs in, a device file or a refusal out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from planner.calibration.constants import with_values
from planner.calibration.observations import observed_run
from planner.specs.load import load_device
from planner.specs.runs.build import load_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome
    from tests.conftest import WriteRuns

    Run = Callable[..., Outcome]

SHAPES = ((1024, 1, 2), (1024, 2, 4), (2048, 1, 2), (2048, 4, 2), (2048, 2, 1), (4096, 2, 1))
"""Hidden size, tensor degree, micro-batch of runs on one node."""
DEVICE = "a100-sxm-80gb"
RUNS_KEYS = {"id", "source", "step_s", "memory"}


@pytest.fixture
def runs_of(write_runs: WriteRuns) -> Callable[..., Path]:
    """`runs_of({"sustained.matmul": 0.7})`: a file of runs as fast as such a device would be."""

    def written(values: dict[str, float], *, name: str = "mine.yaml", **more: Any) -> Path:
        runs = [
            {
                "id": f"h{hidden}-t{tensor}-b{batch}",
                "model": {"hidden_size": hidden, "num_attention_heads": hidden // 64},
                "degrees": {"tensor": tensor},
                "micro_batch_size": batch,
                "measured": {"step_s": 1.0, **more},
            }
            for hidden, tensor, batch in SHAPES
        ]
        path = write_runs(*runs, name=name)
        changed = with_values(load_device(DEVICE), values)
        for run, loaded in zip(runs, load_runs(path).runs, strict=True):
            observed = observed_run(loaded, name)
            assert observed is not None
            run["measured"] = {"step_s": observed.predicted_s(changed), **more}
        return write_runs(*runs, name=name)

    return written


def test_the_device_file_that_is_written_removes_the_error(
    planner: Run, runs_of: Callable[..., Path], tmp_path: Path
) -> None:
    runs, out = runs_of({"sustained.matmul": 0.7}), tmp_path / "mine-a100.yaml"
    outcome = planner("calibrate", str(runs), "--device-file", str(out))
    assert (outcome.code, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    assert lines[0].startswith(f"{DEVICE}: sustained.matmul refitted to 6 runs, written to")
    assert max(map(len, lines)) <= 80
    for heading in ("Refitted constants", "Left as they are", "Step time, run by run"):
        assert heading in lines
    device = load_device(out)
    assert device.name == DEVICE
    assert device.sustained.matmul.value == pytest.approx(0.7, rel=0.01)
    assert device.sustained.matmul.basis == "measured"
    assert str(runs) in device.sustained.matmul.source
    errors = []
    for options in ((), ("--device-file", str(out))):
        validated = planner("validate", str(runs), "--json", *options)
        errors.append(json.loads(validated.stdout)["summary"]["step_s"]["mean_abs_error"])
    assert errors[0] > 0.05
    assert errors[1] < 0.002


def test_json_is_all_there_is_on_stdout(
    planner: Run, runs_of: Callable[..., Path], tmp_path: Path
) -> None:
    runs, out = runs_of({"sustained.matmul": 0.7}, peak_allocated_gib=10.0), tmp_path / "out.yaml"
    outcome = planner("calibrate", str(runs), "--device-file", str(out), "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    document = json.loads(outcome.stdout)
    assert (document["device"], document["refusal"]) == (DEVICE, None)
    assert document["written"] == str(out)
    constants = {constant["name"]: constant for constant in document["constants"]}
    assert constants["sustained.matmul"]["status"] == "refitted"
    assert constants["sustained.matmul"]["before"] == 0.95
    assert constants["sustained.matmul"]["after"] == pytest.approx(0.7, rel=0.01)
    assert constants["sustained.network"]["status"] == "not identified"
    assert constants["sustained.network"]["reason"] == "no run depends on it"
    errors = {name: figures["mean_abs_error"] for name, figures in document["errors"].items()}
    assert list(errors) == ["before", "after", "held_out"]
    assert max(errors["after"], errors["held_out"]) < 1e-3 < errors["before"]
    assert document["left_out_at_a_time"] == {"by": "model", "parts": 3}
    assert len(document["runs"]) == 6
    for run in document["runs"]:
        assert set(run) == RUNS_KEYS
        assert set(run["step_s"]) == {"measured", "before", "after", "held_out"}
        assert run["memory"]["allocated"]["measured"] == 10 * 2**30
    assert document["left_out"] == []


def test_a_refusal_writes_nothing(
    planner: Run, runs_of: Callable[..., Path], tmp_path: Path
) -> None:
    runs, out = runs_of({}), tmp_path / "out.yaml"
    outcome = planner("calibrate", str(runs), "--device-file", str(out))
    assert (outcome.code, outcome.stderr) == (1, "")
    assert outcome.stdout.splitlines()[0] == (
        "Not calibrated: the runs agree with the device file up to a scatter of 1.0%."
    )
    document = json.loads(
        planner("calibrate", str(runs), "--device-file", str(out), "--json").stdout
    )
    assert document["refusal"].startswith("the runs agree with the device file")
    assert document["written"] is None
    assert not out.exists()


def test_runs_that_cannot_be_planned_are_named_and_the_others_used(
    planner: Run, runs_of: Callable[..., Path], tmp_path: Path
) -> None:
    path = runs_of({"sustained.matmul": 0.7})
    document = json.loads(path.read_text())
    document["runs"] += [
        {"id": "odd", "degrees": {"tensor": 3, "data": 2}, "measured": {"step_s": 1.0}},
        {"id": "untimed", "measured": {"peak_allocated_gib": 3.0}},
    ]
    path.write_text(json.dumps(document))
    out = tmp_path / "out.yaml"
    report = planner("calibrate", str(path), "--device-file", str(out))
    assert report.code == 0
    assert "Not used: 1 run" in report.stdout.splitlines()
    assert "odd:" in report.stdout
    found = json.loads(planner("calibrate", str(path), "--device-file", str(out), "--json").stdout)
    assert [one["id"] for one in found["left_out"]] == ["odd"]
    assert len(found["runs"]) == 6


def log_of(step_s: float) -> str:
    return "\n".join(
        f" iteration {index:8d}/ 100 | consumed samples: 64 | elapsed time per iteration (ms): "
        f"{1000 * step_s * (3 if index == 1 else 1):.1f} | learning rate: 1E-04 | global batch "
        f"size:    64 | lm loss: 1.0 |"
        for index in range(1, 6)
    )


@pytest.fixture
def logged(planner: Run, tmp_path: Path) -> tuple[list[str], str]:
    """Three logs of three plans, a quarter slower than estimated, and the plans' references."""
    names, references = [], []
    for tensor in (1, 2, 4):
        plans = tmp_path / f"plans-{tensor}.json"
        estimated = planner(
            *("estimate", "--cluster", "dgx-a100-8", "--model", "gpt-1.7b", "--nodes", "1"),
            *("--software", "megatron-core", "--global-batch-size", "64", "--json"),
            *("--tensor", str(tensor)),
        )
        plans.write_text(estimated.stdout)
        log = tmp_path / f"train-{tensor}.log"
        step_s = json.loads(estimated.stdout)["plans"][0]["estimate"]["step_s"]
        log.write_text(log_of(1.25 * step_s))
        names.append(str(log))
        references.append(f"{plans}#1")
    return names, ",".join(references)


def test_training_logs_with_their_plans(
    planner: Run, logged: tuple[list[str], str], tmp_path: Path
) -> None:
    names, references = logged
    out = tmp_path / "out.yaml"
    arguments = ("calibrate", *names, "--plan", references, "--device-file", str(out), "--json")
    outcome = planner(*arguments)
    assert outcome.code in (0, 1)
    notes = outcome.stderr.splitlines()
    assert [note.split(":")[0] for note in notes] == ["note"] * 3
    assert notes[0].startswith(f"note: {names[0]}: Megatron-LM, ")
    assert notes[0].endswith(" s, median of 4 steps")
    document = json.loads(outcome.stdout)
    assert [run["id"] for run in document["runs"]] == ["train-1", "train-2", "train-4"]
    for run in document["runs"]:
        assert run["step_s"]["measured"] == pytest.approx(1.25 * run["step_s"]["before"], rel=1e-3)
    assert document["errors"]["before"]["mean_abs_error"] == pytest.approx(0.2, rel=1e-2)


def test_one_plan_serves_all_logs(
    planner: Run, logged: tuple[list[str], str], tmp_path: Path
) -> None:
    names, references = logged
    out = tmp_path / "out.yaml"
    plan = references.split(",")[0]
    outcome = planner(
        *("calibrate", names[0], names[0], names[0], "--plan", plan),
        *("--device-file", str(out), "--json"),
    )
    document = json.loads(outcome.stdout)
    assert [run["id"] for run in document["runs"]] == ["train-1", "train-1 (2)", "train-1 (3)"]


def test_logs_that_do_not_go_with_their_plans(
    planner: Run, logged: tuple[list[str], str], tmp_path: Path
) -> None:
    names, references = logged
    out = ("--device-file", str(tmp_path / "out.yaml"))

    def complaint(*arguments: str) -> str:
        outcome = planner("calibrate", *arguments, *out)
        assert (outcome.code, outcome.stdout) == (2, "")
        return outcome.stderr

    assert complaint(names[0]) == (
        f"error: {names[0]} is a training log; --plan says which plan it is of; such as --plan "
        "plans.json#1, or a plan.json from `planner estimate … --json`\n"
    )
    two = ",".join(references.split(",")[:2])
    assert complaint(*names, "--plan", two) == ("error: --plan names 2 plans for 3 training logs\n")
    assert complaint("megatron-sc21", "--plan", two) == (
        "error: --plan is given but no training log; runs of a file state their own plan\n"
    )
    other = tmp_path / "other.log"
    other.write_text(log_of(2.0).replace("size:    64", "size:    32"))
    one = references.split(",")[0]
    assert complaint(str(other), "--plan", one) == (
        f"error: {other}: the log is of a global batch of 32, the plan's is 64\n"
    )
    plans = one.removesuffix("#1")
    document = json.loads((tmp_path / "plans-1.json").read_text())
    document["inputs"]["cluster"]["name"] = "ours"
    (tmp_path / "plans-1.json").write_text(json.dumps(document))
    assert complaint(names[0], "--plan", one) == (
        f"error: {plans}: the plan was made for cluster ours, which is not shipped; say where its "
        "file is with --cluster\n"
    )
    named = planner("calibrate", names[0], "--plan", one, "--cluster", "dgx-a100-8", *out)
    assert named.stdout.startswith("Not calibrated: 3 runs with a step time are needed; 1 is on")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.yaml"], "none.yaml: no such file"),
        (["none.log", "--plan", "none.json"], "none.json: no such file"),
        (["vtrian-multi-node"], "no runs file is shipped as 'vtrian-multi-node'; "),
        (["megatron-sc21", "--device", "h100"], "--device: no run with a step time is on h100; "),
        (["amp-v100-t4"], "the runs are on t4, v100-sxm-16gb; --device says which of them to "),
        (["megatron-sc21", "--device-file", "/"], "--device-file: '/' cannot be written: it is a "),
        (
            ["megatron-sc21", "--device-file", "/none/x.yaml"],
            "--device-file: '/none/x.yaml' cannot",
        ),
    ],
)
def test_bad_input(planner: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    if "--device-file" not in arguments:
        arguments = [*arguments, "--device-file", str(tmp_path / "out.yaml")]
    outcome = planner("calibrate", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {message}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_runs_is_not_written_over(planner: Run, runs_of: Callable[..., Path]) -> None:
    runs = runs_of({})
    text = runs.read_text(encoding="utf-8")
    outcome = planner("calibrate", str(runs), "--device-file", str(runs))
    assert outcome.code == 2
    assert outcome.stderr == f"error: --device-file: {str(runs)!r} is one of the runs' files\n"
    assert runs.read_text(encoding="utf-8") == text


def test_a_folder_is_no_log(planner: Run, tmp_path: Path) -> None:
    outcome = planner("calibrate", str(tmp_path), "--device-file", str(tmp_path / "out.yaml"))
    assert outcome.code == 2
    assert outcome.stderr.startswith(f"error: {tmp_path} is a folder; name the files")


def test_the_device_file_must_be_named(planner: Run) -> None:
    outcome = planner("calibrate", "megatron-sc21")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr == "error: --device-file OUT.yaml says which file to write\n"
