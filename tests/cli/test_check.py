"""`planner check` as a user and a pipeline call it: options, exit codes, where the reports go. The
search and the estimate are stand-ins; `tests/checks` checks real plans."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner.budget import Stopped
from planner.checks import check as checks
from planner.plan_document import to_document, to_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.search.result import SearchResult
    from tests.cli.conftest import Outcome
    from tests.conftest import Samples

    Run = Callable[..., Outcome]

INPUTS = ("check", "--cluster", "dgx-a100-128", "--model", "gpt3-175b", "--ignore", "stale")


@pytest.fixture
def plans(samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of three plans in the working directory; every plan costs 30 s."""
    found = samples.found()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(checks, "estimate", lambda _, plan: priced(samples, plan))
    monkeypatch.setattr("planner.training.search.search.search", None)
    Path("plans.json").write_text(
        to_text(to_document(samples.inputs(), found.plans, search=found)), encoding="utf-8"
    )
    return "plans.json"


def line_of(text: str) -> int:
    """The first line of the plan file that holds a text."""
    lines = Path("plans.json").read_text(encoding="utf-8").split("\n")
    return 1 + next(index for index, line in enumerate(lines) if text in line)


def priced(samples: Samples, plan: Any, **changes: Any) -> Any:
    cost = samples.estimate(plan, **changes)
    busy = {"slowest_stage_busy_s": 27.0, "mean_stage_busy_s": 26.0, "busiest_stage": 1.0}
    return replace(cost, time_detail=cost.time_detail | busy)


