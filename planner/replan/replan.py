"""Every way to go on after the damage, best first.

Waiting for the repair, L seconds away, yields w tokens a second: nothing where nodes are gone, what
the plan still does where they are slow. Going on costs the restart R' now and R'' at the way back,
and yields r' tokens a second of the r before. It wins where r' · (L − R') − r · R'' is more than
w · L, that is for repairs that take longer than L* = (r' · R' + r · R'') / (r' − w), and never
where r' is not above w.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.budget import UNLIMITED
from planner.comparison.checkpoints import loading
from planner.comparison.side import Side
from planner.replan.clusters import slowed, without
from planner.replan.moves import dropped, kept, swapped
from planner.replan.option import Moved, NoWay, Option
from planner.replan.searches import anew, shifted
from planner.specs.files.fields import Constant, Duration
from planner.specs.files.general import general
from planner.training.lifetime.checkpoint import checkpoint_bytes
from planner.training.scenario import build_scenario
from planner.wording.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from planner.budget import Budget
    from planner.plan import Estimate, Plan
    from planner.replan.damage import Damage
    from planner.training.scenario import Scenario

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replanned:
    """`options` best first, by the tokens in the time that is left, or else per second. `waiting`:
    the tokens of a job that waits for the repair; None where the time left or that of a repair is
    not known. `before`: what the plan did."""

    scenario: Scenario
    plan: Plan
    before: Estimate
    damage: Damage
    options: tuple[Option, ...]
    no_ways: tuple[NoWay, ...]
    left_s: float | None
    repair_s: float | None
    waiting: float | None
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Seconds of a restart, and of reading and writing a checkpoint; `said`: what is assumed."""

    alone_s: float
    read_s: float
    write_s: float
    said: tuple[str, ...]

    @property
    def prepare_s(self) -> float:
        """Of a checkpoint that is prepared for another plan: it is read and written once more."""
        return self.read_s + self.write_s

    @classmethod
    def of(cls, scenario: Scenario, plan: Plan) -> Restart:
        known = scenario.cluster.reliability
        if known is None:
            usual = general("cluster", "reliability.restart", Constant[Duration])
            said = f"a restart takes {usual.value / 60:.0f} minutes ({usual.source})"
            loads = "reading the checkpoint takes no time (the cluster file has no reliability)"
            return cls(alone_s=usual.value, read_s=0.0, write_s=0.0, said=(said, loads))
        size_bytes = checkpoint_bytes(scenario, plan.data_sharding)
        return cls(
            alone_s=known.restart_s,
            read_s=size_bytes / known.read_bytes_per_s,
            write_s=size_bytes / known.write_bytes_per_s,
            said=(),
        )


def replan(
    scenario: Scenario,
    plan: Plan,
    before: Estimate,
    damage: Damage,
    *,
    spares: int | None = None,
    left_s: float | None = None,
    budget: Budget = UNLIMITED,
) -> Replanned:
    """`scenario`: the whole cluster and the job of the plan, `before` its estimate. `spares`: nodes
    outside the cluster, by default those of its `reliability:` block."""
    known = scenario.cluster.reliability
    outside = spares if spares is not None else (known.spares if known is not None else 0)
    ways = list(_ways(scenario, plan, damage, outside, budget))
    restart = Restart.of(scenario, plan)
    repair_s = None if known is None else known.repair_s
    first = Side(name="before", scenario=scenario, plan=plan, estimate=before)
    meanwhile = [
        one.estimate.tokens_per_s for one in ways if isinstance(one, Moved) and one.way == "keep"
    ]
    options = [
        _option(one, first, damage, restart, left_s, repair_s, sum(meanwhile))
        for one in ways
        if isinstance(one, Moved)
    ]
    options.sort(key=lambda one: (-(one.tokens or 0.0), -one.share, one.restart_s))
    waiting = None
    if left_s is not None and repair_s is not None and damage.lost:
        working_s = max(0.0, left_s - repair_s - restart.alone_s - restart.read_s)
        waiting = before.tokens_per_s * working_s
    spare_said = [
        "a spare node takes the name and the place of the one that it replaces"
        for one in options
        if "a spare node" in one.moved.what
    ]
    no_repair = left_s is not None and repair_s is None and damage.lost
    said = ("no lost node comes back (the cluster file states no repair)",) if no_repair else ()
    return Replanned(
        scenario=scenario,
        plan=plan,
        before=before,
        damage=damage,
        options=tuple(options),
        no_ways=tuple(one for one in ways if isinstance(one, NoWay)),
        left_s=left_s,
        repair_s=repair_s,
        waiting=waiting,
        assumptions=(*restart.said, *said, *spare_said[:1]),
    )


