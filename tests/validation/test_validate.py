"""`planner validate` from the outside: figures, shape, outcomes, mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from planner.specs.files.catalog import list_shipped
from planner.specs.runs.build import load_runs
from planner.training.estimate import estimate
from planner.validation.compare import compare_run
from planner.validation.planned import plan_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import WriteRuns
    from tests.validation.conftest import Outcome

    Validate = Callable[..., Outcome]

GIB = 2**30


def predicted(path: Path) -> list[Any]:
    planned = [plan_run(run) for run in load_runs(path).runs]
    return [estimate(one.scenario, one.plan) for one in planned]


def test_a_step_time_is_compared_with_its_own_prediction(
    write_runs: WriteRuns, validate: Validate
) -> None:
    path = write_runs({"measured": {"step_s": 0.5}})
    outcome = validate(path, "--json")
    assert outcome.code == 0
    step = outcome.document["runs"][0]["step_s"]
    assert step["predicted"] == pytest.approx(predicted(path)[0].step_s)
    assert step["measured"] == 0.5
    assert step["error"] == pytest.approx(step["predicted"] / 0.5 - 1)


def test_rates_are_turned_into_step_times(write_runs: WriteRuns, validate: Validate) -> None:
    """Every figure derived from the same half second gives back half a second."""
    full = {"recompute": "full"}
    cost = predicted(write_runs(full))[0]
    tokens, model_flops = 16 * 1024, cost.model_flops_per_step
    layer_flops = 24 * 1024**2 * (1 + 1024 / (6 * 1024)) * 6 * tokens
    figures = [
        {"tokens_per_s_per_device": tokens / 0.5 / 8},
        {"model_tflops_per_device": model_flops / 0.5 / 8 / 1e12},
        {"hardware_tflops_per_device": (model_flops + layer_flops) / 0.5 / 8 / 1e12},
    ]
    path = write_runs(*({**full, "measured": figure} for figure in figures))
    for run in validate(path, "--json").document["runs"]:
        assert run["step_s"]["measured"] == pytest.approx(0.5)


def test_the_time_counts_when_a_rate_is_stated_too(
    write_runs: WriteRuns, validate: Validate
) -> None:
    measured = {"step_s": 0.5, "tokens_per_s_per_device": 1.0}
    path = write_runs({"measured": measured})
    assert validate(path, "--json").document["runs"][0]["step_s"]["measured"] == 0.5


def test_each_memory_kind_has_its_own_prediction(write_runs: WriteRuns, validate: Validate) -> None:
    measured = {"peak_allocated_gib": 2, "peak_reserved_gib": 3, "peak_device_gib": 4}
    path = write_runs({"degrees": {"pipeline": 2}, "measured": measured})
    stages = predicted(path)[0].memory.per_stage
    memory = validate(path, "--json").document["runs"][0]["memory"]
    for kind, gib in (("allocated", 2), ("reserved", 3), ("device", 4)):
        peak = max(getattr(stage, f"{kind}_peak_bytes") for stage in stages)
        expected = {"predicted": peak, "measured": gib * GIB, "error": peak / (gib * GIB) - 1}
        assert memory[kind] == pytest.approx(expected)
    assert memory["allocated"]["predicted"] < memory["reserved"]["predicted"]
    assert memory["reserved"]["predicted"] < memory["device"]["predicted"]


def test_stages_are_compared_one_by_one(write_runs: WriteRuns, validate: Validate) -> None:
    measured = {
        "peak_allocated_gib_per_stage": [2.5, 2],
        "min_rank_allocated_gib": 2,
        "stage_forward_ms": [10, 20],
        "stage_backward_ms": [20, 40],
    }
    path = write_runs({"degrees": {"pipeline": 2}, "measured": measured})
    cost = predicted(path)[0]
    document = validate(path, "--json").document
    run, summary = document["runs"][0], document["summary"]
    allocated = [stage.allocated_peak_bytes for stage in cost.memory.per_stage]
    assert run["stages"]["allocated_bytes"]["predicted"] == allocated
    assert run["stages"]["forward_s"]["measured"] == [0.01, 0.02]
    busiest = int(cost.time_detail["busiest_stage"])
    assert run["stages"]["forward_s"]["predicted"][busiest] == pytest.approx(
        cost.time_detail["microbatch_forward_s"]
    )
    assert run["stages"]["backward_s"]["error"] == pytest.approx(
        [
            a / b - 1
            for a, b in zip(run["stages"]["backward_s"]["predicted"], [0.02, 0.04], strict=True)
        ]
    )
    assert run["min_rank_allocated"]["predicted"] == min(allocated)
    assert run["memory"]["allocated"]["measured"] == 2.5 * GIB
    assert summary["stages"]["forward_s"]["count"] == 2


def test_the_wrong_number_of_stages_is_an_error_of_that_run(
    write_runs: WriteRuns, validate: Validate
) -> None:
    wrong = {"degrees": {"pipeline": 2}, "measured": {"stage_forward_ms": [1, 2, 3]}}
    outcome = validate(write_runs(wrong, {"measured": {"step_s": 1}}), "--json")
    assert outcome.code == 0
    assert [error["id"] for error in outcome.document["errors"]] == ["run-0"]
    assert "3 figures" in outcome.document["errors"][0]["message"]
    assert [run["id"] for run in outcome.document["runs"]] == ["run-1"]


def test_fit_outcomes(write_runs: WriteRuns, validate: Validate) -> None:
    """Predicted from the device peak against capacity, without the headroom of a search."""
    small = {"measured": {"oom": True}}
    large = {"model": {"hidden_size": 16384, "num_layers": 24}, "measured": {"step_s": 9}}
    right = {"measured": {"step_s": 1}}
    silent: dict[str, Any] = {"measured": {}}
    ran = {"measured": {"oom": False}}
    document = validate(write_runs(small, large, right, silent, ran), "--json").document
    assert [run["fits"] for run in document["runs"]] == [
        {"predicted": True, "measured": False},
        {"predicted": False, "measured": True},
        {"predicted": True, "measured": True},
        {"predicted": True, "measured": None},
        {"predicted": True, "measured": True},
    ]
    assert document["summary"]["fits"] == {"count": 4, "false_fit": 1, "false_oom": 1}
    assert document["runs"][0]["step_s"] is None


def test_groups_give_regret_and_rank_correlation(write_runs: WriteRuns, validate: Validate) -> None:
    """Measured times are made so that the plan predicted fastest is 20 % off the best and one
    pair of the four is in the wrong order."""
    plans = [{"degrees": {"tensor": t, "pipeline": p}} for t, p in ((1, 1), (2, 1), (1, 2), (2, 2))]
    costs = [cost.step_s for cost in predicted(write_runs(*plans))]
    order = sorted(range(4), key=costs.__getitem__)
    measured = dict(zip(order, (1.2, 1.0, 2.0, 3.0), strict=True))
    runs = [
        {**plan, "group": "one", "measured": {"step_s": measured[index]}}
        for index, plan in enumerate(plans)
    ]
    pair = [{"group": "two", "measured": {"step_s": 1.0}}] * 2
    alone = [{"group": "three", "measured": {"step_s": 1.0}}]
    summary = validate(write_runs(*runs, *pair, *alone), "--json").document["summary"]
    assert summary["regret"]["groups"] == 2
    assert summary["regret"]["mean"] == pytest.approx(0.1)
    assert summary["regret"]["max"] == pytest.approx(0.2)
    assert summary["regret"]["within_5_percent"] == 0.5
    assert summary["rank_correlation"] == {
        "groups": 1,
        "mean_tau": 0.666666667,
        "min_tau": 0.666666667,
    }


def test_groups_of_two_files_are_not_one(write_runs: WriteRuns, validate: Validate) -> None:
    run = {"group": "one", "measured": {"step_s": 1.0}}
    first, second = write_runs(run, name="a.yaml"), write_runs(run, name="b.yaml")
    document = validate(first, second, "--json").document
    assert document["summary"]["regret"]["groups"] == 0
    assert [source["name"] for source in document["sources"]] == ["a", "b"]
    assert document["summary"]["step_s"]["count"] == 2


def test_the_constant_mfu_is_the_best_one(write_runs: WriteRuns, validate: Validate) -> None:
    runs = [
        {"model": {"num_layers": layers}, "measured": {"step_s": step_s}}
        for layers, step_s in ((6, 0.2), (12, 0.5), (24, 0.6))
    ]
    path = write_runs(*runs)
    rates = [
        cost.model_flops_per_step / run["measured"]["step_s"]  # type: ignore[index]
        for cost, run in zip(predicted(path), runs, strict=True)
    ]
    tried = [
        sum(abs(rate / constant - 1) for rate in rates) / 3
        for constant in (rates[0] * (0.2 + 0.001 * step) for step in range(5000))
    ]
    step = validate(path, "--json").document["summary"]["step_s"]
    assert step["constant_mfu_error"] == pytest.approx(min(tried), rel=2e-3)
    assert step["constant_mfu_error"] <= min(tried) + 1e-9
    expected = 1 - step["mean_abs_error"] / step["constant_mfu_error"]
    assert step["skill"] == pytest.approx(expected)


SUMMARY_KEYS = {
    "count",
    "mean_abs_error",
    "median_abs_error",
    "p90_abs_error",
    "max_abs_error",
    "bias",
}


def test_the_document_has_the_agreed_shape(write_runs: WriteRuns, validate: Validate) -> None:
    document = validate(write_runs({"measured": {"oom": True}}), "--json").document
    assert {"runs", "errors", "summary"} <= set(document)
    run = document["runs"][0]
    assert {"id", "step_s", "memory", "fits"} <= set(run)
    assert run["step_s"] is None
    assert run["memory"] == {"allocated": None, "reserved": None, "device": None}
    summary = document["summary"]
    assert set(summary["step_s"]) == SUMMARY_KEYS | {"constant_mfu_error", "skill"}
    assert set(summary["memory"]) == {"allocated", "reserved", "device"}
    for kind in summary["memory"].values():
        assert set(kind) == SUMMARY_KEYS
        assert kind["count"] == 0
        assert kind["mean_abs_error"] is None
    assert set(summary["fits"]) == {"count", "false_fit", "false_oom"}
    assert set(summary["regret"]) == {"groups", "mean", "max", "within_5_percent"}
    assert set(summary["rank_correlation"]) == {"groups", "mean_tau", "min_tau"}


def test_a_run_that_cannot_be_planned_does_not_stop_the_others(
    write_runs: WriteRuns, validate: Validate
) -> None:
    bad = [
        {"degrees": {"tensor": 3}},
        {"degrees": {"pipeline": 2}, "schedule": "zigzag"},
        {"nonsense": 1},
    ]
    outcome = validate(write_runs(*bad, {"measured": {"step_s": 1}}), "--json")
    assert outcome.code == 0
    assert sorted(error["id"] for error in outcome.document["errors"]) == [
        "run-0",
        "run-1",
        "run-2",
    ]
    assert [run["id"] for run in outcome.document["runs"]] == ["run-3"]


def test_a_fault_of_ours_costs_one_run_only(
    write_runs: WriteRuns, validate: Validate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from planner.validation import validate as module

    def fails(run: Any) -> Any:
        if run.id == "run-0":
            raise ZeroDivisionError("division by zero")
        return compare_run(run)

    monkeypatch.setattr(module, "compare_run", fails)
    outcome = validate(
        write_runs({"measured": {"step_s": 1}}, {"measured": {"step_s": 1}}), "--json"
    )
    assert outcome.document["errors"] == [
        {"id": "run-0", "message": "internal error: ZeroDivisionError: division by zero"}
    ]
    assert [run["id"] for run in outcome.document["runs"]] == ["run-1"]


@pytest.mark.slow
def test_without_arguments_all_shipped_runs_are_compared(validate: Validate) -> None:
    outcome = validate()
    assert outcome.code == 0
    assert outcome.stdout.startswith("Step time: ")
    table = outcome.stdout.partition("By source")[2]
    assert all(f"\n{name} " in table for name in list_shipped("runs"))
    assert "run by run" not in outcome.stdout
    assert max(map(len, outcome.stdout.splitlines())) <= 80


def test_a_shipped_file_goes_by_its_name(validate: Validate) -> None:
    outcome = validate("megatron-sc21")
    assert outcome.code == 0
    assert "gpt-76b" in outcome.stdout


def test_a_name_nearly_right(validate: Validate) -> None:
    outcome = validate("megatron-sc22")
    assert outcome.code == 2
    assert "did you mean megatron-sc21?" in outcome.stderr


def test_another_device_file_changes_the_prediction(
    write_runs: WriteRuns, validate: Validate, tmp_path: Path
) -> None:
    from planner.specs.files.catalog import resolve

    shipped = resolve("device", "a100-sxm-80gb").read_text(encoding="utf-8")
    slower = tmp_path / "slow.yaml"
    slower.write_text(shipped.replace("312 TFLOP/s", "31.2 TFLOP/s"), encoding="utf-8")
    path = write_runs({"measured": {"step_s": 1}})
    before, after = (
        validate(path, *options, "--json").document["runs"][0]["step_s"]["predicted"]
        for options in ((), ("--device-file", slower))
    )
    assert after > 2 * before


def test_a_device_no_run_uses_is_a_mistake(write_runs: WriteRuns, validate: Validate) -> None:
    outcome = validate(write_runs({"measured": {"step_s": 1}}), "--device-file", "t4")
    assert outcome.code == 2
    assert outcome.stdout == ""
    assert "no run is on t4; their devices are a100-sxm-80gb" in outcome.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("runs: []\n", "runs"),
        ("cluster: nowhere\nruns: [{id: a}]\n", "nowhere"),
        ("- 1\n", "mapping"),
        ("run: [{id: a}]\n", "did you mean runs"),
    ],
)
def test_a_file_that_is_wrong_is_bad_input(
    tmp_path: Path, validate: Validate, text: str, said: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    outcome = validate(path)
    assert outcome.code == 2
    assert outcome.stdout == ""
    assert said in outcome.stderr
    assert str(path) in outcome.stderr


def test_a_file_that_is_not_there(tmp_path: Path, validate: Validate) -> None:
    outcome = validate(tmp_path / "none.yaml")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "none.yaml" in outcome.stderr


def test_the_report_answers_first_and_lists_runs(write_runs: WriteRuns, validate: Validate) -> None:
    runs = [
        {"measured": {"step_s": 1.0, "peak_device_gib": 4}},
        {"measured": {"oom": True}},
        {"degrees": {"tensor": 3}},
        {"degrees": {"tensor": 5}},
    ]
    outcome = validate(write_runs(*runs))
    assert outcome.code == 0
    lines = outcome.stdout.splitlines()
    assert lines[0].startswith("Step time: ")
    assert max(map(len, lines)) <= 80
    for needed in ("run-0", "t1 p1 d8 b2", "1.000 s", "device", "4.0 GiB"):
        assert needed in outcome.stdout
    assert "run-1 ran out of memory; predicted" in outcome.stdout
    assert "Not planned: 2 runs" in outcome.stdout
    assert "run-2:" in outcome.stdout
    assert "run-3:" in outcome.stdout


def test_the_table_by_source_fits_a_terminal(write_runs: WriteRuns, validate: Validate) -> None:
    run = {"measured": {"step_s": 1.0, "peak_allocated_gib": 2, "peak_device_gib": 4}}
    names = [f"{'a-long-name-of-a-source' * 2}-{index}.yaml" for index in range(2)]
    outcome = validate(*(write_runs(run, run, name=name) for name in names))
    assert max(map(len, outcome.stdout.splitlines())) <= 80
    assert "By source" in outcome.stdout
    header = next(line for line in outcome.stdout.splitlines() if line.startswith("source"))
    assert header.split()[1:5] == ["runs", "mean", "med.", "worst"]
    assert header.split()[-2:] == ["tau", "regret"]


def test_a_run_that_ran_is_no_question_of_the_profile(
    write_runs: WriteRuns, validate: Validate
) -> None:
    """Sharding groups, one replica in each too, and offloading that the profile does not know."""
    sharded = {"data_sharding": "optimizer", "recompute": "full", "measured": {"step_s": 0.5}}
    groups = [{**sharded, "optimizer_shard_size": size} for size in (1, 2, 4, 8)]
    outcome = validate(write_runs(*groups, {**sharded, "optimizer_offload": 1.0}), "--json")
    assert outcome.document["errors"] == []
    path = write_runs(*groups)
    peaks = [one.memory.binding.device_peak_bytes for one in predicted(path)]
    assert peaks == sorted(set(peaks), reverse=True)
