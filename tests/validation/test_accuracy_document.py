"""docs/accuracy.md and the residuals that intervals rest on are those of this code and data.

Retuning a constant moves figures a little; then nothing here fails. When sources, devices or
sections change, or figures move by more than a point, both files are due for renewal.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from planner.reports.accuracy import COMMAND, accuracy_document
from planner.specs.files.catalog import list_shipped, resolve
from planner.training.confidence.residuals import (
    STEP,
    Residuals,
    from_json,
    shipped_residuals,
    to_json,
)
from planner.validation.residuals import residuals_of
from planner.validation.validate import Validation, validate_files

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[2] / "docs" / "accuracy.md"
RENEW = f"is out of date: {COMMAND} renews it"
LABELLED = ("By source", "By device", "Peak memory")
"""Sections whose rows are the same whatever the figures."""
DRIFT = 0.01


@cache
def validation() -> Validation:
    return validate_files([resolve("runs", name) for name in list_shipped("runs")])


@cache
def generated() -> str:
    return accuracy_document(validation())


def sections(text: str) -> dict[str, list[str]]:
    parts = re.split(r"^## ", text, flags=re.MULTILINE)
    return {lines[0]: lines[1:] for part in parts if (lines := part.splitlines())}


def rows(lines: list[str]) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|") and not line.startswith("|-")
    ]


def test_the_document_has_the_sections_and_rows_of_the_code() -> None:
    committed, now = sections(DOCUMENT.read_text(encoding="utf-8")), sections(generated())
    assert list(committed) == list(now), f"docs/accuracy.md {RENEW}"
    for name in now:
        headers = [rows(text[name])[:1] for text in (committed, now)]
        assert headers[0] == headers[1], f"docs/accuracy.md, {name}, {RENEW}"
    for name in LABELLED:
        labels = [[row[0] for row in rows(text[name])] for text in (committed, now)]
        assert labels[0] == labels[1], f"docs/accuracy.md, {name}, {RENEW}"


def test_the_figures_of_the_document_are_near_those_of_the_code() -> None:
    figures = [
        {row[0]: float(row[2]) for row in rows(sections(text)["By source"])[1:]}
        for text in (DOCUMENT.read_text(encoding="utf-8"), generated())
    ]
    apart = abs(figures[0]["all"] - figures[1]["all"]) / 100
    assert apart <= DRIFT, f"docs/accuracy.md {RENEW}"


def pooled(residuals: Residuals, quantity: str) -> float:
    cells = [cell for cell in residuals.cells if cell.quantity == quantity]
    return sum(cell.mean * cell.count for cell in cells) / sum(cell.count for cell in cells)


def test_the_residuals_are_near_those_of_the_code() -> None:
    kept, now = shipped_residuals(), residuals_of(validation())
    assert kept.coverage == now.coverage, f"residuals.json {RENEW}"
    publishers = [{(c.quantity, c.publication) for c in one.cells} for one in (kept, now)]
    assert publishers[0] == publishers[1], f"residuals.json {RENEW}"
    assert pooled(kept, STEP) == pytest.approx(pooled(now, STEP), abs=DRIFT), (
        f"residuals.json {RENEW}"
    )


def test_residuals_survive_being_written() -> None:
    kept = shipped_residuals()
    assert from_json(to_json(kept)) == kept


def test_the_worst_runs_have_a_reason_each() -> None:
    name = next(name for name in sections(generated()) if name.startswith("The worst"))
    worst = rows(sections(generated())[name])[1:]
    assert len(worst) == 20
    assert all(row[-1] for row in worst)
    sizes = [abs(float(row[4].rstrip("%"))) for row in worst]
    assert max(sizes) > 2 * DRIFT


def test_every_run_with_a_time_is_in_one_row_of_each_split() -> None:
    timed = sum(result.step is not None for result in validation().results)
    by_device = rows(sections(generated())["By device"])[1:]
    assert sum(int(row[1]) for row in by_device) == timed
    by_regime = rows(sections(generated())["By regime"])[1:]
    assert sum(int(row[1]) for row in by_regime) % timed == 0
