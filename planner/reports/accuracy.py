"""docs/accuracy.md: how far estimates are from the shipped measured runs, and where, and why."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from textwrap import wrap
from typing import TYPE_CHECKING

from planner.reports.labels import TIME_LABELS, degrees
from planner.reports.sentences import time_shares
from planner.reports.units import count, gib, percent, seconds
from planner.reports.validation import ABSENT, findings, number, signed, source_cells
from planner.validation.compare import MEMORY_KINDS
from planner.validation.confidence import LEVEL, factors, held_out_coverage
from planner.validation.regimes import Regime, host_share, regime_of
from planner.validation.residuals import STEP, publication, residuals_of
from planner.validation.summary import summarize_results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from planner.validation.compare import RunResult
    from planner.validation.validate import SourceResult, Validation

COMMAND = "python -m benchmarks.accuracy"
WIDTH = 100
WORST = 20
LARGE = 0.25
"""Share of the predicted step from which a part of it is a likely reason for an error."""
FEW = 5
"""Runs in a regime below which it counts as hardly measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A run with a measured step time, the source it is from, and its regime."""

    source: SourceResult
    result: RunResult
    regime: Regime

    @property
    def error(self) -> float:
        assert self.result.step is not None
        return self.result.step.error


def accuracy_document(validation: Validation) -> str:
    """The Markdown text."""
    judged = [
        Judged(
            source=source,
            result=result,
            regime=regime_of(result.scenario, result.plan, result.estimate),
        )
        for source in validation.sources
        for result in source.results
        if result.step is not None
    ]
    sections = (
        _opening(validation),
        _by_source(validation),
        _by_device(judged),
        _by_regime(judged),
        _memory(validation),
        _fits(validation),
        _confidence(validation, judged),
        _worst(judged),
    )
    return "\n".join("\n".join(_wrapped(lines)) + "\n" for lines in sections)


def _wrapped(lines: Iterable[str]) -> Iterable[str]:
    """Prose broken at the width of the other documents; tables and headings as they are."""
    for line in lines:
        if len(line) <= WIDTH or line.startswith(("|", "#")):
            yield line
        else:
            yield from wrap(line, WIDTH, subsequent_indent="  " * line.startswith("- "))


def _opening(validation: Validation) -> list[str]:
    summary = validation.summary
    step = summary.step
    names = {publication(source.source) for source in validation.sources}
    return [
        "# Accuracy",
        "",
        f"Estimates beside {count(len(validation.results))} measured runs that "
        f"{len(names)} publications print (`runs/`), made by `{COMMAND}`. `planner validate` "
        "prints the same figures, and those of any runs of your own. An error is predicted / "
        "measured − 1. Constants of devices and software profiles are shared by all runs; nothing "
        "depends on the model or on the source. The same run measured twice differs by 0.3 to 1% "
        "on one site and by 2 to 4% on another.",
        "",
        f"- **step time: {_percent(step.mean_abs_error)} mean absolute error** of "
        f"{count(step.count)} runs; the best constant MFU on the same runs: "
        f"{_percent(summary.constant_mfu_error)}, so the estimates remove "
        f"{_percent(summary.skill)} of what it gets wrong (*skill*)",
        *(f"- {text}" for text in findings(summary)),
    ]


def _percent(share: float | None) -> str:
    return ABSENT if share is None else percent(share)


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, the first column left-aligned, the others right."""
    return [
        f"| {' | '.join(headers)} |",
        f"|---|{'---:|' * (len(headers) - 1)}",
        *(f"| {' | '.join(cell.replace(chr(10), ', ') for cell in row)} |" for row in rows),
    ]


def _by_source(validation: Validation) -> list[str]:
    headers = ("source", "runs", "mean", "median", "worst", "bias", "constant MFU", "skill")
    return [
        "## By source",
        "",
        "Errors of the step time in %; *constant MFU* is the mean error of the best constant on "
        "the same runs; memory is the mean error of the a(llocated), r(eserved) or d(evice) peak; "
        "*tau* the mean rank correlation in groups of four or more plans, *regret* the mean loss "
        "of the plan predicted fastest in %. `runs/` says where the figures were published.",
        "",
        *_table(
            (*headers, "memory", "tau", "regret"),
            (
                *(
                    (source.name, *source_cells(source.summary, len(source.results)))
                    for source in validation.sources
                ),
                ("all", *source_cells(validation.summary, len(validation.results))),
            ),
        ),
    ]


