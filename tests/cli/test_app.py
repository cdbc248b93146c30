"""The program around its commands: help, versions, usage errors, exit codes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
import typer.core
from typer.main import get_command

from planner import __version__
from planner.cli import app as program
from planner.cli.commands import COMMANDS
from planner.cli.import_ import app as importing
from planner.errors import InputError, NothingFits

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome


ROOT = Path(__file__).parents[2]


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "planner", *arguments],
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_help_lists_every_command(planner: Callable[..., Outcome]) -> None:
    outcome = planner("--help")
    assert (outcome.code, outcome.stderr) == (0, "")
    listed = outcome.stdout.partition("Commands:")[2].split("\n")
    assert set(COMMANDS) == {line.split()[0] for line in listed if line.strip()}
    assert planner() == outcome
    assert planner("-h") == outcome


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_fits_80_columns(planner: Callable[..., Outcome], command: str) -> None:
    outcome = planner(command, "--help")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.isascii()
    assert max(map(len, outcome.stdout.splitlines())) <= 80


def examples() -> list[str]:
    written = [example for entry in COMMANDS.values() for example in entry.examples]
    importer = get_command(importing)
    assert isinstance(importer, typer.core.TyperGroup)
    for command in importer.commands.values():
        written += (command.epilog or "").splitlines()
    return written


@pytest.mark.parametrize("example", examples())
def test_examples_of_the_help_are_read_by_the_commands(example: str) -> None:
    """Every option in them exists and has its value; nothing is run."""
    name, *arguments = shlex.split(example)
    assert name == "planner"
    command = get_command(program.app)
    context = command.make_context("planner", list(arguments))
    assert isinstance(command, typer.core.TyperGroup)
    _, found, rest = command.resolve_command(context, arguments)
    assert found is not None
    if isinstance(found, typer.core.TyperGroup):
        _, found, rest = found.resolve_command(context, rest)
    assert found is not None
    found.make_context("command", rest)


def test_help_is_in_sections_of_what_belongs_together(planner: Callable[..., Outcome]) -> None:
    text = planner("search", "--help").stdout
    titles = [line for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert titles == [
        "Model and cluster:",
        "Job:",
        "Restricting the search (comma lists):",
        "Serving:",
        "Options:",
        "Examples:",
    ]
    for words in ("(TP)", "(PP)", "(DP)", "(CP)", "(EP)", "(VPP)", "ZeRO-1", "FSDP"):
        assert words in text


def test_version(planner: Callable[..., Outcome]) -> None:
    assert planner("--version").stdout == f"planner {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serch"], "no such command 'serch'. Did you mean 'search'? (see planner --help)"),
        (["launch"], "no such command 'launch' (see planner --help)"),
        (["search", "--tensr", "3"], "no such option: --tensr; did you mean --tensor? (see"),
        (["search", "--gpus", "3"], "no such option: --gpus (see planner search --help)"),
        (["search"], "missing option '--cluster' (see planner search --help)"),
        (["search", "--cluster", "x"], "missing option '--model' (see planner search --help)"),
        (["search", "--cluster"], "option '--cluster' requires an argument (see planner"),
        (["search", "--cluster", "x", "--cluster=y"], "--cluster is given twice"),
        (["check", "--cluster", "x", "--model", "y"], "missing argument 'FILE[#RANK]...' (see"),
        (["schema", "clster"], "schema: 'clster' is not one of cluster, model, plan, runs, study"),
        (["list", "--jsn"], "no such option: --jsn; did you mean --json? (see planner list --help"),
        (
            ["list", "models", "more"],
            "got unexpected extra argument(s) (more) (see planner list --help)",
        ),
        (
            ["estimate", "--cluster", "dgx-a100-128", "train.sh"],
            "got unexpected extra argument(s) (train.sh); a plan or a launch script goes after "
            "--plan (see planner estimate --help)",
        ),
    ],
)
def test_usage_errors(planner: Callable[..., Outcome], arguments: list[str], message: str) -> None:
    outcome = planner(*arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {message}")
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (InputError("oops", path="a.yaml", line=3), 2, "error: a.yaml:3: oops\n"),
        (InputError.of([InputError("one"), InputError("two")]), 2, "error: one\nerror: two\n"),
        (NothingFits("nothing"), 1, "error: nothing\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (
            ZeroDivisionError("by 0"),
            2,
            "error: internal error: ZeroDivisionError: by 0 (PLANNER_DEBUG=1 shows where)\n",
        ),
    ],
)
def test_whatever_goes_wrong_is_a_message(
    planner: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    code: int,
    message: str,
) -> None:
    def fail(_: object) -> int:
        raise raised

    monkeypatch.delenv("PLANNER_DEBUG")
    monkeypatch.setattr(program, "_invoke", fail)
    outcome = planner("list")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (code, "", message)


def test_debugging_shows_where(
    planner: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_invoke", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        planner("list")


def test_the_help_of_every_command_says_what_the_list_says(
    planner: Callable[..., Outcome],
) -> None:
    listed = planner("--help").stdout.partition("Commands:\n")[2].splitlines()
    summaries = dict(line.strip().split(maxsplit=1) for line in listed)
    assert tuple(summaries) == tuple(COMMANDS)
    assert not [text for text in summaries.values() if text.endswith("...")]
    for name, text in summaries.items():
        help_text = planner(name, "--help").stdout
        assert help_text.startswith(f"Usage: planner {name} [OPTIONS]")
        assert help_text.partition("\n\n")[2].split()[0] == text.split()[0]


HEAVY = (
    "highspy",
    "markdown_it",
    "numpy",
    "planner.plan",
    "planner.specs",
    "planner.training",
    "pulp",
    "pydantic",
    "pygments",
    "rich",
    "yaml",
)
"""What `planner --help` does without: libraries that take longer to import than it takes to run,
and the rooms of the planner that import them."""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from planner.cli.app import run; "
        f"run({arguments!r}); print(*sys.modules, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    imported = set(result.stderr.decode().splitlines()[-1].split())
    assert "planner.cli.app" in imported
    assert sorted(imported & set(HEAVY)) == []
    commands = {entry.place.partition(":")[0] for entry in COMMANDS.values()}
    assert sorted(imported & commands) == []


LOADED = """
import atexit, gc, sys
from planner.cli import main

