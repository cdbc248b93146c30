"""`planner check` on serving plans, and what other commands say about them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner import api

if TYPE_CHECKING:
    from collections.abc import Callable

LOAD = """
requests: {input: 2048, output: 64, spread: 0.1}
concurrency: 32
slo: {ttft: {mean: 2 s}, tpot: {mean: 40 ms}}
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The document of a plan of prefill and decode pools."""
    load = tmp_path_factory.mktemp("load") / "load.yaml"
    load.write_text(LOAD)
    found = api.search_serving(
        "dgx-h100-16",
        "llama-3-8b",
        load,
        nodes=1,
        disaggregated=True,
        top=1,
        tensor=(1, 2),
        pipeline=1,
        max_step_tokens=8192,
    )
    return api.to_text(found)


@pytest.fixture
def plan(found: str, tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(found)
    return path


def edited(plan: Path, change: Callable[[Any], None]) -> str:
    document = json.loads(plan.read_text())
    change(document)
    plan.write_text(json.dumps(document, indent=2))
    return str(plan)


def pool(document: Any, role: str) -> Any:
    return next(one for one in document["plans"][0]["pools"] if one["role"] == role)


def test_a_plan_that_was_found_passes(planner: Callable[..., Any], plan: Path) -> None:
    told = planner("check", str(plan))
    assert (told.code, told.stderr) == (0, "")
    assert "output tokens per second, first token after" in told.stdout
    (found,) = json.loads(planner("check", str(plan), "--json").stdout)["plans"]
    assert (found["passed"], found["job"], found["model"]) == (True, "serving", "llama-3-8b")
    assert "PL001" not in found["not_evaluated"]
    assert "PL503" not in found["not_evaluated"]


def fewer_readers(document: Any) -> None:
    pool(document, "prefill")["replicas"] = 1
    pool(document, "decode")["replicas"] = 4
    pool(document, "decode")["clients"] = 200.0


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (
            lambda one: pool(one, "decode").update(kv_tokens=90_000_000),
            "PL501",
            "the plan counts on 90,000,000 tokens of KV cache",
        ),
        (
            lambda one: pool(one, "decode").update(tensor=3),
            "PL502",
            "tensor degree 3 does not divide the 32 attention heads",
        ),
        (
            lambda one: one["inputs"]["load"]["slo"]["tpot"].update(mean="0.1 ms"),
            "PL503",
            "the limit is 0.1 ms",
        ),
        (fewer_readers, "PL504", "prefill replicas read"),
        (
            lambda one: one["inputs"]["model"].update(sha256="0" * 64),
            "PL210",
            "model llama-3-8b has changed",
        ),
        (
            lambda one: pool(one, "decode").update(replicas=4000),
            "PL201",
            "devices of group h100, which has",
        ),
    ],
)
def test_what_is_wrong_has_a_code_and_a_line(
    planner: Callable[..., Any], plan: Path, change: Callable[[Any], None], code: str, says: str
) -> None:
    told = planner("check", edited(plan, change), "--format", "concise", "--strict")
    assert told.code == 1
    (line,) = [line for line in told.stdout.splitlines() if f" {code} " in line]
    assert says in told.stdout
    assert line.split(":")[1].isdigit()
    github = planner("check", str(plan), "--format", "github", "--strict")
    assert github.code == 1
    assert f"title=planner {code} " in github.stdout


def test_options_of_training_are_refused(planner: Callable[..., Any], plan: Path) -> None:
    told = planner("check", str(plan), "--within-of-best", "5%")
    assert told.code == 2
    assert "--within-of-best is for training plans" in told.stderr
