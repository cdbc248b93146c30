"""Measured serving runs compared with their estimates, in sum and by model, device and engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.errors import PlannerError
from planner.serving.estimate import estimate, estimate_decode_pool
from planner.specs.runs.spec import RunError
from planner.validation.compare import Comparison
from planner.validation.serving.choices import ChoosableRun, choices_of
from planner.validation.serving.repeats import disagreeing
from planner.validation.serving.row import case_of, why_implausible
from planner.validation.serving.table import RowError, read_table
from planner.validation.statistics import ErrorSummary, summarize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from planner.serving.latency import Latency
    from planner.validation.serving.choices import ChoiceSummary
    from planner.validation.serving.row import ServingCase
    from planner.validation.serving.table import ServingRow

TPOT, TTFT, RATE = "tpot", "ttft", "output_tokens_per_s_per_device"
QUANTITIES = (
    *(TPOT, "tpot_median", "tpot_p99", TTFT, "ttft_median", "ttft_p99"),
    RATE,
)
"""What is compared: means of requests, where no percentile is named."""
_FIRST_REQUESTS = (TTFT, "ttft_p99")
"""What a cold start changes; the median of all requests is not."""
_COLD = (
    "time to the first token, mean and 99th percentile: the first requests waited for kernels to "
    "be compiled, as no request warmed the engine up"
)
_THROUGHPUT = "output_tokens_per_s"
"""Of all devices of a run; estimated, and measured in few tables."""
_MILLI = 1e-3


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


def validate_tables(paths: Sequence[Path]) -> ServingValidation:
    """Every row of the tables compared with its estimate.

    Raises: InputError for a file that is no table of serving runs.
    """
    return ServingValidation(sources=tuple(_source(path) for path in paths))


def _source(path: Path) -> ServingSource:
    rows = read_table(path)
    apart = disagreeing(rows)
    results: list[ServingResult] = []
    doubtful: list[ServingResult] = []
    errors: list[RunError] = []
    doubts: list[RunError] = []
    for row in rows:
        try:
            reason = apart.get(id(row)) or why_implausible(row)
            case = _case(row)
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


def _case(row: ServingRow) -> ServingCase:
    if not _measured(row):
        raise RowError("no figure to compare")
    return case_of(row)


def _compare(row: ServingRow, case: ServingCase) -> ServingResult:
    measured = _measured(row)
    predicted = _decoded(case) if case.prefill is not None else _served(case)
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
        rate=Comparison(predicted=predicted[_THROUGHPUT] / devices, measured=rate),
    )


def _measured(row: ServingRow) -> dict[str, float]:
    columns = {
        TPOT: "tpot_mean_ms",
        "tpot_median": "tpot_median_ms",
        "tpot_p99": "tpot_p99_ms",
        TTFT: "ttft_mean_ms",
        "ttft_median": "ttft_median_ms",
        "ttft_p99": "ttft_p99_ms",
    }
    found = {name: row.number(column) for name, column in columns.items()}
    measured = {name: value * _MILLI for name, value in found.items() if value}
    rate = row.number(RATE)
    return measured | ({RATE: rate} if rate else {})


def _served(case: ServingCase) -> dict[str, float]:
    found = estimate(case.scenario, case.load)
    parts = _latency(TTFT, found.ttft)
    if found.tpot is not None:
        parts |= _latency(TPOT, found.tpot)
    devices = case.scenario.degrees.devices
    rate = found.output_tokens_per_s_per_device
    return parts | {RATE: rate, _THROUGHPUT: rate * devices}


def _decoded(case: ServingCase) -> dict[str, float]:
    """What is estimated of a pool that decodes: its time of a token."""
    assert case.prefill is not None
    found = estimate_decode_pool(
        case.prefill,
        case.scenario,
        case.load,
        prefill_replicas=case.prefill_replicas,
        decode_replicas=case.decode_replicas,
    )
    degrees = case.scenario.degrees
    running = found.running * case.decode_replicas * degrees.attention_data * degrees.pipeline
    return {
        TPOT: found.tpot_s,
        "tpot_median": found.tpot_s,
        _THROUGHPUT: running / found.tpot_s,
    }


def _latency(name: str, found: Latency) -> dict[str, float]:
    return {name: found.mean_s, f"{name}_median": found.median_s, f"{name}_p99": found.p99_s}


def _summary(results: Sequence[ServingResult]) -> dict[str, ErrorSummary]:
    return {
        name: summarize(one.compared[name].error for one in results if name in one.compared)
        for name in QUANTITIES
    }