def _grouped(judged: Sequence[Judged], key: Callable[[Judged], str]) -> dict[str, list[Judged]]:
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(key(one), []).append(one)
    return dict(sorted(groups.items()))


def _step_row(label: str, members: Sequence[Judged]) -> tuple[str, ...]:
    summary = summarize_results([[one.result for one in members]])
    sources = len({publication(one.source.source) for one in members})
    figures = source_cells(summary, len(members))
    return (label, figures[0], str(sources), *figures[1:7])


STEP_HEADERS = ("runs", "publications", "mean", "median", "worst", "bias", "constant MFU", "skill")


def _by_device(judged: Sequence[Judged]) -> list[str]:
    groups = _grouped(
        judged, lambda one: " + ".join(d.name for d in one.result.scenario.device_types)
    )
    return [
        "## By device",
        "",
        *_table(("device", *STEP_HEADERS), (_step_row(*item) for item in groups.items())),
    ]


REGIMES: tuple[tuple[str, Callable[[Judged], str]], ...] = (
    ("number format", lambda one: f"{one.regime.bits}-bit matmuls"),
    ("launches", lambda one: "host-bound" if one.regime.host_bound else "device-bound"),
    ("pipeline", lambda one: "pipelined" if one.regime.pipelined else "one stage"),
    ("network", lambda one: "across nodes" if one.regime.networked else "inside the fast fabric"),
    ("experts", lambda one: "mixture of experts" if one.regime.experts else "dense"),
    ("sharding", lambda one: "fully sharded" if one.regime.fully_sharded else "not fully sharded"),
    ("recompute", lambda one: f"recompute {one.result.plan.recompute.granularity}"),
    ("size", lambda one: _size(one.result.plan.degrees.devices)),
)


def _size(devices: int) -> str:
    bounds = (8, 64, 512)
    index = sum(devices > bound for bound in bounds)
    names = ("up to 8 devices", "9 to 64 devices", "65 to 512 devices", "over 512 devices")
    return names[index]


def _by_regime(judged: Sequence[Judged]) -> list[str]:
    rows = [
        _step_row(label, members)
        for _, key in REGIMES
        for label, members in sorted(
            _grouped(judged, key).items(), key=lambda group: -len(group[1])
        )
    ]
    return [
        "## By regime",
        "",
        "Host-bound: more than 5% of the step is spent waiting for the host to launch kernels.",
        "",
        *_table(("regime", *STEP_HEADERS), rows),
    ]


def _memory(validation: Validation) -> list[str]:
    rows = []
    for source in validation.sources:
        for kind in MEMORY_KINDS:
            errors = source.summary.memory[kind]
            if errors.count:
                figures = (
                    errors.mean_abs_error,
                    errors.median_abs_error,
                    errors.max_abs_error,
                )
                rows.append(
                    (
                        source.name,
                        kind,
                        count(errors.count),
                        *(number(figure) for figure in figures),
                        number(errors.bias, "+"),
                    )
                )
    return [
        "## Peak memory",
        "",
        "Allocated is live tensors, reserved the allocator's pool, device what `nvidia-smi` shows. "
        "Errors in %.",
        "",
        *_table(("source", "kind", "runs", "mean", "median", "worst", "bias"), rows),
    ]


