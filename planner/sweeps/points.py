"""The points of a study: which search each is, and which share what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner import __version__
from planner.errors import InputError, PlannerError
from planner.specs.defaults import DEFAULT_HEADROOM
from planner.specs.files.problems import validate
from planner.specs.job import build_job
from planner.specs.software import SoftwareProfile
from planner.specs.study.file import StudyJobInput
from planner.sweeps.digest import digest_of
from planner.sweeps.inputs import StudyInputs
from planner.training.scenario import build_scenario
from planner.training.search.space.restrictions import Restrictions, restrictions_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.files.document import Location, Tree
    from planner.specs.model.spec import ModelSpec
    from planner.specs.study.file import Objective
    from planner.specs.study.spec import Study
    from planner.sweeps.inputs import Chosen
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One search of a study. `axes`: its values as texts, by the name of the axis. Points of one
    `series` differ in their nodes alone; only points of one `rivals` are compared."""

    number: int
    axes: Mapping[str, str]
    cluster: ClusterSpec
    model: ModelSpec
    software: SoftwareProfile
    job: StudyJobInput
    restrictions: Restrictions
    digest: str
    series: str
    rivals: str

    def scenario(self) -> Scenario:
        """Raises: PlannerError for a point that makes no sense, such as more nodes than there
        are."""
        cluster = self.cluster.sized(nodes=self.job.nodes)
        job = build_job(
            self.model,
            self.software,
            devices=cluster.num_devices or 0,
            global_batch_size=self.job.global_batch_size,
            seq_length=self.job.seq_length,
            precision=self.job.precision,
            headroom=DEFAULT_HEADROOM if self.job.headroom is None else self.job.headroom,
            tokens=self.job.tokens,
        )
        pool = cluster if self.cluster.num_nodes is None else self.cluster
        return build_scenario(pool, self.model, job)


def points_of(study: Study) -> tuple[Point, ...]:
    """Every point, in the order of the file. Raises: InputError with the place of what is wrong in
    the files, or in the values of the study."""
    points = tuple(_points(study, StudyInputs(study)))
    stated = "objectives" in study.document.tree
    needs: list[tuple[Objective, Location]] = [
        (objective, ("objectives", index) if stated else ())
        for index, objective in enumerate(study.objectives)
    ]
    if study.limits.cost is not None:
        needs.append(("cost", ("limits", "cost")))
    for objective, at in needs:
        lacking = [one.cluster.name for one in points if not _states(one.cluster, objective)]
        if lacking:
            block = "prices" if objective == "cost" else "power"
            raise study.document.error(
                f"{objective} needs {block}, which cluster {lacking[0]} does not state",
                at,
                hint=f"add {block}: to the study",
            )
        if objective == "cost":
            _one_currency(study, points, at)
    return points


def _one_currency(study: Study, points: Sequence[Point], at: Location) -> None:
    """Raises: InputError where clusters state prices in several currencies."""
    stated = {one.cluster.prices.currency: one.cluster.name for one in points if one.cluster.prices}
    if len(stated) > 1:
        (one, first), (other, second) = list(stated.items())[:2]
        raise study.document.error(
            f"cost needs one currency; prices of cluster {first} are in {one}, those of {second} "
            f"in {other}",
            at,
        )


def _states(cluster: ClusterSpec, objective: Objective) -> bool:
    """Whether a cluster says what an objective is worked out from."""
    known = cluster.electricity
    return {
        "cost": cluster.prices is not None,
        "energy": known is not None,
        "carbon": known is not None and known.carbon_g_per_kwh is not None,
    }.get(objective, True)


def _points(study: Study, inputs: StudyInputs) -> Iterator[Point]:
    known: dict[int, str] = {}

    def digest(value: ClusterSpec | ModelSpec | SoftwareProfile) -> str:
        """That of an input, worked out once; `inputs` keeps them all."""
        key = id(value)
        if key not in known:
            if not isinstance(value, SoftwareProfile):
                value = replace(value, source=None)
            known[key] = digest_of(value)
        return known[key]

    for number, indices in enumerate(study.points(), start=1):
        chosen = tuple(zip(study.axes, indices, strict=True))
        cluster, model = inputs.cluster(chosen), inputs.model(chosen)
        software = inputs.software(chosen, model)
        job = _job(study, chosen)
        restrictions = _restrictions(study, chosen)
        parts = (digest(cluster), digest(model), digest(software), digest_of(restrictions))
        whole = job.model_copy(update={"nodes": None})
        batch = (job.global_batch_size, job.seq_length, job.tokens)
        apart = [axis.texts[index] for axis, index in chosen if axis.name in study.apart]
        yield Point(
            number=number,
            axes={axis.name: axis.texts[index] for axis, index in chosen},
            cluster=cluster,
            model=model,
            software=software,
            job=job,
            restrictions=restrictions,
            digest=digest_of(__version__, *parts, job),
            series=digest_of(*parts, whole),
            rivals=digest_of(parts[1], batch, apart),
        )


def _job(study: Study, chosen: Chosen) -> StudyJobInput:
    """The job of the file with the values of a point. Raises: InputError."""
    job = study.job
    for axis, index in chosen:
        if axis.path.home == "job":
            key, value = str(axis.path.keys[0]), axis.values[index]
            marks = {(key, *at): mark for at, mark in value.marks.items()}
            given = validate(replace(value, tree={key: value.tree}, marks=marks), StudyJobInput)
            job = job.model_copy(update={key: getattr(given, key)})
    return job


def _restrictions(study: Study, chosen: Chosen) -> Restrictions:
    """Raises: InputError."""
    axes: dict[str, Tree] = dict(study.search)
    places: dict[str, Location] = {key: ("search", key) for key in axes}
    for axis, index in chosen:
        if axis.path.home == "search":
            axes[str(axis.path.keys[0])] = axis.values[index].tree
            places[str(axis.path.keys[0])] = ("sweep", axis.name)
    known = tuple(Restrictions.__dataclass_fields__)
    for key, at in places.items():
        if key not in known:
            raise study.document.error(f"no axis of a search; there are {', '.join(known)}", at)
    try:
        return restrictions_of(axes)
    except PlannerError as error:
        if isinstance(error, InputError):
            at = next((places[key] for key in axes if _refused(key, axes[key])), ())
            raise study.document.error(str(error), at) from None
        raise


def _refused(axis: str, given: Tree) -> bool:
    """Whether the values of an axis by themselves are wrong."""
    try:
        restrictions_of({axis: given})
    except InputError:
        return True
    return False
