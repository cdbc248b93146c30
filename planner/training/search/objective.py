"""What plans are ranked by, and what they must not exceed.

Every objective is a value that is better when lower and that rises with the step on a given number
of nodes, so that a lower bound of the step bounds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Literal

from planner.errors import InputError
from planner.training.lifetime.goodput import goodput_bound
from planner.training.lifetime.spending import spending_of

if TYPE_CHECKING:
    from planner.plan import Estimate
    from planner.training.scenario import Scenario

RankBy = Literal["step", "goodput", "cost"]
RANK_BY: tuple[RankBy, ...] = ("step", "goodput", "cost")
LEAST = 1e-6
"""Share of progress below which a job goes nowhere."""
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """`by`: "step" seconds; "goodput" seconds of wall time for a step in the long run, failures
    included; "cost" the price of a step in the long run. `at_least`: tokens per second that a plan
    must reach. `step_budget`, `job_budget`: the most that a step or the whole job may cost."""

    by: RankBy = "step"
    at_least: float | None = None
    step_budget: float | None = None
    job_budget: float | None = None

    @property
    def plain(self) -> bool:
        """Whether it is what every search does."""
        return self == Objective()

    def check(self, scenario: Scenario) -> None:
        """Raises: InputError for what the cluster file does not say."""
        cluster = scenario.cluster
        budget = self.step_budget is not None or self.job_budget is not None
        priced = spending_of(scenario, {})
        if (self.by == "cost" or budget) and (priced is None or priced.per_hour is None):
            option = "--rank-by cost" if self.by == "cost" else "--budget"
            raise InputError(
                f"{option}: cluster {cluster.name} states no prices",
                hint="add prices: {devices: {NAME: 2.95 $/h}} to its file",
            )
        if self.by == "goodput" and cluster.reliability is None:
            raise InputError(
                f"--rank-by goodput: cluster {cluster.name} does not say how often it fails",
                hint="add a reliability: block to its file",
            )
        if self.job_budget is not None and scenario.job.tokens is None:
            raise InputError(
                "--budget: nothing says how many tokens the job has",
                hint="give --tokens, or a budget for a step: 0.5/step",
            )

    def value(self, found: Estimate) -> float:
        """Of a plan."""
        share = 1.0 if found.goodput is None else found.goodput.share
        if self.by == "step" or share == 0:
            return found.step_s if share else inf
        if self.by == "goodput":
            return found.step_s / share
        spending = found.spending
        price = None if spending is None else spending.over(found.step_s / share, 1).price
        return inf if price is None else price

    def least(self, scenario: Scenario, step_s: float) -> float:
        """A lower bound of the value of plans on the devices of a scenario that take at least
        `step_s`."""
        return step_s * self._rate(scenario)

    def step_s(self, scenario: Scenario, value: float) -> float:
        """From which step on no plan on the devices of a scenario has a lower value."""
        return value / self._rate(scenario)

    def longest_s(self, scenario: Scenario) -> float:
        """From which step on plans break a limit."""
        job = scenario.job
        tokens = job.global_batch_size * job.seq_length
        limits = [inf]
        if self.at_least is not None:
            limits.append(tokens / self.at_least)
        spending = spending_of(scenario, {})
        rate = None if spending is None else spending.per_hour
        if rate:
            if self.step_budget is not None:
                limits.append(self.step_budget * _HOUR_S / rate)
            if self.job_budget is not None and job.tokens is not None:
                limits.append(self.job_budget * _HOUR_S / rate * tokens / job.tokens)
        return min(limits)

    def allows(self, found: Estimate) -> bool:
        """Whether a plan keeps within the limits."""
        if self.at_least is not None and found.tokens_per_s < self.at_least:
            return False
        for limit, spent in (
            (self.step_budget, found.step_spent),
            (self.job_budget, found.job_spent),
        ):
            if limit is not None and (spent is None or (spent[0].price or inf) > limit):
                return False
        return True

    def _rate(self, scenario: Scenario) -> float:
        """Least value of a second of the step."""
        if self.by == "step":
            return 1.0
        lasting = 1 / max(goodput_bound(scenario), LEAST)
        if self.by == "goodput":
            return lasting
        spending = spending_of(scenario, {})
        assert spending is not None
        return (spending.per_hour or 0.0) / _HOUR_S * lasting