def collections():
    return sum(one["collections"] for one in gc.get_stats())

def leave():
    print(gc.get_freeze_count() > 0, collections() - before, *sys.modules, file=sys.stderr)

before = collections()
atexit.register(leave)
main()
"""
"""A whole process that says whether its end is spared the garbage collector, how often that ran
during the command, and which modules were loaded."""


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        pytest.param(
            ["check", str(ROOT / "examples" / "mixtral-8x7b-on-dgx-h100-16.json")],
            (
                "highspy",
                "planner.api.searches",
                "planner.exporters",
                "planner.importers.launch",
                "planner.importers.shell",
                "planner.reports.checks.sarif",
                "planner.reports.checks.summary",
                "planner.serving",
                "planner.training.search.best_first",
                "pulp",
                "xml.etree.ElementTree",
            ),
            id="check",
        ),
        pytest.param(
            ["schema", "cluster"],
            ("numpy", "planner.plan_document.read", "planner.training", "rich"),
            id="schema",
        ),
        pytest.param(
            ["list", "--json"], ("numpy", "planner.plan_document.read", "rich", "yaml"), id="list"
        ),
    ],
)
def test_a_command_starts_with_what_it_needs(
    arguments: list[str], unneeded: tuple[str, ...]
) -> None:
    started = [sys.executable, "-c", LOADED, *arguments]
    result = subprocess.run(started, capture_output=True, check=True)
    spared, collections, *modules = result.stderr.decode().split()
    assert "planner.cli.app" in modules
    assert sorted(set(modules) & set(unneeded)) == []
    assert spared == "True"
    assert int(collections) < 10


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stdout:
        result = subprocess.run(
            [sys.executable, "-m", "planner", "schema", "plan"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (result.returncode, result.stderr) == (141, b"")


def test_an_ascii_terminal_gets_ascii() -> None:
    result = process("list", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"gpt3-175b" in result.stdout
    assert result.stdout.isascii()


def shell(command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", command.replace("planner", f"{sys.executable} -m planner")],
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("planner list >&-", 0),
        ("planner list --json >&- 2>&-", 0),
        ("planner serch >&-", 2),
        (
            "planner estimate --cluster dgx-a100-8 --model gpt-145b --tensor 1 --pipeline 1 >&-",
            1,
        ),
    ],
)
def test_a_closed_stdout_changes_no_exit_code(command: str, code: int) -> None:
    result = shell(command)
    assert (result.returncode, result.stdout) == (code, b"")
    assert b"internal error" not in result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", ["list", "list --json", "--version", "estimate --help"])
def test_a_full_stdout_is_said_in_one_line(arguments: str) -> None:
    result = shell(f"planner {arguments} >/dev/full")
    assert result.returncode == 2
    assert result.stderr == b"error: the output cannot be written: no space left on device\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_stderr_loses_the_message_not_the_exit_code() -> None:
    assert shell("planner serch 2>/dev/full").returncode == 2
    assert shell("planner serch 2>&-").stdout == b""
