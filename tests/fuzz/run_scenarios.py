"""The fuzz of valid scenarios: from one seed to the next until the count or the time is reached."""

from __future__ import annotations

import shutil
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from tests.fuzz.case import Case
from tests.fuzz.program import memory_limit
from tests.fuzz.properties import check_scenario
from tests.fuzz.scenario import Scenario, draw_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzz.report import Report

MOST_SHRINKS = 12
"""Simpler scenarios that are tried for one failure."""
SHRINK_S = 20.0
"""Processor time after which no simpler scenario is tried."""


def run_scenarios(
    report: Report, *, seed: int, count: int, until: float | None = None, shrink: bool = True
) -> None:
    """Checks the scenarios of `count` seeds; stops at the monotonic time `until`."""
    for index in range(seed, seed + count):
        if until is not None and time.monotonic() > until:
            break
        case = run_one(draw_scenario(index), index)
        report.ran[f"scenarios: {case.scenario.cluster.kind}"] += 1
        report.codes.update(case.codes)
        report.checked.update(case.checked)
        if shrink and any(report.is_new(one.property, one.detail) for one in case.failures):
            smaller = shrunk(case, index)
            if smaller is not case:
                shutil.rmtree(case.folder)
                case = smaller
        for failure in (*case.failures, *case.remarks):
            report.failed(
                f"scenario-{index}",
                failure.property,
                failure.detail,
                files=case.folder,
                commands=case.commands,
                remark=failure in case.remarks,
            )
            print(f"seed {index}: {failure.property}: {failure.detail[:300]}", file=sys.stderr)
        shutil.rmtree(case.folder)


def run_one(scenario: Scenario, seed: int) -> Case:
    """Checks one scenario in a new folder, which the caller removes."""
    case = Case(scenario=scenario, folder=Path(mkdtemp(prefix="fuzz-")), rng=Random(seed))
    try:
        with memory_limit():
            check_scenario(case)
    except Exception:
        case.fail("the fuzz itself", traceback.format_exc())
    return case


def shrunk(case: Case, seed: int) -> Case:
    """The same failure in a simpler scenario, as far as a few attempts find one."""
    wanted = {failure.property for failure in case.failures}
    best, tried, started = case, 0, time.process_time()
    progress = True
    while progress:
        progress = False
        for smaller in simpler(best.scenario):
            tried += 1
            if tried > MOST_SHRINKS or time.process_time() - started > SHRINK_S:
                return best
            again = run_one(smaller, seed)
            if wanted & {failure.property for failure in again.failures}:
                if best is not case:
                    shutil.rmtree(best.folder)
                best, progress = again, True
                break
            shutil.rmtree(again.folder)
    return best


def simpler(scenario: Scenario) -> Iterator[Scenario]:
    """The scenario with one thing left out."""
    content = scenario.cluster.content
    for option in list(scenario.restrict):
        yield replace(scenario, restrict=_without(scenario.restrict, option))
    for option in ("--robust", "--top"):
        if option in scenario.options:
            yield replace(scenario, options=_without(scenario.options, option))
    for key in ("moe", "mla", "mtp_num_layers", "attention_window", "tie_embeddings"):
        if key in scenario.model:
            yield replace(scenario, model=_without(scenario.model, key))
    if "overrides" in content.get("links", {}):
        links = _without(content["links"], "overrides")
        yield scenario.with_cluster({**content, "links": links})
    if "fabric" in content:
        yield scenario.with_cluster(_without(content, "fabric"))


def _without(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}
