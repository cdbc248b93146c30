"""What a search returns: ranked plans, how far they are proven, and why the rest is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.budget import Stopped
    from planner.plan import Estimate, Plan, RankedPlan
    from planner.solver import SolverRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One axis of the search space and the values it took."""

    name: str
    values: tuple[int | float | str | bool, ...]
    restricted_by_user: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A named rule and the number of combinations that it alone, in its turn, removed."""

    rule: str
    sentence: str
    excluded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    dimensions: tuple[Dimension, ...]
    exclusions: tuple[Exclusion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """A plan that does not fit, how much is missing, and the binding constraint in words."""

    plan: Plan
    estimate: Estimate
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of the inputs that would make a plan fit, with the plan it leads to."""

    description: str
    plan: Plan
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class CostliestLink:
    """Of all links between nodes that a plan uses, the one that costs the step most when it alone
    becomes `SLOWER`: its two hosts, and the step then."""

    hosts: tuple[str, str]
    step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """A search by the worst case: every bandwidth between nodes lower by `share`. `link`: what the
    winner loses most by."""

    share: float
    link: CostliestLink | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Every combination that fits, in columns of one length: a lower bound of its step in seconds,
    the peak of its fullest stage, and its value of every axis of the space. Bounds and peaks are of
    the usual stage layout; where nodes differ, bounds are of every layout."""

    step_bound_s: tuple[float, ...]
    peak_bytes: tuple[int, ...]
    axes: Mapping[str, tuple[int | float | str | bool, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedPlan:
    """The best plan on another number of nodes; without one, why there is none."""

    nodes: int
    plan: Plan | None = None
    step_s: float | None = None
    tokens_per_s: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCounts:
    """Numbers of nodes that a search looked at. `given` nodes are there; so many `others`, all
    smaller, have a valid combination too, and plans were looked for on `opened` of them: the rest
    cannot be faster. `idle_hosts`: what the best plan leaves idle."""

    given: int
    others: int
    opened: int
    idle_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NearBatch:
    """The best plan with another global batch, close to that of the job."""

    global_batch_size: int
    nodes: int
    step_s: float
    tokens_per_s: float
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class FewerDevices:
    """A plan on fewer devices that is faster: how many, its step, and the device types that it
    does without."""

    devices: int
    without: tuple[str, ...]
    step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchWorth:
    """Overlaps that a framework switches together, whether they are `on`, and the share of the step
    without them that they add: below 0 where they take time off."""

    overlap: tuple[str, ...]
    on: bool
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedProfile:
    """The best plan under one of several software profiles; without one, why there is none."""

    software: str
    plan: Plan | None = None
    step_s: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedBy:
    """Of a search by another objective than the step, or within limits: its objective (seconds of
    the step, seconds with failures, or money a step), its limits, the value of every plan listed,
    and a lower bound of that of all others; None: there is no other."""

    by: str
    at_least: float | None
    step_budget: float | None
    job_budget: float | None
    values: tuple[float, ...]
    bound: float | None
    closest: RankedPlan | None = None
    """Where no plan keeps within the limits: the cheapest, or the fastest where the limit is one of
    speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The best plans found, what is proven of them, and what ended the search.

    `bound_s` is a lower bound of the step time of every combination that was not refined;
    `combination_gap` = 1 − bound_s / (time of the slowest plan listed), 0 when no combination that
    was left out can be faster, 1 when nothing is known. Layouts that were not chosen are faster
    than the slowest plan listed by the share `layout_gap` at most, other hosts make a listed plan
    faster by the share `placement_gap` at most. `gap` is the largest of them. Nothing is faster
    than the best plan by more than the share `best_gap`: what was left out is often faster than the
    slowest plan listed alone. `settled` tells that the walk over the combinations came to its end:
    the plans are as many as were asked for, or all that fit. Plans whose step takes less than the
    share `tied_within` longer than the best are too close to it to tell which is faster.
    """

    plans: tuple[RankedPlan, ...]
    candidates: int
    fitting: int
    refined: int
    settled: bool
    combination_gap: float
    layout_gap: float
    placement_gap: float
    best_gap: float
    bound_s: float | None
    stopped: Stopped
    tied_within: float
    space: Space
    solver: SolverRecord
    nearest: tuple[NearMiss, ...]
    changes: tuple[Change, ...]
    robustness: Robustness | None = None
    fewer_nodes: SizedPlan | None = None
    """A plan on fewer nodes that is faster than the best on all of them, where one was found."""
    nodes: NodeCounts | None = None
    """None where every plan takes all nodes, or time ran out before others were looked at."""
    near_batches: tuple[NearBatch, ...] = ()
    """Higher throughput with a slightly smaller or larger batch, where the job's own costs much."""
    cloud: Cloud | None = None
    """None where it was not asked for, or time ran out before it was there."""
    scaling: tuple[SizedPlan, ...] = ()
    """As far as asked for, and as time allowed; by number of nodes."""
    fewer_devices: tuple[FewerDevices, ...] = ()
    """Faster on mixed devices than with all of them, fastest first."""
    profiles: tuple[ComparedProfile, ...] = ()
    """The software profiles that were compared, in the order asked for; the plans are those of the
    fastest."""
    switches: tuple[SwitchWorth, ...] = ()
    """What the switches of the software profile change about the step of the best plan."""
    modules_open: bool = False
    """The gap of combinations comes from choices of modules that were not priced."""
    modules: Change | None = None
    """The modules with which the best plan need not recompute, or offload, as much."""
    ranked: RankedBy | None = None
    """None where plans were ranked by the step, without limits."""
    needs_offloading: bool = False
    """Nothing fits without offloading, and the plans have some."""

    @property
    def gap(self) -> float:
        """No plan with other degrees, layouts or hosts is faster than those listed by more than
        this share."""
        return max(self.combination_gap, self.layout_gap, self.placement_gap)

    @property
    def gap_from(self) -> str | None:
        """The decision that the gap comes from: "combination" of degrees, choice of "modules" of
        a combination, "layout" or "placement"; None without a gap."""
        decisions = {
            "modules" if self.modules_open else "combination": self.combination_gap,
            "layout": self.layout_gap,
            "placement": self.placement_gap,
        }
        return max(decisions, key=decisions.__getitem__) if self.gap else None

    @property
    def floor_s(self) -> float:
        """No plan takes less, seconds, where plans are ranked by the step and one is listed."""
        return self.plans[0].estimate.step_s * (1 - self.best_gap)

    @property
    def proven(self) -> bool:
        """Whether no plan is better under the model, or nothing fits: there is no gap."""
        return self.settled and not self.gap

    @property
    def nothing_fits(self) -> bool:
        """Whether it is known that no plan fits."""
        return not self.plans and self.proven
