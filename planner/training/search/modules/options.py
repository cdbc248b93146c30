"""The ways to treat the modules that a framework can name, and what each does to a plan.

Modules that act on the same operators are treated together, as a block: what several of them do is
not the sum of what each does. Blocks do add up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import TYPE_CHECKING

import numpy as np

from planner.specs.settings import Settings
from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, shard_of
from planner.training.memory.activations import movable_of_layers
from planner.training.memory.stage import stage_peaks
from planner.training.search.modules.knapsack import ModuleOption
from planner.workload.layers import layer_operators
from planner.workload.movable import NEEDED
from planner.workload.recompute import selective
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from planner.plan import Plan
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """The modules that are computed again, and those whose activations leave the device."""

    recompute: tuple[str, ...] = ()
    offload: tuple[str, ...] = ()

    def __add__(self, other: Treatment) -> Treatment:
        return Treatment(
            recompute=self.recompute + other.recompute, offload=self.offload + other.offload
        )

    @property
    def settings(self) -> Settings:
        """What the job sets in its framework for it."""
        return Settings(
            recompute_modules=self.recompute or None, offload_modules=self.offload or None
        )

    @property
    def flags(self) -> str:
        """As the command line says it."""
        again, there = ",".join(self.recompute), ",".join(self.offload)
        said = [f"selective --recompute-modules {again}" if again else "none"]
        said += [f"--offload-modules {there} --activation-offload 1"] if there else []
        return f"--recompute {' '.join(said)}"

    def of(self, plan: Plan) -> Plan:
        """The plan with these modules in place of what it recomputes and offloads of layers."""
        none = (0,) * len(plan.recompute.layers_per_stage)
        granularity = "selective" if self.recompute else "none"
        return replace(
            plan,
            recompute=replace(plan.recompute, granularity=granularity, layers_per_stage=none),
            activation_offload=1.0 if self.offload else 0.0,
        )


KEEP = Treatment()
"""Everything stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """`treatments` and what each does to the plan, block by block, with nothing as the first; the
    seconds of a microbatch's forward and backward pass on the busiest stage, without
    recomputation."""

    treatments: tuple[tuple[Treatment, ...], ...]
    options: tuple[tuple[ModuleOption, ...], ...]
    forward_s: float
    backward_s: float

    def cost_s(self, again_s: float, moved_s: float) -> float:
        """Seconds that a microbatch takes longer: what is computed again, and what of the transfers
        the passes do not cover, one way in each."""
        there = max(0.0, moved_s - self.forward_s)
        back = max(0.0, moved_s - self.backward_s - again_s)
        return again_s + there + back


def with_treatment(scenario: Scenario, treatment: Treatment) -> Scenario:
    """The job with these modules set in its framework. Raises: InputError."""
    job = scenario.job
    settings = treatment.settings
    return replace(
        scenario,
        job=replace(
            job,
            software=settings.applied(job.software, job.optimizer),
            settings=settings.filled(job.settings),
        ),
    )


def blocks_of(scenario: Scenario, plan: Plan) -> Blocks:
    """What a search may do about the modules of the plan's layers."""
    software = scenario.job.software
    modules = [
        *(("recompute", name) for name in software.recompute.tried_modules),
        *(("offload", name) for name in software.offload.tried_modules),
    ]
    acts_on: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for kind, name in modules:
        found = _acted_on(scenario, plan, _single(kind, name))
        if found:
            acts_on[kind, name] = found
    priced = _Prices(scenario, plan)
    treatments, options = [], []
    for block in _connected(acts_on):
        ways = tuple(_ways(block))
        treatments.append(ways)
        options.append(tuple(priced.option(way) for way in ways))
    return Blocks(
        treatments=tuple(treatments),
        options=tuple(options),
        forward_s=priced.forward_s,
        backward_s=priced.backward_s,
    )


def _single(kind: str, name: str) -> Treatment:
    return Treatment(**{kind: (name,)})


