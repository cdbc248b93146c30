"""Plans side by side: "why not mine?"."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.api.answers import PricedPlan
from planner.api.estimates import estimate
from planner.api.exports import export, export_formats
from planner.api.keywords import CheckKeywords, takes
from planner.api.plans import GivenPlan
from planner.api.scenarios import AskedJob
from planner.comparison.checkpoints import loading
from planner.comparison.decisions import differences
from planner.comparison.document import to_document
from planner.comparison.parts import memory_parts, time_parts
from planner.comparison.side import Side
from planner.errors import InputError, NothingFits
from planner.exporters.errors import Inexpressible
from planner.importers.launch_file import is_launch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.api.plans import PlanLike
    from planner.comparison.checkpoints import Loading
    from planner.comparison.decisions import Decided
    from planner.comparison.parts import DifferingPart
    from planner.training.search.search import Progress

BEST = "best"
"""The word that stands for the best plan of a search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagChanges:
    """How the first plan's launch arguments become those of plan `index` (from 0): a unified diff,
    empty where they are the same; `problem` says why the framework's format cannot express one of
    them."""

    index: int
    diff: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanComparison:
    """Plans side by side. The others are compared with the first.

    `decisions` lists what differs. `time` (seconds) and `memory` (bytes of the fullest stage) hold
    every part of every plan, the largest difference first. `checkpoints` and `flags` have an entry
    for each plan after the first.
    """

    sides: tuple[Side, ...]
    decisions: tuple[Decided, ...]
    time: tuple[DifferingPart, ...]
    memory: tuple[DifferingPart, ...]
    checkpoints: tuple[Loading, ...]
    flags: tuple[FlagChanges, ...]

    @property
    def document(self) -> dict[str, Any]:
        """What `planner compare --json` prints."""
        return to_document(
            self.sides,
            decisions=self.decisions,
            time=self.time,
            memory=self.memory,
            checkpoints=self.checkpoints,
            flags=[(one.diff, one.problem) for one in self.flags],
        )


@takes(CheckKeywords)
def compare(
    *plans: PlanLike,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    note: Callable[[str], None] | None = None,
    **options: Unpack[CheckKeywords],
) -> PlanComparison:
    """Two plans or more, side by side: what differs, and what each difference costs.

    A plan is one of a file, a launch file (which needs `cluster`), a plan that was found, or the
    word "best": the fastest plan of a search for the job of the first other plan. Cluster and model
    are those a plan was made for unless they are given; options of the job hold for every plan.

    Raises: InputError, with its place; NothingFits when "best" finds no plan.

    >>> from planner import api
    >>> slow = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8)
    >>> found = api.compare(slow, "best")
    >>> found.sides[1].estimate.step_s < found.sides[0].estimate.step_s
    True
    >>> sum(part.change(of=1) for part in found.time) < 0
    True
    """
    if len(plans) < 2:
        raise InputError("compare needs two plans or more", hint=f"{BEST!r} searches for the best")
    asked = [plan for plan in plans if plan != BEST]
    if not asked or len(plans) - len(asked) > 1:
        raise InputError(f"{BEST!r} stands once, next to a plan that says for which job")
    priced = {id(plan): priced_like(plan, cluster, model, note, options) for plan in asked}
    first = priced[id(asked[0])]
    sides = [
        _best(first, time_limit_s, progress)
        if plan == BEST
        else _side(plan, priced[id(plan)], number)
        for number, plan in enumerate(plans, start=1)
    ]
    return side_by_side(sides)


def side_by_side(sides: Sequence[Side]) -> PlanComparison:
    """The comparison of priced plans, the first with the others."""
    base, *others = sides
    return PlanComparison(
        sides=tuple(sides),
        decisions=differences(sides),
        time=time_parts(sides),
        memory=memory_parts(sides),
        checkpoints=tuple(loading(base, other) for other in others),
        flags=tuple(_flags(base, other, index) for index, other in enumerate(others, start=1)),
    )


def priced_like(
    plan: PlanLike,
    cluster: ClusterLike | None,
    model: ModelLike | None,
    note: Callable[[str], None] | None,
    options: CheckKeywords,
) -> PricedPlan:
    """A plan in any of the ways to give it, on the given cluster and model, or else on its own.
    Raises: InputError."""
    if isinstance(plan, PricedPlan) and not any(value is not None for value in options.values()):
        return plan
    if isinstance(plan, str | Path) and is_launch(str(plan)):
        if cluster is None:
            raise InputError(
                "a launch file does not say which cluster it runs on",
                path=str(plan),
                hint="give --cluster",
            )
        return estimate(cluster, model, plan=plan, note=note, **options)
    job = {name: value for name, value in options.items() if name in AskedJob.__slots__}
    given = GivenPlan.of(plan)
    return estimate(
        given.cluster(cluster),
        given.model(model),
        plan=plan,
        note=note,
        **job,  # type: ignore[arg-type]
    )


def _side(plan: PlanLike, priced: PricedPlan, number: int) -> Side:
    return Side(
        name=str(plan) if isinstance(plan, str | Path) else f"plan {number}",
        scenario=priced.scenario,
        plan=priced.plan,
        estimate=priced.estimate,
    )


def _best(
    like: PricedPlan, limit_s: float | None, progress: Callable[[Progress], None] | None
) -> Side:
    """The fastest plan for the job of another. Raises: NothingFits."""
    from planner.api.searches import search

    job = like.scenario.job
    found = search(
        like.scenario.cluster,
        like.scenario.model,
        top=1,
        time_limit_s=limit_s,
        progress=progress,
        global_batch_size=job.global_batch_size,
        seq_length=job.seq_length,
        precision=job.precision,
        software=job.software,
        headroom=job.headroom,
        devices=job.devices,
    )
    if not found.plans:
        raise NothingFits(f"{BEST}: no plan that fits was found for this job")
    best = found.plans[0]
    return Side(name=BEST, scenario=best.scenario, plan=best.plan, estimate=best.estimate)


def _flags(first: Side, other: Side, index: int) -> FlagChanges:
    """The changed flags, in the format of the other plan's framework."""
    framework = other.scenario.job.software.framework
    if framework not in export_formats():
        return FlagChanges(index=index, problem=f"no format writes launch arguments of {framework}")
    try:
        before, after = (_lines(side, framework) for side in (first, other))
    except (Inexpressible, InputError) as error:
        return FlagChanges(index=index, problem=str(error))
    diff = unified_diff(before, after, fromfile=first.name, tofile=other.name, n=0, lineterm="")
    return FlagChanges(index=index, diff="\n".join(diff))


def _lines(side: Side, framework: str) -> Sequence[str]:
    from planner.plan import RankedPlan

    ranked = RankedPlan(rank=1, plan=side.plan, estimate=side.estimate)
    return export(PricedPlan(scenario=side.scenario, ranked=ranked), framework).splitlines()
