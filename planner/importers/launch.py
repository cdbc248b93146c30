"""Reads what a launch file describes: its cluster, model, job and plan.

A Megatron-LM launch script or command line states its model and every decision. A DeepSpeed
configuration states neither the model nor most degrees; the caller gives them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.errors import InputError, RuleError
from planner.importers.agreement import decisions_of, settings_of, workload_of
from planner.importers.launch_options import LaunchOptions
from planner.importers.launch_size import counted, devices_of, sized_for, taken_whole
from planner.importers.source import load_source
from planner.importers.switched import differences, modules_apart, recorded
from planner.specs.defaults import DEFAULT_HEADROOM
from planner.specs.job import build_job
from planner.specs.load import load_software
from planner.specs.software import SoftwareProfile
from planner.training.scenario import build_scenario
from planner.training.search.hosts.placement import placement_on
from planner.training.search.plans.build import remaining_data, stated_plan
from planner.training.search.plans.problems import PlanProblem, plan_problems
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.importers.notes import Notes
    from planner.importers.shell.text import Origin
    from planner.importers.source import Source
    from planner.importers.statement import Statement
    from planner.plan import Plan
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.model.spec import ModelSpec
    from planner.training.scenario import Scenario

LARGEST_BYTES = 2 * 2**20
_OF_A_REPLICA = ("tensor", "pipeline", "context")
_NAMES = {
    "recompute.granularity": "recompute",
    "recompute.layers_per_stage": "recompute_layers",
    "num_microbatches": "global_batch_size",
    "stages": "stage_layers",
    "degrees": "tensor",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedPlan:
    """`scenario` and `plan` are what the file launches, whether it can run or not; `notes` say what
    was read, assumed and left out. What was assumed is among the job's assumptions too.

    `refused`: what the framework would refuse and no plan can say. `too_small`: why the scenario is
    of the whole cluster rather than of the file's devices. `whole`: it is of the whole cluster, as
    nothing says how many devices there are.
    """

    path: str
    scenario: Scenario
    plan: Plan
    statement: Statement
    refused: tuple[PlanProblem, ...]
    too_small: PlanProblem | None
    whole: bool

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return Path(self.path).name

    @property
    def notes(self) -> Notes:
        return self.statement.notes

    @property
    def in_job(self) -> LaunchedPlan:
        """The same with the modules that the plan chooses in the job, for plans that choose none
        themselves."""
        return replace(
            self,
            scenario=self.scenario.treating(self.plan.recompute_modules, self.plan.offload_modules),
            plan=replace(self.plan, recompute_modules=None, offload_modules=None),
        )

    def place(self, field: str) -> Origin:
        """Where a field was decided: one of the job, one of the plan by its path in the plan
        document, such as degrees.tensor, or a flag by its name."""
        return self.statement.place(_NAMES.get(field, field.removeprefix("degrees.")))

    def check(self) -> None:
        """Raises: InputError or RuleError, with its place, for the first reason why the plan cannot
        run."""
        small = () if self.too_small is None else (self.too_small,)
        for problem in (*small, *self.refused, *plan_problems(self.scenario, self.plan)):
            place = self.place(problem.field)
            where = place.path, place.line, place.column
            if self.whole and problem.field != "devices":
                counted_as = taken_whole(self.scenario.cluster)
                raise InputError(
                    problem.error.message,
                    path=where[0],
                    line=where[1],
                    column=where[2],
                    hint=f"it is planned for {counted_as}",
                )
            if isinstance(problem.error, RuleError):
                raise problem.error.placed(*where)
            raise InputError(
                problem.error.message,
                path=where[0],
                line=where[1],
                column=where[2],
                hint=problem.error.hint,
            )


def read_launch(
    path: str,
    cluster: ClusterSpec,
    model: ModelSpec | None = None,
    asked: LaunchOptions | None = None,
) -> LaunchedPlan:
    """The plan that a launch script or DeepSpeed configuration describes, on the first nodes of a
    cluster. `model` may be left out where the file states one.

    Raises: InputError, with file, line and column where the file is at fault.
    """
    return read_source(load_source(path, largest=LARGEST_BYTES), cluster, model, asked)


def read_source(
    source: Source,
    cluster: ClusterSpec,
    model: ModelSpec | None = None,
    asked: LaunchOptions | None = None,
) -> LaunchedPlan:
    """As `read_launch`, for a file that has already been read."""
    asked = LaunchOptions() if asked is None else asked
    # The formats take long to load, and plan documents do without them.
    from planner.importers.containers import of_its_container
    from planner.importers.launch_formats import ReadingOptions, read_statement

    given = ReadingOptions(
        model=model,
        variables=asked.variables,
        command=asked.command,
        vocabulary=asked.vocabulary,
    )
    statement = read_statement(source, given)
    if asked.software is None:
        statement = of_its_container(statement, source)
    return _launched(statement, cluster, asked)


def _launched(statement: Statement, cluster: ClusterSpec, asked: LaunchOptions) -> LaunchedPlan:
    asked = counted(statement, cluster, asked)
    sized, too_small = sized_for(statement, cluster, asked)
    devices = (sized.num_devices or 0) if too_small else devices_of(statement, sized, asked)
    settled = statement.settle(
        decisions_of(statement, asked), workload_of(statement, asked), devices
    )
    decisions: dict[str, Any] = dict(settled.decisions)
    workload: dict[str, Any] = dict(settled.workload)
    chosen = asked.software or statement.software
    profile = chosen if isinstance(chosen, SoftwareProfile) else load_software(chosen)
    precision = workload.get("precision") or statement.model.training.precision or "bf16"
    switched = statement.switch(profile, precision)
    apart, modules = modules_apart(profile, switched, statement.model)
    software = recorded(profile, apart)
    job = build_job(
        statement.model,
        software,
        devices=devices,
        headroom=DEFAULT_HEADROOM if asked.headroom is None else asked.headroom,
        expert_imbalance=asked.expert_imbalance or 1.0,
        settings=settings_of(statement, asked, profile, switched),
        **workload,
    )
    name = Path(statement.path).name
    assumed = [f"{name}: {clause}" for clause in statement.notes.assumed]
    changed = differences(profile, software)
    if changed:
        assumed.append(f"software: {profile.name} as {name} switches it: {', '.join(changed)}")
    job = replace(job, assumptions=(*job.assumptions, *dict.fromkeys(assumed)))
    pool = sized if cluster.num_nodes is None else cluster
    scenario = build_scenario(pool, statement.model, job, hosts=_named_hosts(statement, asked))
    try:
        plan = stated_plan(
            modules.scenario(scenario),
            Restrictions(**{axis: (value,) for axis, value in decisions.items()}),
            stage_layers=asked.stage_layers or statement.stage_layers,
            recompute_layers=asked.recompute_layers or statement.recompute_layers,
        )
    except RuleError as error:
        at = statement.place("pipeline" if decisions.get("pipeline", 1) > 1 else "virtual_stages")
        raise error.placed(at.path, at.line, at.column) from error
    plan = modules.of(plan)
    hosts = _hosts(statement, scenario, asked)
    if hosts is not None:
        plan = replace(plan, placement=placement_on(scenario, hosts))
    elif scenario.ideal is not scenario:
        clause = "hosts in the order of the cluster file; --hosts FILE gives another"
        statement.notes.assumed.append(clause)
        job = replace(job, assumptions=(*job.assumptions, f"{name}: {clause}"))
        scenario = replace(scenario, job=job)
    return LaunchedPlan(
        path=statement.path,
        scenario=scenario,
        plan=plan,
        statement=statement,
        refused=(*_indivisible(scenario, decisions), *statement.problems, *settled.problems),
        too_small=too_small,
        whole=(asked.nodes, asked.devices, statement.devices) == (None, None, None),
    )


def _named_hosts(statement: Statement, asked: LaunchOptions) -> tuple[str, ...]:
    if asked.hosts is not None:
        return asked.hosts
    return () if statement.hosts is None else statement.hosts[0]


def _hosts(
    statement: Statement, scenario: Scenario, asked: LaunchOptions
) -> tuple[str, ...] | None:
    """The hosts in the order of ranks: those that the user names, else those that the file names.

    Raises: InputError at hosts of the file that the cluster does not have.
    """
    if asked.hosts is not None or statement.hosts is None:
        return asked.hosts
    names, at = statement.hosts
    known = set(scenario.cluster.host_names())
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise InputError(
            f"cluster {scenario.cluster.name} has no host {unknown}",
            path=at.path,
            line=at.line,
            column=at.column,
            hint="--hosts FILE names others",
        )
    return names


def _indivisible(scenario: Scenario, decisions: Mapping[str, Any]) -> tuple[PlanProblem, ...]:
    if "data" in decisions:
        return ()
    try:
        remaining_data(scenario, {axis: decisions.get(axis, 1) for axis in _OF_A_REPLICA})
    except RuleError as error:
        return (PlanProblem(name="world", field="degrees.tensor", error=error),)
    return ()
