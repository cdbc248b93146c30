"""The page of `planner report` from hand-made plans: what it shows, how it is written, and that
nothing in a name or a sentence becomes markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner import api
from planner.budget import Stopped
from planner.plan_document import to_document, to_text
from planner.plan_document.answer import parse_answer
from planner.plan_document.schema_search import CLOUD_AXES
from planner.reports.page.content import Mine, PageContent, PlanInputs
from planner.reports.page.page import page_text
from planner.reports.page.sections.cloud import front, looseness
from planner.reports.page.sections.pipeline import CRITICAL, UNIT_S, encoded
from planner.reports.page.sections.scaling import cliffs
from planner.training.search.result import Cloud, SizedPlan
from planner.training.timeline import step_timeline
from planner.training.timeline.spans import stage_spans
from tests.reports.pages import read_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.plan import Plan, RankedPlan
    from planner.training.scenario import Scenario
    from planner.training.search.result import SearchResult
    from planner.training.timeline import StepTimeline
    from tests.conftest import Golden, Samples

GIB = 2**30
PACKED = re.compile(r'(<script[^>]* type="text/plain"[^>]*>|<script type="text/plain"[^>]*>)[^<]*')


def content_of(
    samples: Samples,
    search: SearchResult | None,
    plans: tuple[RankedPlan, ...] | None = None,
    **more: object,
) -> PageContent:
    listed = plans if plans is not None else (search.plans if search else ())
    text = to_text(to_document(samples.inputs(), listed, search=search))
    answer = parse_answer(text, Path("plans.json"))
    given: dict[str, object] = {"inputs": inputs()}
    return PageContent(answer=answer, text=text, **(given | more))  # type: ignore[arg-type]


LAUNCHES = {"megatron-lm.txt": "--tensor-model-parallel-size 8\n"}


def inputs(launches: Mapping[str, str] = LAUNCHES) -> PlanInputs:
    return PlanInputs(scenario=cluster(), launches=launches, timeline=step())


@cache
def cluster() -> Scenario:
    """With as many nodes as the hand-made plans have."""
    model = api.load_model("gpt3-175b")
    cluster = replace(api.load_cluster("dgx-a100-128"), source=None)
    named = tuple(f"a100-{at}" for at in range(128))
    (group,) = cluster.node_groups
    cluster = replace(cluster, node_groups=(replace(group, hosts=named),))
    return api.estimate(cluster, model, nodes=64, tensor=8, pipeline=4).scenario


@cache
def step() -> StepTimeline:
    """Of a small pipeline."""
    priced = api.estimate(
        "dgx-a100-8", "gpt-7.5b", nodes=1, tensor=2, pipeline=4, virtual_stages=3,
        global_batch_size=8,
    )  # fmt: skip
    return step_timeline(priced.scenario, priced.plan)


def mine(samples: Samples) -> Mine:
    plan = samples.plan(tensor=4, pipeline=4, data=32, recompute="full")
    estimate = samples.estimate(plan, step_s=41.5)
    ranked = replace(samples.ranked()[0], plan=plan, estimate=estimate, tied_with_best=None)
    return Mine(name="mine.json", ranked=ranked)


def outline(page: str) -> str:
    """The page a tag a line, without what does not depend on the plans and without the packed
    document, whose bytes depend on the release of zlib."""
    body = PACKED.sub(r"\1", page.partition("<body>")[2])
    body = re.sub(r"<script>.*</script>", "", body, flags=re.DOTALL)
    body = re.sub(r"planner \d+\.\d+\.\d+\S*", "planner", body)
    return re.sub(
        r"(</(?:p|li|tr|h\d|ul|section|header|nav|summary|caption|details)>)", r"\1\n", body
    )


def test_golden_page_of_a_search(samples: Samples, golden: Golden) -> None:
    """Without what is simulated: the figures of hand-made plans change with no constant."""
    content = content_of(
        samples, samples.found(), mine=mine(samples), inputs=None, without="no files"
    )
    golden.check("page-search.html", outline(page_text(content)))


def test_golden_page_when_nothing_fits(samples: Samples, golden: Golden) -> None:
    golden.check("page-nothing.html", outline(page_text(content_of(samples, samples.nothing()))))


def test_golden_page_of_an_estimate_without_the_files(samples: Samples, golden: Golden) -> None:
    content = content_of(
        samples, None, samples.ranked()[:1], inputs=None, without="model x is not shipped"
    )
    golden.check("page-estimate.html", outline(page_text(content)))


def test_same_plans_same_bytes(samples: Samples) -> None:
    pages = {page_text(content_of(samples, samples.found())) for _ in range(2)}
    assert len(pages) == 1


def test_figures_of_the_table_are_those_of_the_document(samples: Samples) -> None:
    content = content_of(samples, samples.found(), mine=mine(samples))
    rows = list(read_page(page_text(content)).one("table", id="ranking").one("tbody").every("tr"))
    document = to_document(samples.inputs(), samples.found().plans, search=samples.found())
    assert [row.attributes["data-plan"] for row in rows] == ["1", "2", "3", "mine"]
    for row, plan in zip(rows, document["plans"], strict=False):
        texts = [cell.text for cell in row.every() if cell.tag in ("th", "td")]
        estimate = plan["estimate"]
        assert texts[1] == f"{estimate['step_s']:.2f}"
        assert texts[3].lstrip("!") == f"{estimate['memory']['peak_bytes'] / GIB:.1f}"
        assert texts[4:7] == [str(plan["degrees"][axis]) for axis in ("tensor", "pipeline", "data")]
        assert texts[-2] == f"{estimate['tokens_per_s']:,.0f}"
        assert texts[-1] == f"{estimate['mfu']:.1%}"


def test_time_bars_add_up_to_the_widths_of_their_shares(samples: Samples) -> None:
    section = read_page(page_text(content_of(samples, samples.found()))).one(id="time")
    bars = list(section.every("span", class_="bar"))
    widths = [
        sum(
            int(name[1:])
            for part in bar.every("span", class_="part")
            for name in part.attributes["class"].split()
            if re.fullmatch(r"w\d+", name)
        )
        for bar in bars
    ]
    steps = [one.estimate.step_s for one in samples.ranked()]
    for width, step_s in zip(widths, steps, strict=False):
        assert width == pytest.approx(1000 * step_s / max(steps), abs=6)


def test_every_length_that_is_used_has_a_rule(samples: Samples) -> None:
    page = page_text(content_of(samples, samples.found()))
    style = read_page(page).one("style").text
    for one in read_page(page).one("body").every():
        for name in one.attributes.get("class", "").split():
            if re.fullmatch(r"[wl]\d+", name):
                assert f".{name}{{" in style


def test_the_policy_names_this_script_and_this_style(samples: Samples) -> None:
    head = read_page(page_text(content_of(samples, samples.found()))).one("html")
    metas = {
        meta.attributes["http-equiv"]: meta.attributes["content"]
        for meta in head.every("meta")
        if "http-equiv" in meta.attributes
    }
    rules = dict(rule.strip().split(" ", 1) for rule in metas["Content-Security-Policy"].split(";"))
    scripts = [one for one in head.every("script") if "type" not in one.attributes]
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == digest(scripts[0].text)
    assert rules["style-src"] == digest(head.one("style").text)
    assert len(scripts) == 1


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_nothing_is_fetched_and_nothing_is_inline(samples: Samples) -> None:
    root = read_page(page_text(content_of(samples, samples.found(), mine=mine(samples))))
    for one in root.every():
        assert one.tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        for name, value in one.attributes.items():
            assert not name.startswith("on"), (one.tag, name)
            assert name not in {"style", "src", "srcset", "action"}, (one.tag, name)
            assert name != "href" or value.startswith("#")
    style = root.one("style").text
    assert "url(" not in style
    assert "@import" not in style


def test_ids_are_unique_and_links_lead_to_them(samples: Samples) -> None:
    root = read_page(page_text(content_of(samples, samples.found(), mine=mine(samples))))
    ids = [one.attributes["id"] for one in root.every() if "id" in one.attributes]
    assert len(set(ids)) == len(ids)
    for one in root.every():
        for name in ("aria-labelledby", "for", "data-copies"):
            assert one.attributes.get(name, ids[0]) in ids
        if one.tag == "a":
            assert one.attributes["href"][1:] in ids


HOSTILE = "</script><script>alert(1)</script><img src=x onerror='alert(1)'>\"&amp;\u2028--><!--"


def test_hostile_texts_stay_texts(samples: Samples) -> None:
    found = samples.found()
    plans = tuple(
        replace(
            one, estimate=replace(one.estimate, assumptions=(HOSTILE, *one.estimate.assumptions))
        )
        for one in found.plans
    )
    space = replace(
        found.space,
        exclusions=tuple(replace(one, sentence=HOSTILE) for one in found.space.exclusions),
    )
    content = content_of(
        samples,
        replace(found, plans=plans, space=space),
        mine=replace(mine(samples), name=HOSTILE),
        inputs=inputs({HOSTILE: HOSTILE}),
    )
    page = page_text(content)
    root = read_page(page)
    assert "<img" not in page
    assert sum(1 for _ in root.every("script")) == 3
    assert HOSTILE in root.one(id="assumptions").text
    assert HOSTILE in root.one("pre").text
    left = page_text(content_of(samples, found, inputs=None, without=HOSTILE))
    assert "<img" not in left
    assert HOSTILE in read_page(left).one(id="launch").text


def test_long_launch_texts_are_named_and_left_out(samples: Samples) -> None:
    launches = {"short.txt": "one line\n", "ranks.csv": "rank,host\n" * 5000}
    content = content_of(samples, samples.found(), inputs=inputs(launches))
    launch = read_page(page_text(content)).one(id="launch")
    assert [one.text for one in launch.every("pre")] == ["one line\n"]
    assert "Too long for this page: ranks.csv." in launch.text


def test_a_tight_best_plan_names_the_safe_one_tied_with_it(samples: Samples) -> None:
    first, second, third = samples.ranked()
    tight = replace(first, estimate=samples.estimate(first.plan, memory_high=1.5))
    assert tight.estimate.fit_class == "tight"
    page = page_text(content_of(samples, replace(samples.found(), plans=(tight, second, third))))
    warning = read_page(page).one("p", class_="warning").text
    assert "Plan 2 is the best of those tied with it that fit with room" in warning
    alone = page_text(content_of(samples, replace(samples.found(), plans=(tight, third))))
    assert (
        "No plan listed is tied with it and fits with room."
        in read_page(alone).one(class_="warning").text
    )


def test_plans_without_ranges_say_so(samples: Samples) -> None:
    first = samples.ranked()[0]
    plain = replace(first, estimate=replace(first.estimate, confidence=None))
    root = read_page(page_text(content_of(samples, None, (plain,))))
    assert "states no ranges" in root.one(id="accuracy").text
    assert not list(root.one(id="answer").every(class_="range"))


def test_a_search_that_was_cut_short_says_so_first(samples: Samples) -> None:
    cut = replace(samples.found(), settled=False, combination_gap=0.2, stopped=Stopped.TIME_LIMIT)
    answer = read_page(page_text(content_of(samples, cut))).one(id="answer")
    assert answer.one("h2").text.startswith("Best so far: t8 p4 d16")
    assert answer.one("p", class_="status").text.startswith("▲ ")


def cloud_around(plans: list[tuple[Plan, float, float]]) -> Cloud:
    """(plan, seconds, GiB) each."""
    axes: dict[str, list[int | str | bool]] = {axis: [] for axis in CLOUD_AXES}
    for plan, _, _ in plans:
        for axis, column in axes.items():
            value = getattr(plan.degrees, axis, None) or getattr(plan, axis)
            column.append(plan.recompute.granularity if axis == "recompute" else value)
    return Cloud(
        step_bound_s=tuple(step_s for _, step_s, _ in plans),
        peak_bytes=tuple(round(size * GIB) for _, _, size in plans),
        axes={axis: tuple(column) for axis, column in axes.items()},
    )


def searched(samples: Samples, loose: float) -> SearchResult:
    """With a cloud of the ranked plans, whose bounds lie so far below, and of three more."""
    known = [(one.plan, one.estimate.step_s * (1 - loose), 66.0) for one in samples.ranked()]
    others = [
        (samples.plan(micro_batch_size=2), 33.0, 40.0),
        (samples.plan(tensor=4, data=32), 50.0, 30.0),
        (samples.plan(tensor=2, data=64), 900.0, 20.0),
    ]
    return replace(samples.found(), cloud=cloud_around([*known, *others]))


def test_a_front_has_nothing_faster_and_smaller() -> None:
    assert front([(3.0, 5), (1.0, 9), (2.0, 9), (4.0, 6), (5.0, 1)]) == [
        (1.0, 9),
        (3.0, 5),
        (5.0, 1),
    ]
    assert front([]) == []


def test_close_bounds_make_a_front_and_loose_ones_do_not(samples: Samples) -> None:
    close, loose = searched(samples, 0.01), searched(samples, 0.3)
    assert close.cloud is not None
    assert looseness(close.cloud, close.plans) == pytest.approx(0.01)
    for search, said in ((close, "at most 1.0% below it"), (loose, "up to 30.0% below")):
        section = read_page(page_text(content_of(samples, search))).one(id="cloud")
        config = json.loads(section.one("canvas").attributes["data-config"])
        assert said in section.text
        assert ("is the front" in section.text) == (search is close) == config["close"]
        bounds = {x for x, _ in config["front"]} - {one.estimate.step_s for one in search.plans}
        assert bool(bounds) == (search is close)


def test_slow_combinations_are_left_out_of_the_picture_and_counted(samples: Samples) -> None:
    section = read_page(page_text(content_of(samples, searched(samples, 0.01)))).one(id="cloud")
    assert "Each dot is one of 5 combinations that fit (1 slower by more than 4" in section.text


def test_combinations_that_need_another_layout_to_fit_are_counted_and_not_drawn(
    samples: Samples,
) -> None:
    known = searched(samples, 0.01).cloud
    assert known is not None
    peaks = (*known.peak_bytes[:-3], round(79.0 * GIB), *known.peak_bytes[-2:])
    search = replace(samples.found(), cloud=replace(known, peak_bytes=peaks))
    section = read_page(page_text(content_of(samples, search))).one(id="cloud")
    assert "1 combination that fit with another stage layout" in section.text
    config = json.loads(section.one("canvas").attributes["data-config"])
    assert max(peak for _, peak in config["front"]) <= config["usable"] < 79.0 * GIB


def test_a_cloud_that_was_not_asked_for_has_a_sentence(samples: Samples) -> None:
    section = read_page(page_text(content_of(samples, samples.found()))).one(id="cloud")
    assert "Left out" in section.text
    assert not list(section.every("canvas"))


def test_columns_of_the_pipeline_give_its_passes_back() -> None:
    rows = stage_spans(step().timeline)
    data, header = encoded(step(), rows)
    raw = zlib.decompress(base64.b64decode(data))
    counts: list[int] = header["counts"]  # type: ignore[assignment]
    lasting: list[tuple[int, str]] = header["lasting"]  # type: ignore[assignment]
    total = sum(counts)
    gaps = np.frombuffer(raw, "<i4", total)
    codes = np.frombuffer(raw, "<u2", total, offset=4 * total)
    first = 0
    for row, length in zip(rows, counts, strict=True):
        now = 0
        for at in range(length):
            code = int(codes[first + at])
            start = now + int(gaps[first + at])
            now = start + lasting[code % CRITICAL][0]
            assert start * UNIT_S == pytest.approx(row.start_s[at], abs=UNIT_S)
            assert now * UNIT_S == pytest.approx(row.end_s[at], abs=2 * UNIT_S)
            assert (code >= CRITICAL) == bool(row.critical[at])
        first += length
    assert any(row.critical.any() for row in rows)


def test_the_idle_time_of_the_table_is_that_of_the_simulation(samples: Samples) -> None:
    section = read_page(page_text(content_of(samples, samples.found()))).one(id="pipeline")
    idle = [list(row.every("td"))[-1].text for row in section.one("tbody").every("tr")]
    timeline = step().timeline
    assert idle == [f"{1 - busy / timeline.pass_span_s:.1%}" for busy in timeline.busy_s.tolist()]


def test_more_nodes_that_bring_less_are_named(samples: Samples) -> None:
    plan = samples.plan()
    sizes = (
        SizedPlan(nodes=16, plan=plan, step_s=30.0, tokens_per_s=1000.0),
        SizedPlan(nodes=20, plan=plan, step_s=40.0, tokens_per_s=750.0),
        SizedPlan(nodes=21, reason="batch: 21 nodes divide nothing <b>"),
        SizedPlan(nodes=24, plan=plan, step_s=33.0, tokens_per_s=900.0),
        SizedPlan(nodes=32, plan=plan, step_s=16.0, tokens_per_s=1900.0),
    )
    assert cliffs(sizes) == [
        "20 nodes are slower than 16, by 25.0%.",
        "24 nodes are slower than 16, by 10.0%.",
    ]
    content = content_of(samples, replace(samples.found(), scaling=sizes))
    section = read_page(page_text(content)).one(id="scaling")
    assert "batch: 21 nodes divide nothing <b>" in section.text
    for picture in section.every("svg"):
        points = list(picture.every("circle"))
        assert len(points) == 4
        heights = [float(one.attributes["cy"]) for one in points]
        assert heights[0] < heights[2] < heights[1]
        assert [one.text for one in picture.every("text", class_="none")] == ["✕"]
