"""The trace of a step: its structure as Perfetto reads it, and that it says what was simulated."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

from planner.plan import Plan
from planner.schedule.inflight import peak_weighted
from planner.schedule.passes import VOCAB_KINDS, PassKind
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.training.estimate import estimate
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.space.restrictions import parse_restrictions
from planner.training.timeline import StepTimeline, step_timeline, trace_text

Event = dict[str, Any]

PLANS = {
    "one stage": {"tensor": "8"},
    "1f1b": {"tensor": "2", "pipeline": "4"},
    "recomputing": {"tensor": "2", "pipeline": "4", "recompute": "full"},
    "interleaved": {"pipeline": "4", "virtual_stages": "2"},
    "zero bubble": {"tensor": "2", "pipeline": "4", "schedule": "zb-h1"},
    "v": {"tensor": "2", "pipeline": "4", "schedule": "v-half"},
    "pairs": {"pipeline": "4", "schedule": "dualpipe-v"},
    "vocabulary": {"tensor": "2", "pipeline": "4", "schedule": "1f1b-vocab-2"},
}


def planned(**flags: str) -> tuple[Scenario, Plan]:
    job = build_job(
        load_model("gpt-7.5b"),
        load_software("megatron-core"),
        devices=16,
        global_batch_size=64,
        precision="bf16",
    )
    of = build_scenario(load_cluster("dgx-a100-8"), load_model("gpt-7.5b"), job)
    return of, plan_from_flags(of, parse_restrictions(flags))


@pytest.fixture(scope="module", params=sorted(PLANS))
def step(request: pytest.FixtureRequest) -> StepTimeline:
    return step_timeline(*planned(**PLANS[request.param]))


@pytest.fixture(scope="module")
def events(step: StepTimeline) -> list[Event]:
    document = json.loads(trace_text(step))
    assert set(document) == {"displayTimeUnit", "otherData", "traceEvents"}
    found: list[Event] = document["traceEvents"]
    return found


def slices(events: list[Event], process: int, row: str | None = None) -> list[Event]:
    names = {
        event["tid"]: event["args"]["name"]
        for event in events
        if event["name"] == "thread_name" and event["pid"] == process
    }
    return [
        event
        for event in events
        if event["ph"] == "X"
        and event["pid"] == process
        and (row is None or names[event["tid"]] == row)
    ]


def test_events_are_well_formed_and_in_order(events: list[Event]) -> None:
    assert {event["ph"] for event in events} <= {"M", "X", "C", "s", "f"}
    timed = [event for event in events if event["ph"] != "M"]
    assert events == [event for event in events if event["ph"] == "M"] + timed
    assert all(one["ts"] <= other["ts"] for one, other in pairwise(timed))
    assert all(event["ts"] >= 0 and event.get("dur", 0) >= 0 for event in timed)
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in timed} <= named


def test_nothing_overlaps_on_a_row(events: list[Event]) -> None:
    rows: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            rows[event["pid"], event["tid"]].append(event)
    for row in rows.values():
        for one, other in pairwise(row):
            assert one["ts"] + one["dur"] <= other["ts"] + 1e-6


def test_every_stage_has_its_rows(step: StepTimeline, events: list[Event]) -> None:
    for stage in range(step.timeline.schedule.stages):
        rows = [
            event["args"]["name"]
            for event in events
            if event["name"] == "thread_name" and event["pid"] == stage
        ]
        assert rows[:2] == ["compute", "gradient reduction"]
        assert rows.count("sends") == 1
    processes = [event for event in events if event["name"] == "process_name"]
    assert [event["args"]["name"] for event in processes][-1] == "critical path"


def test_the_compute_row_has_every_pass_when_it_ran(
    step: StepTimeline, events: list[Event]
) -> None:
    timeline = step.timeline
    for stage in range(timeline.schedule.stages):
        *row, optimizer = slices(events, stage, "compute")
        assert optimizer["name"] == "optimizer"
        passes = timeline.schedule.passes(stage)
        assert len(row) == len(passes)
        for found, expected, start, end in zip(
            row, passes, timeline.start_s[stage], timeline.end_s[stage], strict=False
        ):
            assert found["cat"].split(",")[0] == expected.kind.label
            assert found["args"] == {
                "microbatch": expected.microbatch,
                "chunk": expected.chunk,
            }
            assert found["ts"] == pytest.approx(start * 1e6, abs=2e-3)
            assert found["ts"] + found["dur"] == pytest.approx(end * 1e6, abs=2e-3)


def test_arrows_lead_from_sends_to_the_passes_that_wait(
    step: StepTimeline, events: list[Event]
) -> None:
    started = {event["id"]: event for event in events if event["ph"] == "s"}
    finished = {event["id"]: event for event in events if event["ph"] == "f"}
    assert started.keys() == finished.keys()
    assert Counter(event["ph"] for event in events)["s"] == len(started)
    assert bool(started) == (step.timeline.schedule.stages > 1)
    begins = {
        (event["pid"], event["tid"], event["ts"]): event for event in events if event["ph"] == "X"
    }
    for number, start in started.items():
        end = finished[number]
        sent = begins[start["pid"], start["tid"], start["ts"]]
        assert sent["cat"].split(",")[0] in ("forward_send", "backward_send")
        assert sent["ts"] + sent["dur"] <= end["ts"] + 1e-6
        taken = begins[end["pid"], end["tid"], end["ts"]]
        assert taken["args"]["microbatch"] == sent["args"]["microbatch"]
        assert end["bp"] == "e"
        assert end["pid"] != start["pid"]


def test_the_counter_is_the_memory_in_flight(step: StepTimeline, events: list[Event]) -> None:
    levels: dict[int, list[int]] = defaultdict(list)
    for event in events:
        if event["ph"] == "C":
            assert event["name"] == "activations"
            levels[event["pid"]].append(event["args"]["bytes"])
    schedule = step.timeline.schedule
    assert len(levels) == schedule.stages
    expected = peak_weighted(schedule, step.activation_bytes)
    for stage, counted in levels.items():
        assert min(counted) == 0
        assert counted[0] == counted[-1] == 0
        shared = int(step.shared_logits_bytes[stage])
        assert expected[stage] <= max(counted) <= expected[stage] + shared
        assert shared == 0 or max(counted) > expected[stage]


def test_the_critical_path_covers_the_pipeline(step: StepTimeline, events: list[Event]) -> None:
    timeline = step.timeline
    path = slices(events, timeline.schedule.stages)
    assert path[0]["ts"] == 0
    for one, other in pairwise(path):
        assert one["ts"] + one["dur"] == pytest.approx(other["ts"], abs=1e-6)
    last = path[-1]
    assert last["ts"] + last["dur"] == pytest.approx(timeline.span_s * 1e6, abs=2e-3)
    marked = [
        event
        for event in events
        if event["ph"] == "X"
        and event["pid"] < timeline.schedule.stages
        and event["cat"].endswith(",critical")
        and event["cat"].split(",")[0] not in ("optimizer", "parameter_gather")
    ]
    starts = {event["ts"] for event in marked}
    assert {event["ts"] for event in path} <= starts


def test_the_same_step_makes_the_same_text(step: StepTimeline) -> None:
    assert trace_text(step) == trace_text(step)


@pytest.mark.parametrize("name", sorted(PLANS))
def test_it_is_the_step_that_is_estimated(name: str) -> None:
    of, plan = planned(**PLANS[name])
    found = step_timeline(of, plan)
    assert found.step_s == pytest.approx(estimate(of, plan).step_s, rel=1e-9)


def test_memory_peaks_where_the_estimate_says() -> None:
    """1F1B keeps equal chunks: activations and logits at the peak are what is in flight."""
    of, plan = planned(tensor="2", pipeline="4")
    found = step_timeline(of, plan).memory
    for stage, curve in zip(estimate(of, plan).memory.per_stage, found, strict=True):
        kept = stage.components.activations + stage.components.logits
        assert kept <= curve.peak
        assert stage.stage == 3 or kept == curve.peak


def test_recomputation_and_the_shared_vocabulary_are_passes_of_their_own() -> None:
    recomputing = step_timeline(*planned(**PLANS["recomputing"])).timeline.schedule
    assert recomputing.has(PassKind.RECOMPUTE)
    shared = step_timeline(*planned(**PLANS["vocabulary"]))
    assert all(shared.timeline.schedule.has(kind) for kind in VOCAB_KINDS)
    document = json.loads(trace_text(shared))["traceEvents"]
    rows = slices(document, 2, "collectives")
    names = {event["name"].rsplit(" ", 1)[0] for event in rows}
    assert names == {"vocab broadcast", "vocab reduction"}
