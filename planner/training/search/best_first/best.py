"""The best plans priced so far, and how fast those left out could be."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from planner.plan import Proof, RankedPlan
from planner.training.confidence.interval import tied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.plan import Estimate, Plan
    from planner.training.search.hosts.methods import PlacedPlan

CLOSED = 1 - 1e-9
"""Share of a step from which on a bound has reached it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A plan of the combination `index`. No placement of it takes less than `bound_s`, as far as
    `method` tells."""

    step_s: float
    index: int
    plan: Plan
    estimate: Estimate
    bound_s: float
    method: str

    @classmethod
    def of(cls, index: int, placed: PlacedPlan, found: Estimate) -> Priced:
        """A placed plan with its estimate."""
        return cls(
            step_s=found.step_s,
            index=index,
            plan=placed.plan,
            estimate=found,
            bound_s=found.step_s if placed.bound_s >= found.step_s * CLOSED else placed.bound_s,
            method=placed.method,
        )

    @property
    def key(self) -> tuple[float, int]:
        """By time, then in the order of enumeration."""
        return self.step_s, self.index


class BestPlans:
    """The `top` best plans, one of each combination. Every change is a single assignment, so that
    whatever interrupts a change finds the plans as they were before it or after it."""

    def __init__(self, top: int, enough_s: float = inf) -> None:
        """`enough_s`: plans that take so long or longer are of no use (`beaten`)."""
        self.top, self._enough_s = top, enough_s
        self._plans: tuple[tuple[Priced, ...], tuple[Priced, ...]] = ((), ())
        """Kept, left out."""
        self._ruled_out_s = inf

    @property
    def kept(self) -> tuple[Priced, ...]:
        """Fastest first."""
        return self._plans[0]

    @property
    def full(self) -> bool:
        return len(self.kept) == self.top

    @property
    def slowest_s(self) -> float:
        """Seconds that a plan must stay below to be of use: what the slowest plan kept takes, once
        there is no room for more."""
        return min(self._enough_s, self.kept[-1].step_s if self.full else inf)

    @property
    def first_s(self) -> float:
        """Seconds of the best plan; infinite without one."""
        return self.kept[0].step_s if self.kept else inf

    @property
    def left_out(self) -> tuple[Priced, ...]:
        """Priced and slower than those kept, those that may gain most by other hosts first."""
        return tuple(sorted(self._plans[1], key=lambda one: (one.bound_s, one.index)))

    @property
    def left_out_s(self) -> float:
        """No plan left out takes less, whatever its hosts; infinite where there is none."""
        return min((self._ruled_out_s, *(one.bound_s for one in self._plans[1])))

    def of(self, index: int) -> Priced | None:
        """The plan kept of a combination."""
        return next((one for one in self.kept if one.index == index), None)

    def wanted_s(self, index: int) -> float:
        """What a plan of a combination has to take less than to be kept."""
        known = self.of(index)
        return self.slowest_s if known is None else known.step_s

    def offer(self, priced: Priced, *, any_layout: bool = False) -> None:
        """Keep a plan if it is among the best, one of each combination. Of two layouts of one, the
        slower may still be the faster one on other hosts, unless the bound of each holds for
        `any_layout` of the combination, and is raised with it."""
        known = self.of(priced.index)
        if known is not None:
            faster, slower = sorted((known, priced), key=lambda one: one.key)
            apart = not any_layout and slower.plan.stages != faster.plan.stages
            if apart and slower.bound_s < faster.step_s:
                self.give_up(slower.bound_s)
            if slower is priced:
                return
        kept = [one for one in self.kept if one.index != priced.index]
        insort(kept, priced, key=lambda one: one.key)
        self._plans = tuple(kept[: self.top]), (*self._plans[1], *kept[self.top :])

    def beaten(self, enough_s: float) -> None:
        """Note that other plans that take so long or longer are of no use. Those kept that take
        longer count among those left out then."""
        self._enough_s = min(self._enough_s, enough_s)
        kept = tuple(one for one in self.kept if one.step_s <= enough_s)
        self._plans = kept, (*self._plans[1], *self.kept[len(kept) :])

    def rules_out(self, least_s: float) -> bool:
        """Whether a plan that takes at least so long is too slow to be kept; it counts among those
        left out then."""
        if least_s <= self.slowest_s:
            return False
        self._ruled_out_s = min(self._ruled_out_s, least_s)
        return True

    def give_up(self, bound_s: float) -> None:
        """Note a combination of which no plan is known, or which lacks memory on the hosts found
        for it: another plan may fit, or other hosts, and takes no less than that."""
        self._ruled_out_s = min(self._ruled_out_s, bound_s)

    def raise_bound(self, index: int, bound_s: float) -> None:
        """Note that no plan of a combination takes less."""

        def raised(plans: tuple[Priced, ...]) -> tuple[Priced, ...]:
            return tuple(
                replace(one, bound_s=max(one.bound_s, min(bound_s, one.step_s)))
                if one.index == index
                else one
                for one in plans
            )

        self._plans = raised(self._plans[0]), raised(self._plans[1])

    def replace_first(self, priced: Priced) -> None:
        """Put a plan in the place of the fastest, whichever of the two is faster."""
        kept = sorted((priced, *self.kept[1:]), key=lambda one: one.key)
        self._plans = tuple(kept), self._plans[1]

    def reconsider(self, known: Priced, priced: Priced) -> None:
        """Offer a plan in the place of one that was left out."""
        self._plans = self.kept, tuple(one for one in self._plans[1] if one is not known)
        self.offer(priced)

    @classmethod
    def of_one(cls, priced: Priced) -> BestPlans:
        """A list that holds this plan alone."""
        best = cls(1)
        best.offer(priced)
        return best

    def ranked(self, gains: Mapping[int, float]) -> tuple[RankedPlan, ...]:
        """`gains` by index: how much longer steps take on the hosts as listed."""
        kept = self.kept
        return tuple(
            RankedPlan(
                rank=rank,
                plan=one.plan,
                estimate=one.estimate,
                tied_with_best=tied(one.step_s, kept[0].step_s),
                proofs=(
                    Proof(
                        decision="placement",
                        gap=1 - one.bound_s / one.step_s,
                        method=one.method,
                        gain=gains.get(one.index),
                    ),
                ),
            )
            for rank, one in enumerate(kept, start=1)
        )