def _fits(validation: Validation) -> list[str]:
    wrong = [
        (source, result)
        for source in validation.sources
        for result in source.results
        if result.fits_measured is not None and result.fits_measured != result.fits_predicted
    ]
    fits = validation.summary.fits
    text = (
        f"Of {count(fits.count)} known outcomes {fits.false_fit} were predicted to fit and ran out "
        f"of memory, {fits.false_oom} were predicted not to fit and ran."
    )
    if not wrong:
        return ["## Fit", "", text]
    rows = []
    for source, result in wrong:
        stage = max(
            result.estimate.memory.per_stage,
            key=lambda stage: stage.device_peak_bytes / stage.capacity_bytes,
        )
        rows.append(
            (
                f"{source.name}: {result.id}",
                "ran" if result.fits_measured else "out of memory",
                gib(stage.device_peak_bytes),
                gib(stage.capacity_bytes),
            )
        )
    return ["## Fit", "", text, "", *_table(("run", "measured", "predicted GiB", "of GiB"), rows)]


def _confidence(validation: Validation, judged: Sequence[Judged]) -> list[str]:
    residuals = residuals_of(validation)
    outcomes = [(publication(one.source.source), one.regime, -log(1 + one.error)) for one in judged]
    inside = held_out_coverage(residuals, outcomes)
    cells = [cell for cell in residuals.cells if cell.quantity == STEP]
    regimes = {cell.regime: 0 for cell in cells}
    for cell in cells:
        regimes[cell.regime] += cell.count
    frequent = sorted(regimes, key=lambda regime: -regimes[regime])[:WORST]
    rows = []
    for regime in frequent:
        low, high = factors(cells, regime)
        rows.append((_words(regime), count(regimes[regime]), signed(low - 1), signed(high - 1)))
    return [
        "## Confidence",
        "",
        f"Every estimate's {LEVEL:.0%} interval comes from these residuals: runs of its own regime "
        "speak loudest, others the less the more they differ. Made without the publication it is "
        f"tried on, it holds {percent(inside)} of the measured step times. The regimes with most "
        "runs, and how far the measured time may lie from the predicted one:",
        "",
        *_table(("regime", "runs", "from", "to"), rows),
    ]


def _words(regime: Regime) -> str:
    said = [
        regime.generation,
        f"{regime.bits} bit",
        "host-bound" if regime.host_bound else "",
        "pipelined" if regime.pipelined else "",
        "across nodes" if regime.networked else "",
        "experts" if regime.experts else "",
        "fully sharded" if regime.fully_sharded else "",
    ]
    return ", ".join(word for word in said if word)


def _worst(judged: Sequence[Judged]) -> list[str]:
    worst = sorted(judged, key=lambda one: -abs(log(1 + one.error)))[:WORST]
    rows = [
        (
            f"{one.source.name}: {one.result.id}",
            f"{degrees(one.result.plan.degrees)} b{one.result.plan.micro_batch_size}",
            seconds(one.result.step.predicted) if one.result.step else ABSENT,
            seconds(one.result.step.measured) if one.result.step else ABSENT,
            signed(one.error),
            likely_reason(one, judged),
        )
        for one in worst
    ]
    return [
        f"## The worst {len(worst)}, and why",
        "",
        "The reason is a guess from what the estimate is made of and from its neighbours: whether "
        "the whole source is off the same way, what fills the predicted step, how little is "
        "measured in the regime.",
        "",
        *_table(("run", "plan", "predicted", "measured", "error", "likely reason"), rows),
    ]


def likely_reason(one: Judged, judged: Sequence[Judged]) -> str:
    """What the error of a run most likely comes from, the strongest hints first."""
    hints = []
    siblings = [other.error for other in judged if other.source is one.source]
    bias = sum(siblings) / len(siblings)
    if len(siblings) > 1 and abs(bias) > abs(one.error) / 2 and bias * one.error > 0:
        direction = "slow" if bias > 0 else "fast"
        hints.append(f"the whole source is predicted too {direction} ({signed(bias)})")
    share = host_share(one.result.estimate)
    if share > LARGE:
        hints.append(f"{percent(share)} of the step is waiting for the host")
    for label, part in time_shares(one.result.estimate.time):
        if part > LARGE and label != TIME_LABELS["compute_s"]:
            hints.append(f"{percent(part)} is {label}")
    alike = sum(other.regime == one.regime for other in judged)
    if alike < FEW:
        hints.append(f"{count(alike)} run{'s' if alike > 1 else ''} in this regime")
    return "; ".join(hints) or "compute: kernels of these shapes"
