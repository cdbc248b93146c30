"""Plans as they are given and as they are answered: references to files, values, and plans with the
scenario they are for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from planner.api.inputs import load_cluster, load_model
from planner.api.scenarios import AskedJob
from planner.errors import InputError, NothingFits
from planner.plan import Plan, RankedPlan
from planner.plan_document import ReadPlan, read_plan, read_plans, record_inputs
from planner.plan_document.check import check_read_plan, placed
from planner.specs.files.catalog import find_shipped
from planner.training.scenario import Scenario
from planner.training.search.plans.problems import check_plan
from planner.training.search.result import SearchResult

if TYPE_CHECKING:
    from typing import Literal

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.plan import Estimate
    from planner.plan_document import RecordedInputs
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.model.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPlan:
    """A plan with what it costs, and the scenario (cluster, model, job) in which it does. `ranked`
    holds the plan's rank, its ties and its proofs where it was searched for.

    >>> from planner import api
    >>> priced = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8)
    >>> priced.plan.degrees.tensor, priced.fits
    (8, True)
    """

    scenario: Scenario
    ranked: RankedPlan

    @property
    def rank(self) -> int:
        """From 1, the fastest plan."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPlans:
    """What a search found: plans by their rank, how far they are proven best (`search`), and the
    scenario they are for.

    >>> from planner import api
    >>> found = api.search("dgx-a100-8", "gpt-7.5b", nodes=1, top=2)
    >>> [one.rank for one in found.plans], found.search.proven
    ([1, 2], True)
    """

    scenario: Scenario
    search: SearchResult

    @property
    def plans(self) -> tuple[PricedPlan, ...]:
        """The fastest first. Empty when nothing fits: `search.nearest` says what comes closest."""
        return tuple(
            PricedPlan(scenario=self.scenario, ranked=ranked) for ranked in self.search.plans
        )

    @property
    def best(self) -> PricedPlan:
        """The fastest plan. Raises: NothingFits where there is none."""
        if self.search.plans:
            return PricedPlan(scenario=self.scenario, ranked=self.search.plans[0])
        if self.search.nearest:
            raise NothingFits(f"nothing fits: {self.search.nearest[0].reason}")
        raise NothingFits(f"no plan was found ({self.search.stopped})")

    @property
    def inputs(self) -> RecordedInputs:
        """What plan documents record of the scenario."""
        return _inputs(self.scenario)


PlanLike: TypeAlias = str | Path | ReadPlan | PricedPlan | Plan


def load_plan(reference: str | Path) -> ReadPlan:
    """The plan that `FILE#rank` points at, the first one without a rank. Raises: InputError with
    file, line and column.

    >>> from planner import api
    >>> read = api.load_plan("examples/gpt3-175b-on-dgx-a100-128.json#1")
    >>> read.inputs.model.name
    'gpt3-175b'
    """
    return read_plan(str(reference))


def load_plans(path: str | Path) -> tuple[ReadPlan, ...]:
    """All plans of a plan document, in the order of their ranks. Raises: InputError as `load_plan`
    does.

    >>> from planner import api
    >>> [read.rank for read in api.load_plans("examples/gpt3-175b-on-dgx-a100-128.json")]
    [1]
    """
    return read_plans(Path(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPlan:
    """A plan however it was given, and what came with it: `states` is its job, as far as it says;
    `read` where it stands in a file; `priced` its scenario."""

    plan: Plan
    rank: int
    states: AskedJob
    read: ReadPlan | None = None
    priced: PricedPlan | None = None

    @classmethod
    def of(cls, plan: PlanLike) -> GivenPlan:
        """Raises: InputError for a reference that leads to no plan."""
        if isinstance(plan, PricedPlan):
            states = AskedJob.of_job(plan.scenario.job)
            return cls(plan=plan.plan, rank=plan.rank, states=states, priced=plan)
        if isinstance(plan, Plan):
            return cls(plan=plan, rank=1, states=AskedJob.of_plan(plan))
        read = plan if isinstance(plan, ReadPlan) else load_plan(plan)
        states = AskedJob.recorded(read.inputs.job, read.plan)
        return cls(plan=read.plan, rank=read.rank, states=states, read=read)

    def cluster(self, given: ClusterLike | None) -> ClusterSpec:
        """The cluster given, else the one the plan was made for. Raises: InputError."""
        if given is not None:
            return load_cluster(given)
        if self.priced is not None:
            return self.priced.scenario.cluster
        return load_cluster(self.recorded("cluster"))

    def model(self, given: ModelLike | None) -> ModelSpec:
        """The model given, else the one the plan was made for. Raises: InputError."""
        if given is not None:
            return load_model(given)
        if self.priced is not None:
            return self.priced.scenario.model
        return load_model(self.recorded("model"))

    def recorded(self, kind: Literal["cluster", "model", "software"]) -> str:
        """Name of the shipped file that the plan was made for. Raises: InputError for another."""
        if self.read is None:
            raise InputError(f"--{kind} is missing; the plan by itself does not state it")
        inputs = self.read.inputs
        name = {
            "cluster": inputs.cluster.name,
            "model": inputs.model.name,
            "software": inputs.job.software,
        }[kind]
        if find_shipped(kind, name) is None:
            raise InputError(
                f"the plan was made for {kind} {name}, which is not shipped",
                path=self.read.path,
                hint=f"say where its file is with --{kind}",
            )
        return name

    def scenario(self, cluster: ClusterSpec, model: ModelSpec, asked: AskedJob) -> Scenario:
        """The job of the plan, with what is asked for in place of what it states. Raises:
        InputError, with the place in the file when the cluster is too small for the plan."""
        job = asked.filled(self.states)
        try:
            job.sized(cluster)
        except InputError as error:
            if asked.sizes or self.read is None:
                raise
            raise placed(error, self.read, "degrees") from error
        return job.scenario(cluster, model)

    def check(self, scenario: Scenario) -> None:
        """Raises: InputError or RuleError when the plan does not belong to the scenario or breaks a
        rule of the framework, with the place where a file states it."""
        if self.read is None:
            check_plan(scenario, self.plan)
        else:
            check_read_plan(scenario, self.read)


def _inputs(scenario: Scenario) -> RecordedInputs:
    return record_inputs(scenario.cluster, scenario.model, scenario.job)
