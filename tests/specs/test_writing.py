"""Files are written whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from planner.errors import InputError
from planner.specs.files.writing import check_writable, write_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_takes_its_place_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "plans.json"
    write_file(str(target), "one")
    write_file(str(target), "two")
    assert target.read_text() == "two"
    assert os.listdir(tmp_path) == ["plans.json"]


def test_permissions_are_those_of_the_old_file_or_of_any_new_one(tmp_path: Path) -> None:
    target, plain = tmp_path / "plans.json", tmp_path / "plain"
    plain.write_text("")
    write_file(str(target), "one")
    assert target.stat().st_mode == plain.stat().st_mode
    target.chmod(0o640)
    write_file(str(target), "two")
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    link.symlink_to(target)
    write_file(str(link), "one")
    assert link.is_symlink()
    assert target.read_text() == "one"


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "plans.json"
    target.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="cannot be written: no space left on device"):
        write_file(str(target), "new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["plans.json"]


def test_devices_are_written_directly() -> None:
    check_writable("/dev/null")
    write_file("/dev/null", "text")


def test_targets_that_cannot_be_written(tmp_path: Path) -> None:
    check_writable(None)
    check_writable(str(tmp_path / "new.json"))
    with pytest.raises(InputError, match=r"there is no folder .*/none$"):
        check_writable(str(tmp_path / "none" / "plans.json"))
    with pytest.raises(InputError, match="cannot be written: it is a folder"):
        check_writable(str(tmp_path))
    with pytest.raises(InputError, match="cannot be written: embedded null byte"):
        check_writable("a\0b")


def test_without_an_option_the_refusal_begins_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        write_file(str(tmp_path), "text", option=None)
    assert str(error.value) == f"{tmp_path}: cannot be written: is a directory"
