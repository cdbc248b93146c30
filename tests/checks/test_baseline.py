"""`--baseline`: what a plan cost when it was committed, and what it costs now."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.checks.baseline import Figures

if TYPE_CHECKING:
    from tests.checks.conftest import Repository


@pytest.fixture
def plan(repository: Repository) -> str:
    return repository.plan("plan.json", tensor=8, pipeline=2)


def slower(repository: Repository) -> None:
    """A network inside the node of a tenth of what it was."""
    repository.edit("cluster.yaml", {"node_groups.0.intra_node.bandwidth": "30 GB/s"})


def regression(findings: list[dict[str, Any]]) -> list[str]:
    return [found["message"] for found in findings if found["code"] in ("PL401", "PL402")]


def test_the_committed_plan_itself_is_a_baseline(repository: Repository, plan: str) -> None:
    assert repository.check(plan, f"--baseline={plan}").code == 0
    slower(repository)
    outcome = repository.check(plan, f"--baseline={plan}", "--ignore=stale", "--format=concise")
    assert outcome.code == 1
    assert "PL401 error: takes " in outcome.stdout
    assert "s/step in plan.json (planner " in outcome.stdout
    assert "5.0% is allowed" in outcome.stdout
    wide = repository.check(plan, f"--baseline={plan}", "--ignore=stale", "--max-regression=5000%")
    assert wide.code == 0


def test_another_plan_against_the_committed_one(repository: Repository, plan: str) -> None:
    repository.plan("slow.json", tensor=8, pipeline=2, recompute="full")
    committed = f"--baseline={plan}"
    [message] = regression(repository.findings("slow.json", committed))
    assert message.startswith("takes ")
    assert "more device time per token than the baseline" in message
    assert repository.check(plan, "--baseline=slow.json").code == 0


def test_a_baseline_of_many_plans(repository: Repository, plan: str) -> None:
    Path("plans").mkdir()
    repository.plan("plans/second.json", tensor=4, pipeline=4)
    written = repository.check(plan, "plans/second.json", "--write-baseline=plans/base.json")
    assert written.code == 0
    document = json.loads(Path("plans/base.json").read_text())
    assert document["schema"] == "planner/baselines/1"
    assert [entry["plan"] for entry in document["plans"]] == ["../plan.json#1", "second.json#1"]
    again = repository.check("plans/second.json", plan, "--write-baseline=again.json")
    assert again.code == 0
    assert json.loads(Path("again.json").read_text())["plans"][1] == {
        **document["plans"][1], "plan": "plans/second.json#1"
    }  # fmt: skip
    assert repository.check(plan, "plans/second.json", "--baseline=plans/base.json").code == 0
    slower(repository)
    findings = repository.findings(
        plan, "plans/second.json", "--baseline=plans/base.json", "--ignore=stale"
    )
    assert len(regression(findings)) == 2


def test_a_plan_that_the_baseline_lacks_is_a_warning(repository: Repository, plan: str) -> None:
    repository.check(plan, "--write-baseline=base.json")
    repository.plan("new.json", tensor=4, pipeline=4)
    outcome = repository.check("new.json", "--baseline=base.json", "--format=concise")
    assert outcome.code == 0
    assert "PL402 warning: base.json holds 1 plan, not this one" in outcome.stdout
    assert repository.check("new.json", "--baseline=base.json", "--strict").code == 1


def test_a_larger_batch_alone_is_no_regression(repository: Repository, plan: str) -> None:
    """Twice the batch takes about twice the time; a token takes less, as the bubble is shared."""
    repository.plan("more.json", tensor=8, pipeline=2, global_batch_size=128)
    assert regression(repository.findings("more.json", f"--baseline={plan}")) == []


@pytest.mark.parametrize("kind", ["plan", "figures"])
def test_the_summary_shows_what_the_step_lost_its_time_to(
    repository: Repository, plan: str, kind: str
) -> None:
    baseline = plan
    if kind == "figures":
        baseline = "base.json"
        assert repository.check(plan, f"--write-baseline={baseline}").code == 0
    slower(repository)
    given = (plan, f"--baseline={baseline}", "--ignore=stale")
    text = repository.check(*given, "--format=github-summary").stdout
    [before, now] = re.findall(r"([\d.]+) m?s in the baseline, ([\d.]+) m?s now", text)[0]
    assert float(now) != float(before)
    chart = text.partition("```text\n")[2].partition("```")[0].splitlines()
    assert re.match(r"tensor communication +█+ +[\d.]+ m?s baseline", chart[0])
    assert re.match(r" +█{24} +[\d.]+ m?s now, \+[\d.]+ m?s", chart[1])
    assert len(chart) % 2 == 0
    assert any(line.startswith("compute ") for line in chart[2:])


def test_the_summary_compares_jobs_of_another_size_per_token(
    repository: Repository, plan: str
) -> None:
    repository.plan("more.json", tensor=8, pipeline=2, global_batch_size=128)
    text = repository.check(
        "more.json", f"--baseline={plan}", "--format=github-summary"
    ).stdout  # fmt: skip
    assert "counts per token" in text
    change = re.search(r"now \(([-+][\d.]+)%\)", text)
    assert change is not None
    assert -20 < float(change[1]) < 0


def test_a_plan_that_cannot_run_writes_no_baseline(repository: Repository, plan: str) -> None:
    repository.edit(plan, {"plans.0.data_sharding": "full"})
    outcome = repository.check(plan, "--write-baseline=base.json")
    assert outcome.code == 2
    assert "is not written, as not every plan can run" in outcome.stderr
    assert not Path("base.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "planner/runs/1"}, "base.json:1:12: schema: one of planner/baselines/1, plan"),
        ({"plans.0.step_s": 0}, "base.json:1:107: plans[0].step_s: a number above 0 is needed"),
        ({"plans.0.step_s": "1"}, "plans[0].step_s: a number is needed, found"),
        ({"plans.0.devices": 0}, "plans[0].devices: a whole number from 1 to"),
        ({"plans.0.peak": 0}, 'plans[0]: "peak" is not known here'),
        ({"plans.0.time": {"compute": 1}}, 'plans[0].time: "compute" is not known here'),
        ({"plans.0.time": {"compute_s": -1}}, "plans[0].time.compute_s: a number of at least 0"),
        ({"plans": {}}, "plans: a list is needed, found an object"),
        ({"plans": None}, '"plans" is missing'),
    ],
)
def test_baselines_that_are_wrong(
    repository: Repository, plan: str, changes: dict[str, Any], message: str
) -> None:
    repository.check(plan, "--write-baseline=base.json")
    repository.edit("base.json", changes)
    outcome = repository.check(plan, "--baseline=base.json")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
    assert outcome.stderr.startswith("error: base.json:1:")


COSTS = st.builds(
    Figures,
    step_s=st.floats(1e-3, 1e3),
    devices=st.integers(1, 10**5),
    tokens_per_step=st.integers(1, 10**9),
)


@given(cost=COSTS, factor=st.integers(2, 100))
def test_device_time_per_token_does_not_depend_on_the_size_of_the_job(
    cost: Figures, factor: int
) -> None:
    wider = replace(
        cost, devices=cost.devices * factor, tokens_per_step=cost.tokens_per_step * factor
    )
    longer = replace(
        cost, step_s=cost.step_s * factor, tokens_per_step=cost.tokens_per_step * factor
    )
    for other in (wider, longer):
        assert other.device_s_per_token == pytest.approx(cost.device_s_per_token)
    slow = replace(cost, step_s=cost.step_s * factor)
    assert slow.device_s_per_token > cost.device_s_per_token
