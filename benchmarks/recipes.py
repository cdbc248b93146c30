"""Is the best plan found credible beside what its vendor tuned by hand?
`python -m benchmarks.recipes [PART OF AN ID …]`.

Twenty published recipes of Megatron-Bridge, NeMo, Megatron-MoE-ModelZoo and torchtitan, as they
were run: their cluster, model, batch, number format and software profile. Each is estimated as it
is, and the best plan for the same job is searched. A claim is the share of the step that the best
plan takes off. Above a tenth of it the benchmark says where the time goes and what speaks for
doubt: how far the recipe's own estimate is off, stages that are not balanced, a tight fit and what
is left with more memory kept free, time that only the host's launches take, decisions of which no
run was measured, more experts a device than in any run, a range that holds the recipe too.
`--json` writes the rows.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from planner.reports.sentences import UNMEASURED
from planner.specs.runs.build import load_runs
from planner.training.estimate import estimate
from planner.training.search.search import search
from planner.validation.figures import measured_step_s
from planner.validation.planned import plan_run
from planner.wording.labels import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.plan import Estimate, Plan, RankedPlan
    from planner.specs.runs.spec import Run
    from planner.training.scenario import Scenario

RUNS = Path(__file__).parents[1] / "runs"
RECIPES = {
    "bridge-h100": (0, 1, 2, 5),
    "bridge-b200": (1, 3),
    "bridge-b300": (2,),
    "bridge-gb200": (0, 2),
    "bridge-gb300": (1, 3, 5),
    "modelzoo-h100": (0, 4),
    "nemo-24.09-h100": (0,),
    "nemo-24.12-h100": (6,),
    "nemotron-h100": (0,),
    "nemo-25.04-gb200": (0,),
    "nemo-25.04-moe-h100": (0,),
    "torchtitan-h100": (1,),
}
"""Rows of the shipped run files, counted from 0."""
LARGE = 0.1
"""Claims above this share need a reason."""
ROOM = 0.15
"""Share of device memory that is kept free where the best plan is a tight fit."""
LONGEST = 0.01
"""Causes that take this share of the recipe's step off, or more, are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Seconds of a step: measured, of the recipe and of the best plan as estimated."""

    recipe: str
    devices: int
    measured_s: float
    recipe_s: float
    best_s: float
    plan: str
    reasons: tuple[str, ...]

    @property
    def claim(self) -> float:
        return 1 - self.best_s / self.recipe_s


def recipes(wanted: list[str]) -> Iterator[tuple[str, Run]]:
    """Those with one of the words in their name, all without words."""
    for file, rows in RECIPES.items():
        runs = load_runs(RUNS / f"{file}.yaml").runs
        for index in rows:
            name = f"{file}: {runs[index].id}"
            if not wanted or any(word in name for word in wanted):
                yield name, runs[index]


def compared(name: str, run: Run) -> Row | None:
    """None where nothing fits or the run has no step time."""
    planned = plan_run(run)
    recipe = estimate(planned.scenario, planned.plan)
    found = search(planned.scenario, top=1)
    measured_s = measured_step_s(run.measured, planned.scenario, planned.plan, recipe)
    if not found.plans or measured_s is None:
        return None
    best = found.plans[0]
    claim = 1 - best.estimate.step_s / recipe.step_s
    roomy = _with_room(planned.scenario, recipe) if claim > LARGE else ()
    return Row(
        recipe=name,
        devices=planned.plan.degrees.devices,
        measured_s=measured_s,
        recipe_s=recipe.step_s,
        best_s=best.estimate.step_s,
        plan=one_line(best.plan),
        reasons=(
            *_reasons(recipe, best, measured_s),
            *roomy,
            *_dispatched(planned.plan, best.plan),
        ),
    )


def _reasons(recipe: Estimate, best: RankedPlan, measured_s: float) -> Iterator[str]:
    """What takes the time off, and what speaks for doubt."""
    saved = {
        field.name.removesuffix("_s").replace("_comm", ""): getattr(recipe.time, field.name)
        - getattr(best.estimate.time, field.name)
        for field in fields(recipe.time)
    }
    shares = {name: seconds / recipe.step_s for name, seconds in saved.items()}
    parts = sorted(shares.items(), key=lambda part: -abs(part[1]))
    yield ", ".join(f"{name} {-share:+.0%}" for name, share in parts if abs(share) >= LONGEST)
    off = recipe.step_s / measured_s - 1
    if off >= LONGEST:
        yield f"the recipe itself is estimated {off:.0%} too slow"
    if best.estimate.fit_class != "fits":
        yield f"a fit that is {best.estimate.fit_class}"
    busiest = [
        one.time_detail["slowest_stage_busy_s"] / one.time_detail["mean_stage_busy_s"] - 1
        for one in (recipe, best.estimate)
    ]
    if max(busiest) >= LARGE:
        yield f"the busiest stage has {busiest[0]:.0%} more than the mean, {busiest[1]:.0%} in this"
    bound = [
        one.time_detail.get("host_bound_s", 0.0) / one.step_s for one in (recipe, best.estimate)
    ]
    if max(bound) >= LONGEST:
        yield f"host launches bind {bound[0]:.0%} of the recipe's step, {bound[1]:.0%} of this"
    confidence = best.estimate.confidence
    if confidence is not None:
        yield from (note for note in confidence.notes if note.endswith(UNMEASURED))
    if confidence is not None and confidence.step.high > 1 + (
        1 - best.estimate.step_s / recipe.step_s
    ):
        yield f"inside its range, +{confidence.step.high - 1:.0%}"


def _with_room(scenario: Scenario, recipe: Estimate) -> tuple[str, ...]:
    """What is left of the claim with more memory kept free."""
    found = search(replace(scenario, job=replace(scenario.job, headroom=ROOM)), top=1).plans
    if not found:
        return (f"with {ROOM:.0%} of memory free nothing fits",)
    best = found[0]
    claim = 1 - best.estimate.step_s / recipe.step_s
    step = f"{best.estimate.step_s:.3g} s ({claim:+.1%})"
    return (f"with {ROOM:.0%} of memory free {step}: {one_line(best.plan)}",)


def _dispatched(recipe: Plan, best: Plan) -> Iterator[str]:
    """Another dispatcher, whose rate over the network may be inferred."""
    if best.dispatcher is not None and best.dispatcher != recipe.dispatcher:
        yield f"dispatcher {best.dispatcher} instead of {recipe.dispatcher or 'none'}"
    if best.expert_overlap and not recipe.expert_overlap:
        yield "exchanges beside another microbatch, which the recipe does not have"
    if best.data_sharding == "full" != recipe.data_sharding:
        yield "full sharding, of which no 8-bit run of a mixture was published"


def main() -> None:
    wanted = [word for word in sys.argv[1:] if not word.startswith("-")]
    rows = []
    for name, run in recipes(wanted):
        row = compared(name, run)
        if row is None:
            print(f"{name}: nothing to compare")
            continue
        rows.append(row)
        seconds = f"{row.measured_s:.3g} s measured, {row.recipe_s:.3g} s estimated"
        found = f"best {row.best_s:.3g} s ({row.claim:+.1%}): {row.plan}"
        print(f"{name} on {row.devices}: {seconds}, {found}", flush=True)
        if row.claim > LARGE:
            for reason in row.reasons:
                print(f"    {reason}")
    large = sum(row.claim > LARGE for row in rows)
    mean = sum(row.claim for row in rows) / max(len(rows), 1)
    print(f"{len(rows)} recipes, claims {mean:.1%} on average, {large} above {LARGE:.0%}")
    if "--json" in sys.argv:
        print(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
