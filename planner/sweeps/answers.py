"""What a study knows of a point, and which points nothing beats."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from planner.plan_document.write_plan import plan_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.plan import Estimate
    from planner.specs.study.file import LimitsInput, Objective
    from planner.sweeps.points import Point
    from planner.training.search.result import SearchResult

Outcome = Literal["planned", "nothing fits", "refused", "dominated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointAnswer:
    """`outcome`: there is a plan; none fits; the point cannot be asked for; or another point is
    better in every objective whatever its plan, so none was looked for. `reason`: why there is no
    plan. Seconds, bytes and amounts are those of the best plan; `time_s`, `cost`, `energy_kwh` and
    `carbon_kg` of the whole job, or of a step where its tokens are not stated, `low` and `high` by
    the range of the step. `gap`: what a better plan can gain at most, as a share of the step."""

    number: int
    digest: str
    axes: Mapping[str, str]
    outcome: Outcome
    reason: str | None = None
    nodes_used: int | None = None
    devices: int | None = None
    step_s: float | None = None
    tokens_per_s: float | None = None
    mfu: float | None = None
    goodput: float | None = None
    time_s: float | None = None
    time_low_s: float | None = None
    time_high_s: float | None = None
    cost: float | None = None
    currency: str | None = None
    energy_kwh: float | None = None
    carbon_kg: float | None = None
    peak_bytes: int | None = None
    capacity_bytes: int | None = None
    gap: float | None = None
    proven: bool | None = None
    plan: Mapping[str, Any] | None = None
    over_limits: tuple[str, ...] = ()
    on_front: bool = False
    rivals: str = field(default="", repr=False)

    def figure(self, objective: Objective) -> float | None:
        """What an objective wants to be low; None where the point does not say."""
        figures: dict[Objective, float | None] = {
            "time": self.time_s,
            "cost": self.cost,
            "energy": self.energy_kwh,
            "carbon": self.carbon_kg,
            "devices": self.devices,
        }
        return figures[objective]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """An answer, and its plan document where it has a plan."""

    answer: PointAnswer
    document: str | None = None


def answer_of(point: Point, found: SearchResult) -> PointAnswer:
    """The answer that a search gives."""
    if not found.plans:
        reason = found.nearest[0].reason if found.nearest else f"no plan found ({found.stopped})"
        return without_plan(point, "nothing fits", reason)
    best = found.plans[0]
    estimate = best.estimate
    stage = estimate.memory.binding
    low_s, high_s = _range_s(estimate)
    spent = estimate.job_spent or estimate.step_spent
    first = None if spent is None else spent[0]
    return PointAnswer(
        number=point.number,
        digest=point.digest,
        axes=point.axes,
        rivals=point.rivals,
        outcome="planned",
        nodes_used=len(best.plan.placement.hosts),
        devices=best.plan.degrees.devices,
        step_s=estimate.step_s,
        tokens_per_s=estimate.tokens_per_s,
        mfu=estimate.mfu,
        goodput=None if estimate.goodput is None else estimate.goodput.share,
        time_s=_time_s(estimate),
        time_low_s=low_s,
        time_high_s=high_s,
        cost=None if first is None else first.price,
        currency=None if estimate.spending is None else estimate.spending.currency,
        energy_kwh=None if first is None else first.energy_kwh,
        carbon_kg=None if first is None else first.carbon_kg,
        peak_bytes=stage.peak_bytes,
        capacity_bytes=stage.capacity_bytes,
        gap=found.gap,
        proven=found.proven,
        plan=plan_fields(best.plan),
    )


def without_plan(point: Point, outcome: Outcome, reason: str) -> PointAnswer:
    """Of a point that has none."""
    return PointAnswer(
        number=point.number,
        digest=point.digest,
        axes=point.axes,
        rivals=point.rivals,
        outcome=outcome,
        reason=reason,
    )


def _time_s(estimate: Estimate) -> float:
    """Wall time of the job; of a step, with its part of what failures cost, without its tokens."""
    if estimate.job_s is not None:
        return estimate.job_s
    return estimate.tokens_per_step / estimate.lasting_tokens_per_s


def _range_s(estimate: Estimate) -> tuple[float, float]:
    if estimate.job_s is not None:
        return estimate.job_range_s
    wall_s, known = _time_s(estimate), estimate.confidence
    return (wall_s, wall_s) if known is None else known.step.around(wall_s)


Vector = tuple[float, ...]


def vector_of(answer: PointAnswer, objectives: Sequence[Objective]) -> Vector | None:
    """Its figures of the objectives; None where one is not known."""
    figures = [answer.figure(one) for one in objectives]
    known = [one for one in figures if one is not None]
    return tuple(known) if len(known) == len(figures) else None


def beats(one: Vector, other: Vector) -> bool:
    """No worse anywhere, and better somewhere."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


class Front:
    """Vectors that no other one beats, by `rivals`: what may be compared."""

    def __init__(self, objectives: Sequence[Objective], limits: LimitsInput) -> None:
        self.objectives, self.limits = tuple(objectives), limits
        self._best: dict[str, tuple[tuple[Vector, int], ...]] = {}

    def copy(self) -> Front:
        """One that grows by itself."""
        other = Front(self.objectives, self.limits)
        other._best = dict(self._best)
        return other

    def add(self, answer: PointAnswer) -> None:
        """Answers without a plan or beyond a limit change nothing."""
        vector = vector_of(answer, self.objectives)
        if vector is None or self.broken(answer):
            return
        known = self._best.get(answer.rivals, ())
        if any(one == vector or beats(one, vector) for one, _ in known):
            return
        kept = [one for one in known if not beats(vector, one[0])]
        self._best[answer.rivals] = (*kept, (vector, answer.number))

    def beaten_by(self, rivals: str, vector: Vector) -> int | None:
        """The number of a point that beats a vector."""
        for one, number in self._best.get(rivals, ()):
            if beats(one, vector):
                return number
        return None

    def broken(self, answer: PointAnswer) -> tuple[str, ...]:
        """The limits that an answer is beyond."""
        limits = self.limits
        asked = {"time": limits.time, "cost": limits.cost, "devices": limits.devices}
        taken = {"time": answer.time_s, "cost": answer.cost, "devices": answer.devices}
        return tuple(
            name for name, most in asked.items() if most is not None and (taken[name] or 0.0) > most
        )

    @property
    def numbers(self) -> frozenset[int]:
        """Of the points on the front."""
        return frozenset(number for found in self._best.values() for _, number in found)


def marked(answers: Sequence[PointAnswer], front: Front) -> tuple[PointAnswer, ...]:
    """The answers in the order of their points, each told whether it is on the front."""
    ordered = sorted(answers, key=lambda one: one.number)
    final = Front(front.objectives, front.limits)
    for one in ordered:
        final.add(one)
    numbers = final.numbers
    return tuple(
        replace(one, on_front=one.number in numbers, over_limits=final.broken(one))
        for one in ordered
    )
