"""Answers about plans: what a plan costs, and in which scenario."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from planner.errors import NothingFits
from planner.plan_document import record_inputs, to_document
from planner.training.scenario import resized
from planner.wording.labels import one_line
from planner.wording.units import capacity, gib, seconds

if TYPE_CHECKING:
    from planner.plan import Estimate, Plan, RankedPlan
    from planner.plan_document import RecordedInputs
    from planner.training.scenario import Scenario
    from planner.training.search.result import SearchResult


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPlan:
    """A plan with its cost, and the scenario (cluster, model, job) in which it has that cost.
    `ranked` holds the plan's rank, its ties and its proofs where it was searched for.

    >>> from planner import api
    >>> priced = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8)
    >>> priced.plan.degrees.tensor, priced.fits
    (8, True)
    >>> print(str(priced).partition(":")[0])
    t8 p1 d1, micro-batch 1, 1f1b, recompute none
    """

    scenario: Scenario = field(repr=False)
    ranked: RankedPlan

    def __str__(self) -> str:
        """`t8 p1 d2, micro-batch 1, 1f1b, recompute none: 31.42 s, 60.1 of 79.2 GiB`."""
        stage = self.estimate.memory.binding
        peak = f"{gib(stage.peak_bytes)} of {capacity(stage.capacity_bytes)} GiB"
        return f"{one_line(self.plan)}: {seconds(self.estimate.step_s)}, {peak}"

    @property
    def rank(self) -> int:
        """The rank, from 1 for the fastest plan."""
        return self.ranked.rank

    @property
    def plan(self) -> Plan:
        return self.ranked.plan

    @property
    def estimate(self) -> Estimate:
        return self.ranked.estimate

    @property
    def fits(self) -> bool:
        """Whether every stage leaves the headroom free."""
        return self.ranked.estimate.memory.fits

    @property
    def inputs(self) -> RecordedInputs:
        """What plan documents record of the scenario."""
        return _inputs(self.scenario)

    @property
    def document(self) -> dict[str, Any]:
        """What `planner estimate --json` prints."""
        return to_document(self.inputs, (self.ranked,))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPlans:
    """What a search found: plans by their rank, how far they are proven best (`search`), and the
    scenario they are for.

    >>> from planner import api
    >>> found = api.search("dgx-a100-8", "gpt-7.5b", nodes=1, top=2)
    >>> [one.rank for one in found.plans], found.search.proven
    ([1, 2], True)
    """

    scenario: Scenario = field(repr=False)
    search: SearchResult = field(repr=False)

    def __str__(self) -> str:
        """A line for every plan."""
        return "\n".join(f"{one.rank:>3}  {one}" for one in self.plans) or "no plan"

    @property
    def plans(self) -> tuple[PricedPlan, ...]:
        """The fastest first. Empty when nothing fits: `search.nearest` says what comes closest."""
        return tuple(self._priced(ranked) for ranked in self.search.plans)

    def _priced(self, ranked: RankedPlan) -> PricedPlan:
        """A plan in the scenario with as many nodes as the plan takes."""
        scenario, devices = self.scenario, ranked.plan.degrees.devices
        if devices != scenario.job.devices:
            scenario = resized(scenario, devices)
        return PricedPlan(scenario=scenario, ranked=ranked)

    @property
    def best(self) -> PricedPlan:
        """The fastest plan. Raises: NothingFits where there is none."""
        if self.search.plans:
            return self._priced(self.search.plans[0])
        if self.search.nearest:
            raise NothingFits(f"nothing fits: {self.search.nearest[0].reason}")
        raise NothingFits(f"no plan was found ({self.search.stopped})")

    @property
    def inputs(self) -> RecordedInputs:
        """What plan documents record of the scenario."""
        return _inputs(self.scenario)

    @property
    def document(self) -> dict[str, Any]:
        """What `planner search --json` prints."""
        from planner.reports.reasons import why

        reasons = why(self.search) if self.search.plans else ()
        return to_document(self.inputs, self.search.plans, search=self.search, why=reasons)


def _inputs(scenario: Scenario) -> RecordedInputs:
    return record_inputs(scenario.cluster, scenario.model, scenario.job)
