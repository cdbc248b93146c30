"""Searches on fewer nodes, for plans that are faster than those on all of them.

A number of nodes such as 127 may leave no combination, or only slow ones; then some nodes are
better left idle. Numbers of nodes are opened in the order of their least step (`WorkBounds`) until
that reaches the slowest plan to be listed. Only combinations that may be faster are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from planner.training.scenario import resized
from planner.training.search.best_first.run import SearchRun
from planner.training.search.idle.bounds import WorkBounds, below

if TYPE_CHECKING:
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.best import Priced
    from planner.training.search.best_first.run import Progress
    from planner.training.search.idle.sizes import SharedSizes


IMPROVED = 8
"""Numbers of nodes on which stage layouts other than the default are tried: those with the least
bounds. On others the gap says what such layouts may gain."""


def may_idle(scenario: Scenario) -> bool:
    """Whether plans on fewer nodes are looked for: where all nodes are alike, so that it does not
    matter which of them are idle, and no smaller job finds other segments of scale-up domains."""
    topology = scenario.topology
    whole = scenario.job.devices == topology.nodes * scenario.node_devices
    return topology.nodes > 1 and topology.symmetric and whole and not scenario.in_domains


def may_leave_out(scenario: Scenario) -> bool:
    """Whether nodes of one type and size whose links differ may be left out, whichever are best
    left out."""
    topology = scenario.topology
    sizes = {kind.devices_per_node for kind in topology.kinds}
    alike = len(scenario.ideal.candidate_devices) == len(sizes) == 1
    whole = scenario.job.devices == topology.nodes * scenario.node_devices
    return topology.nodes > 1 and alike and whole and not scenario.in_domains


@dataclass(slots=True, kw_only=True)
class FewerNodes:
    """The searches on fewer nodes beside that of a job, `run`. No plan on any other number of
    nodes takes less than `rest_s`; None before any was looked at. `sizes`: what earlier searches on
    fewer nodes found."""

    run: SearchRun
    sizes: SharedSizes | None = None
    earlier: tuple[SearchRun, ...] = field(init=False)
    """Searches on fewer nodes that were made before."""
    numbers: int = field(init=False, default=0)
    """Smaller numbers of nodes that have a combination and are not too few for their peak."""
    runs: list[SearchRun] = field(init=False, default_factory=list)
    rest_s: float | None = field(init=False, default=None)

    def look(self, first: int | None = None) -> None:
        """Search on every number of nodes that may give a faster plan, on `first` before all
        others. Raises: OutOfTime."""
        run = self.run
        if self.sizes is None:
            work = WorkBounds(run.scenario, run.restrictions, run.space.growing, run.budget)
            least_s = work.by_nodes(self.slowest_s)
        else:
            work, least_s = self.sizes.work, self.sizes.least_s
        given = run.scenario.topology.nodes
        least_s = {nodes: bound_s for nodes, bound_s in least_s.items() if nodes < given}
        self.numbers = len(least_s)
        waiting = sorted(least_s.items(), key=lambda one: (one[1], -one[0]))
        if first in least_s:
            self.rest_s = waiting[0][1]
            self._open(first, work)
        known = {one.scenario.topology.nodes for one in self.all_runs}
        for nodes, bound_s in waiting:
            if nodes in known:
                continue
            self.rest_s = bound_s
            if bound_s >= self.slowest_s:
                break
            run.budget.check()
            self._open(nodes, work)
        else:
            self.rest_s = inf
        self._prove_hosts()

    def __post_init__(self) -> None:
        nodes = self.run.scenario.topology.nodes
        self.earlier = () if self.sizes is None else self.sizes.below(nodes)

    @property
    def all_runs(self) -> tuple[SearchRun, ...]:
        """The searches on fewer nodes, made before or now."""
        return (*self.earlier, *self.runs)

    @property
    def slowest_s(self) -> float:
        """The step of the slowest plan to be listed; while there is room for more, that from which
        on plans are of no use."""
        steps = sorted(one.step_s for run in (self.run, *self.all_runs) for one in run.best.kept)
        return steps[self.run.top - 1] if len(steps) >= self.run.top else self.run.enough_s

    @property
    def best(self) -> Priced | None:
        """The fastest plan on whatever number of nodes."""
        kept = [one for run in (self.run, *self.all_runs) for one in run.best.kept]
        return min(kept, key=lambda one: (one.step_s, -one.estimate.devices), default=None)

    def _prove_hosts(self) -> None:
        """Prove the hosts of the best plan, if it is one on fewer nodes. Raises: OutOfTime."""
        best = self.best
        for one in self.runs:
            if any(kept is best for kept in one.best.kept):
                one.prove_hosts()

    @property
    def _improved(self) -> int:
        """Smaller numbers of nodes on which other stage layouts were tried."""
        bounds = (one.layout_bounds for one in self.runs)
        return sum(known is not None and known.tried > 0 for known in bounds)

    def _open(self, nodes: int, work: WorkBounds) -> None:
        slowest_s = self.slowest_s
        run = self.run
        smaller = SearchRun(
            scenario=on_nodes(run.scenario, nodes),
            restrictions=run.restrictions,
            top=run.top,
            budget=run.budget,
            solver=run.solver,
            layout=run.layout,
            improve=run.improve,
            moves_layers=self._improved < IMPROVED,
            hopeful=below(work, slowest_s),
            enough_s=slowest_s,
            priced=run.space.growing,
            proves=False,
            progress=None if run.progress is None else self._report,
            alone=False,
        )
        self.runs.append(smaller)
        smaller.bound()
        if smaller.may_fit:
            smaller.refine()
        else:
            smaller.done = True
        if self.sizes is not None:
            self.sizes.keep(smaller)

    def _report(self, progress: Progress) -> None:
        """Tell the caller where the search on fewer nodes is, with the best of all."""
        assert self.run.progress is not None
        best = self.best
        step_s = None if best is None else best.step_s
        self.run.progress(replace(progress, phase="fewer", best_step_s=step_s))


def on_nodes(scenario: Scenario, nodes: int) -> Scenario:
    """The job on so many of its nodes, the first ones."""
    return resized(scenario, nodes * scenario.node_devices)