def _ways(
    scenario: Scenario, plan: Plan, damage: Damage, outside: int, budget: Budget
) -> Iterator[Moved | NoWay]:
    """`outside`: spare nodes that are not in the cluster."""
    used = set(plan.placement.hosts)
    if damage.slow:
        slower = slowed(scenario, damage.slow)
        as_is = build_scenario(slower, scenario.model, scenario.job)
        if not used & set(damage.lost):
            yield kept(as_is, plan, "the same plan, with the slow parts")
    gone = dict.fromkeys((*damage.lost, *damage.suspects))
    away = [host for host in plan.placement.hosts if host in gone]
    if not away:
        if not damage.slow:
            yield kept(scenario, plan, "the same plan; no lost node is part of it")
        return
    spares = _spares(scenario, plan, gone, away, outside)
    if len(spares) == len(away):
        yield swapped(scenario, plan, spares)
        spares = {}
    else:
        yield NoWay(way="swap", reason=_too_few(len(spares), len(away)))
    back = {old for old, new in spares.items() if old == new}
    lost = [host for host in gone if host not in back]
    names = scenario.cluster.host_names()
    left = [host for host in names if host not in set(lost)]
    cluster = without(scenario.given, lost)
    ways = (
        dropped(scenario, plan, left, keep_batch=False),
        dropped(scenario, plan, left, keep_batch=True),
        shifted(scenario, plan, cluster, budget),
    )
    yield from ways
    known = [one for one in ways if isinstance(one, Moved)]
    yield from anew(scenario, plan, cluster, known, budget)


def _too_few(spares: int, away: int) -> str:
    """`1 spare node for 3 nodes`"""
    have = "no spare node" if not spares else plural(spares, "spare node")
    return f"{have} for {plural(away, 'node')} to replace"


def _spares(
    scenario: Scenario,
    plan: Plan,
    gone: Mapping[str, None],
    away: list[str],
    outside: int,
) -> dict[str, str]:
    """For as many hosts that are gone as possible what replaces them: an idle host of their group,
    else a node from outside, which takes their name."""
    used, found = set(plan.placement.hosts), {}
    idle = [
        [host for host in group.hosts or () if host not in used and host not in gone]
        for group in scenario.cluster.node_groups
    ]
    group_of = {
        host: index
        for index, group in enumerate(scenario.cluster.node_groups)
        for host in group.hosts or ()
    }
    for host in away:
        own = idle[group_of[host]]
        if own:
            found[host] = own.pop(0)
        elif outside:
            outside -= 1
            found[host] = host
    return found


def _option(
    moved: Moved,
    first: Side,
    damage: Damage,
    restart: Restart,
    left_s: float | None,
    repair_s: float | None,
    meanwhile: float,
) -> Option:
    """`meanwhile`: tokens per second of a job that waits."""
    before, after = first.estimate.tokens_per_s, moved.estimate.tokens_per_s
    loads = loading(first, replace(first, scenario=moved.scenario, plan=moved.plan))
    back_s = restart.alone_s + restart.read_s
    restart_s, lasting = back_s, moved.way == "swap"
    if moved.way == "keep":
        restart_s, lasting = 0.0, True
    elif loads.verdict == "prepared":
        restart_s += restart.prepare_s
    break_even_s = None
    if moved.way != "keep" and after > meanwhile:
        lost = after * restart_s + (0.0 if lasting else before * back_s)
        break_even_s = lost / (after - meanwhile)
    tokens = None
    if left_s is not None:
        until_s = left_s if lasting or repair_s is None else min(repair_s, left_s)
        tokens = after * max(0.0, until_s - restart_s)
        tokens += before * max(0.0, left_s - until_s - back_s)
    names = moved.scenario.cluster.host_names()
    busy = {*moved.plan.placement.hosts, *damage.lost}
    busy |= set() if moved.way == "keep" else set(damage.suspects)
    return Option(
        moved=moved,
        share=after / before,
        checkpoint=loads,
        restart_s=restart_s,
        break_even_s=break_even_s,
        idle=tuple(host for host in names if host not in busy),
        tokens=tokens,
    )
