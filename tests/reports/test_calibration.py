"""The report of a calibration, from hand-made figures."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from planner.calibration.calibrate import Calibration
from planner.calibration.constants import DEVICE
from planner.calibration.identify import Verdict
from planner.calibration.observations import Observation
from planner.reports.calibration import calibration_report
from planner.reports.console import make_console, render
from planner.specs.load import load_device
from planner.specs.runs.spec import RunError
from planner.validation.compare import Comparison

if TYPE_CHECKING:
    from planner.plan import Plan
    from planner.specs.device import DeviceSpec
    from planner.training.scenario import Scenario
    from tests.conftest import Golden

GIB = 2**30


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def observation(name: str, measured_s: float, **peaks_gib: tuple[float, float]) -> Observation:
    return Observation(
        id=name,
        source="ours.yaml",
        group=None,
        scenario=cast("Scenario", None),
        plan=cast("Plan", None),
        measured_s=measured_s,
        memory={
            kind: Comparison(predicted=predicted * GIB, measured=measured * GIB)
            for kind, (predicted, measured) in peaks_gib.items()
        },
    )


def calibration() -> Calibration[DeviceSpec]:
    device = load_device("a100-sxm-80gb")
    return Calibration(
        holder=device,
        constants=DEVICE,
        observations=(
            observation("gpt-7b-t1-p1-d8", 10.0, allocated=(50.5, 50.0)),
            observation("gpt-7b-t8-p1-d1-a-rather-long-name-of-a-run-somebody-made", 12.0),
            observation("tiny", 0.0123),
        ),
        verdicts=(
            Verdict(
                name="sustained.matmul", before=0.95, status="refitted", after=0.812, error=0.0113
            ),
            Verdict(
                name="sustained.links",
                before=1.0,
                status="refitted",
                after=0.2,
                error=0.031,
                reason="the limit of what it may be",
            ),
            Verdict(name="memory.efficiency", before=0.72, status="kept"),
            Verdict(
                name="sustained.attention",
                before=1.0,
                status="kept",
                reason="the limit of what it may be",
            ),
            Verdict(
                name="sustained.network",
                before=0.92,
                status="not identified",
                reason="no run depends on it",
            ),
            Verdict(
                name="speed_variation",
                before=0.01,
                status="not identified",
                reason="a change by 0.01 moves the predicted times by 0.3%, the runs scatter by "
                "2.1%",
            ),
        ),
        scatter=0.021,
        before_s=(8.5, 11.0, 0.0115),
        after_s=(10.02, 12.1, 0.0122),
        held_out_s=(10.1, 12.3, 0.0121),
        folds_by="run",
        folds=3,
        calibrated=device,
        refusal=None,
    )


def as_text(
    found: Calibration[DeviceSpec], written: str | None, left_out: tuple[RunError, ...] = ()
) -> str:
    report = calibration_report(found, written=written, left_out=left_out)
    return render(report, make_console(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")))


def test_report(golden: Golden) -> None:
    left_out = (RunError(id="odd", message="ours.yaml:7:3: 8 devices are not tensor 3 · data 2"),)
    text = as_text(calibration(), "ours-a100.yaml", left_out)
    golden.check("calibration.txt", text)
    assert max(map(len, text.splitlines())) <= 80


def test_report_of_a_refusal(golden: Golden) -> None:
    refused = replace(
        calibration(),
        calibrated=None,
        refusal="the refitted constants do not hold elsewhere: leaving out one run of 3 at a time, "
        "the mean error there is 9.1% with them and 8.9% without",
    )
    golden.check("calibration-refused.txt", as_text(refused, None))
