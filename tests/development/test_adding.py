"""The pages on adding things, followed word for word in a copy of the tree: files are written,
changes applied, commands run, and what these print is what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.development.documents import ROOT, commands, fences

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PAGES = sorted((ROOT / "docs" / "adding").glob("*.md"))
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"][
    "build"
]["targets"]["wheel"]
COPIED = (*WHEEL["packages"], *WHEEL["force-include"])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the program needs to run, with its compiled modules: files keep their times,
    so that only those that a page changes are compiled anew."""
    for folder in COPIED:
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def run(line: str, tree: Path) -> subprocess.CompletedProcess[str]:
    """A line of a shell whose `planner` is the copy."""
    return subprocess.run(
        ["bash", "-c", f'planner() {{ "{sys.executable}" -m planner "$@"; }}\n{line}'],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def apply(changes: str, tree: Path) -> str:
    """Applies changes file by file; what git says against them, or nothing. It counts the lines of
    a hunk itself, and finds those that have moved."""
    said = ""
    for change in re.split(r"^(?=--- a/)", changes, flags=re.MULTILINE)[1:]:
        done = subprocess.run(
            ["git", "apply", "--recount", "-C1", "-"],
            cwd=tree,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)},
            input=change,
            capture_output=True,
            text=True,
            check=False,
        )
        said += done.stderr if done.returncode else ""
    return said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_can_be_followed(page: Path, tree: Path) -> None:
    ran = 0
    for fence in fences(page):
        if fence.title:
            file = tree / fence.title
            assert not file.exists(), fence.where
            assert file.parent.is_dir(), fence.where
            file.write_text(fence.text, encoding="utf-8")
        elif fence.language == "diff":
            assert apply(fence.text, tree) == "", fence.where
        else:
            assert fence.language == "console", fence.where
            for command in commands(fence):
                done = run(command.line, tree)
                assert done.returncode == 0, (command.where, done.stdout)
                assert command.shows(done.stdout), (command.where, done.stdout)
                ran += 1
    assert ran


def test_what_a_page_adds_is_not_there_without_it(tree: Path) -> None:
    """The copy is what runs, and pages change it: without them their commands fail."""
    for line in (
        "planner estimate --cluster dgx-a100-16 --model llama-2-13b --schedule 1f1b-eager",
        "planner rule few-microbatches",
        "planner estimate --cluster dgx-a100-16 --model llama-2-13b --software nanotron",
    ):
        assert run(line, tree).returncode == 2
