"""A running job after nodes were lost or became slow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.api.answers import PricedPlan
from planner.api.comparisons import priced_like
from planner.api.plans import GivenPlan
from planner.budget import Budget
from planner.errors import InputError, NothingFits
from planner.hardware.links import hops_between
from planner.importers.health.bandwidths import bad_parts
from planner.importers.health.read import read_health
from planner.importers.launch_file import is_launch
from planner.replan.damage import Damage, check_hosts_of
from planner.replan.document import to_document
from planner.replan.option import CHANGE_BATCH, WAYS
from planner.replan.replan import replan as engine
from planner.specs import ranges
from planner.specs.cluster.hostlist import expand_hosts
from planner.specs.cluster.slow import parse_slow
from planner.specs.files.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.api.plans import PlanLike
    from planner.importers.health.bandwidths import BadPart
    from planner.replan.option import Option
    from planner.replan.replan import Replanned
    from planner.specs.cluster.matrix import MatrixFile
    from planner.specs.cluster.slow import Slow
    from planner.training.scenario import Scenario

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replan:
    """Every way to go on, best first (`found.options`), and those that are not possible
    (`found.no_ways`). `findings`: what the health reports say, in words; `name`: of the plan.

    >>> from planner import api
    >>> plan = api.search("dgx-a100-8", "gpt-7.5b", nodes=4, top=1).best
    >>> replan = api.replan(plan, lost="node-1", spares=1)
    Traceback (most recent call last):
        ...
    planner.errors.InputError: --lost: cluster dgx-a100-8 has no host 'node-1'
    >>> replan = api.replan(plan, lost=plan.plan.placement.hosts[1], spares=1)
    >>> replan.option("swap").moved.estimate.step_s == plan.estimate.step_s
    True
    """

    name: str
    found: Replanned
    findings: tuple[str, ...] = ()

    def option(self, way: str | None = None) -> Option:
        """One way to go on: keep, swap, drop, drop-batch, shift, search or search-batch; without a
        name the best that keeps the batch of the job. Raises: InputError, NothingFits where there
        is none."""
        for one in self.found.options:
            if one.moved.way == way or (way is None and one.moved.way not in CHANGE_BATCH):
                return one
        for other in self.found.no_ways:
            if other.way == way:
                raise NothingFits(f"{way} is not possible: {other.reason}")
        if way is None:
            raise NothingFits("no plan with the batch of the job fits what is left")
        ranges.word("--take", way, WAYS)
        known = ", ".join(one.moved.way for one in self.found.options)
        raise NothingFits(f"{way} is none of the ways to go on here: {known}")

    def plan(self, way: str | None = None) -> PricedPlan:
        """The plan of one way, to write or to export. Raises: as `option` does."""
        moved = self.option(way).moved
        return PricedPlan(scenario=moved.scenario, ranked=moved.ranked)

    @property
    def fits(self) -> bool:
        """Whether any way keeps the batch of the job."""
        return any(one.moved.way not in CHANGE_BATCH for one in self.found.options)

    @property
    def best(self) -> PricedPlan:
        """The plan of the best way that keeps the batch. Raises: NothingFits."""
        return self.plan()

    @property
    def document(self) -> dict[str, Any]:
        """What `planner replan --json` prints."""
        return {**to_document(self.found, self.name), "findings": list(self.findings)}


def replan(
    plan: PlanLike,
    *,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    lost: str | Iterable[str] = (),
    slow: str | Iterable[str] = (),
    health: str | Path | Iterable[str | Path] = (),
    spares: int | None = None,
    hours_left: float | None = None,
    headroom: float | None = None,
    time_limit_s: float | None = None,
) -> Replan:
    """What a running job goes on with after it lost nodes, or some became slow: spare nodes, fewer
    replicas, fewer stages, another plan, or as it is; how fast each is, whether the last checkpoint
    loads, how long the restart takes, and from which repair time on it is better than waiting.

    `lost` names hosts, ranges included (`node-[3-7]`). `slow` says which part runs at which share
    of its speed: `node-3:0.6` the devices of a host, `node-3/node-7:0.5` a link, `node-3/*:0.5` all
    links of a host. `health` adds both from reports: states of nodes of Slurm (`scontrol show
    node`, `sinfo`), or a matrix of bandwidths that was measured again. `spares` are nodes outside
    the cluster. With `hours_left` ways are ranked by the tokens of that time. `headroom` is the
    share of device memory that must stay free.

    Raises: InputError, with its place.

    >>> from planner import api
    >>> plan = api.search("dgx-a100-8", "gpt-7.5b", nodes=4, top=1).best
    >>> slow = api.replan(plan, slow=f"{plan.plan.placement.hosts[0]}:0.5")
    >>> {one.moved.way for one in slow.found.options} >= {"keep", "search"}
    True
    """
    outside = ranges.whole("--spares", spares, most=ranges.MOST_NODES, least=0)
    hours = ranges.hours("--hours-left", hours_left)
    left_s = None if hours is None else hours * HOUR_S
    limit_s = ranges.duration_s("--time-limit", time_limit_s)
    gone, parts = list(_hosts(lost)), list(_slow_parts(slow))
    _check_hosts(plan, cluster, gone, parts)
    priced = priced_like(plan, cluster, model, None, {"headroom": headroom})
    scenario = priced.scenario
    findings: list[str] = []
    elsewhere: list[str] = []
    hosts = set(scenario.cluster.host_names())
    for path in [health] if isinstance(health, str | Path) else health:
        report = read_health(Path(path))
        known = {host: state for host, state in report.lost.items() if host in hosts}
        findings += [f"{host} is {state}" for host, state in known.items()]
        gone += known
        elsewhere += [host for host in report.lost if host not in hosts]
        if report.matrix is not None:
            bad = _bad_parts(scenario, report.matrix)
            findings += [one.said for one in bad]
            parts += [one.slow for one in bad]
    if health and not gone and not parts:
        said = "the health reports show nothing that is lost or slow"
        if elsewhere:
            said += f" in cluster {scenario.cluster.name}; {elsewhere[0]} is not part of it"
        raise NothingFits(said)
    damage = Damage.of(scenario.cluster, gone, parts)
    found = engine(
        scenario,
        priced.plan,
        priced.estimate,
        damage,
        spares=outside,
        left_s=left_s,
        budget=Budget.lasting(limit_s),
    )
    name = str(plan) if isinstance(plan, str | Path) else "plan"
    return Replan(name=name, found=found, findings=tuple(findings))


def _check_hosts(
    plan: PlanLike, cluster: ClusterLike | None, lost: Sequence[str], slow: Sequence[Slow]
) -> None:
    """Before anything is priced. Raises: InputError for hosts that the cluster does not have, where
    its file says how many there are."""
    if isinstance(plan, str | Path) and is_launch(str(plan)):
        return
    whole = GivenPlan.of(plan).cluster(cluster)
    if all(group.hosts is not None for group in whole.node_groups):
        check_hosts_of(whole, lost, slow)


def _texts(given: str | Iterable[str]) -> Iterator[str]:
    yield from given.split(",") if isinstance(given, str) else given


def _slow_parts(given: str | Iterable[str]) -> Iterator[Slow]:
    """Raises: InputError for texts that say no share, and for two shares of one part."""
    seen: set[frozenset[str | None]] = set()
    for text in _texts(given):
        one = parse_slow(text.strip())
        part = frozenset((one.host, one.other))
        if part in seen:
            raise InputError(f"--slow: {text.strip()[:80]!r} says again how slow a part is")
        seen.add(part)
        yield one


def _hosts(given: str | Iterable[str]) -> Sequence[str]:
    """Raises: InputError for a text that names no hosts."""
    if not isinstance(given, str):
        return tuple(given)
    try:
        return expand_hosts(given)
    except ValueError as error:
        raise InputError(f"--lost: {error}") from error


def _bad_parts(scenario: Scenario, matrix: MatrixFile) -> tuple[BadPart, ...]:
    """Raises: InputError for a matrix of other hosts."""
    names = scenario.cluster.host_names()
    index = {host: node for node, host in enumerate(names)}
    unknown = next((host for host in matrix.hosts if host not in index), None)
    if unknown is not None:
        raise matrix.error_at(
            unknown,
            f"cluster {scenario.cluster.name} has no host {unknown}",
            hint=did_you_mean(unknown, names[:1000]),
        )
    topology = scenario.topology
    nodes = np.array([index[host] for host in matrix.hosts])
    expected, _ = hops_between(topology.kinds, topology.fabric, nodes)
    measured = np.array(
        [[np.nan if cell is None else cell for cell in row] for row in matrix.bytes_per_s]
    )
    return bad_parts(matrix.hosts, measured, np.asarray(expected, dtype=np.float64))
