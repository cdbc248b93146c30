"""`planner compare`: what differs between plans, and what each difference costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner.comparison.checkpoints import loading
from planner.comparison.side import Side

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome
    from tests.conftest import Golden, Samples

JOB = ("--cluster", "dgx-a100-8", "--model", "gpt-7.5b", "--nodes", "2")
SCRIPT = """
torchrun --nproc_per_node 8 --nnodes 2 pretrain_gpt.py --num-layers 36 --hidden-size 4096 \\
  --num-attention-heads 32 --seq-length 2048 --max-position-embeddings 2048 --bf16 \\
  --micro-batch-size 1 --global-batch-size 512 --vocab-size 51200 --tokenizer-type NullTokenizer \\
  --tensor-model-parallel-size 8 --use-distributed-optimizer
"""


@pytest.fixture
def plans(
    searched_plans: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans.json").write_text(searched_plans(*JOB, "--top", "3"))
    return tmp_path


def compared(planner: Callable[..., Outcome], *arguments: str) -> dict[str, Any]:
    outcome = planner("compare", *arguments, "--json")
    assert outcome.code == 0, outcome.stderr
    document: dict[str, Any] = json.loads(outcome.stdout)
    return document


def test_parts_add_up_to_the_totals_and_so_do_their_differences(
    planner: Callable[..., Outcome], plans: Path
) -> None:
    found = compared(planner, "plans.json#3", "plans.json#1", "plans.json#2")
    assert found["schema"] == "planner/comparison/1"
    for index, plan in enumerate(found["plans"]):
        step_s = sum(values[index] for values in found["time"].values())
        assert step_s == pytest.approx(plan["step_s"], rel=1e-7)
        peak = sum(values[index] for values in found["memory"].values())
        assert peak == plan["peak_bytes"]
    changes = [max(abs(v - values[0]) for v in values) for values in found["time"].values()]
    assert changes == sorted(changes, reverse=True)
    assert len(found["changes"]) == 2


def test_the_word_best_searches_for_the_job_of_the_other_plan(
    planner: Callable[..., Outcome], plans: Path
) -> None:
    found = compared(planner, "plans.json#3", "best")
    first = json.loads(planner("compare", "plans.json#3", "plans.json#1", "--json").stdout)
    assert found["plans"][1]["step_s"] == first["plans"][1]["step_s"]
    assert [plan["name"] for plan in found["plans"]] == ["plans.json#3", "best"]


def test_a_launch_script_against_the_best(
    planner: Callable[..., Outcome], plans: Path, golden: Golden
) -> None:
    (plans / "train.sh").write_text(SCRIPT, encoding="utf-8")
    outcome = planner("compare", "train.sh", "best", "--cluster", "dgx-a100-8")
    assert outcome.code == 0
    assert "train.sh: read:" in outcome.stderr
    golden.check("compare.txt", outcome.stdout)
    assert max(map(len, outcome.stdout.splitlines())) <= 80
    refused = planner("compare", "train.sh", "best")
    assert refused.code == 2
    assert "does not say which cluster it runs on" in refused.stderr


def test_a_plan_is_the_same_as_itself(planner: Callable[..., Outcome], plans: Path) -> None:
    outcome = planner("compare", "plans.json#1", "plans.json#1")
    assert outcome.code == 0
    text = outcome.stdout
    assert "plans.json#1 and plans.json#1 are equally fast" in text
    assert "Nothing." in text
    assert "loads as it is: nothing that it holds changes" in text
    assert text.endswith("The same.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plans.json"], "compare needs two plans or more"),
        (["best", "best"], "'best' stands once"),
        (["plans.json", "best", "best"], "'best' stands once"),
        (["plans.json", "plans.json#9"], "rank 9 is asked for"),
        (["plans.json", "nowhere.json"], "nowhere.json"),
        (["plans.json", "best", "--headroom", "120%"], "--headroom"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    planner: Callable[..., Outcome], plans: Path, arguments: list[str], message: str
) -> None:
    outcome = planner("compare", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr


@pytest.mark.parametrize(
    ("software", "changed", "verdict"),
    [
        ("megatron-core", {"micro_batch_size": 2}, "loads"),
        ("megatron-core", {"data_sharding": "none"}, "prepared"),
        ("torchtitan", {"data_sharding": "full"}, "loads"),
        ("internevo", {"data_sharding": "none"}, "unknown"),
        ("deepspeed", {"data_sharding": "none"}, "prepared"),
    ],
)
def test_what_a_checkpoint_survives_depends_on_the_framework(
    samples: Samples, software: str, changed: dict[str, Any], verdict: str
) -> None:
    from dataclasses import replace

    from planner import api

    priced = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8)
    scenario = replace(
        priced.scenario,
        job=replace(priced.scenario.job, software=api.load_software(software)),
    )
    first = Side(name="a", scenario=scenario, plan=priced.plan, estimate=priced.estimate)
    other = replace(first, plan=replace(priced.plan, **changed))
    assert loading(first, other).verdict == verdict