@pytest.fixture
def best(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes the search find a best plan of that many seconds."""

    def find(step_s: float) -> None:
        first = samples.ranked()[0]
        ranked = replace(first, estimate=samples.estimate(first.plan, step_s=step_s))

        def search(*_: object, **asked: Any) -> SearchResult:
            assert asked["top"] == 1
            return replace(samples.found(), plans=(ranked,))

        monkeypatch.setattr("planner.training.search.search.search", search)

    return find


def test_without_being_asked_there_is_no_search(planner: Run, plans: str) -> None:
    outcome = planner(*INPUTS, f"{plans}#1")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout == (
        "ok: plans.json#1: t8 p4 d16 fits (66.9 of 80 GiB), 30.00 s/step (27.90–32.40)\n"
    )


def test_a_plan_near_the_best(planner: Run, plans: str, best: Callable[[float], None]) -> None:
    best(29.0)
    outcome = planner(*INPUTS, f"{plans}#1", "--within-of-best", "5%")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout == (
        "ok: plans.json#1: t8 p4 d16 fits (66.9 of 80 GiB), 30.00 s/step (27.90–32.40), 3.4% above "
        "the best found (29.00 s: t8 p4 d16)\n"
    )


@pytest.mark.parametrize("option", ["--within-of-best", "--within"])
def test_a_plan_far_from_the_best(
    planner: Run, plans: str, best: Callable[[float], None], option: str
) -> None:
    best(25.0)
    outcome = planner(*INPUTS, f"{plans}#2", option, "10%", "--format", "concise")
    assert (outcome.code, outcome.stderr) == (1, "")
    finding, verdict = outcome.stdout.splitlines()
    assert finding.endswith(
        "PL301 error: takes 30.00 s/step (27.90–32.40), 20.0% more than the best found (25.00 s); "
        "10.0% is allowed; the best found is t8 p4 d16, micro-batch 1, 1f1b, recompute selective"
    )
    assert verdict.startswith("fail: plans.json#2: t8 p8 d8 fits")
    assert planner(*INPUTS, f"{plans}#2", option, "20%").code == 0
    assert planner(*INPUTS, f"{plans}#2", option, "19.9%").code == 1
    assert planner(*INPUTS, f"{plans}#2", option, "10%", "--exit-zero").code == 0


def test_a_tie_is_called_one(planner: Run, plans: str, best: Callable[[float], None]) -> None:
    best(29.0)
    outcome = planner(*INPUTS, f"{plans}#1", "--within", "1%")
    assert outcome.code == 1
    assert "1.0% is allowed; the two are too close to tell" in outcome.stdout


def test_a_plan_that_does_not_fit_needs_no_search(
    planner: Run, plans: str, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        checks, "estimate", lambda _, plan: priced(samples, plan, activations_gib=61.3)
    )
    outcome = planner(*INPUTS, plans, "--within", "5%", "--format", "concise")
    assert (outcome.code, outcome.stderr) == (1, "")
    line = line_of('"index": 0')
    assert outcome.stdout == (
        f"plans.json:{line}:19: PL001 error: does not fit: stage 0 needs 106.2 GiB of 80.0 (76.0 "
        "after headroom): activations 61.3, gradients 22.0\n"
        "fail: plans.json#1: t8 p4 d16 does not fit (106.2 of 80 GiB)\n"
    )


def test_the_headroom_of_the_option_comes_first(
    planner: Run, plans: str, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def remember(scenario: Any, plan: Any) -> Any:
        seen.append(scenario.job.headroom)
        return priced(samples, plan)

    monkeypatch.setattr(checks, "estimate", remember)
    planner(*INPUTS, plans)
    planner(*INPUTS, plans, "--headroom", "20%")
    assert seen == [0.05, 0.2]


def test_several_plans_and_their_tally(planner: Run, plans: str) -> None:
    outcome = planner(*INPUTS, f"{plans}#1", f"{plans}#2", "none.json")
    assert outcome.code == 2
    assert outcome.stderr == "error: none.json: no such file\n"
    ok, second, unread, tally = outcome.stdout.splitlines()
    assert ok.startswith("ok: plans.json#1: ")
    assert second.startswith("ok: plans.json#2: ")
    assert unread == "fail: none.json: cannot be read"
    assert tally == "nothing to report in 3 plans, 1 of them unreadable"


def test_json_says_what_was_not_evaluated(planner: Run, plans: str) -> None:
    outcome = planner(*INPUTS, plans, "--json")
    document = json.loads(outcome.stdout)
    assert (outcome.code, document["passed"], document["errors"]) == (0, True, 0)
    [plan] = document["plans"]
    assert (plan["plan"], plan["fit_class"], plan["best"]) == ("plans.json#1", "fits", None)
    assert plan["step_s"] == pytest.approx(30.0)
    assert plan["not_evaluated"] == {
        "PL210": "not selected",
        "PL301": "--within-of-best is not given",
        "PL401": "--baseline is not given",
        "PL402": "--baseline is not given",
    }


def test_bad_input_is_a_finding_of_machine_formats_too(planner: Run, plans: str) -> None:
    text = Path(plans).read_text()
    Path(plans).write_text(text.replace('"tensor": 8', '"tensor": "8"', 1), encoding="utf-8")
    outcome = planner(*INPUTS, plans, "--format", "github")
    assert outcome.code == 2
    assert outcome.stderr.startswith("error: plans.json:")
    first = outcome.stdout.splitlines()[0]
    assert first.startswith("::error file=plans.json,line=")
    assert "title=planner PL901 bad-input::plans[0].degrees.tensor: a whole number" in first
    assert planner(*INPUTS, plans, "--format", "github", "--exit-zero").code == 2


def test_a_bad_cluster_file_is_named_once(planner: Run, plans: str) -> None:
    Path("cluster.yaml").write_text("name: c\nnode_group: []\n", encoding="utf-8")
    outcome = planner(
        "check", "--cluster", "cluster.yaml", plans, f"{plans}#2", "--format", "gitlab"
    )
    assert (outcome.code, outcome.stderr.count("unknown key")) == (2, 1)
    [issue] = json.loads(outcome.stdout)
    assert issue["location"]["path"] == "cluster.yaml"
    assert issue["location"]["positions"]["begin"] == {"line": 2, "column": 1}


def test_what_is_not_given_is_what_the_plan_records(planner: Run, plans: str) -> None:
    assert planner("check", plans, "--ignore", "PL210").code == 0
    text = Path(plans).read_text()
    Path(plans).write_text(text.replace('"dgx-a100-128"', '"ours"', 1), encoding="utf-8")
    outcome = planner("check", plans)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr == (
        "error: plans.json: the plan was made for cluster ours, which is not shipped; say where "
        "its file is with --cluster\n"
    )


def test_a_job_that_cannot_be_is_placed_in_the_plan(planner: Run, plans: str) -> None:
    text = Path(plans).read_text()
    changed = text.replace('"software": "megatron-core"', '"software": "megatron-coer"')
    Path(plans).write_text(changed, encoding="utf-8")
    outcome = planner("check", plans)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: plans.json:")
    assert ": no software file is shipped as 'megatron-coer'; " in outcome.stderr


def test_names_do_not_depend_on_how_a_file_is_called(planner: Run, plans: str) -> None:
    here = planner(*INPUTS, plans, "--json").stdout
    assert planner(*INPUTS, f"./{plans}#1", "--json").stdout == here
    assert planner(*INPUTS, str(Path(plans).resolve()), "--json").stdout == here


def test_formats_go_to_files_and_one_to_stdout(planner: Run, plans: str) -> None:
    formats = "concise,sarif=out.sarif,junit=out.xml,json=out.json"
    outcome = planner(*INPUTS, plans, "--format", formats)
    assert outcome.code == 0
    assert outcome.stdout.startswith("ok: plans.json#1")
    assert json.loads(Path("out.sarif").read_text())["version"] == "2.1.0"
    assert Path("out.xml").read_text().startswith("<?xml")
    assert json.loads(Path("out.json").read_text())["passed"] is True
    outcome = planner(*INPUTS, plans, "--format", "rich", "--output", "report.txt")
    assert outcome.stdout == ""
    assert Path("report.txt").read_text().startswith("ok: plans.json#1")
    assert sorted(path.name for path in Path().iterdir()) == [
        "out.json", "out.sarif", "out.xml", "plans.json", "report.txt",
    ]  # fmt: skip


def test_the_summary_of_a_step_is_appended_to(
    planner: Run, plans: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = planner(*INPUTS, plans, "--format", "github-summary")
    assert outcome.stdout.startswith("## planner check: passed\n")
    Path("summary.md").write_text("# of another tool\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    outcome = planner(*INPUTS, plans, "--format", "github-summary,github")
    assert outcome.stdout.startswith("ok: ")
    text = Path("summary.md").read_text()
    assert text.startswith("# of another tool\n## planner check: passed\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{plans}#9"], "{plans}:{line}:12: plans: rank 9 is asked for, but the document holds 3"),
        (["{plans}#x"], '{plans}#x: "#x" is not a rank; ranks are whole numbers from 1'),
        (["none.json"], "none.json: no such file"),
        (["{plans}", "--within", "x"], "--within-of-best: 'x' is not a share from 0% to below"),
        (["{plans}", "--nodes", "1", "--devices", "8", "--json"], "--nodes and --devices are both"),
        (["{plans}", "--headroom", "-1%"], "--headroom: '-1%' is not a share from 0% to below"),
        (["{plans}", "--max-imbalance", "x"], "--max-imbalance: 'x' is not a share"),
        (["{plans}", "--max-regression", "5%"], "--max-regression means nothing without --base"),
        (["{plans}", "--time-limit", "5"], "--time-limit means nothing without --within-of-best"),
        (["{plans}", "--select", "PL301"], "--select: PL301 is evaluated only with --within-of-"),
        (["{plans}", "--select", "PL777"], "--select: 'PL777' is no rule, no beginning of a code"),
        (["{plans}", "--select", "does-not-ft"], "--select: 'does-not-ft' is no rule"),
        (["{plans}", "--format", "sariff"], "--format: 'sariff' is not one of rich, concise, json"),
        (["{plans}", "--format", "json,sarif"], "--format: json and sarif both go to standard out"),
        (["{plans}", "--format", "json="], "--format: 'json=' names no file"),
        (["{plans}", "--format", "json", "--json"], "--json and --format are both given"),
        (["{plans}", "--format", "json=no/where.json"], "--format: 'no/where.json' cannot be"),
        (["{plans}", "--format", "json=a", "--output", "b"], "--output: every format has a file"),
        (["{plans}", "--output", "no/where"], "--output: 'no/where' cannot be written: there is"),
        (["{plans}", "--baseline", "none.json"], "none.json: no such file"),
        (["{plans}", "--write-baseline", "a/b"], "--write-baseline: 'a/b' cannot be written"),
        ([], "missing argument 'FILE[#RANK]...' (see planner check --help)"),
    ],
)
def test_bad_input(planner: Run, plans: str, arguments: list[str], message: str) -> None:
    outcome = planner(*INPUTS, *(argument.format(plans=plans) for argument in arguments))
    assert (outcome.code, outcome.stdout) == (2, "")
    line = line_of('"plans": [')
    assert outcome.stderr.startswith("error: " + message.format(plans=plans, line=line))


def test_bad_input_input_cannot_be_ignored(planner: Run, plans: str) -> None:
    outcome = planner("check", plans, "--ignore", "PL901")
    assert (outcome.code, outcome.stderr) == (2, "error: --ignore: PL901 cannot be ignored\n")


def test_an_interrupted_search_is_no_verdict(
    planner: Run, plans: str, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = replace(samples.found(), plans=(), stopped=Stopped.INTERRUPTED, settled=False)
    monkeypatch.setattr("planner.training.search.search.search", lambda *_, **__: stopped)
    outcome = planner(*INPUTS, plans, "--within", "5%")
    assert (outcome.code, outcome.stdout) == (130, "")
    assert "interrupted" in outcome.stderr


def test_a_plan_for_another_model_says_what_does_not_match(planner: Run, plans: str) -> None:
    outcome = planner("check", "--model", "gpt-1.7b", plans, "--format", "concise")
    assert (outcome.code, outcome.stderr) == (1, "")
    assert "PL210 error: the plan was made for model gpt3-175b, not gpt-1.7b" in outcome.stdout
    assert "PL205 error: the stage layout holds 96 layers, the model has 24" in outcome.stdout
    assert outcome.stdout.endswith("fail: plans.json#1: t8 p4 d16 cannot run\n")


WIDE = ", ".join(f'"k{index}": 0' for index in range(100_000))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'{{{WIDE}, "a": 1, "a": 2}}', "key 'a' is given twice"),
        (f'{{"{"k" * 50_000}": 0, "{"k" * 50_000}": 0}}', "k' is given twice"),
        (f'{{"train_batch_size": 1, {WIDE}, "a": 1, "a": 2}}', "key 'a' is given twice"),
    ],
)
def test_large_files_are_refused_at_once_and_briefly(
    planner: Run, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content)
    started = time.process_time()
    outcome = planner("check", "--cluster", "dgx-a100-8", "--model", "gpt-7.5b", str(path))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
    assert len(outcome.stderr) < 1000
    assert time.process_time() - started < 15  # minutes, where every pair of keys is compared


def test_an_unknown_key_is_named_briefly(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    plans = [{"plan": "p.json#1", "step_s": 1, "devices": 1, "tokens_per_step": 1, "x" * 9000: 1}]
    document = {"schema": "planner/baselines/1", "planner_version": "0.2.0", "plans": plans}
    path.write_text(json.dumps(document))
    plan = Path(__file__).parents[2] / "examples" / "mixtral-8x7b-on-dgx-h100-16.json"
    outcome = planner("check", str(plan), "--baseline", str(path))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f'"{"x" * 36}... is not known here; allowed are plan' in outcome.stderr
    assert len(outcome.stderr) < 1000
