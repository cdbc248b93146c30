"""Whatever a file is called and whatever it holds, what is printed drives no terminal and gives no
command to a CI service."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree as Xml

import pytest

from planner.cli.check_targets import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

FILES = [
    "a\n::error::x.json",
    "a\r\n::error::x.json",
    "::error::x.json",
    " ::stop-commands::x.json",
    "##[error]x.json",
    "##vso[task.complete result=Failed]x.json",
    "\x1b[31mred\x1b]0;title\x07.json",
    "\x9b31m.json",
    "\u202enosj.json",
    "a\u2028b\x85c.json",
    "\u200b\ufeff.json",
    "[red]x[-].json",
    "a]]><x>&amp;.json",
    "a|b`c``d<script>@e~f~.json",
    os.fsdecode(b"\xff\xfe.json"),
    "a #1.json",
]
SMALL = ("--cluster", "dgx-a100-8", "--model", "gpt-7.5b")
COMMANDS = ("set-output", "add-mask", "add-matcher", "debug", "warning", "error", "notice", "group",
            "endgroup", "echo", "stop-commands")  # fmt: skip


def github_command(line: str) -> str | None:
    """The command that GitHub's runner takes a line of a log for: `ActionCommand.TryParseV2`, then
    `TryParse`, of actions/runner."""
    new = re.match(r"\s*::([^\s:]+)[^:]*(?::[^:]+)*::", line)
    if new and new[1] in COMMANDS:
        return new[1]
    old = re.search(r"##\[([^\s\]]+)[^\]]*\]", line)
    return old[1] if old and old[1] in COMMANDS else None


def assert_tame(text: str, *, annotations: bool = False) -> None:
    text.encode("utf-8")
    for line in text.split("\n"):
        assert line.isprintable(), repr(line)
        assert "##vso[" not in line
        command = github_command(line)
        assert command is None or (
            annotations and re.match(r"::(error|warning) (file|title)=", line)
        )


def test_the_commands_of_github_are_known() -> None:
    for line in ("::error::x", "  ::error file=a,line=1::x", "see ##[error]x", "::group::a"):
        assert github_command(line)
    for line in ("error: ::error::x", ":: x", "a::error::b", "##[other]", "# #[error]"):
        assert github_command(line) is None


@pytest.fixture
def plan_text(planner: Run) -> str:
    return planner(
        "estimate", *SMALL, "--global-batch-size", "64", "--tensor", "8", "--json"
    ).stdout


def assert_reads_back(name: str, text: str, file: str) -> None:
    """What machines read names the file as it is called, or says where it cannot."""
    if name == "json":
        assert [plan["path"] for plan in json.loads(text)["plans"]] == [file]
    elif name == "gitlab":
        assert {issue["location"]["path"] for issue in json.loads(text)} <= {file}
    elif name == "sarif":
        results = json.loads(text)["runs"][0]["results"]
        places = [one["locations"][0]["physicalLocation"]["artifactLocation"] for one in results]
        assert {os.fsdecode(unquote_to_bytes(place["uri"])) for place in places} <= {file}
    elif name == "junit":
        suite = Xml.fromstring(text).find("testsuite")
        assert suite is not None
        assert (suite.get("name") or "").isprintable()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("content", ["good", "rule", "bad"])
def test_a_plan_file_of_any_name(
    planner: Run,
    plan_text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    content: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    changed = {
        "good": plan_text,
        "rule": plan_text.replace('"tensor": 8', '"tensor": 16').replace("1f1b", "\\u001b[1m::x"),
        "bad": plan_text.replace('"schedule"', '"\\u001b]0;\\n::error::sch"'),
    }[content]
    with open(file, "w", encoding="utf-8") as written:
        written.write(changed)
    code = {"good": 0, "rule": 1, "bad": 2}[content]
    for name in FORMATS:
        outcome = planner("check", f"./{file}", "--format", name)
        assert outcome.code == code, outcome
        assert_tame(outcome.stdout, annotations=name == "github")
        assert_tame(outcome.stderr)
        assert_reads_back(name, outcome.stdout, file)
        assert planner("check", file, "--format", name, "--output", "report").code == code
        with open("report", encoding="utf-8") as report:
            if name != "rich":
                assert report.read() == outcome.stdout or content == "bad"
    for arguments in (
        ("estimate", *SMALL, "--plan", file),
        ("export", file, "--format", "slurm"),
        ("check", file, "--baseline", file),
        ("check", file, "--cluster", file),
        ("check", file, "--model", file),
        ("check", f"{file}#0"),
        ("check", f"{file}#7"),
        ("import", "model", file),
        ("import", "cluster", file),
        ("validate", file),
        ("calibrate", file, "--device-file", file),
        ("search", *SMALL, "--output", f"{file}/x"),
    ):
        outcome = planner(*arguments)
        assert_tame(outcome.stdout)
        assert_tame(outcome.stderr)


HOSTILE = "\x1b[31mx\n::error::y\u202e##[error]z[red]"


@pytest.mark.parametrize(
    "arguments",
    [
        ("estimate", "--cluster", HOSTILE, "--model", "gpt-7.5b"),
        ("estimate", "--cluster", f"{HOSTILE}.yaml", "--model", "gpt-7.5b"),
        ("estimate", "--cluster", "dgx-a100-8", "--model", HOSTILE),
        ("search", *SMALL, "--software", HOSTILE),
        ("search", *SMALL, "--top", HOSTILE),
        ("search", *SMALL, "--schedule", HOSTILE),
        ("search", *SMALL, "--precision", HOSTILE),
        ("search", *SMALL, "--output", HOSTILE + "/x"),
        ("estimate", *SMALL, "--plan", "x.sh", "--set", HOSTILE),
        (HOSTILE,),
        (f"--{HOSTILE}",),
        ("search", f"--{HOSTILE}"),
        ("search", f"--{HOSTILE}=1"),
        ("search", f"--{HOSTILE}", f"--{HOSTILE}"),
        ("search", *SMALL, HOSTILE),
        ("import", HOSTILE),
        ("import", "model", HOSTILE),
        ("import", "model", "llama3 8B", "--name", HOSTILE),
        ("import", "cluster", HOSTILE),
        ("import", "cluster", HOSTILE, "--unit", HOSTILE),
        ("import", "cluster", "x", "--format", HOSTILE),
        ("list", HOSTILE),
        ("rule", HOSTILE),
        ("schema", HOSTILE),
        ("check", HOSTILE, "--select", HOSTILE),
        ("check", "x", "--format", HOSTILE),
        ("export", HOSTILE, "--format", HOSTILE),
        ("validate", HOSTILE),
        ("validate", "--device-file", HOSTILE),
        ("calibrate", HOSTILE, "--device-file", HOSTILE),
    ],
)
def test_what_is_wrong_is_said_tamely(planner: Run, arguments: tuple[str, ...]) -> None:
    for hostile in (HOSTILE, os.fsdecode(b"\xff\x1b"), "::error::x", "##[error]x"):
        outcome = planner(*(one.replace(HOSTILE, hostile) for one in arguments))
        assert outcome.code == 2
        assert outcome.stdout == ""
        assert_tame(outcome.stderr)
        assert all(line.startswith("error: ") for line in outcome.stderr.splitlines())


CLUSTER = """\
node_groups:
  - count: 1
    device: a100-sxm-80gb
    devices_per_node: 8
    intra_node: {bandwidth: 300 GB/s}
