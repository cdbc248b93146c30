"""Plans to export: made from flags on shipped clusters and models, and drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume
from hypothesis import strategies as st

from planner.cli.app import run
from planner.errors import InputError, RuleError
from planner.exporters.job import ExportJob, export_job
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.plans.build import check_plan, plan_from_flags
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.plan import Plan


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str


class Jobs:
    """Makes and draws jobs to export."""

    def scenario(
        self,
        cluster: str,
        model: str,
        *,
        software: str = "megatron-core",
        nodes: int | None = None,
        changes: tuple[tuple[str, Any], ...] = (),
        **options: Any,
    ) -> Scenario:
        return _scenario(cluster, model, software, nodes, changes, tuple(sorted(options.items())))

    def plan(self, scenario: Scenario, **values: Any) -> Plan:
        """`tensor=8, stage_layers=(…)`: one value for each axis that is named."""
        layout = {
            key: values.pop(key)
            for key in ("stage_layers", "recompute_layers", "hosts")
            if key in values
        }
        flags = Restrictions(**{axis: (value,) for axis, value in values.items()})
        plan = plan_from_flags(scenario, flags, **layout)
        check_plan(scenario, plan)
        return plan

    def make(
        self,
        cluster: str,
        model: str,
        *,
        software: str = "megatron-core",
        nodes: int | None = None,
        changes: tuple[tuple[str, Any], ...] = (),
        options: dict[str, Any] | None = None,
        **values: Any,
    ) -> ExportJob:
        scenario = self.scenario(
            cluster, model, software=software, nodes=nodes, changes=changes, **(options or {})
        )
        return export_job(scenario, self.plan(scenario, **values))

    def draw(self, data: st.DataObject, kinds: tuple[tuple[Any, ...], ...]) -> ExportJob:
        """A job with a valid random plan. `kinds`: cluster, model, software, nodes, changes."""
        cluster, model, software, nodes, changes = data.draw(st.sampled_from(kinds))
        scenario = self.scenario(cluster, model, software=software, nodes=nodes, changes=changes)
        return export_job(scenario, _random_plan(data, scenario))


@cache
def _scenario(
    cluster: str,
    model: str,
    software: str,
    nodes: int | None,
    changes: tuple[tuple[str, Any], ...],
    options: tuple[tuple[str, Any], ...],
) -> Scenario:
    spec = load_cluster(cluster).sized(nodes=nodes)
    profile = load_software(software).model_copy(update=dict(changes))
    shape = load_model(model)
    job = build_job(shape, profile, devices=spec.num_devices or 0, **dict(options))
    return build_scenario(spec, shape, job)


def _random_plan(data: st.DataObject, scenario: Scenario) -> Plan:
    """One value of each axis, drawn so that most combinations are valid."""
    devices, model, software = scenario.job.devices, scenario.model, scenario.job.software

    def pick(values: list[Any]) -> Any:
        return data.draw(st.sampled_from(values))

    tensor = pick(_divisors(devices, 8))
    pipeline = pick(_divisors(devices // tensor, 16))
    context = pick(_divisors(devices // (tensor * pipeline), 4))
    replicas = devices // (tensor * pipeline * context)
    batch = scenario.job.global_batch_size
    assume(batch % replicas == 0)
    virtual_stages = pick([1, 1, 2, 3])
    chunks = pipeline * virtual_stages
    assume(chunks <= model.num_layers)
    values: dict[str, Any] = {
        "tensor": tensor,
        "pipeline": pipeline,
        "context": context,
        "micro_batch_size": pick(_divisors(batch // replicas, 4)),
        "virtual_stages": virtual_stages,
        "sequence_parallel": tensor > 1 and pick(list(software.sequence_parallel_options)),
        "data_sharding": pick(list(software.data_sharding.choices)),
        "recompute": pick(list(software.recompute.choices)),
    }
    groups = software.data_sharding.in_groups
    if values["data_sharding"] in groups and pick([True, False]):
        values["shard_over"] = pick([*_divisors(replicas * context, 16)[1:], "all"])
    if model.moe is not None:
        stage_devices = tensor * context * replicas
        values["expert"] = pick(_divisors(stage_devices, model.moe.num_experts))
        values["expert_tensor"] = pick(_divisors(stage_devices // values["expert"], 4))
    flags = Restrictions(**{axis: (value,) for axis, value in values.items()})
    layout: dict[str, Any] = {}
    if software.pipeline_layout and pick([True, False]):
        layout["stage_layers"] = _random_layers(data, model.num_layers, chunks)
    if values["recompute"] == "full" and pick([True, False]):
        layout["recompute_layers"] = pick([1, 2, 3])
    try:
        plan = plan_from_flags(scenario, flags, **layout)
        check_plan(scenario, plan)
    except (InputError, RuleError):
        assume(False)
    return plan


def _random_layers(data: st.DataObject, layers: int, chunks: int) -> tuple[int, ...]:
    cuts = data.draw(
        st.lists(st.integers(1, layers - 1), min_size=chunks - 1, max_size=chunks - 1, unique=True)
        if chunks > 1
        else st.just([])
    )
    edges = [0, *sorted(cuts), layers]
    return tuple(end - start for start, end in pairwise(edges))


def _divisors(number: int, most: int) -> list[int]:
    return [d for d in range(1, min(number, most) + 1) if number % d == 0]


@pytest.fixture(scope="session")
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def planner(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """`planner("export", …)` runs the command and returns what it left behind."""
    monkeypatch.setenv("PLANNER_DEBUG", "1")

    def call(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = run(arguments)
        written = capsys.readouterr()
        return Outcome(code, written.out, written.err)

    return call
