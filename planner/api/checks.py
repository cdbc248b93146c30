"""Plans against the rules of `planner check`: may they be launched?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from planner.api.decisions import name_of, refuse_decisions, refuse_script
from planner.api.keywords import CheckKeywords, takes
from planner.api.launches import read_launch, say_notes
from planner.api.plans import GivenPlan
from planner.api.scenarios import AskedJob
from planner.checks import baseline
from planner.checks.check import CheckLimits, check_subject
from planner.checks.places import LaunchPlaces, NamedPlaces, PlanPlaces, shown_path
from planner.checks.selection import parse_selection
from planner.checks.subject import Subject
from planner.errors import InputError
from planner.importers.launch_file import is_launch
from planner.plan_document.serving.kind import is_serving_document
from planner.training.search.plans.problems import PlanProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.api.plans import PlanLike
    from planner.checks.baseline import Baseline
    from planner.checks.check import Checked
    from planner.checks.places import Places
    from planner.checks.selection import RuleSelection
    from planner.specs.cluster.spec import ClusterSpec
    from planner.training.search.search import Progress


@takes(CheckKeywords)
def check(
    plan: PlanLike,
    *,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    limits: CheckLimits | None = None,
    progress: Callable[[Progress], None] | None = None,
    note: Callable[[str], None] | None = None,
    **options: Unpack[CheckKeywords],
) -> Checked:
    """A plan against the rules: `passed`, and a finding with its place for all that is wrong.

    `plan` is a plan of a file, also one of serving, a launch file (which needs `cluster`), or a
    plan that was found. Cluster and model are those it was made for unless they are given. `limits`
    say which rules count and what is allowed; with `within_of_best` a search looks for a better
    plan, and calls `progress`. `note` is called with what a launch file leaves out.

    Raises: InputError, with its place, for a file that cannot be read; KeyboardInterrupt when a
    search is interrupted.

    >>> from planner import api
    >>> api.write_plans(api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8), "plan.json")
    >>> api.check("plan.json").passed
    True
    >>> [one.code for one in api.check("plan.json", headroom=0.9).findings]
    ['PL002']
    """
    if isinstance(plan, str | Path) and is_serving_document(str(plan)):
        from planner.api.serving_checks import check_serving

        return check_serving(str(plan), cluster, model, limits or CheckLimits(), options)
    if isinstance(plan, str | Path) and is_launch(str(plan)):
        subject = _launched(str(plan), cluster, model, options, note)
    else:
        subject = _subject(plan, cluster, model, options)
    return check_subject(subject, limits or CheckLimits(), progress=progress)


def select_rules(select: str | None = None, ignore: str | None = None) -> RuleSelection:
    """Rules for `CheckLimits`, by comma lists of codes, beginnings of codes or names; the longer
    entry wins. Raises: InputError for an entry that names no rule.

    >>> from planner import api
    >>> limits = api.CheckLimits(selection=api.select_rules("PL0", ignore="PL003"))
    >>> "PL002" in limits.selection, "PL003" in limits.selection, "PL301" in limits.selection
    (True, False, False)
    """
    return parse_selection(select, ignore)


def load_baseline(reference: str | Path) -> Baseline:
    """What plans cost when they were committed, for `CheckLimits`: a file of `planner check
    --write-baseline`, or a plan `FILE#rank`. Raises: InputError with the place.

    >>> from planner import api
    >>> priced = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=4, recompute="none")
    >>> api.write_plans(priced, "committed.json")
    >>> limits = api.CheckLimits(baseline=api.load_baseline("committed.json"), max_regression=0.02)
    >>> slower = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=4, recompute="full")
    >>> api.check(priced, limits=limits).passed, api.check(slower, limits=limits).passed
    (True, False)
    """
    return baseline.read_baseline(str(reference))


def _subject(
    plan: PlanLike,
    cluster: ClusterLike | None,
    model: ModelLike | None,
    options: CheckKeywords,
) -> Subject:
    """The subject of a check, for a plan that is not a launch file. Raises: InputError."""
    refuse_script(options, name_of(plan))
    refuse_decisions(options, plan)
    asked, given = AskedJob.of(options), GivenPlan.of(plan)
    chosen_model, chosen_cluster = given.model(model), given.cluster(cluster)
    job = given.job(asked)
    hosts = given.plan.placement.hosts
    problem = _too_small(chosen_cluster, job, hosts)
    if problem is not None:
        job = replace(job, nodes=None, devices=None)
        hosts = ()
    places = _places(given)
    try:
        scenario = job.scenario(chosen_cluster, chosen_model, hosts=hosts)
    except InputError as error:
        raise _of_the_job(error, places) from error
    name = f"plan {given.rank}" if given.read is None else shown_path(given.read.path)
    return Subject(
        reference=name if given.read is None else f"{name}#{given.rank}",
        path=name,
        rank=given.rank,
        plan=given.plan,
        scenario=scenario,
        problem=problem,
        places=places,
        recorded=None if given.read is None else given.read.inputs,
    )


def _launched(
    path: str,
    cluster: ClusterLike | None,
    model: ModelLike | None,
    options: CheckKeywords,
    note: Callable[[str], None] | None,
) -> Subject:
    """The subject of a check, for a launch script or DeepSpeed configuration."""
    if cluster is None:
        raise InputError(
            "a launch file does not say which cluster it runs on", path=path, hint="give --cluster"
        )
    launched = read_launch(path, cluster, model, **options)
    say_notes(launched, note)
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


def _places(given: GivenPlan) -> Places:
    if given.read is None:
        return NamedPlaces(name=f"plan {given.rank}")
    return PlanPlaces(path=given.read.path, rank=given.read.rank)


def _of_the_job(error: InputError, places: Places) -> InputError:
    """An error of a scenario; if it names no file, it is about the job that the plan's file
    records."""
    if error.path is not None:
        return error
    at = places.region(("inputs", "job"))
    return InputError(error.message, path=at.path, line=at.line, column=at.column, hint=error.hint)


def _too_small(cluster: ClusterSpec, asked: AskedJob, hosts: Sequence[str]) -> PlanProblem | None:
    """Why the cluster does not have the devices of a plan in whole nodes; None if it has them. The
    scenario then takes the whole cluster, so that other problems are found too."""
    try:
        asked.sized(cluster, hosts=hosts)
    except InputError as error:
        if cluster.num_devices is None:
            raise
        return PlanProblem(name="devices", field="degrees", error=error)
    return None
