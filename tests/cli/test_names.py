"""Names are checked at every door, by one rule, with the place of the wrong one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

HOST = (
    "is not a host name: a host name is 1 to 253 letters, digits and . - _, and begins with a "
    "letter or digit"
)
NAME = (
    "cannot be a name: a name is 1 to 200 letters, digits and . - _ +, and begins with a letter "
    "or digit"
)
GROUP = """\
name: c
node_groups:
  - name: g
    count: 2
    device: a100-sxm-80gb
    devices_per_node: 8
    intra_node: {bandwidth: 300 GB/s}
    network: {cards: 8, bandwidth: 25 GB/s}
"""
JOB = ["--model", "gpt-7.5b", "--global-batch-size", "64"]
PLAN = ["--tensor", "8", "--pipeline", "2", "--micro-batch-size", "1"]
HOSTILE = ("n$(id)", "-rf", "a b", "n;id", "n|id", "'n'", "n\\n", "../n", "n:22", "n`id`", "é")


@pytest.mark.parametrize("name", [*HOSTILE, '"n"', ""])
def test_a_matrix_header(planner: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "m.csv").write_text(f"MB/s,n1,{name}\nn1,-,1000\n{name},1000,-\n")
    file = tmp_path / "c.yaml"
    file.write_text(GROUP + "links: {matrix: m.csv}\n")
    outcome = planner("estimate", "--cluster", str(file), *JOB, *PLAN)
    read = name.strip('"')
    if read == "n":
        assert outcome.code == 0
        return
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {tmp_path / 'm.csv'}:1:9: {read!r} {HOST}")


@pytest.mark.parametrize("name", HOSTILE)
def test_hosts_and_names_of_a_cluster_file(planner: Run, tmp_path: Path, name: str) -> None:
    file = tmp_path / "c.yaml"

    def refusal(text: str) -> str:
        file.write_text(text)
        outcome = planner("estimate", "--cluster", str(file), *JOB, *PLAN)
        assert (outcome.code, outcome.stdout) == (2, "")
        return outcome.stderr

    written = json.dumps(name)
    hosts = refusal(GROUP + f"    hosts: [n1, {written}]\n")
    assert hosts.startswith(f"error: {file}:9:12: node_groups[0].hosts: {name!r} {HOST}")
    for line, place in (
        (GROUP.replace("name: c", f"name: {written}"), "1:7: name"),
        (GROUP.replace("name: g", f"name: {written}"), "3:11: node_groups[0].name"),
        (
            GROUP + f"fabric: {{tiers: [{{name: {written}}}]}}\n",
            "9:25: fabric.tiers[0].name",
        ),
    ):
        assert refusal(line).startswith(f"error: {file}:{place}: {name!r} {NAME}")


def test_hosts_cannot_be_called_after_every_group(planner: Run, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(GROUP.replace("name: g", "name: a+b"))
    outcome = planner("estimate", "--cluster", str(file), *JOB, *PLAN)
    assert outcome.code == 2
    assert outcome.stderr.startswith(
        f"error: {file}:3:11: node_groups[0].name: its hosts cannot be called after it: 'a+b-0' "
    )
    file.write_text(GROUP.replace("name: g", "name: a+b") + "    hosts: [n1, n2]\n")
    assert planner("estimate", "--cluster", str(file), *JOB, *PLAN).code == 0


def test_hosts_of_a_file_of_hosts(planner: Run, tmp_path: Path) -> None:
    cluster, hosts = tmp_path / "c.yaml", tmp_path / "hosts"
    cluster.write_text(GROUP)
    arguments = ["estimate", "--cluster", str(cluster), *JOB, *PLAN, "--hosts", str(hosts)]
    hosts.write_text("# two\ng-1\n\n  n$(id)\n")
    assert planner(*arguments).stderr.startswith(f"error: {hosts}:4:3: 'n$(id)' {HOST}")
    hosts.write_text("g-1\ng-0\ng-1 # again\n")
    assert planner(*arguments).stderr == (
        f"error: {hosts}:3:1: host g-1 is listed already, on line 1\n"
    )


def test_names_in_a_plan_file(planner: Run, tmp_path: Path) -> None:
    cluster, file = tmp_path / "c.yaml", tmp_path / "plan.json"
    cluster.write_text(GROUP)
    plan = planner("estimate", "--cluster", str(cluster), *JOB, *PLAN, "--json").stdout
    for old, place, rule in (
        ('"g-1"', "plans[0].placement.hosts[1]", HOST),
        ('"name": "c"', "inputs.cluster.name", NAME),
        ('"name": "gpt-7.5b"', "inputs.model.name", NAME),
        ('"software": "megatron-core-overlap"', "inputs.job.software", NAME),
    ):
        assert old in plan
        new = old.replace(old.split('"')[-2], "n$(id)\\n::error::x")
        file.write_text(plan.replace(old, new, 1))
        line = next(n for n, text in enumerate(plan.splitlines(), start=1) if old in text)
        for command in ("estimate", "export", "check"):
            named = [str(file), "--format", "slurm"] if command == "export" else [str(file)]
            named = ["--plan", *named] if command == "estimate" else named
            named += ["--model", "gpt-7.5b"] if command == "estimate" else []
            outcome = planner(command, *named, "--cluster", str(cluster))
            assert outcome.code == 2
            assert outcome.stderr.startswith(f"error: {file}:{line}:")
            assert f"{place}: 'n$(id)\\n::error::x' {rule}" in outcome.stderr


def test_files_lend_their_names_without_what_no_name_holds(planner: Run, tmp_path: Path) -> None:
    file = tmp_path / "my $(id) 'cluster'\n::error::x.yaml"
    file.write_text(GROUP.replace("name: c\n", ""))
    model = tmp_path / "模型.yaml"
    model.write_text(planner("import", "model", "llama3 8B").stdout.replace("name:", "# name:"))
    outcome = planner(
        "estimate", "--cluster", str(file), "--model", str(model), *JOB[2:], *PLAN, "--json"
    )
    assert outcome.code in (0, 1)
    inputs = json.loads(outcome.stdout)["inputs"]
    assert inputs["cluster"]["name"] == "my-id-cluster-error-x"
    assert inputs["model"]["name"] == "unnamed"


def test_names_given_by_option(planner: Run, tmp_path: Path) -> None:
    matrix = tmp_path / "m.csv"
    matrix.write_text("GB/s,n1,n2\nn1,0,1\nn2,1,0\n")
    for arguments in (["model", "llama3 8B"], ["cluster", str(matrix), "--device", "h200-sxm"]):
        outcome = planner("import", *arguments, "--name", "n$(id)")
        assert (outcome.code, outcome.stdout) == (2, "")
        assert outcome.stderr == f"error: --name: 'n$(id)' {NAME}; n-id would do\n"


def test_importers_replace_what_no_host_name_holds(
    planner: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    matrix = tmp_path / "m.csv"
    matrix.write_text("GB/s,$(id),b c\n$(id),0,1\nb c,1,0\n")
    outcome = planner("import", "cluster", str(matrix), "--device", "h200-sxm", "-o", "c.yaml")
    assert outcome.code == 0
    assert "host names without characters that none may have: '$(id)' and 1 more" in outcome.stderr
    assert (tmp_path / "c-bandwidth.csv").read_text().startswith("GB/s,id,b-c\n")
    assert planner("estimate", "--cluster", "c.yaml", *JOB, *PLAN).code in (0, 1)
