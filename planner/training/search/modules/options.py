"""The ways to treat the modules that a framework can name, and what each does to a plan.

Modules that act on the same operators are treated together, as a block: what several of them do is
not the sum of what each does. Blocks do add up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import TYPE_CHECKING

import numpy as np

from planner.specs.software_offload import NOTHING_LEFT, OFFLOADED_WITH, offloaded_alone
from planner.training.batch import NONE, SELECTIVE
from planner.training.costs import cost_table, joined
from planner.training.estimate import batch_of_one, shard_of
from planner.training.layer.prices import prices_of
from planner.training.memory.activations import movable_of_layers
from planner.training.memory.stage import stage_peaks
from planner.training.search.modules.knapsack import ModuleOption
from planner.training.step.parts import step_parts
from planner.workload.recompute import selective
from planner.workload.stages import stage_load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from planner.plan import Plan
    from planner.training.batch import Batch
    from planner.training.costs import CostTable
    from planner.training.memory.peaks import StagePeaks
    from planner.training.scenario import Scenario
    from planner.workload.shard import Shard


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
    def flags(self) -> str:
        """As the command line says it."""
        again, there = ",".join(self.recompute), ",".join(self.offload)
        said = [f"selective --recompute-modules {again}" if again else "none"]
        said += [f"--offload-modules {there} --activation-offload 1"] if there else []
        return f"--recompute {' '.join(said)}"

    def scenario(self, scenario: Scenario) -> Scenario:
        """The job with these modules. Raises: InputError."""
        return scenario.treating(self.recompute or None, self.offload or None)

    def of(self, plan: Plan) -> Plan:
        """The plan with these modules in place of what it recomputes and offloads of layers."""
        none = (0,) * len(plan.recompute.layers_per_stage)
        granularity = "selective" if self.recompute else "none"
        return replace(
            plan,
            recompute=replace(plan.recompute, granularity=granularity, layers_per_stage=none),
            activation_offload=1.0 if self.offload else 0.0,
            recompute_modules=self.recompute or None,
            offload_modules=self.offload or None,
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


def _single(kind: str, name: str) -> Treatment:
    """Of one module, with those that it needs."""
    others = OFFLOADED_WITH.get(name, ()) if kind == "offload" else ()
    return Treatment(**{kind: (name, *others)})


def _acted_on(scenario: Scenario, shard: Shard, treatment: Treatment) -> set[tuple[str, str]]:
    """The operators, by kind of layer and name, of which it keeps less on the device."""
    workload = treatment.scenario(scenario).workload(shard)
    found = set()
    for kind in dict.fromkeys(scenario.kinds):
        operators = prices_of(scenario).operators(kind, shard)
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
        wanted = set(OFFLOADED_WITH.get(key[1], ())) if key[0] == "offload" else set()
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
        offloaded = set(names["offload"])
        with_others = offloaded_alone(offloaded) is None
        left = all(offloaded.isdisjoint(NOTHING_LEFT.get(name, ())) for name in names["recompute"])
        if with_others and left:
            yield Treatment(**names)


class TreatedPlan:
    """A plan and what treatments do to it, against keeping everything. Tables of prices are kept
    with the scenario: plans that divide a layer alike share them."""

    def __init__(self, scenario: Scenario, plan: Plan) -> None:
        """The scenario is that of the plan's hosts. Raises: InputError."""
        self.scenario, self.plan = scenario, plan
        self._load = stage_load(scenario.model, scenario.kinds, plan.stages)
        self._ways = ModuleWays.of(scenario, shard_of(plan))

    def blocks(self) -> Blocks:
        """What a search may do about the modules of the plan's layers."""
        priced = dict(zip(self._ways.single, self._options(), strict=True))
        table = self._ways.table
        layers = self._load.of_stages
        forward, backward = (
            (seconds.sum(axis=0)[0, 0] @ layers.T)
            for seconds in (table.forward_s, table.backward_s)
        )
        busiest = int((forward + backward).argmax())
        return Blocks(
            treatments=self._ways.blocks,
            options=tuple(tuple(priced[way] for way in ways) for ways in self._ways.blocks),
            forward_s=float(forward[busiest]),
            backward_s=float(backward[busiest]),
        )

    def peaks(self, treatment: Treatment) -> StagePeaks:
        """Memory of every stage with a treatment. Raises: InputError."""
        return stage_peaks(treatment.scenario(self.scenario), *self._priced(treatment))

    def least_s(self, treatment: Treatment) -> float:
        """A lower bound of the step with a treatment, in seconds. Raises: InputError."""
        parts = step_parts(treatment.scenario(self.scenario), *self._priced(treatment))
        return float(parts.lower_bound_s()[0])

    def _priced(self, treatment: Treatment) -> tuple[CostTable, Batch]:
        table = _table(treatment.scenario(self.scenario), shard_of(self.plan))
        return table, batch_of_one(treatment.of(self.plan), 0, self._load)

    def _options(self) -> list[ModuleOption]:
        """Of the ways to treat a single block."""
        single, table = self._ways.single, self._ways.table
        plan = replace(KEEP.of(self.plan), optimizer_offload=0.0, weight_offload=False)
        alike = np.zeros(len(single), dtype=np.int64)
        batch = replace(
            batch_of_one(plan, 0, self._load).some(alike),
            row=np.arange(len(single)),
            granularity=np.array([SELECTIVE if way.recompute else NONE for way in single]),
            activation_offload=np.array([1.0 if way.offload else 0.0 for way in single]),
        )
        offloads = tuple(self.scenario.job.software.offload.tried_modules)
        peaks = stage_peaks(self.scenario.treating(None, offloads or None), table, batch)
        layers = self._load.of_stages
        again = np.where(
            batch.granularity == SELECTIVE, (table.selective_s[0] @ layers.T).max(axis=-1), 0.0
        )
        moved = batch.host_activations * (movable_of_layers(table, batch) @ layers.T).max(axis=-1)
        held, node = peaks.activations, peaks.node_bytes
        freed = (held[0] - held) * (1 + self.scenario.job.software.slack)
        return [
            ModuleOption(
                freed_bytes=freed[place].astype(np.int64),
                host_bytes=0 if node is None else int(node[place]),
                again_s=float(again[place]),
                moved_s=float(moved[place]) / self.scenario.host.link_bytes_per_s,
            )
            for place in range(len(single))
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleWays:
    """The ways to treat each block of modules, with nothing as the first; all of them, nothing
    first, and the prices of each as a row of a table."""

    blocks: tuple[tuple[Treatment, ...], ...]
    single: tuple[Treatment, ...]
    table: CostTable

    @classmethod
    def of(cls, scenario: Scenario, shard: Shard) -> ModuleWays:
        """Those of layers that are divided so; kept with the scenario. Raises: InputError."""
        known: dict[Shard, ModuleWays] = scenario.kept_of_layers.setdefault(_WAYS, {})
        if shard not in known:
            blocks = _treatments(scenario, shard)
            single = tuple(dict.fromkeys((KEEP, *chain.from_iterable(blocks))))
            tables = [_table(way.scenario(scenario), shard) for way in single]
            known[shard] = cls(blocks=blocks, single=single, table=joined(tables))
        return known[shard]


def _table(scenario: Scenario, shard: Shard) -> CostTable:
    known: dict[Shard, CostTable] = scenario.kept_of_layers.setdefault(_TABLES, {})
    if shard not in known:
        known[shard] = cost_table(scenario, [shard])
    return known[shard]


def _treatments(scenario: Scenario, shard: Shard) -> tuple[tuple[Treatment, ...], ...]:
    """The ways to treat each block of modules, with nothing as the first."""
    software = scenario.job.software
    acts_on: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for kind, name in (
        *(("recompute", name) for name in software.recompute.tried_modules),
        *(("offload", name) for name in software.offload.tried_modules),
    ):
        found = _acted_on(scenario, shard, _single(kind, name))
        if found:
            acts_on[kind, name] = found
    return tuple(tuple(_ways(block)) for block in _connected(acts_on))


_WAYS, _TABLES = "ways to treat modules", "tables with treated modules"
"""Under which names a scenario keeps them."""
