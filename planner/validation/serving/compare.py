"""Measured serving runs compared with their estimates, in sum and by model, device and engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.errors import PlannerError
from planner.specs.runs.spec import RunError
from planner.validation.compare import Comparison
from planner.validation.serving.choices import ChoosableRun, choices_of
from planner.validation.serving.figures import (
    QUANTITIES,
    THROUGHPUT,
    TPOT,
    TTFT,
    measured_of,
    predicted_of,
)
from planner.validation.serving.repeats import disagreeing
from planner.validation.serving.row import case_of, why_implausible
from planner.validation.serving.table import RowError, read_table
from planner.validation.statistics import ErrorSummary, summarize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from planner.validation.serving.choices import ChoiceSummary
    from planner.validation.serving.named import OwnEngine
    from planner.validation.serving.row import ServingCase
    from planner.validation.serving.table import ServingRow

_FIRST_REQUESTS = (TTFT, "ttft_p99")
"""What a cold start changes; the median of all requests is not."""
_COLD = (
    "time to the first token, mean and 99th percentile: the first requests waited for kernels to "
    "be compiled, as no request warmed the engine up"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingResult:
    """One run: each quantity that was measured and estimated, seconds or tokens per second."""

    id: str
    model: str
    device: str
    engine: str
    mode: str
    devices: int
    concurrency: float
    compared: Mapping[str, Comparison]
    choosable: ChoosableRun | None = None
    """The run as one that could be chosen; None where its throughput is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCell:
    """All runs of one model on one device type under one engine."""

    model: str
    device: str
    engine: str
    mode: str
    summary: Mapping[str, ErrorSummary]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSource:
    """The runs of one file. `errors` are the rows that cannot be compared, `doubts` those that are
    left out because of what was measured, or of which a part is, `doubtful` what comes out for
    them all the same."""

    name: str
    results: tuple[ServingResult, ...]
    errors: tuple[RunError, ...]
    doubts: tuple[RunError, ...] = ()
    doubtful: tuple[ServingResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingValidation:
    """Serving runs of several files against their estimates."""

    sources: tuple[ServingSource, ...]

    @property
    def results(self) -> tuple[ServingResult, ...]:
        return tuple(result for source in self.sources for result in source.results)

    @property
    def errors(self) -> tuple[RunError, ...]:
        return tuple(error for source in self.sources for error in source.errors)

    @property
    def doubts(self) -> tuple[RunError, ...]:
        return tuple(doubt for source in self.sources for doubt in source.doubts)

    @property
    def summary(self) -> dict[str, ErrorSummary]:
        return _summary(self.results)

    @property
    def summary_with_doubtful(self) -> dict[str, ErrorSummary]:
        """The same with the rows that are left out because of what was measured."""
        doubtful = (result for source in self.sources for result in source.doubtful)
        return _summary((*self.results, *doubtful))

    @property
    def choices(self) -> dict[str, ChoiceSummary]:
        """By mode, how well the estimates choose."""
        return choices_of([one.choosable for one in self.results if one.choosable is not None])

    @property
    def cells(self) -> tuple[ServingCell, ...]:
        """In the order of the names."""
        groups: dict[tuple[str, str, str, str], list[ServingResult]] = {}
        for one in self.results:
            groups.setdefault((one.model, one.device, one.engine, one.mode), []).append(one)
        return tuple(
            ServingCell(
                model=model, device=device, engine=engine, mode=mode, summary=_summary(results)
            )
            for (model, device, engine, mode), results in sorted(groups.items())
        )


def validate_tables(paths: Sequence[Path], own: OwnEngine | None = None) -> ServingValidation:
    """Every row of the tables compared with its estimate. `own` stands in for the engine of its
    name.

    Raises: InputError for a file that is no table of serving runs.
    """
    return ServingValidation(sources=tuple(_source(path, own) for path in paths))


def read_cases(
    path: Path, own: OwnEngine | None = None
) -> Iterator[tuple[ServingRow, ServingCase | RunError, str | None]]:
    """Every row with its run, or with why it cannot be compared, and with what makes its figures
    doubtful. Raises: InputError for a file that is no table of serving runs."""
    rows = read_table(path)
    apart = disagreeing(rows)
    for row in rows:
        reason = None
        try:
            reason = apart.get(id(row)) or why_implausible(row)
            if not measured_of(row):
                raise RowError("no figure to compare")
            found: ServingCase | RunError = case_of(row, own)
        except (RowError, PlannerError) as error:
            found = RunError(id=row.name, message=str(error))
        yield row, found, reason


def _source(path: Path, own: OwnEngine | None) -> ServingSource:
    results: list[ServingResult] = []
    doubtful: list[ServingResult] = []
    errors: list[RunError] = []
    doubts: list[RunError] = []
    for row, case, reason in read_cases(path, own):
        if isinstance(case, RunError):
            errors.append(case)
            continue
        try:
            result = _compare(row, case)
        except (RowError, PlannerError) as error:
            errors.append(RunError(id=row.name, message=str(error)))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            message = f"internal error: {type(error).__name__}: {error}"
            errors.append(RunError(id=row.name, message=message))
        else:
            (doubtful if reason else results).append(result)
            doubts += [RunError(id=row.name, message=reason)] if reason else []
            if case.starts_cold and not reason:
                results[-1], cold = _parted(result)
                doubtful += [cold] if cold.compared else []
                doubts += [RunError(id=row.name, message=_COLD)] if cold.compared else []
    return ServingSource(
        name=path.stem,
        results=tuple(results),
        errors=tuple(errors),
        doubts=tuple(doubts),
        doubtful=tuple(doubtful),
    )


def _parted(result: ServingResult) -> tuple[ServingResult, ServingResult]:
    """What a cold start leaves as it is, and what it changes."""
    changed = {name: result.compared[name] for name in _FIRST_REQUESTS if name in result.compared}
    kept = {name: one for name, one in result.compared.items() if name not in changed}
    return replace(result, compared=kept), replace(result, compared=changed)


def _compare(row: ServingRow, case: ServingCase) -> ServingResult:
    measured, predicted = measured_of(row), predicted_of(case)
    compared = {
        name: Comparison(predicted=predicted[name], measured=measured[name])
        for name in QUANTITIES
        if name in predicted and name in measured
    }
    if not compared:
        raise RowError("no figure that is estimated for this mode")
    return ServingResult(
        id=row.name,
        model=case.scenario.model.name,
        device=case.scenario.device.name,
        engine=case.scenario.engine.name,
        mode=row.text("mode"),
        devices=row.required("devices"),
        concurrency=case.load.concurrency,
        compared=compared,
        choosable=_choosable(row, case, compared, predicted, measured),
    )


def _choosable(
    row: ServingRow,
    case: ServingCase,
    compared: Mapping[str, Comparison],
    predicted: Mapping[str, float],
    measured: Mapping[str, float],
) -> ChoosableRun | None:
    """Clients over the time of a request are its throughput (Little 1961)."""
    load = case.load
    if TPOT not in compared or TTFT not in measured or load.rounds == 1:
        return None
    taken_s = measured[TTFT] + (load.mean_output - 1) * measured[TPOT]
    scenario, reading = case.scenario, case.prefill
    devices = scenario.degrees.devices if reading is None else row.required("devices")
    rate = load.concurrency * load.mean_output / taken_s / devices
    pools = (case.prefill_replicas, case.decode_replicas)
    return ChoosableRun(
        mode=row.text("mode"),
        job=(
            scenario.model.name,
            scenario.device.name,
            scenario.engine.name,
            scenario.weights,
            row.text("input_length"),
            row.text("output_length"),
            row.text("source"),
        ),
        layout=(devices, scenario.degrees, None if reading is None else (reading.degrees, pools)),
        tpot=compared[TPOT],
        rate=Comparison(predicted=predicted[THROUGHPUT] / devices, measured=rate),
    )


def _summary(results: Sequence[ServingResult]) -> dict[str, ErrorSummary]:
    return {
        name: summarize(one.compared[name].error for one in results if name in one.compared)
        for name in QUANTITIES
    }
