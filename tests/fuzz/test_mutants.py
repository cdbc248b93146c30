"""A fixed sample of damaged files through every parser; `make fuzz` runs many more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from planner.errors import InputError, PlannerError
from tests.every_instance import instances
from tests.fuzz import run_mutants as runner
from tests.fuzz.families import FAMILIES, Family
from tests.fuzz.report import Report
from tests.fuzz.run_mutants import mutant, run_mutants, strange_numbers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAMPLE = instances(16, 30)


class TalkativeError(PlannerError):
    def __str__(self) -> str:
        return "x" * 20_000


HOSTS = next(family for family in FAMILIES if family.name == "hosts")


@pytest.mark.slow
@pytest.mark.parametrize("family", [family.name for family in FAMILIES])
def test_damaged_files_are_taken_or_refused(tmp_path: Path, family: str) -> None:
    report = Report(folder=tmp_path)
    run_mutants(report, seed=0, count=SAMPLE, families=[family])
    every = next(one.every for one in FAMILIES if one.name == family)
    assert report.ran[f"mutants: {family}"] == len(range(0, SAMPLE, every))
    assert report.failures == {}, report.table()


def test_a_number_is_one_mutant() -> None:
    for family in (one for one in FAMILIES if one.every == 1):
        assert mutant(family, 3) == mutant(family, 3)
        assert len({mutant(family, index)[1] for index in range(20)}) > 10


def _endless(path: str) -> None:
    while True:
        pass


def _unplaced(path: str) -> None:
    raise InputError("something is wrong somewhere")


def _greedy(path: str) -> None:
    bytes(2 * runner.MORE_BYTES)


def _talkative(path: str) -> None:
    raise TalkativeError(path)


def _crash(path: str) -> None:
    raise KeyError(path)


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (_endless, "hosts: hang"),
        (_unplaced, "hosts: no place"),
        (_crash, "hosts: KeyError"),
        (_greedy, "hosts: MemoryError"),
        (_talkative, "hosts: message"),
        (lambda path: {"share": float("nan")}, "hosts: number"),
    ],
)
def test_what_must_not_be_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[str], object], kind: str
) -> None:
    broken: Family = replace(HOSTS, read=read, cpu_s=0.2)
    monkeypatch.setattr(runner, "FAMILIES", (broken,))
    report = Report(folder=tmp_path)
    run_mutants(report, seed=0, count=1)
    (found,) = report.failures
    assert found.startswith(kind)
    assert (tmp_path / "hosts-0" / "hosts.txt").exists()


def test_strange_numbers_have_a_place() -> None:
    assert list(strange_numbers({"a": [1, 2.5, True, None]})) == []
    assert list(strange_numbers({"a": [1, {"b": -1}]})) == [".a[1].b is -1"]
