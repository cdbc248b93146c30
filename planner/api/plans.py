"""Ways to give a plan: references to files, and values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from planner.api.answers import PricedPlan
from planner.api.inputs import load_cluster, load_model
from planner.api.recorded import found_again
from planner.api.scenarios import AskedJob
from planner.errors import InputError
from planner.plan import Plan
from planner.plan_document import ReadPlan, read_plan, read_plans
from planner.plan_document.check import check_read_plan, placed
from planner.training.search.plans.problems import check_plan

if TYPE_CHECKING:
    from planner.api.inputs import ClusterLike, ModelLike
    from planner.api.recorded import Kind
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.model.spec import ModelSpec
    from planner.training.scenario import Scenario


PlanLike: TypeAlias = str | Path | ReadPlan | PricedPlan | Plan


def load_plan(reference: str | Path) -> ReadPlan:
    """The plan that `FILE#rank` points at, the first one without a rank. Raises: InputError with
    file, line and column.

    >>> from planner import api
    >>> api.write_plans(api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8), "plan.json")
    >>> api.load_plan("plan.json#1").inputs.model.name
    'gpt-7.5b'
    """
    return read_plan(str(reference))


def load_plans(path: str | Path) -> tuple[ReadPlan, ...]:
    """All plans of a plan document, in the order of their ranks. Raises: InputError as `load_plan`
    does.

    >>> from planner import api
    >>> found = api.search("dgx-a100-8", "gpt-7.5b", nodes=1, top=2)
    >>> api.write_plans(found, "plans.json")
    >>> [read.plan for read in api.load_plans("plans.json")] == [one.plan for one in found.plans]
    True
    """
    return read_plans(Path(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPlan:
    """A plan in any of the ways to give it, and what came with it: `states` is the known part of
    its job, `read` its place in a file, `priced` its scenario."""

    plan: Plan
    rank: int
    states: AskedJob
    read: ReadPlan | None = None
    priced: PricedPlan | None = None

    @classmethod
    def of(cls, plan: PlanLike) -> GivenPlan:
        """Raises: InputError for a reference that names no plan."""
        if isinstance(plan, PricedPlan):
            states = AskedJob.of_job(plan.scenario.job)
            return cls(plan=plan.plan, rank=plan.rank, states=states, priced=plan)
        if isinstance(plan, Plan):
            return cls(plan=plan, rank=1, states=AskedJob.of_plan(plan))
        read = plan if isinstance(plan, ReadPlan) else load_plan(plan)
        states = AskedJob.recorded(read.inputs.job, read.plan)
        return cls(plan=read.plan, rank=read.rank, states=states, read=read)

    def cluster(self, given: ClusterLike | None) -> ClusterSpec:
        """The given cluster, else the one that the plan was made for. Raises: InputError."""
        if given is not None:
            return load_cluster(given)
        if self.priced is not None:
            return self.priced.scenario.cluster
        return load_cluster(self.recorded("cluster"))

    def model(self, given: ModelLike | None) -> ModelSpec:
        """The given model, else the one that the plan was made for. Raises: InputError."""
        if given is not None:
            return load_model(given)
        if self.priced is not None:
            return self.priced.scenario.model
        return load_model(self.recorded("model"))

    def recorded(self, kind: Kind) -> str:
        """Name or path of the input that the plan was made for. Raises: InputError where it is not
        found."""
        if self.read is None:
            raise InputError(f"--{kind} is missing; the plan by itself does not state it")
        return found_again(self.read, kind)

    def job(self, asked: AskedJob) -> AskedJob:
        """What the user asks for, completed by what the plan states about its job. Raises:
        InputError where its software profile is not found."""
        job = asked.filled(self.states)
        own = self.read is not None and self.read.inputs.job.software_path is not None
        if asked.software is None and own:
            return replace(job, software=self.recorded("software"))
        return job

    def scenario(self, cluster: ClusterSpec, model: ModelSpec, asked: AskedJob) -> Scenario:
        """The job of the plan; what the user asks for replaces what the plan states. Raises:
        InputError, with the place in the file when the cluster is too small for the plan."""
        job, hosts = self.job(asked), self.plan.placement.hosts
        try:
            job.sized(cluster, hosts=hosts)
        except InputError as error:
            if asked.sizes or self.read is None:
                raise
            raise placed(error, self.read, "degrees") from error
        return job.scenario(cluster, model, hosts=hosts)

    def check(self, scenario: Scenario) -> None:
        """Raises: InputError or RuleError when the plan does not belong to the scenario or breaks a
        rule of the framework, with the place where a file states it."""
        if self.read is None:
            check_plan(scenario, self.plan)
        else:
            check_read_plan(scenario, self.read)