"""
RUNS = """\
source: "\\e[31m\\n::error::x"
cluster: dgx-a100-8
runs:
  - id: "\\e[31m\\n::error::x"
    model: gpt-7.5b
    global_batch_size: 64
    degrees: {tensor: 8}
    measured: {step_s: 20, oom: false}
  - id: "\\n::error::y ##[error]z [red]"
    model: "\\e[1m\\n::error::gone"
    measured: {step_s: 1}
"""


def test_what_files_hold_is_printed_tamely(
    planner: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.yaml").write_text(RUNS)
    outcome = planner("validate", "runs.yaml")
    assert outcome.code == 0
    assert_tame(outcome.stdout)
    assert "\\x1b[31m" in outcome.stdout
    for line in ("device: '\u202ex'", 'name: "\\e[1m\\n::error::x"', '"\\e\\n::error::x": 1'):
        (tmp_path / "c.yaml").write_text(CLUSTER + line + "\n")
        outcome = planner("search", "--cluster", "c.yaml", *SMALL[2:])
        assert (outcome.code, outcome.stdout) == (2, "")
        assert_tame(outcome.stderr)
    (tmp_path / "train.sh").write_text(
        'NAME="\u202e x"\ntorchrun --nproc_per_node 8 pretrain_gpt.py --num-layers "$NAME\u202e"\n'
    )
    for arguments in (("check",), ("estimate", "--plan")):
        outcome = planner(*arguments, "train.sh", "--cluster", "dgx-a100-8")
        assert outcome.code == 2
        assert_tame(outcome.stdout + outcome.stderr)
