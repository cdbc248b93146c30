"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from planner.errors import InputError
from planner.specs.files.writing import write_files

if TYPE_CHECKING:
    from pathlib import Path


def test_all_files_change_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second file cannot take its place: the first is as it was, and nothing else is left."""
    first, second = tmp_path / "first.sh", tmp_path / "second.sh"
    for path in (first, second):
        path.write_text("old\n")
    first.chmod(0o750)
    replace = os.replace

    def replaced(source: str, target: Path) -> None:
        if target.name == "second.sh":
            raise OSError(28, "No space left on device")
        replace(source, target)

    texts = {str(first): "new\n", str(second): "new\n"}
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replaced)
        with pytest.raises(InputError, match=r"second\.sh: cannot be written: no space left"):
            write_files(texts)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "first.sh": "old\n",
        "second.sh": "old\n",
    }
    write_files(texts)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "first.sh": "new\n",
        "second.sh": "new\n",
    }
    assert first.stat().st_mode & 0o777 == 0o750
