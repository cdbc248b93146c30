"""The files that pipelines take from this repository: the GitHub action, the GitLab template, the
pre-commit hook, and the example plans. Their scripts are run as the runner runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.checks.conftest import Repository
    from tests.cli.conftest import Outcome

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.json"))
SENSIBLE = "--ignore=stale,tight-fit"
"""Examples need not be made anew when a constant changes by a per cent."""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a `planner` program, as an installation has it."""
    folder = tmp_path / "planner-venv/bin"
    folder.mkdir(parents=True)
    program = folder / "planner"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m planner "$@"\n')
    program.chmod(0o755)
    return folder


def run(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A step of a pipeline: bash stops at the first command that fails."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def action() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return loaded


def test_the_action_uses_every_input_and_no_other() -> None:
    text, inputs = (ROOT / "action.yml").read_text(), action()["inputs"]
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(inputs)
    assert all(one["description"] for one in inputs.values())
    for step in action()["runs"]["steps"]:
        assert "${{" not in step.get("run", ""), "inputs reach a script through its environment"


def test_the_options_of_the_action_exist(planner: Callable[..., Outcome]) -> None:
    shown = planner("check", "--help").stdout
    script = action()["runs"]["steps"][-1]["run"]
    options = set(re.findall(r"(--[a-z-]+)", script))
    assert {"--format", "--baseline", "--strict"} <= options
    assert all(option in shown for option in options)


def test_the_action_stops_a_pull_request(repository: Repository, program: Path) -> None:
    Path("plans").mkdir()
    repository.plan("plans/good.json", tensor=8, pipeline=2)
    repository.plan("plans/bad.json", tensor=8, pipeline=2)
    repository.edit("plans/bad.json", {"plans.0.data_sharding": "full"})
    step = action()["runs"]["steps"][-1]
    environment = dict.fromkeys(step["env"], "") | {
        "RUNNER_TEMP": str(program.parents[1]),
        "GITHUB_STEP_SUMMARY": "summary.md",
        "CLUSTER": "cluster.yaml",
        "MODEL": "model.yaml",
        "SARIF": "planner.sarif",
        "SUMMARY": "true",
    }
    stopped = run(step["run"], environment | {"PLANS": "plans/*.json"})
    assert stopped.returncode == 1, stopped.stderr
    annotation, first, second = stopped.stdout.splitlines()
    assert annotation.startswith("::error file=plans/bad.json,line=")
    assert first.startswith("fail: plans/bad.json#1: ")
    assert second.startswith("ok: plans/good.json#1: ")
    assert Path("summary.md").read_text().startswith("## planner check: failed")
    [result] = json.loads(Path("planner.sarif").read_text())["runs"][0]["results"]
    assert result["ruleId"] == "PL204"
    assert run(step["run"], environment | {"PLANS": "plans/good.json"}).returncode == 0


def test_the_gitlab_job_writes_both_reports(repository: Repository, program: Path) -> None:
    repository.plan("plan.json", tensor=16)
    spec, job = yaml.safe_load_all((ROOT / "templates/planner-check.yml").read_text())
    [(name, described)] = job.items()
    assert name == "planner-check"
    values = {one: text.get("default") or "" for one, text in spec["spec"]["inputs"].items()} | {
        "plans": "plan.json",
        "options": "--cluster cluster.yaml --model model.yaml --strict",
    }
    install, command = described["script"]
    assert install.startswith("python -m pip install ")
    for one, value in values.items():
        command = command.replace(f"$[[ inputs.{one} ]]", value)
    assert "[[" not in command
    done = run(command, {"PATH": f"{program}:{os.environ['PATH']}"})
    assert done.returncode == 1, done.stderr
    reports = described["artifacts"]["reports"]
    assert described["artifacts"]["when"] == "always"
    assert {one["check_name"] for one in json.loads(Path(reports["codequality"]).read_text())} == {
        "PL303"
    }
    assert "PL303" in Path(reports["junit"]).read_text()


def test_the_hook_runs_the_program() -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert (hook["id"], hook["entry"], hook["language"]) == (
        "planner-check",
        "planner check",
        "python",
    )
    assert re.search(hook["files"], "plans/train.json")
    assert re.search(hook["files"], "cluster.yml")
    assert re.search(hook["files"], "scripts/train.sh")


def test_the_examples_pass_as_a_reader_checks_them(planner: Callable[..., Outcome]) -> None:
    """`make examples` estimates them again after a file has changed that they were made from."""
    outcome = planner("check", *map(str, EXAMPLES))
    assert (outcome.code, outcome.stderr) == (0, "")


def test_the_example_plans_pass(planner: Callable[..., Outcome]) -> None:
    assert len(EXAMPLES) >= 3
    outcome = planner("check", *map(str, EXAMPLES), SENSIBLE, "--format=concise")
    assert (outcome.code, outcome.stderr) == (0, ""), outcome.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_broken_example_fails(
    planner: Callable[..., Outcome], tmp_path: Path, example: Path
) -> None:
    document = json.loads(example.read_text())
    document["plans"][0]["degrees"]["tensor"] *= 7
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(document))
    outcome = planner("check", str(broken), SENSIBLE, "--format=concise")
    assert outcome.code == 1
    assert "PL102 error: the tensor degree must divide the " in outcome.stdout
