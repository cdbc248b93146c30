"""A launch script that the planner wrote names its hosts, and estimates on them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

CLUSTER = """\
name: slow-link
node_groups:
  - name: a
    count: 4
    device: a100-sxm-80gb
    devices_per_node: 8
    intra_node: {bandwidth: 300 GB/s}
    network: {cards: 8, bandwidth: 25 GB/s}
    hosts: [n1, n2, n3, n4]
links:
  overrides: [{between: [0, 1], bandwidth: 1 GB/s}]
"""
PLAN = (
    *("--model", "gpt-7.5b", "--tensor", "8", "--pipeline", "4", "--micro-batch-size", "1"),
    *("--global-batch-size", "64", "--json"),
)


@pytest.fixture
def script(planner: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CLUSTER, encoding="utf-8")
    (tmp_path / "hosts").write_text("n3\nn1\nn4\nn2\n", encoding="utf-8")
    plan = planner("estimate", "--cluster", "c.yaml", *PLAN, "--hosts", "hosts")
    (tmp_path / "plan.json").write_text(plan.stdout, encoding="utf-8")
    path = tmp_path / "train.sh"
    exported = planner(
        *("export", "plan.json#1", "--cluster", "c.yaml", "--format", "megatron-lm"),
        *("-o", str(path)),
    )
    assert exported.code == 0
    return path


def read_back(planner: Run, script: Path) -> tuple[float, list[str], list[str]]:
    """Seconds of a step, hosts, assumptions."""
    outcome = planner(
        *("estimate", "--cluster", "c.yaml", "--model", "gpt-7.5b", "--plan", str(script)), "--json"
    )
    [plan] = json.loads(outcome.stdout)["plans"]
    return (
        plan["estimate"]["step_s"],
        plan["placement"]["hosts"],
        json.loads(outcome.stdout)["inputs"]["assumptions"],
    )


def test_an_exported_script_keeps_its_hosts(planner: Run, script: Path) -> None:
    [plan] = json.loads((script.parent / "plan.json").read_text())["plans"]
    step_s, hosts, _ = read_back(planner, script)
    assert hosts == ["n3", "n1", "n4", "n2"]
    assert step_s == pytest.approx(plan["estimate"]["step_s"], rel=1e-9)


def test_the_hosts_named_say_how_many_devices_there_are(
    planner: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best two of four nodes, from the search to the script and back."""
    monkeypatch.chdir(tmp_path)
    slow = CLUSTER.replace("GB/s}]", "GB/s}, {between: [0, 2], bandwidth: 1 GB/s}]")
    (tmp_path / "c.yaml").write_text(slow, encoding="utf-8")
    options = ("--tensor", "8", "--pipeline", "2", "--top", "1", "--output", "plans.json")
    job = ("--cluster", "c.yaml", "--model", "gpt-7.5b", "--global-batch-size", "64")
    kept = ("--nodes", "2", "--recompute", "none")
    assert planner("search", *job, *kept, *options).code == 0
    [plan] = json.loads((tmp_path / "plans.json").read_text())["plans"]
    export = ("export", "plans.json#1", "--cluster", "c.yaml", "--format", "megatron-lm")
    assert planner(*export, "-o", "train.sh").code == 0
    step_s, hosts, _ = read_back(planner, tmp_path / "train.sh")
    assert hosts == plan["placement"]["hosts"]
    assert hosts != ["n1", "n2"]
    assert step_s == pytest.approx(plan["estimate"]["step_s"], rel=1e-9)


def test_a_script_without_hosts_says_which_are_assumed(planner: Run, script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines(keepends=True)
    script.write_text("".join(line for line in lines if not line.startswith("# hosts")))
    step_s, hosts, assumptions = read_back(planner, script)
    assert hosts == ["n1", "n2", "n3", "n4"]
    assert (
        step_s
        > json.loads((script.parent / "plan.json").read_text())["plans"][0]["estimate"]["step_s"]
    )
    clause = "hosts in the order of the cluster file; --hosts FILE gives another"
    assert f"train.sh: {clause}" in assumptions


def test_hosts_that_the_cluster_lacks_are_refused_at_their_place(
    planner: Run, script: Path
) -> None:
    script.write_text(script.read_text(encoding="utf-8").replace("ranks: n[", "ranks: m["))
    outcome = planner(
        *("estimate", "--cluster", "c.yaml", "--model", "gpt-7.5b", "--plan", str(script))
    )
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr == (
        f"error: {script}:2:33: cluster slow-link has no host m3; --hosts FILE names others\n"
    )
