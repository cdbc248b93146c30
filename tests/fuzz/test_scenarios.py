"""A fixed sample of valid scenarios through the commands; `make fuzz` runs many more."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.every_instance import instances
from tests.fuzz.case import Case
from tests.fuzz.properties import check_scenario
from tests.fuzz.report import Report
from tests.fuzz.run_scenarios import run_one, run_scenarios
from tests.fuzz.scenario import draw_scenario

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = range(300, 300 + instances(12, 24))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_what_holds_of_every_scenario(tmp_path: Path, seed: int) -> None:
    case = Case(scenario=draw_scenario(seed), folder=tmp_path, rng=Random(seed))
    check_scenario(case)
    assert case.failures == []


def test_a_seed_is_one_scenario() -> None:
    assert draw_scenario(7) == draw_scenario(7)
    assert draw_scenario(7) != draw_scenario(8)


def test_failures_are_kept_with_their_files_and_shrunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scenario that the program refuses for another reason than a rule is a failure; what does
    not matter to it is left out."""
    whole = replace(draw_scenario(300), restrict={"--tensor": "1"}, options={"--top": "3"})
    broken = replace(whole, model={**whole.model, "hidden_size": 0})
    monkeypatch.setattr("tests.fuzz.run_scenarios.draw_scenario", lambda seed: broken)
    report = Report(folder=tmp_path)
    run_scenarios(report, seed=5, count=1)
    assert [kind.partition(":")[0] for kind in report.failures] == ["refusals name a rule"]
    script = (tmp_path / "scenario-5" / "run.sh").read_text()
    assert "planner search --cluster cluster.yaml --model model.yaml" in script
    assert "--tensor" not in script
    assert "--top" not in script
    assert "hidden_size: 0" in (tmp_path / "scenario-5" / "model.yaml").read_text()
    assert "scenario-5" in report.table()


def test_an_error_of_the_program_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("of the test")

    monkeypatch.setattr("planner.training.search.search.SearchRun.bound", broken)
    case = run_one(draw_scenario(300), 300)
    assert [failure.property for failure in case.failures] == ["internal error"]
    assert "ZeroDivisionError: of the test" in case.failures[0].detail
