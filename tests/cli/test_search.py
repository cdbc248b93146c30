"""`planner search` with the search replaced by hand-made results."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from planner.budget import Stopped
from planner.plan_document import plan_schema, read_plan
from planner.training.search import search as engine
from planner.training.search.search import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from planner.training.search.result import SearchResult
    from tests.cli.conftest import Outcome
    from tests.conftest import Samples

SEARCH = ("search", "--cluster", "dgx-a100-128", "--model", "gpt3-175b", "--nodes", "64")


class Engine:
    """Stands in for the search and remembers what it was asked."""

    def __init__(self, result: SearchResult) -> None:
        self.result = result
        self.asked: dict[str, Any] = {}

    def __call__(self, scenario: object, **asked: Any) -> SearchResult:
        self.asked = {"scenario": scenario, **asked}
        asked["progress"](
            Progress(
                phase="bounding",
                candidates=0,
                fitting=0,
                refined=0,
                best_step_s=None,
                bound_s=None,
            )
        )
        return self.result


@pytest.fixture
def found(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> Engine:
    stand_in = Engine(samples.found())
    monkeypatch.setattr(engine, "search", stand_in)
    return stand_in


def test_the_report_answers_first(planner: Callable[..., Outcome], found: Engine) -> None:
    outcome = planner(*SEARCH)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines()[0] == (
        "Best t8 p4 d16: 30.00 s/step, 104,858 tokens/s, MFU 68.9%, peak 66.9/80 GiB"
    )
    assert max(map(len, outcome.stdout.splitlines())) <= 80


def test_options_reach_the_search(planner: Callable[..., Outcome], found: Engine) -> None:
    options = "--tensor 4,2 --sequence-parallel on --schedule 1f1b --top 3 --time-limit 2.5"
    job = "--global-batch-size 96 --seq-length 1024 --precision fp16 --headroom 10%"
    assert planner(*SEARCH, *options.split(), *job.split()).code == 0
    restrictions, scenario = found.asked["restrictions"], found.asked["scenario"]
    assert (restrictions.tensor, restrictions.pipeline) == ((2, 4), None)
    assert (restrictions.sequence_parallel, restrictions.schedule) == ((True,), ("1f1b",))
    assert found.asked["top"] == 3
    assert 0 < found.asked["budget"].left_s <= 2.5
    assert (scenario.job.global_batch_size, scenario.job.seq_length) == (96, 1024)
    assert (scenario.job.precision, scenario.job.headroom) == ("fp16", 0.1)
    assert (scenario.job.devices, scenario.job.software.name) == (512, "megatron-core-overlap")


def test_ten_plans_are_asked_for_without_top(
    planner: Callable[..., Outcome], found: Engine
) -> None:
    planner(*SEARCH)
    assert (found.asked["top"], found.asked["budget"].timed) == (10, False)


def test_json_is_all_there_is_on_stdout(planner: Callable[..., Outcome], found: Engine) -> None:
    outcome = planner(*SEARCH, "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    document = json.loads(outcome.stdout)
    jsonschema.Draft202012Validator(plan_schema()).validate(document)
    assert document["inputs"]["cluster"]["name"] == "dgx-a100-128"
    assert document["inputs"]["job"]["devices"] == 512
    assert len(document["plans"]) == 3
    assert planner(*SEARCH, "--json").stdout == outcome.stdout


def test_output_is_the_same_document_beside_the_report(
    planner: Callable[..., Outcome], found: Engine, tmp_path: Path, samples: Samples
) -> None:
    path = tmp_path / "plans.json"
    report = planner(*SEARCH, "--output", str(path))
    assert report.stdout.startswith("Best ")
    assert path.read_text() == planner(*SEARCH, "--json").stdout
    assert read_plan(f"{path}#2").plan == samples.ranked()[1].plan


def test_nothing_fits(
    planner: Callable[..., Outcome], found: Engine, samples: Samples, tmp_path: Path
) -> None:
    found.result = samples.nothing()
    report = planner(*SEARCH)
    assert (report.code, report.stderr) == (1, "")
    assert report.stdout.startswith("Nothing fits: stage 0 needs 106.2 GiB of 80.0\n")
    path = tmp_path / "plans.json"
    outcome = planner(*SEARCH, "--json", "--output", str(path))
    assert (outcome.code, outcome.stderr) == (1, "")
    document = json.loads(outcome.stdout)
    jsonschema.Draft202012Validator(plan_schema()).validate(document)
    assert document["plans"] == []
    assert len(document["search"]["nearest"]) == 2
    assert path.read_text() == outcome.stdout


def test_an_interrupted_search_shows_what_it_has(
    planner: Callable[..., Outcome], found: Engine
) -> None:
    found.result = replace(
        found.result, stopped=Stopped.INTERRUPTED, settled=False, combination_gap=0.1
    )
    outcome = planner(*SEARCH)
    assert outcome.code == 130
    assert outcome.stdout.startswith("Best t8 p4 d16")
    found.result = replace(found.result, plans=(), refined=0)
    outcome = planner(*SEARCH)
    assert outcome.code == 130
    assert outcome.stdout.startswith("No answer yet: interrupted before any plan was priced.\n")


def test_a_time_limit_without_any_plan_is_no_answer(
    planner: Callable[..., Outcome], found: Engine
) -> None:
    found.result = replace(
        found.result, plans=(), stopped=Stopped.TIME_LIMIT, settled=False, refined=0
    )
    outcome = planner(*SEARCH, "--time-limit", "1")
    assert outcome.code == 1
    assert outcome.stdout.startswith("No answer yet: stopped by time limit before any plan")


def test_an_interrupt_before_the_search_says_so(
    planner: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "search", interrupt)
    outcome = planner(*SEARCH)
    assert (outcome.code, outcome.stdout, outcome.stderr) == (130, "", "error: interrupted\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--top 0", "--top: '0' is not a whole number from 1 to 1,000"),
        ("--top 5000", "--top: '5000' is not a whole number from 1 to 1,000"),
        ("--time-limit 0", "--time-limit: '0' is not a number of seconds above 0, such as 30"),
        ("--tensor 3,3x", "--tensor: '3x' is not a whole number from 1 to 1,000,000; write one "),
        ("--tensor ,", "--tensor: ',' is not a comma list; write it like 1,2,4"),
        ("--sequence-parallel yes", "--sequence-parallel: unknown value 'yes'; allowed: on, off"),
        ("--recompute sel", "--recompute: unknown value 'sel'; allowed: none, selective, full"),
        ("--devices 512", "--nodes and --devices are both given; one of them says how many to"),
        ("--headroom 5", "--headroom: '5' is not a share from 0% to below 100%; write it like"),
        ("--precision fp9", "--precision: 'fp9' is not one of fp32, tf32, fp16, bf16, fp8, mxfp8"),
        ("--global-batch-size -1", "--global-batch-size: '-1' is not a whole number from 1 to"),
        ("--software mega", "no software file is shipped as 'mega'; `planner list` shows all"),
        ("--output /none/plans.json", "--output: '/none/plans.json' cannot be written: there is "),
        ("--output /", "--output: '/' cannot be written: it is a folder"),
    ],
)
def test_bad_options(
    planner: Callable[..., Outcome], found: Engine, options: str, message: str
) -> None:
    outcome = planner(*SEARCH, *options.split())
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {message}")
    assert outcome.stderr.count("\n") == 1
    assert found.asked == {}


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ("0", "--nodes: '0' is not a whole number from 1 to 100,000"),
        ("-4", "--nodes: '-4' is not a whole number from 1 to 100,000"),
        ("1000000000", "--nodes: '1000000000' is not a whole number from 1 to 100,000"),
        ("129", "cluster dgx-a100-128 has 128 nodes with 1024 devices, fewer than the 129 nodes"),
    ],
)
def test_bad_numbers_of_nodes(
    planner: Callable[..., Outcome], found: Engine, nodes: str, message: str
) -> None:
    outcome = planner(*SEARCH[:-1], nodes)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {message}")
    assert found.asked == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("", "empty"),
        ("name: x\n  y: [", "cluster.yaml:2"),
        ("node_groups: 3\n", "cluster.yaml:1"),
    ],
)
def test_bad_cluster_files(
    planner: Callable[..., Outcome], tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "cluster.yaml"
    if content is not None:
        path.write_text(content)
    target = tmp_path / "plans.json"
    outcome = planner(
        "search", "--cluster", str(path), "--model", "gpt3-175b", "--output", str(target)
    )
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {path}")
    assert message in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert os.listdir(tmp_path) == ([] if content is None else ["cluster.yaml"])
