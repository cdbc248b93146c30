"""Plans in the formats that frameworks and launchers read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.api.inputs import load_hosts
from planner.api.plans import GivenPlan
from planner.api.scenarios import AskedJob
from planner.errors import InputError
from planner.exporters.errors import Inexpressible
from planner.exporters.folder.files import launch_folder
from planner.exporters.formats import FORMATS
from planner.exporters.job import export_job
from planner.exporters.nodes import any_nodes_will_do, segment_of
from planner.plan_document import record_inputs
from planner.specs import ranges
from planner.training.estimate import estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.api.inputs import ClusterLike, HostsLike, ModelLike, SoftwareLike
    from planner.api.plans import PlanLike
    from planner.exporters.formats import Format
    from planner.exporters.job import ExportJob
    from planner.plan_document import ReadPlan
    from planner.training.scenario import Scenario


def export(
    plan: PlanLike,
    format: str,
    *,
    style: str | None = None,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    software: SoftwareLike | None = None,
    hosts: HostsLike | None = None,
    note: Callable[[str], None] | None = None,
) -> str:
    """The text of a plan in a format of `export_formats`, its first style by default.

    Cluster, model and software profile are those the plan was made for; for a plan of a file, the
    given ones must have the same content. `hosts` are names for the hosts of the plan, in the same
    order. `note` is called with what else the user has to do.

    Raises: Inexpressible, which names the field, when the format cannot express what the plan
    decides; InputError, RuleError as `estimate` does.

    >>> from planner import api
    >>> found = api.search("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8, top=1)
    >>> "--tensor-model-parallel-size 8" in api.export(found.best, "megatron-lm")
    True
    """
    chosen = _format(format)
    style_name = _style(chosen, format, style)
    job, _ = _job(GivenPlan.of(plan), cluster, model, software, hosts)
    text = chosen.text(chosen.styles[style_name], job)
    for line in _notes(chosen, job) if note is not None else ():
        if note is not None:
            note(line)
    return text


def export_all(
    plan: PlanLike,
    *,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    software: SoftwareLike | None = None,
    hosts: HostsLike | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, str]:
    """The texts of every format and style that can express the plan, by the names of their files.
    `note` is called with the reasons of the others too. Raises: as `export` does.

    >>> from planner import api
    >>> priced = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8)
    >>> "slurm.sh" in api.export_all(priced)
    True
    """
    job, _ = _job(GivenPlan.of(plan), cluster, model, software, hosts)
    texts: dict[str, str] = {}
    noted: dict[str, None] = {}
    for chosen in FORMATS.values():
        for style in chosen.styles.values():
            try:
                texts[style.file] = chosen.text(style, job)
            except Inexpressible as error:
                noted[f"no {style.file}: {error}"] = None
                continue
            noted |= dict.fromkeys(_notes(chosen, job))
    for line in noted:
        if note is not None:
            note(line)
    return texts


def export_folder(
    plan: PlanLike,
    *,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    software: SoftwareLike | None = None,
    hosts: HostsLike | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, str]:
    """The texts of a folder that launches the plan with its framework, by the names of their files:
    one script to call, launchers, arguments, settings to fill in, ranks, a check and a README.
    `note` is called with what they do not say. Raises: as `export` does.

    >>> from planner import api
    >>> priced = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=8)
    >>> "launch.sh" in api.export_folder(priced)
    True
    """
    given = GivenPlan.of(plan)
    job, scenario = _job(given, cluster, model, software, hosts)
    priced = estimate(scenario, given.plan)
    folder = launch_folder(job, estimate=priced)
    for line in folder.notes if note is not None else ():
        if note is not None:
            note(line)
    return folder.files


def export_formats() -> dict[str, tuple[str, ...]]:
    """The styles of every format, the default first; empty where a format has only one.

    >>> from planner import api
    >>> api.export_formats()["megatron-lm"]
    ('arguments', 'shell', 'yaml')
    """
    return {
        name: () if tuple(chosen.styles) == ("",) else tuple(chosen.styles)
        for name, chosen in FORMATS.items()
    }


def _format(name: str) -> Format:
    ranges.word("--format", name, tuple(FORMATS))
    return FORMATS[name]


def _style(chosen: Format, name: str, style: str | None) -> str:
    styles = tuple(chosen.styles)
    if style is not None and styles == ("",):
        raise InputError(f"--style: {name} is written in one way only")
    return ranges.word("--style", style, styles) or styles[0]


def _notes(chosen: Format, job: ExportJob) -> tuple[str, ...]:
    if not chosen.names_hosts or job.listed:
        return chosen.notes(job)
    if chosen.any_nodes and (any_nodes_will_do(job) or segment_of(job) is not None):
        return chosen.notes(job)
    invented = (
        f"cluster {job.cluster.name} names no hosts; {job.hosts[0].name} and so on are "
        "placeholders: list hosts in the cluster file, or give --hosts FILE"
    )
    return (invented, *chosen.notes(job))


def _job(
    given: GivenPlan,
    cluster: ClusterLike | None,
    model: ModelLike | None,
    software: SoftwareLike | None,
    hosts: HostsLike | None,
) -> tuple[ExportJob, Scenario]:
    """The plan ready for export, with its hosts, and the inputs it was made for."""
    scenario = scenario_of(given, cluster, model, software)
    given.check(scenario)
    job = export_job(scenario, given.plan, rank=given.rank)
    return (job if hosts is None else job.renamed(load_hosts(hosts))), scenario


def scenario_of(
    given: GivenPlan,
    cluster: ClusterLike | None,
    model: ModelLike | None,
    software: SoftwareLike | None,
) -> Scenario:
    """The plan's own inputs. Raises: InputError when files of the same names are not those the plan
    was made for."""
    if given.priced is not None and (cluster, model, software) == (None, None, None):
        return given.priced.scenario
    chosen_cluster, chosen_model = given.cluster(cluster), given.model(model)
    if software is None and given.read is not None:
        given.recorded("software")
    scenario = given.scenario(chosen_cluster, chosen_model, AskedJob(software=software))
    if given.read is not None:
        _check_same(given.read, scenario)
    return scenario


def _check_same(read: ReadPlan, scenario: Scenario) -> None:
    now, then = record_inputs(scenario.cluster, scenario.model, scenario.job), read.inputs
    for kind, was, found in (
        ("cluster", (then.cluster.name, then.cluster.sha256), now.cluster),
        ("model", (then.model.name, then.model.sha256), now.model),
    ):
        _same(read, kind, was, (found.name, found.sha256))
    _same(
        read,
        "software",
        (then.job.software, then.job.software_sha256),
        (now.job.software, now.job.software_sha256),
    )


def _same(
    read: ReadPlan, kind: str, then: tuple[str, str | None], found: tuple[str, str | None]
) -> None:
    if then[1] is None or then[1] == found[1]:
        return
    raise InputError(
        f"{read.place} was made for {kind} {then[0]} (sha256 {then[1][:12]}), found {found[0]} "
        f"(sha256 {(found[1] or 'unknown')[:12]})",
        hint=f"give the file it was made for with --{kind}, or plan again",
    )
