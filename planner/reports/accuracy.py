"""docs/accuracy.md: how far estimates are from the shipped measured runs, and where, and why."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

from planner.reports.markdown import table, wrapped
from planner.reports.validation import ABSENT, findings, number, signed, source_cells
from planner.reports.worst_runs import Judged, worst_runs
from planner.training.confidence.interval import DEVICE, LEVEL, factors, tie_margin
from planner.training.confidence.regimes import ONE_STAGE, Regime, regime_of
from planner.training.confidence.residuals import STEP
from planner.validation.compare import MEMORY_KINDS
from planner.validation.residuals import (
    held_out,
    held_out_coverage,
    publication,
    residuals_of,
)
from planner.validation.summary import summarize_results
from planner.wording.units import count, gib, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.validation.validate import Validation

COMMAND = "python -m benchmarks.accuracy"
MOST_REGIMES = 20
"""Regimes whose interval is listed."""


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
        _confidence(validation),
        worst_runs(judged),
    )
    return "\n".join("\n".join(wrapped(lines)) + "\n" for lines in sections)


def _opening(validation: Validation) -> list[str]:
    summary = validation.summary
    step, families = summary.step, validation.families
    names = {publication(source.source) for source in validation.sources}
    return [
        "# Accuracy",
        "",
        f"Estimates of {count(len(validation.results))} measured runs that "
        f"{len(names)} publications print (`runs/`), made by `{COMMAND}`. `planner validate` "
        "prints the same figures, and those of any runs of your own. An error is predicted / "
        "measured − 1. Constants of devices and software profiles are shared by all runs; nothing "
        "depends on the model or on the source. The same run measured twice differs by 0.3 to 1% "
        "on one site and by 2 to 4% on another.",
        "",
        f"- **step time: {_percent(families.mean_abs_error)} mean absolute error**, the mean of "
        f"the {families.count} families below; a constant MFU fitted to each of them has "
        f"{_percent(families.constant_mfu_error)}",
        f"- over all runs: {_percent(step.mean_abs_error)} mean absolute error of "
        f"{count(step.count)} runs; the best constant MFU on the same runs: "
        f"{_percent(summary.constant_mfu_error)}, so the estimates remove "
        f"{_percent(summary.skill)} of what it gets wrong (*skill*)",
        *(f"- {text}" for text in findings(summary)),
    ]


def _percent(share: float | None) -> str:
    return ABSENT if share is None else percent(share)


def _by_source(validation: Validation) -> list[str]:
    headers = ("source", "runs", "mean", "median", "worst", "bias", "constant MFU", "skill")
    held = held_out(validation, STEP)
    everywhere = [sum(counts) for counts in zip(*held.values(), strict=True)]
    return [
        "## By source",
        "",
        "Errors of the step time in %; *constant MFU* is the mean error of the best constant on "
        "the same runs; memory is the mean error of the a(llocated), r(eserved) or d(evice) peak; "
        "*tau* the mean rank correlation in groups of four or more plans, *regret* the mean loss "
        "of the plan predicted fastest in %; *inside* is the share of step times, in %, that lie "
        "in the 90% intervals made without their publication. `runs/` says where the figures were "
        "published.",
        "",
        *table(
            (*headers, "memory", "tau", "regret", "inside"),
            (
                *(
                    (
                        source.name,
                        *source_cells(source.summary, len(source.results)),
                        _share(*held[source.name]),
                    )
                    for source in validation.sources
                ),
                (
                    "all",
                    *source_cells(validation.summary, len(validation.results)),
                    _share(*everywhere),
                ),
            ),
        ),
    ]


def _share(part: int, total: int) -> str:
    return f"{100 * part / total:.0f}" if total else "-"


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
        *table(("device", *STEP_HEADERS), (_step_row(*item) for item in groups.items())),
    ]


REGIMES: tuple[tuple[str, Callable[[Judged], str]], ...] = (
    ("number format", lambda one: f"{one.regime.bits}-bit matmuls"),
    ("launches", lambda one: "host-bound" if one.regime.host_bound else "device-bound"),
    ("schedule", lambda one: _schedule(one.regime.schedule)),
    ("network", lambda one: "across nodes" if one.regime.networked else "inside the fast fabric"),
    ("experts", lambda one: "mixture of experts" if one.regime.experts else "dense"),
    ("sharding", lambda one: "fully sharded" if one.regime.fully_sharded else "not fully sharded"),
    ("sequences", lambda one: "long sequences" if one.regime.long else "short sequences"),
    ("recompute", lambda one: f"recompute {one.result.plan.recompute.granularity}"),
    ("size", lambda one: one.regime.size),
)


def _schedule(name: str) -> str:
    return name if name == ONE_STAGE else f"schedule {name}"


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
        *table(("regime", *STEP_HEADERS), rows),
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
        *table(("source", "kind", "runs", "mean", "median", "worst", "bias"), rows),
    ]


def _fits(validation: Validation) -> list[str]:
    wrong = [
        (source, result)
        for source in validation.sources
        for result in source.results
        if result.fit_is_wrong
    ]
    fits = validation.summary.fits
    text = (
        f"Of {count(fits.count)} known outcomes {fits.false_fit} were predicted to fit and ran out "
        f"of memory, {fits.false_oom} were predicted not to fit and ran."
    )
    if not wrong:
        return ["## Fit", "", text]
    rows = [
        (
            f"{source.name}: {result.id}",
            "ran" if result.fits_measured else "out of memory",
            gib(result.fullest_stage.device_peak_bytes),
            gib(result.fullest_stage.capacity_bytes),
        )
        for source, result in wrong
    ]
    return ["## Fit", "", text, "", *table(("run", "measured", "predicted GiB", "of GiB"), rows)]


def _confidence(validation: Validation) -> list[str]:
    residuals = residuals_of(validation)
    cells = [cell for cell in residuals.cells if cell.quantity == STEP]
    regimes = {cell.regime: 0 for cell in cells}
    for cell in cells:
        regimes[cell.regime] += cell.count
    frequent = sorted(regimes, key=lambda regime: -regimes[regime])[:MOST_REGIMES]
    rows = []
    for regime in frequent:
        ends = [
            signed(end - 1)
            for quantity in (STEP, DEVICE)
            for end in astuple(factors(residuals.cells, regime, quantity))
        ]
        rows.append((_words(regime), count(regimes[regime]), *ends))
    return [
        "## Confidence",
        "",
        f"Every estimate carries {LEVEL:.0%} intervals for its step time and its device peak, from "
        "these residuals: runs of its own regime speak loudest, others the less the more they "
        "differ. Made without the publication they are tried on, the intervals hold "
        f"{_held(validation)}. The regimes with most runs, and how far the measured step time and "
        "peak may lie from the predicted ones:",
        "",
        *table(("regime", "runs", "time from", "to", "peak from", "to"), rows),
        "",
        "Plans of one job share most of their error: among them residuals vary by "
        f"{percent(residuals.within_groups)} (the standard deviation that makes the orders of all "
        "pairs likeliest), so plans "
        f"closer than {percent(tie_margin(residuals))} are a tie.",
    ]


def _held(validation: Validation) -> str:
    """`89.1% of 457 measured step times, 94.2% of 52 device peaks, …`"""
    said = []
    for quantity, noun in (
        (STEP, "measured step times"),
        *((kind, f"{kind} peaks") for kind in MEMORY_KINDS),
    ):
        inside, total = held_out_coverage(validation, quantity)
        if total:
            said.append(f"{percent(inside / total)} of {count(total)} {noun}")
    return ", ".join(said)


def _words(regime: Regime) -> str:
    said = [
        regime.family,
        f"{regime.bits} bit",
        "host-bound" if regime.host_bound else "",
        regime.size,
        regime.schedule,
        "across nodes" if regime.networked else "",
        "experts" if regime.experts else "",
        "fully sharded" if regime.fully_sharded else "",
        "long sequences" if regime.long else "",
    ]
    return ", ".join(word for word in said if word)
