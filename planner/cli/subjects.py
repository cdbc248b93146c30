"""From what a user names to what is checked: a plan, its cluster, its model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from planner.checks.places import LaunchPlaces, PlanPlaces, shown_path
from planner.checks.subject import Subject
from planner.cli.inputs import AskedOptions, ClusterSize
from planner.cli.launched import launched_plan
from planner.errors import InputError
from planner.importers.launch_file import is_launch
from planner.plan_document import read_plan
from planner.plan_document.nodes import split_rank
from planner.specs.files.catalog import find_shipped
from planner.specs.load import load_cluster, load_model
from planner.training.search.plans.problems import PlanProblem

if TYPE_CHECKING:
    from pathlib import Path

    from planner.cli.options import (
        CheckedInputs,
        PlanOptions,
        ScriptOptions,
        WorkloadOptions,
    )
    from planner.plan_document import ReadPlan
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.files.catalog import Kind
    from planner.specs.model.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """Reads what is to be checked. A cluster or model given by an option is loaded once for all
    plans."""

    inputs: CheckedInputs
    workload: WorkloadOptions
    decisions: PlanOptions
    script: ScriptOptions

    def check_options(self) -> None:
        """Raises: InputError for an option that says nothing sensible."""
        AskedOptions.of(self.inputs.headroom, self.workload)

    def load_given(self) -> None:
        """Loads what the options name. Raises: InputError."""
        _ = self._given_model, self._given_cluster

    def read(self, reference: str) -> Subject:
        """The subject of a launch file or of `FILE[#rank]`. Raises: InputError."""
        if is_launch(reference):
            return self._launched(reference)
        path, _ = split_rank(reference)
        self._refuse_decisions(reference)
        read = read_plan(reference)
        model = self._given_model or load_model(_recorded(read, "model", path))
        cluster = self._given_cluster or load_cluster(_recorded(read, "cluster", path))
        asked = AskedOptions.of(
            self.inputs.headroom,
            self.workload,
            recorded=read.inputs.job,
            devices=read.plan.degrees.devices,
        )
        problem = _too_small(cluster, asked)
        if problem is not None:
            asked = replace(asked, size=ClusterSize())
        places = PlanPlaces(path=str(path), rank=read.rank)
        try:
            scenario = asked.scenario(cluster, model)
        except InputError as error:
            raise _of_the_job(error, places) from error
        return Subject(
            reference=f"{shown_path(str(path))}#{read.rank}",
            path=shown_path(str(path)),
            rank=read.rank,
            plan=read.plan,
            scenario=scenario,
            problem=problem,
            places=places,
            recorded=read.inputs,
        )

    def _launched(self, path: str) -> Subject:
        """What a launch script or DeepSpeed configuration describes."""
        cluster = self._given_cluster
        if cluster is None:
            raise InputError(
                "a launch file does not say which cluster it runs on",
                path=path,
                hint="give --cluster",
            )
        launched = launched_plan(
            path,
            cluster,
            self._given_model,
            self.inputs.headroom,
            self.workload,
            self.decisions,
            self.script,
        )
        return Subject(
            reference=shown_path(path),
            path=shown_path(path),
            rank=1,
            plan=launched.plan,
            scenario=launched.scenario,
            problem=launched.too_small,
            refused=launched.refused,
            places=LaunchPlaces(launched=launched),
        )

    def _refuse_decisions(self, reference: str) -> None:
        """Raises: InputError for options that would fill in what a plan file states."""
        self.script.refuse(reference)
        for name, text in asdict(self.decisions).items():
            if text is not None:
                flag = f"--{name.replace('_', '-')}"
                raise InputError(f"{flag} is given, and the plan file decides it", path=reference)

    @cached_property
    def _given_cluster(self) -> ClusterSpec | None:
        name = self.inputs.cluster
        return None if name is None else load_cluster(name)

    @cached_property
    def _given_model(self) -> ModelSpec | None:
        name = self.inputs.model
        return None if name is None else load_model(name)


def _recorded(read: ReadPlan, kind: Kind, path: Path) -> str:
    """The shipped cluster or model that a plan was made for."""
    name = (read.inputs.cluster if kind == "cluster" else read.inputs.model).name
    if find_shipped(kind, name) is None:
        raise InputError(
            f"the plan was made for {kind} {name}, which is not shipped",
            path=path,
            hint=f"say where its file is with --{kind}",
        )
    return name


def _of_the_job(error: InputError, places: PlanPlaces) -> InputError:
    """An error of a scenario, which is about the job that the plan's file records when it names no
    file of its own."""
    if error.path is not None:
        return error
    at = places.region(("inputs", "job"))
    return InputError(error.message, path=at.path, line=at.line, column=at.column, hint=error.hint)


def _too_small(cluster: ClusterSpec, asked: AskedOptions) -> PlanProblem | None:
    """Why the cluster does not have the devices of a plan in whole nodes, if it does not. The
    scenario is of the whole cluster then, so that other problems come to light too."""
    try:
        asked.sized(cluster)
    except InputError as error:
        if cluster.num_devices is None:
            raise
        return PlanProblem(name="devices", field="degrees", error=error)
    return None