def _acted_on(scenario: Scenario, plan: Plan, treatment: Treatment) -> set[tuple[str, str]]:
    """The operators, by kind of layer and name, of which it keeps less on the device."""
    workload = with_treatment(scenario, treatment).workload(shard_of(plan))
    found = set()
    for kind in dict.fromkeys(scenario.kinds):
        operators = layer_operators(workload, kind)
        for operator, effect in zip(operators, selective(workload, operators), strict=True):
            moved = effect.movable_bytes if treatment.offload else 0
            dropped = operator.saved_bytes - effect.kept_bytes if treatment.recompute else 0
            if moved or dropped:
                found.add((kind, operator.name))
    return found


def _connected(
    acts_on: dict[tuple[str, str], set[tuple[str, str]]],
) -> list[list[tuple[str, str]]]:
    """Modules that share operators, directly or through others, or need each other."""
    blocks: list[tuple[list[tuple[str, str]], set[tuple[str, str]]]] = []
    for key, operators in acts_on.items():
        wanted = set(NEEDED.get(key[1], ())) if key[0] == "offload" else set()
        joined, reached = [key], set(operators)
        others = []
        for modules, known in blocks:
            needs = any(kind == "offload" and name in wanted for kind, name in modules)
            if reached & known or needs:
                joined, reached = [*modules, *joined], reached | known
            else:
                others.append((modules, known))
        blocks = [*others, (joined, reached)]
    return [modules for modules, _ in blocks]


def _ways(block: Sequence[tuple[str, str]]) -> Iterator[Treatment]:
    """Every choice of the modules of a block that frameworks take, fewer first."""
    every: Iterable[tuple[tuple[str, str], ...]] = chain.from_iterable(
        combinations(block, size) for size in range(len(block) + 1)
    )
    for chosen in every:
        names = {
            kind: tuple(name for of, name in chosen if of == kind)
            for kind in ("recompute", "offload")
        }
        if all(set(NEEDED.get(name, ())) <= set(names["offload"]) for name in names["offload"]):
            yield Treatment(**names)


class _Prices:
    """What treatments do to a plan, against keeping everything."""

    def __init__(self, scenario: Scenario, plan: Plan) -> None:
        self._scenario, self._plan = scenario, plan
        self._load = stage_load(scenario.model, scenario.kinds, plan.stages)
        table = cost_table(scenario, [shard_of(plan)])
        layers = self._load.of_stages
        forward, backward = (
            (seconds.sum(axis=0)[0, 0] @ layers.T)
            for seconds in (table.forward_s, table.backward_s)
        )
        busiest = int((forward + backward).argmax())
        self.forward_s, self.backward_s = float(forward[busiest]), float(backward[busiest])
        self._kept = self._held(KEEP)[0]

    def option(self, treatment: Treatment) -> ModuleOption:
        held, host_bytes, again_s, moved_s = self._held(treatment)
        slack = 1 + self._scenario.job.software.slack
        return ModuleOption(
            freed_bytes=((self._kept - held) * slack).astype(np.int64),
            host_bytes=host_bytes,
            again_s=again_s,
            moved_s=moved_s,
        )

    def _held(
        self, treatment: Treatment
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], int, float, float]:
        """Bytes of activations on a device of every stage, [p], bytes of the fullest host for them,
        and the seconds of an option."""
        scenario, plan = with_treatment(self._scenario, treatment), treatment.of(self._plan)
        table = cost_table(scenario, [shard_of(plan)])
        batch = batch_of_one(
            replace(plan, optimizer_offload=0.0, weight_offload=False), 0, self._load
        )
        peaks = stage_peaks(scenario, table, batch)
        layers = self._load.of_stages
        again_s = float((table.selective_s[0, 0] @ layers.T).max()) if treatment.recompute else 0.0
        moved_s, host_bytes = 0.0, 0
        if treatment.offload:
            moved = (movable_of_layers(table, batch)[0] @ layers.T).max()
            moved_s = float(moved) / scenario.host.link_bytes_per_s
            host_bytes = 0 if peaks.node_bytes is None else int(peaks.node_bytes[0])
        return peaks.activations[0], host_bytes, again_s, moved_s
