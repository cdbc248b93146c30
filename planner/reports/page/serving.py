"""Serving plans as one HTML page: the answer, the plans, the front, pools, assumptions, launch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.plan_document.page import embedded
from planner.reports.page.html import Html, element, join
from planner.reports.page.page import shell
from planner.reports.page.parts import bullets, note, section, table
from planner.reports.page.plot import Plot, picture
from planner.wording.pools import pool_words
from planner.wording.units import count, percent, plural, three_digits, time_scale

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NOTE = (
    "No plan has both more throughput of a device and more tokens per second of a user than these."
)


def serving_page(document: Mapping[str, Any], text: str, launches: Mapping[str, str]) -> str:
    """The text of the HTML file. `document` is that of serving plans, `text` as it stands in its
    file; `launches`: scripts and manifests of the first plan, by file."""
    inputs, plans = document["inputs"], document["plans"]
    title = f"{inputs['model']['name']} on {inputs['cluster']['name']}: serving plans"
    made = (
        section("plans", "Plans", _plans_table(plans), wide=True),
        section("pools", "Pools of the first plan", _pools_table(plans[0]["pools"]), wide=True),
        _front(document.get("front", ())),
        section("assumptions", "Assumptions", bullets(inputs["assumptions"])),
        _launch(launches),
    )
    body = join(
        element("header", element("h1", title), element("p", _answer(document))),
        element("main", *(one for one in made if one is not None)),
    )
    return shell(f"{title}: planner report", body, embedded(text))


def _answer(document: Mapping[str, Any]) -> str:
    best = document["plans"][0]["estimate"]
    said = (
        f"{three_digits(best['output_tokens_per_s'])} output tokens per second on "
        f"{plural(best['devices'], 'device')}"
    )
    search = document.get("search")
    if search is None:
        return f"{said}."
    gap = search["gap"]
    proof = "no bound is known" if gap is None else f"within {percent(gap)} of the best"
    return f"{said}; {'proven best under the model' if search['proven'] else proof}."


def _plans_table(plans: Sequence[Mapping[str, Any]]) -> Html:
    names = ("rank", "pools", "devices", "tokens/s", "TTFT", "p99", "TPOT", "p99")
    rows = []
    for plan in plans:
        found, tpot = plan["estimate"], plan["estimate"]["tpot"]
        rows.append(
            (
                str(plan["rank"]),
                _pools(plan["pools"]),
                count(found["devices"]),
                three_digits(found["output_tokens_per_s"]),
                _time(found["ttft"]["mean_s"]),
                _time(found["ttft"]["p99_s"]),
                "" if tpot is None else _time(tpot["mean_s"]),
                "" if tpot is None else _time(tpot["p99_s"]),
            )
        )
    return table("Serving plans, the best first", names, rows, text_columns=2)


def _pools_table(pools: Sequence[Mapping[str, Any]]) -> Html:
    texts = ("role", "group", "device", "weights", "KV cache")
    numbers = ("replicas", "tensor", "pipeline", "attention data", "expert", "requests under way")
    rows = [
        (
            pool["role"],
            pool["group"],
            pool["device"],
            pool["weights"],
            pool["kv_format"],
            *(
                count(pool[name])
                for name in ("replicas", "tensor", "pipeline", "attention_data", "expert")
            ),
            three_digits(pool["clients"]),
        )
        for pool in pools
    ]
    return table("Pools of equal replicas", (*texts, *numbers), rows, text_columns=len(texts))


def _pools(pools: Iterable[Mapping[str, Any]]) -> str:
    """`3x TP2 prefill, 2x TP8 decode`."""
    degrees = ("role", "replicas", "tensor", "attention_data", "expert", "pipeline")
    return ", ".join(pool_words(**{name: pool[name] for name in degrees}) for pool in pools)


def _front(front: Sequence[Mapping[str, Any]]) -> Html | None:
    places = [
        (
            one["estimate"]["tokens_per_s_per_user"],
            one["estimate"]["output_tokens_per_s_per_device"],
            one,
        )
        for one in front
        if one["estimate"]["tokens_per_s_per_user"]
    ]
    if not places:
        return None
    plot = Plot(
        x_label="tokens per second of a user",
        y_label="output tokens per second of a device",
        curves={"": tuple((x, y) for x, y, _ in sorted(places, key=lambda place: place[:2]))},
    )
    rows = [
        (_pools(one["pools"]), three_digits(x), three_digits(y), count(one["estimate"]["devices"]))
        for x, y, one in places
    ]
    names = ("pools", "tokens/s of a user", "tokens/s of a device", "devices")
    return section(
        "front",
        "Throughput of a device against interactivity",
        note(_NOTE),
        *picture(plot),
        table("Plans of the front", names, rows),
    )


def _launch(launches: Mapping[str, str]) -> Html | None:
    if not launches:
        return None
    parts = [(element("h3", name), element("pre", text)) for name, text in launches.items()]
    return section(
        "launch", "Launching the first plan", *(one for pair in parts for one in pair), wide=True
    )


def _time(seconds: float) -> str:
    scale = time_scale(seconds)
    return f"{scale.number(seconds)} {scale.unit}"
