"""From texts and numbers to what a search ranks plans by."""

from __future__ import annotations

import re
from math import isfinite

from planner.errors import InputError
from planner.specs.ranges import word
from planner.training.search.objective import RANK_BY, Objective

_BUDGET = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,12})?)([kMB]?)(/step)?", re.ASCII)
_SCALES = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9}
LARGEST = 1e18


def objective_of(
    rank_by: str | None, budget: str | float | None, at_least: float | None
) -> Objective:
    """`budget`: money for the whole job, such as "40M", or for a step, "0.5/step"; `at_least`:
    tokens per second. Raises: InputError."""
    by = word("--rank-by", rank_by, RANK_BY) or "step"
    job, step = _budget(budget)
    if at_least is not None and not (isfinite(at_least) and 0 < at_least <= LARGEST):
        raise InputError(f"--at-least: tokens per second above 0 are needed, found {at_least!r}")
    named = next(one for one in RANK_BY if one == by)
    return Objective(by=named, at_least=at_least, step_budget=step, job_budget=job)


def _budget(given: str | float | None) -> tuple[float | None, float | None]:
    """Of the job, of a step."""
    if given is None:
        return None, None
    match = _BUDGET.fullmatch(str(given).replace(" ", ""))
    amount = 0.0 if match is None else float(match[1]) * _SCALES[match[2]]
    if match is None or not amount:
        raise InputError(
            f"--budget: {str(given)[:40]!r} is no amount",
            hint="write 500000 or 40M for the whole job, 0.5/step for a step",
        )
    return (None, amount) if match[3] else (amount, None)
