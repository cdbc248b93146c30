"""Serving plans in `planner compare`, `report`, `explain` and `calibrate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner import api

if TYPE_CHECKING:
    from collections.abc import Callable

LOAD = "requests: {input: 512, output: 64}\nconcurrency: 16\nslo: {tpot: {mean: 100 ms}}\n"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> str:
    load = tmp_path_factory.mktemp("load") / "load.yaml"
    load.write_text(LOAD)
    what: dict[str, Any] = {"nodes": 1, "pipeline": 1, "tensor": (1, 2), "max_step_tokens": 8192}
    found = api.search_serving(
        "dgx-h100-16", "llama-3-8b", load, disaggregated=False, top=2, **what
    )
    return api.to_text(found)


@pytest.fixture
def plans(found: str, tmp_path: Path) -> str:
    (tmp_path / "plans.json").write_text(found)
    return str(tmp_path / "plans.json")


def test_two_plans_are_compared(planner: Callable[..., Any], plans: str) -> None:
    told = planner("compare", f"{plans}#1", f"{plans}#2", "--json")
    assert told.code == 0
    document = json.loads(told.stdout)
    first, second = json.loads(Path(plans).read_text())["plans"]
    assert document["differences"]["aggregated.tensor"] == [
        str(plan["pools"][0]["tensor"]) for plan in (first, second)
    ]
    assert "aggregated.max_running" not in document["differences"]
    for name in ("output_tokens_per_s", "devices"):
        assert document["figures"][name] == pytest.approx(
            [plan["estimate"][name] for plan in (first, second)], rel=1e-6
        )
    shown = " ".join(planner("compare", f"{plans}#2", f"{plans}#1").stdout.split())
    assert "B has" in shown
    assert "more output tokens per second than A" in shown
    assert "aggregated.tensor" in shown


def test_a_page_shows_plans_and_is_read_back(
    planner: Callable[..., Any], plans: str, tmp_path: Path
) -> None:
    page = str(tmp_path / "page.html")
    assert planner("report", plans, "-o", page).code == 0
    text = Path(page).read_text()
    best = json.loads(Path(plans).read_text())["plans"][0]["estimate"]
    assert "proven best under the model" in text or "of the best" in text
    assert f"{1e3 * best['ttft']['mean_s']:.4g} ms" in text
    assert "vllm serve" in text
    assert "<svg" in text
    rows = text.split('id="plans"')[1].split("</table>")[0]
    first = json.loads(Path(plans).read_text())["plans"][0]["pools"][0]
    assert f"{first['replicas']}x TP{first['tensor']}" in rows
    again = planner("estimate", "--cluster", "dgx-h100-16", "--plan", f"{page}#1", "--json")
    assert again.code == 0
    assert json.loads(again.stdout)["plans"][0]["estimate"]["ttft"] == pytest.approx(best["ttft"])
    assert planner("check", f"{page}#1").code == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("compare", "{plans}#1"), "compare needs two plans or more"),
        (("compare", "{plans}#1", "best"), "best is no serving plan"),
        (("compare", "{plans}#1", "{plans}#3"), "rank 3 is asked for"),
        (("compare", "{plans}#1", "{plans}#2", "--tensor", "2"), "--tensor is for training plans"),
        (("explain", "{plans}#1", "--tensor", "2"), "--tensor is for training plans"),
        (("report", "{plans}", "--mine", "x.json"), "--mine and --software are for training plans"),
        (("calibrate", "runs.csv", "--device-file", "out.yaml"), "--device-file is for training"),
    ],
)
def test_what_says_nothing_about_serving_is_refused(
    planner: Callable[..., Any], plans: str, command: tuple[str, ...], message: str
) -> None:
    told = planner(*(one.format(plans=plans) for one in command))
    assert told.code == 2
    assert message in told.stderr
    assert len(told.stderr.splitlines()) <= 2
