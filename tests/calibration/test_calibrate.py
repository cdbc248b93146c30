"""Constants known beforehand are found again; what runs cannot tell is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from planner.calibration.calibrate import Calibration, calibrate, folds_of
from planner.calibration.constants import DEVICE, TUNABLES, value_of, with_values
from planner.calibration.observations import device_of, observed_run, on_device
from planner.errors import InputError
from planner.specs.files.catalog import resolve
from planner.specs.runs.build import load_runs

if TYPE_CHECKING:
    from planner.calibration.identify import Verdict
    from planner.calibration.observations import Observation
    from planner.specs.device import DeviceSpec
    from tests.calibration.conftest import Measure


def verdict_on(found: Calibration[DeviceSpec], name: str) -> Verdict:
    return next(verdict for verdict in found.verdicts if verdict.name == name)


def refitted(found: Calibration[DeviceSpec]) -> dict[str, float]:
    return {v.name: v.after for v in found.verdicts if v.status == "refitted" and v.after}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sustained.matmul", 0.8),
        ("sustained.attention", 0.7),
        ("sustained.links", 0.6),
        ("sustained.network", 0.4),
        ("memory.efficiency", 0.55),
        ("memory.efficiency", 0.9),
        ("speed_variation", 0.04),
    ],
)
def test_a_changed_constant_is_found(
    measure: Measure, device: DeviceSpec, name: str, value: float
) -> None:
    found = calibrate(measure({name: value}), device)
    assert found.refusal is None
    assert refitted(found) == {name: pytest.approx(value, rel=0.01)}
    assert found.calibrated is not None
    assert value_of(found.calibrated, name) == refitted(found)[name]
    assert found.mean_error(found.before_s) > 0.01
    assert found.mean_error(found.after_s) < 0.001
    assert found.mean_error(found.held_out_s) < 0.002
    assert (found.folds_by, found.folds) == ("model", 3)


def test_two_changed_constants_are_told_apart(measure: Measure, device: DeviceSpec) -> None:
    changed = {"sustained.matmul": 0.8, "sustained.links": 0.7}
    found = calibrate(measure(changed), device)
    assert refitted(found) == {name: pytest.approx(v, rel=0.01) for name, v in changed.items()}


def test_noise_blurs_a_constant_by_no_more_than_is_said(
    measure: Measure, device: DeviceSpec
) -> None:
    for seed in range(3):
        found = calibrate(measure({"sustained.matmul": 0.8}, noise=0.03, seed=seed), device)
        verdict = verdict_on(found, "sustained.matmul")
        assert verdict.after is not None
        assert verdict.error is not None
        assert 0 < verdict.error < 0.03
        assert verdict.after == pytest.approx(0.8, abs=3 * verdict.error)
        assert 0.015 < found.scatter < 0.05
        assert found.mean_error(found.held_out_s) < found.mean_error(found.before_s) / 2


@pytest.mark.parametrize("seed", range(4))
def test_noise_alone_is_refused(measure: Measure, device: DeviceSpec, seed: int) -> None:
    found = calibrate(measure({}, noise=0.04, seed=seed), device)
    assert found.calibrated is None
    assert found.refusal is not None
    assert "agree with the device file" in found.refusal or "do not hold" in found.refusal


def test_three_runs_are_enough_for_one_constant(measure: Measure, device: DeviceSpec) -> None:
    found = calibrate(measure({"sustained.matmul": 0.8}, rows=(0, 1, 2)), device)
    assert refitted(found) == {"sustained.matmul": pytest.approx(0.8, rel=0.01)}
    assert (found.folds_by, found.folds) == ("run", 3)
    assert verdict_on(found, "sustained.network").reason == "no run depends on it"
    assert verdict_on(found, "memory.efficiency").reason == (
        "these runs cannot tell it from sustained.matmul"
    )


def test_two_runs_are_not(measure: Measure, device: DeviceSpec) -> None:
    found = calibrate(measure({"sustained.matmul": 0.8}, rows=(0, 1)), device)
    assert found.refusal == "3 runs with a step time are needed; 2 are on a100-sxm-80gb"
    assert found.calibrated is None


def test_what_no_run_depends_on_is_named(measure: Measure, device: DeviceSpec) -> None:
    found = calibrate(measure({"sustained.matmul": 0.8}, rows=(0, 1, 2, 4, 5, 6)), device)
    for name in (
        "sustained.network",
        "matmul.efficiency_8bit",
        "matmul.efficiency_4bit",
        "grouped_matmul.efficiency",
    ):
        verdict = verdict_on(found, name)
        assert (verdict.status, verdict.reason) == ("not identified", "no run depends on it")


def test_what_hardly_matters_is_named_with_its_effect(measure: Measure, device: DeviceSpec) -> None:
    found = calibrate(measure({}, noise=0.04, seed=1), device)
    verdict = verdict_on(found, "sustained.network")
    assert verdict.status == "not identified"
    assert verdict.reason is not None
    assert verdict.reason.startswith("a change by 0.075 moves the predicted times by 0.")
    assert f"the runs scatter by {found.scatter:.1%}" in verdict.reason


def test_one_plan_measured_again_and_again_cannot_say_what_is_slow(
    measure: Measure, device: DeviceSpec
) -> None:
    """Its products, norms and collectives would all explain a step that is a third slower."""
    rows = (0,) * 4
    found = calibrate(measure({"sustained.matmul": 0.7}, noise=0.005, rows=rows), device)
    assert found.refusal == "the runs cannot tell any constant of the device file"
    assert verdict_on(found, "sustained.matmul").reason == (
        "sustained.links explains these runs as well as it does"
    )


def test_a_fit_that_does_not_hold_elsewhere_is_refused(
    measure: Measure, device: DeviceSpec
) -> None:
    """One model, measured often, ran where products were slow; the other did not."""
    slow = measure({"sustained.matmul": 0.75}, noise=0.01, rows=(8, 9, 10, 11) * 2)
    others = measure({}, noise=0.01, rows=range(4, 8))
    found = calibrate([*slow, *(replace(one, id=f"other {one.id}") for one in others)], device)
    assert found.calibrated is None
    assert found.refusal is not None
    assert "do not hold elsewhere: leaving out one model of 2 at a time" in found.refusal
    assert found.mean_error(found.after_s) < found.mean_error(found.before_s)
    assert set(refitted(found)) == {"sustained.matmul"}


def test_what_no_constant_explains_is_said(measure: Measure, device: DeviceSpec) -> None:
    runs = [replace(one, measured_s=0.8 * one.measured_s) for one in measure({})]
    assert calibrate(runs, device).refusal == (
        "the step time is predicted 25.0% too long, which no constant within its limits explains"
    )


def test_a_device_cannot_be_faster_than_its_limits(measure: Measure, device: DeviceSpec) -> None:
    runs = [replace(one, measured_s=0.95 * one.measured_s) for one in measure({})]
    found = calibrate(runs, device)
    verdict = verdict_on(found, "sustained.matmul")
    assert verdict.after == 1.0
    assert verdict.reason == "the limit of what it may be"


def test_the_device_keeps_everything_else(measure: Measure, device: DeviceSpec) -> None:
    found = calibrate(measure({"sustained.matmul": 0.8}), device)
    assert found.calibrated is not None
    before, after = device.model_dump(), found.calibrated.model_dump()
    constant = after["sustained"].pop("matmul")
    before["sustained"].pop("matmul")
    assert after == before
    assert constant["basis"] == "measured"
    assert "12 training runs of runs.yaml" in constant["source"]
    assert "before, 0.0% on runs left out" in constant["source"]


def test_8_bit_products_have_a_constant_of_their_own() -> None:
    runs = [
        run for run in load_runs(resolve("runs", "torchtitan-h100")).runs if run.degrees.context < 2
    ]
    found = [one for one in (observed_run(run, "t") for run in runs) if one is not None]
    device = device_of(found, None)
    changed = with_values(device, {"matmul.efficiency_8bit": 0.45})
    timed = [replace(one, measured_s=one.predicted_s(changed)) for one in found]
    assert refitted(calibrate(timed, device)) == {
        "matmul.efficiency_8bit": pytest.approx(0.45, rel=0.01)
    }


def test_without_a_constant_for_8_bits_the_16_bit_one_stands_in(device: DeviceSpec) -> None:
    name = "matmul.efficiency_8bit"
    own = device.matmul.efficiency.value * device.sustained.matmul.value
    assert device.matmul.efficiency_8bit is None
    assert value_of(device, name) == value_of(device, "matmul.efficiency_4bit") == own
    stated = with_values(device, {name: 0.6})
    assert value_of(stated, "matmul.efficiency_4bit") == 0.6


def test_every_constant_can_be_read_and_set(device: DeviceSpec) -> None:
    for tunable in TUNABLES:
        assert tunable.low <= value_of(device, tunable.name) <= tunable.high, tunable.name
        middle = (tunable.low + tunable.high) / 2
        changed = with_values(device, {tunable.name: middle}, "a test")
        assert value_of(changed, tunable.name) == pytest.approx(middle)


def test_left_out_are_sources_then_models_then_groups_then_runs(
    untimed: list[Observation],
) -> None:
    assert folds_of(untimed, DEVICE.folds)[0] == "model"
    sources = [replace(one, source=f"file-{i % 2}") for i, one in enumerate(untimed)]
    name, parts = folds_of(sources, DEVICE.folds)
    assert (name, [len(part) for part in parts]) == ("source", [6, 6])
    groups = [replace(one, group=f"group-{i % 2}") for i, one in enumerate(untimed[4:8])]
    assert folds_of(groups, DEVICE.folds)[0] == "run", "one group alone would leave two runs"
    alone = [replace(one, group="all") for one in untimed[4:8]]
    assert folds_of(alone, DEVICE.folds) == ("run", [[0], [1], [2], [3]])


def test_the_device_must_be_clear(untimed: list[Observation]) -> None:
    other = device_on(untimed[0], "x1")
    with pytest.raises(InputError, match="the runs are on a100-sxm-80gb, x1; --device says"):
        device_of([*untimed, other], None)
    assert device_of([*untimed, other], "x1").name == "x1"
    assert on_device([*untimed, other], device_of([other], None)) == [other]
    with pytest.raises(InputError, match="--device: no run with a step time is on a100; they are"):
        device_of(untimed, "a100")
    slower = device_on(untimed[0], "a100-sxm-80gb", speed_variation=0.02)
    with pytest.raises(InputError, match=r"runs\.yaml and other\.yaml describe a100-sxm-80gb diff"):
        device_of([*untimed, replace(slower, source="other.yaml")], None)


def device_on(one: Observation, name: str, **values: float) -> Observation:
    cluster = one.scenario.cluster
    group = cluster.node_groups[0]
    other = with_values(group.device, values).model_copy(update={"name": name})
    changed = replace(cluster, node_groups=(replace(group, device=other),))
    return replace(one, scenario=replace(one.scenario, cluster=changed))


def test_runs_of_one_name_are_told_apart(untimed: list[Observation], device: DeviceSpec) -> None:
    twice = on_device([untimed[0], untimed[0]], device)
    assert [one.id for one in twice] == [untimed[0].id, f"{untimed[0].id} (2)"]
