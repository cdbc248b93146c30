"""The check of commit messages, run as git runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "commit_message.py"


def check(folder: Path, message: str) -> tuple[int, str]:
    file = folder / "COMMIT_EDITMSG"
    file.write_text(message, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(file)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "message",
    [
        "Price sends of uneven stages\n",
        f"{'x' * 72}\n",
        "Price sends of uneven stages\n\nThe last stage waited for nobody.\n\nNor did the first.\n",
        "\n# Please enter the commit message\nPrice sends\n# On branch main\n",
        "Price sends\n# ------------------------ >8 ------------------------\ndiff --git a b\nx\n",
        f"Merge branch '{'x' * 80}'\n",
        f'Revert "{"x" * 72}"\n\nThis reverts commit 0123.\n',
    ],
)
def test_what_is_fine(tmp_path: Path, message: str) -> None:
    assert check(tmp_path, message) == (0, "")


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("", "the message is empty"),
        ("# only comments\n\n", "the message is empty"),
        (f"{'x' * 73}\n", "the subject has 73 characters; 72 at most"),
        ("Price sends.\n", "the subject ends with a full stop"),
        ("Price sends\nof uneven stages\n", "the second line is not blank"),
    ],
)
def test_what_is_refused(tmp_path: Path, message: str, problem: str) -> None:
    assert check(tmp_path, message) == (1, f"commit message: {problem}\n")
