"""What a shell is told when it asks for completions."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


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
