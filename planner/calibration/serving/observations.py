"""Measured serving runs as what a calibration fits: times of a token, times to the first one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from planner.calibration.serving.constants import EngineOnDevice
from planner.errors import InputError
from planner.serving.accuracy import shares_of
from planner.specs.files.spelling import did_you_mean
from planner.specs.runs.spec import RunError
from planner.validation.serving.compare import read_cases
from planner.validation.serving.figures import RATE, TPOT, TTFT, measured_of, predicted_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from planner.serving.scenario import ServingScenario
    from planner.specs.engine import EngineProfile
    from planner.validation.serving.launch_settings import LaunchSettings
    from planner.validation.serving.named import OwnEngine
    from planner.validation.serving.row import ServingCase
    from planner.validation.serving.table import ServingRow

COLD = "time to the first token is not used: kernels were compiled while the first requests waited"


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedObservation:
    """One figure of a row. `weight`: how much its relative error counts, by how widely measured
    runs lie around estimates of it; 1 for TPOT."""

    run: str
    source: str
    layout: str
    figure: str
    measured_s: float
    weight: float
    case: ServingCase = field(repr=False)

    @property
    def id(self) -> str:
        return f"{self.run} {self.figure}"

    @property
    def model(self) -> str:
        return self.case.scenario.model.name

    @property
    def scenarios(self) -> list[ServingScenario]:
        """The kinds of replicas that take part."""
        parts = (self.case.scenario, self.case.prefill)
        return [scenario for scenario in parts if scenario is not None]

    @property
    def engine(self) -> str:
        return self.case.scenario.engine.name

    @property
    def devices(self) -> set[str]:
        """The kinds of devices that take part."""
        return {scenario.device.name for scenario in self.scenarios}

    def predicted_s(self, holder: EngineOnDevice) -> float:
        """Seconds with the constants of an engine on a device."""
        return _predicted_s(self.case, holder)[self.figure]


@lru_cache(maxsize=2048)
def _predicted_s(case: ServingCase, holder: EngineOnDevice) -> Mapping[str, float]:
    changed = replace(
        case,
        scenario=_with(case.scenario, case.settings, holder),
        prefill=None
        if case.prefill is None
        else _with(case.prefill, case.prefill_settings, holder),
    )
    found = predicted_of(changed)
    return {name: 1 / one if name == RATE else one for name, one in found.items()}


@lru_cache(maxsize=256)
def _with(
    scenario: ServingScenario, settings: LaunchSettings, holder: EngineOnDevice
) -> ServingScenario:
    return replace(scenario, engine=settings.applied(holder.profile))


def observed_rows(
    path: Path, own: OwnEngine | None
) -> tuple[list[ServedObservation], list[RunError]]:
    """The figures of a table that can be fitted, and the rows that are left out with the reason.
    Raises: InputError for a file that is no table of serving runs."""
    found: list[ServedObservation] = []
    left_out: list[RunError] = []
    for row, case, doubt in read_cases(path, own):
        if isinstance(case, RunError):
            left_out.append(case)
        elif doubt is not None:
            left_out.append(RunError(id=row.name, message=doubt))
        else:
            found += _observed(row, case, str(path))
            if case.starts_cold and TTFT in measured_of(row):
                left_out.append(RunError(id=row.name, message=COLD))
    return found, left_out


def _observed(row: ServingRow, case: ServingCase, source: str) -> Iterator[ServedObservation]:
    """TPOT and TTFT; throughput where TPOT does not say it. Of pools only TPOT is estimated."""
    measured = measured_of(row)
    shares = shares_of(mixture=case.scenario.model.moe is not None)
    for figure in (TPOT, TTFT, RATE):
        cold = figure == TTFT and case.starts_cold
        told = figure == RATE and TPOT in measured
        if figure not in measured or cold or told or (case.prefill and figure != TPOT):
            continue
        yield ServedObservation(
            run=row.name,
            source=source,
            layout=_layout(case),
            figure=figure,
            measured_s=1 / measured[figure] if figure == RATE else measured[figure],
            weight=_width(shares.tpot) / _width(getattr(shares, figure)),
            case=case,
        )


def _width(shares: tuple[float, float]) -> float:
    low, high = shares
    return high / low - 1


def _layout(case: ServingCase) -> str:
    """What rows have in common that differ in their load alone."""
    scenario, prefill = case.scenario, case.prefill
    parts = (scenario.model.name, scenario.weights, scenario.degrees, prefill and prefill.degrees)
    return " ".join(map(str, parts))


def only(
    observations: Sequence[ServedObservation], *, engine: str | None, device: str | None
) -> tuple[str, str, list[ServedObservation]]:
    """The engine and the device to calibrate, and what was measured of them: those named, or the
    only ones there are. Raises: InputError."""
    chosen = _one("engine", engine, {one.engine for one in observations})
    of_engine = [one for one in observations if one.engine == chosen]
    where = _one("device", device, {name for one in of_engine for name in one.devices})
    return chosen, where, [one for one in of_engine if where in one.devices]


def holder_of(
    engine: EngineProfile, observations: Sequence[ServedObservation], device: str
) -> EngineOnDevice:
    """The engine with the table of kernels that the runs on the device were estimated with."""
    scenarios = (one for seen in observations for one in seen.scenarios)
    table = next(one.table for one in scenarios if one.device.name == device)
    return EngineOnDevice(engine=engine, device=device, table=table)


def _one(what: str, named: str | None, found: set[str]) -> str:
    there = ", ".join(sorted(found))
    if named is None:
        if len(found) > 1:
            message = f"the runs are on {there}; --{what} says which of them to calibrate"
            raise InputError(message)
        return next(iter(found))
    if named not in found:
        raise InputError(
            f"--{what}: no run with a TPOT or TTFT is on {named}; they are on {there}",
            hint=did_you_mean(named, found),
        )
    return named
