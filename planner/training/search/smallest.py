"""The fewest devices on which a job fits, or on which it is fast enough.

Numbers of devices are tried in ascending order: parts of one node, then every number of nodes that
has a combination and whose least step (`WorkBounds`) is short enough. On each, the best plan is
searched until one is good enough, so no smaller number has one under the model, with the default
stage layouts and those that the search chooses.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from planner.budget import UNLIMITED
from planner.errors import InputError, RuleError
from planner.training.scenario import resized
from planner.training.search.best_first.run import SearchRun
from planner.training.search.bounding.tables import GrowingTable
from planner.training.search.idle.bounds import WorkBounds, below
from planner.training.search.idle.nodes import may_idle
from planner.training.search.space.enumeration import divisors
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.budget import Budget
    from planner.plan import Estimate, RankedPlan
    from planner.training.scenario import Scenario

ROUNDING = 1 + 1e-9
"""By how much longer a step may be than the longest allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smallest:
    """The best plan on the fewest devices, in its scenario. `tried`: smaller numbers of devices
    that have combinations, none of which is good enough."""

    scenario: Scenario
    ranked: RankedPlan
    tried: int


def smallest(
    scenario: Scenario,
    longest_s: float,
    enough: Callable[[Estimate], bool],
    budget: Budget = UNLIMITED,
) -> Smallest | None:
    """`scenario`: the job on the most devices that may be used. No plan is good `enough` that takes
    longer than `longest_s`. None where no number of devices has one. Raises: OutOfTime."""
    growing = GrowingTable(scenario.ideal, budget)
    work = WorkBounds(scenario, Restrictions(), growing, budget)
    alike = may_idle(scenario)
    for tried, smaller in enumerate(_sizes(scenario, work, longest_s)):
        budget.check()
        whole_nodes = smaller.job.devices % scenario.node_devices == 0
        shared = alike and whole_nodes
        run = SearchRun(
            scenario=smaller,
            restrictions=Restrictions(),
            top=1,
            budget=budget,
            enough_s=longest_s * ROUNDING,
            hopeful=below(work, longest_s * ROUNDING) if shared and longest_s < inf else None,
            priced=growing if shared else None,
        )
        with suppress(RuleError):
            run.bound()
            if run.may_fit:
                run.refine()
        found = [one for one in run.plans if enough(one.estimate)]
        if found:
            return Smallest(scenario=smaller, ranked=found[0], tried=tried)
    return None


def _sizes(scenario: Scenario, work: WorkBounds, longest_s: float) -> Iterator[Scenario]:
    """The job on ever more of its devices."""
    each = scenario.node_devices
    for devices in divisors(each)[:-1]:
        with suppress(InputError):
            yield resized(scenario, devices)
    for nodes, least_s in sorted(work.by_nodes().items()):
        if least_s <= longest_s or scenario.in_domains:
            yield resized(scenario, nodes * each)
