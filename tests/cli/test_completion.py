"""What a shell is told when it asks for completions."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from planner.cli.commands import COMMANDS, Program
from planner.specs.files.catalog import list_shipped


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("planner se", {"search"}),
        ("planner search --cluster dgx-h", {"dgx-h100-16", "dgx-h100-128", "dgx-h100-2048"}),
    ],
)
def test_words_that_complete_a_line(line: str, expected: set[str]) -> None:
    asked = {
        "_PLANNER_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    ran = subprocess.run([sys.executable, "-m", "planner"], env={**os.environ, **asked},
                         capture_output=True, text=True, check=True)  # fmt: skip
    assert set(ran.stdout.split()) == expected


SHIPPED = {"--cluster", "--model", "--software", "--engine", "--device"}


def test_every_option_that_takes_a_shipped_name_completes_it() -> None:
    commands = [Program(name="planner").get_command(None, name) for name in COMMANDS]
    commands += [one for group in commands for one in getattr(group, "commands", {}).values()]
    found = [
        (command.name, option.opts[0], option)
        for command in commands
        for option in command.params
        if SHIPPED & set(option.opts) and "NAME" in (option.metavar or "")
    ]
    assert len(found) > 20
    for name, word, option in found:
        names = [one.value for one in option.shell_complete(None, "")]
        assert set(list_shipped(word[2:])) <= set(names), (name, word)
