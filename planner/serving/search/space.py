"""Which replicas there are: degrees, formats and limits that engine, model and devices allow."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from planner.errors import RuleError
from planner.serving.domain import fast_domain, stage_link
from planner.serving.estimate import holds_a_request, prices
from planner.serving.scenario import ServingScenario
from planner.serving.search.degrees import AllowedDegrees, check_degrees, degrees_of
from planner.serving.search.result import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.memory import ServingMemory
    from planner.serving.placement import ExpertRouting
    from planner.serving.scenario import Drafting, ServingDegrees
    from planner.serving.step import StepCosts
    from planner.solver.pools import Room
    from planner.specs.cluster.spec import NodeGroup
    from planner.specs.engine import EngineProfile
    from planner.specs.model.spec import ModelSpec

_CHUNKS = (0.25, 1.0, 2.0)
"""Tokens of a step over the engine's default, where prompts may be split."""
NO_ROOM = "weights leave no room for the longest request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed(AllowedDegrees):
    """What the user narrows replicas to; None: whatever the engine runs. `disaggregated`: prompts
    are read in pools of their own: always, never, or (None) where that is better. `drafting`: as
    the load states it; `routing`: of its requests, where it was counted."""

    weights: tuple[str, ...]
    kv_formats: tuple[str, ...]
    max_running: tuple[int, ...] | None = None
    max_step_tokens: tuple[int, ...] | None = None
    disaggregated: bool | None = None
    drafting: Drafting | None = None
    routing: ExpertRouting | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplicaKind:
    """A kind of replica on devices of one group. `most` of them have room; `index` orders kinds.
    `usual`: its limits are the engine's own."""

    index: int
    group: int
    scenario: ServingScenario
    most: int
    usual: bool

    @property
    def costs(self) -> StepCosts:
        return prices(self.scenario)[0]

    @property
    def memory(self) -> ServingMemory:
        return prices(self.scenario)[1]

    @property
    def lanes(self) -> int:
        """Batches that run side by side: attention ranks, and stages of a pipeline."""
        degrees = self.scenario.degrees
        return degrees.attention_data * degrees.pipeline

    @property
    def devices(self) -> int:
        return self.scenario.degrees.devices

    @property
    def shape(self) -> tuple[int, ServingDegrees, str, str]:
        """The kind without its limits."""
        return self.group, self.scenario.degrees, self.scenario.weights, self.scenario.kv


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSpace:
    """All kinds of replicas, and why others are not there. `fullest`: of those without room for a
    request the one with the least on a device."""

    kinds: tuple[ReplicaKind, ...]
    excluded: tuple[LeftOut, ...]
    refusals: tuple[RuleError, ...] = ()
    """What engine and devices refuse, each once."""
    fullest: ServingScenario | None = None


def space_of(
    groups: Sequence[NodeGroup],
    rooms: Sequence[Room],
    model: ModelSpec,
    engine: EngineProfile,
    allowed: Allowed,
    load: ClosedLoad,
) -> ReplicaSpace:
    """Every kind of replica that has room for a request of the load. Raises: RuleError where none
    has the degrees that are allowed."""
    check_degrees(model, rooms, allowed)
    kinds: list[ReplicaKind] = []
    tally: Counter[str] = Counter()
    full: list[ServingScenario] = []
    refusals: dict[str, RuleError] = {}
    for at, (group, room) in enumerate(zip(groups, rooms, strict=True)):
        speed = fast_domain(group).bytes_per_s
        profiles = list(_profiles(engine.on(group.device), allowed))
        for degrees, weights, kv in product(
            degrees_of(model, room, allowed), allowed.weights, allowed.kv_formats
        ):
            for usual, profile in profiles:
                try:
                    scenario = ServingScenario(
                        model=model,
                        device=group.device,
                        engine=profile,
                        weights=weights,
                        kv=kv,
                        degrees=degrees,
                        stated_link_bytes_per_s=speed,
                        stage_link=stage_link(group, degrees.stage_devices),
                        drafting=allowed.drafting,
                        routing=allowed.routing,
                    )
                    _ = scenario.table
                    _ = None if scenario.drafter is None else scenario.drafter.table
                except RuleError as error:
                    tally[error.message] += 1
                    refusals.setdefault(error.message, error)
                    break
                if not holds_a_request(prices(scenario)[1], load):
                    tally[NO_ROOM] += 1
                    full.append(scenario)
                    continue
                kinds.append(
                    ReplicaKind(
                        index=len(kinds),
                        group=at,
                        scenario=scenario,
                        most=room.devices // degrees.devices,
                        usual=usual,
                    )
                )
    excluded = tuple(LeftOut(reason=reason, replicas=n) for reason, n in sorted(tally.items()))
    return ReplicaSpace(
        kinds=tuple(kinds),
        excluded=excluded,
        refusals=tuple(refusals.values()),
        fullest=min(full, key=lambda one: prices(one)[1].weight_bytes, default=None),
    )


def _profiles(engine: EngineProfile, allowed: Allowed) -> Iterator[tuple[bool, EngineProfile]]:
    """The engine under every limit, its own first."""
    rule = engine.scheduler
    chunks = allowed.max_step_tokens
    if chunks is None:
        shares = _CHUNKS if rule.chunked else (1.0,)
        chunks = tuple(round(rule.max_step_tokens * share) for share in shares)
    running = allowed.max_running or (rule.max_running,)
    pairs = sorted(product(chunks, running), key=lambda one: one[0] != rule.max_step_tokens)
    for tokens, most in pairs:
        usual = (tokens, most) == (rule.max_step_tokens, rule.max_running) or len(pairs) == 1
        limits = rule.model_copy(update={"max_step_tokens": tokens, "max_running": most})
        yield (
            usual,
            engine if usual and limits == rule else engine.model_copy(update={"scheduler": limits}),
        )
