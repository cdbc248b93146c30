"""Reports as text: golden files, 80 columns, any encoding, no colour."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from planner.budget import Stopped
from planner.plan import Degrees, RankedPlan
from planner.reports.breakdown import memory_table
from planner.reports.console import make_console, render
from planner.reports.estimate import estimate_report, fit_verdict
from planner.reports.families import rival, roomy_tied, table_rows
from planner.reports.nothing import nothing_report
from planner.reports.ranking import RankingTable, marks, shared
from planner.reports.search import search_report
from planner.reports.sentences import against, bound_by, ranges
from planner.wording.labels import one_line, recompute, stage_layers
from planner.wording.units import capacity, gib, plural, seconds, time_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from tests.conftest import Golden, Samples

GIB = 2**30


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def as_text(report: RenderableType, encoding: str = "utf-8", width: int | None = None) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = make_console(stream)
    console.width = width or console.width
    stream.write(render(report, console))
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(encoding)


def test_search_report(samples: Samples, golden: Golden) -> None:
    golden.check("search.txt", as_text(search_report(samples.inputs(), samples.found())))


@pytest.mark.parametrize(
    ("best_gap", "said"),
    [
        (0.0071, "plan 1 is within 0.71%, all 3 are within 2.50% of the best under the model"),
        (0.0, "plan 1 is the best, all 3 are within 2.50% of the best under the model"),
        (0.025, "the 3 plans are within 2.50% of the best under the model"),
    ],
)
def test_the_gap_of_the_best_plan_is_said_apart(
    best_gap: float, said: str, samples: Samples
) -> None:
    found = replace(
        samples.found(), layout_gap=0.025, best_gap=best_gap, stopped=Stopped.WORK_LIMIT
    )

    text = " ".join(as_text(search_report(samples.inputs(), found)).split())

    assert f"{said}; the gap is from stage layouts that were not priced." in text


def test_estimate_report(samples: Samples, golden: Golden) -> None:
    ranked = samples.ranked()[0]
    report = estimate_report(samples.inputs(), ranked.plan, ranked.estimate)
    golden.check("estimate.txt", as_text(report))


def test_estimate_report_of_a_plan_that_does_not_fit(samples: Samples, golden: Golden) -> None:
    plan = samples.plan(pipeline=8, data=8, virtual_stages=2)
    estimate = samples.estimate(plan, activations_gib=61.3)
    golden.check("estimate-too-big.txt", as_text(estimate_report(samples.inputs(), plan, estimate)))


def test_nothing_fits_report(samples: Samples, golden: Golden) -> None:
    golden.check("nothing.txt", as_text(nothing_report(samples.inputs(), samples.nothing())))


def test_a_search_that_was_cut_short_says_how_far_it_got(samples: Samples) -> None:
    found = replace(
        samples.found(),
        settled=False,
        combination_gap=0.032,
        stopped=Stopped.TIME_LIMIT,
        bound_s=29.1,
    )
    text = " ".join(as_text(search_report(samples.inputs(), found)).split())
    assert (
        "stopped by time limit; plan 1 is the best, all 3 are within 3.20% of the best under the "
        "model; the gap is from combinations that were not priced, and no plan takes less than "
        "30.00 s." in text
    )
    interrupted = replace(found, stopped=Stopped.INTERRUPTED, bound_s=None)
    text = " ".join(as_text(search_report(samples.inputs(), interrupted)).split())
    assert "priced in full; interrupted; plan 1 is the best, all 3 are within 3.20%" in text
    unbounded = replace(found, combination_gap=1.0, best_gap=1.0, bound_s=None)
    text = " ".join(as_text(search_report(samples.inputs(), unbounded)).split())
    assert "stopped by time limit before all plans were bounded." in text


def test_the_first_line_is_whole_however_long_the_answer(samples: Samples) -> None:
    """Wherever `head -1` or a log cuts: degrees, step and peak are in it."""
    found = samples.found()
    best = found.plans[0]
    degrees = Degrees(tensor=16, pipeline=128, data=1024, context=16, expert=512, expert_tensor=16)
    long = replace(best, plan=replace(best.plan, degrees=degrees))
    for ranked in (best, long):
        report = search_report(samples.inputs(), replace(found, plans=(ranked, *found.plans[1:])))
        first, second = as_text(report).splitlines()[:2]
        assert len(first) <= 80
        assert first.startswith("Best t")
        assert first.endswith(" GiB")
        assert ("tokens/s, MFU" in first) != ("tokens/s, MFU" in second)
    assert "tokens/s" not in first


def crowded(samples: Samples) -> tuple[RankedPlan, ...]:
    """Plans that differ in everything, with large numbers."""
    base = samples.plan(pipeline=8, data=8, virtual_stages=12)
    plans = (
        base,
        replace(
            base,
            degrees=Degrees(tensor=16, pipeline=8, data=1024, context=16, expert=64),
            micro_batch_size=16,
            sequence_parallel=False,
            data_sharding="optimizer+gradients",
        ),
        samples.plan(pipeline=8, data=8, recompute="full"),
    )
    return tuple(
        RankedPlan(
            rank=rank,
            plan=plan,
            estimate=samples.estimate(plan, step_s=94.3, capacity_gib=179.25, memory_high=2.6),
            tied_with_best=True,
        )
        for rank, plan in enumerate(plans, start=8)
    )


def test_a_crowded_ranking_stays_within_80_columns(samples: Samples, golden: Golden) -> None:
    golden.check("crowded.txt", as_text(ranking(crowded(samples))))


def ranking(plans: Sequence[RankedPlan]) -> RankingTable:
    return RankingTable(table_rows(plans, variants=True))


@pytest.mark.parametrize("width", [44, 60, 70, 80, 200])
def test_no_cell_of_the_ranking_is_cut_at_any_width(samples: Samples, width: int) -> None:
    """What has no room is a column less, and a line says which."""
    plans = crowded(samples)
    text = as_text(ranking(plans), width=width)
    table, _, note = text.partition("Left out for want of room: ")
    assert max(map(len, text.splitlines())) <= width
    assert [row.split()[0] for row in table.splitlines()[-3:]] == ["=8", "=9", "=10"]
    assert "94.30" in table
    assert "!66.9" in table
    assert ("MFU" in table) != ("MFU" in note)
    assert bool(note) == (width < 79)


def test_variants_are_folded_but_not_the_best_with_room(samples: Samples) -> None:
    base = samples.ranked()[0]
    tight = samples.estimate(base.plan, memory_high=1.2)
    first = replace(base, estimate=tight)
    variant = replace(
        base,
        rank=2,
        plan=replace(base.plan, micro_batch_size=4),
        estimate=tight,
        tied_with_best=True,
    )
    safe = replace(variant, rank=3, estimate=base.estimate)
    emptier = replace(safe, rank=5, estimate=samples.estimate(base.plan, activations_gib=1))
    stranger = replace(variant, rank=4, plan=samples.plan(pipeline=8, data=8), tied_with_best=False)
    plans = (first, variant, safe, stranger, emptier)
    rows = table_rows(plans, variants=False)
    assert [(row.ranked.rank, row.variants) for row in rows] == [(1, 2), (3, 0), (4, 0)]
    assert roomy_tied(plans) is safe
    assert roomy_tied((base, safe)) is None
    assert rival(plans) is stranger
    assert rival(plans[:2]) is variant
    assert rival(plans[:1]) is None
    assert len(table_rows(plans, variants=True)) == 5


def test_marks_are_explained_where_they_are(samples: Samples) -> None:
    first, second, third = samples.ranked()
    tight = replace(third, estimate=samples.estimate(third.plan, memory_high=1.2))
    table = as_text(ranking((first, second, tight))).splitlines()
    assert [row.split()[0] for row in table[-3:]] == ["1", "=2", "3"]
    assert [row.split()[-1] for row in table[-3:]] == ["66.9", "66.9", "!66.9"]
    assert len({len(row) for row in table[-3:]}) == 1
    assert marks((first, second), 0.107) == [
        "= tied with plan 1: up to 10.7% slower, too close to tell."
    ]
    assert [text[0] for text in marks((first, tight), 0.1)] == ["!"]
    assert marks((first, third), 0.1) == []


def test_a_tight_fit_is_said(samples: Samples) -> None:
    plan = samples.plan()
    estimate = samples.estimate(plan, memory_high=1.2)
    assert fit_verdict(plan, estimate).startswith("Fits tightly, t8 p4 d16: 30.00 s/step, ")
    assert ranges(estimate) == (
        "90% ranges: 27.90–32.40 s/step, peak 64.3–80.3 of 80 GiB; a tight fit: it may not fit."
    )
    assert ranges(replace(estimate, confidence=None)) == (
        "No ranges: there are no measured runs to compare with."
    )


def test_large_memory_stays_within_80_columns(samples: Samples) -> None:
    plan = samples.plan()
    text = as_text(memory_table(plan, samples.estimate(plan, activations_gib=142.5).memory))
    assert "142.5" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_every_line_fits_80_columns(samples: Samples) -> None:
    found = replace(samples.found(), plans=crowded(samples))
    for text in (
        as_text(search_report(samples.inputs(), found)),
        as_text(nothing_report(samples.inputs(), samples.nothing())),
    ):
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text


def test_a_pipe_gets_no_colour(samples: Samples) -> None:
    assert "\x1b" not in as_text(search_report(samples.inputs(), samples.found()))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_other_encodings_lose_no_line_and_no_alignment(samples: Samples, encoding: str) -> None:
    report = search_report(samples.inputs(), samples.found())
    full, reduced = as_text(report), as_text(report, encoding)
    assert [len(line) for line in full.splitlines()] == [len(line) for line in reduced.splitlines()]
    assert "?" not in reduced
    assert "interleavedx2" in reduced or "interleaved×2" in reduced


def test_markup_in_names_is_shown_as_it_is(samples: Samples) -> None:
    inputs = samples.inputs()
    odd = replace(inputs, cluster=replace(inputs.cluster, name="[red]x[/red] :smile:"))
    assert "[red]x[/red] :smile:" in as_text(search_report(odd, samples.found()))


def test_equal_neighbours_share_a_row(samples: Samples) -> None:
    plan = samples.plan(pipeline=8, data=8)
    memory = samples.estimate(plan, activations_gib=1.0).memory
    rows = as_text(memory_table(plan, memory)).splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["0-6", "7"]


def test_against_says_what_is_saved_and_what_that_costs(samples: Samples) -> None:
    first, second, _ = samples.ranked()
    time = replace(first.estimate.time, data_comm_s=first.estimate.time.data_comm_s + 1.0)
    slower = replace(first, estimate=replace(first.estimate, time=time))
    text = against(slower, second)
    assert "2.000 s (6.1%) less per step: compute -2.100 s" in text
    assert text.endswith("; in exchange data communication +0.880 s.")
    assert against(first, replace(first, rank=2)).endswith("equally fast.")


def test_bound_by_leaves_small_parts_out(samples: Samples) -> None:
    estimate = samples.ranked()[0].estimate
    said = (
        "Bound by compute: 70.0% of the step; then tensor communication 12.0%, "
        "pipeline bubble 8.0%."
    )
    assert bound_by(estimate) == said
    waiting = replace(estimate, time_detail={"host_bound_s": 0.5 * estimate.step_s})
    assert bound_by(waiting).startswith(f"{said} Bound by the host for ")


def test_shared_names_what_the_table_leaves_out(samples: Samples) -> None:
    plans = [samples.plan(), samples.plan(micro_batch_size=2)]
    assert shared(plans) == (
        "All: schedule 1f1b, recompute selective, data sharding optimizer (ZeRO-1), sequence "
        "parallel on."
    )


def test_labels(samples: Samples) -> None:
    plan = samples.plan(recompute="full", virtual_stages=2, expert=4)
    assert one_line(plan) == "t8 p4 d16 e4, micro-batch 1, interleaved×2, recompute full 3"
    whole = replace(plan, recompute=replace(plan.recompute, layers_per_stage=(24,) * 4))
    assert recompute(whole) == "full"
    assert stage_layers(plan) == "24×4"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (31.4159, "31.42 s"),
        (1234.5, "1,234 s"),
        (1.0, "1.000 s"),
        (0.99, "990.0 ms"),
        (0.00123, "1.230 ms"),
        (0.0000042, "4.200 us"),
        (0.0, "0.000 us"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_column_has_one_unit() -> None:
    scale = time_scale(12.0)
    assert (scale.unit, scale.number(0.004), scale.number(12.0)) == ("s", "0.00", "12.00")


def test_sizes() -> None:
    assert (gib(80 * GIB), capacity(80 * GIB), capacity(85 * 10**9)) == ("80.0", "80", "79.2")
    assert (plural(1, "node"), plural(1024, "node")) == ("1 node", "1,024 nodes")
