"""Exported Megatron-LM arguments read by the importer: the same model, the same plan."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from planner.errors import InputError
from planner.exporters.bridge import as_overrides
from planner.exporters.errors import Inexpressible
from planner.exporters.job import ExportJob, export_job
from planner.exporters.megatron.arguments import as_arguments, as_shell, as_yaml
from planner.importers.megatron.bridge import bridge_launch
from planner.importers.megatron.script import launch_in
from planner.importers.source import source_of
from planner.specs.job import build_job
from planner.specs.load import load_model, parse_model
from planner.training.scenario import build_scenario
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.space.restrictions import Restrictions
from tests.every_instance import instances

if TYPE_CHECKING:
    from planner.importers.megatron.launch import Launch
    from planner.specs.model.spec import ModelSpec
    from tests.exporters.conftest import Jobs
KINDS: tuple[tuple[Any, ...], ...] = (
    ("dgx-h100-16", "llama-3-70b", "megatron-core", 4, ()),
    ("dgx-h100-16", "llama-3-8b", "megatron-core-perf", 4, ()),
    ("dgx-a100-16", "gpt3-175b", "megatron-core", 4, (("overlap", ("pipeline",)),)),
    ("dgx-h100-16", "mixtral-8x7b", "megatron-core", 4, ()),
    ("gb200-nvl72-18", "deepseek-v3", "megatron-core-perf", 16, ()),
    ("dgx-h100-16", "qwen3-30b-a3b", "megatron-core", 4, ()),
)
NOT_IN_FLAGS = ("architecture", "assumptions", "source", "training")


def imported(launch: Launch, job: ExportJob) -> ExportJob:
    """The job that the imported launch describes, on the cluster and software of the first."""
    model = parse_model({"name": job.model.name, **launch.model}, name=job.model.name)
    stated = launch.training
    made = build_job(
        model,
        job.software,
        devices=job.job.devices,
        global_batch_size=stated["global_batch_size"],
        seq_length=stated["seq_length"],
        precision=stated["precision"],
        optimizer=stated["optimizer"],
    )
    scenario = build_scenario(job.cluster, model, made)
    plan = plan_from_flags(
        scenario,
        Restrictions(
            **launch.decisions(),  # type: ignore[arg-type]
            shard_over=(launch.shard_over(job.job.devices) or "all",),
        ),
        stage_layers=launch.stage_layers,
        recompute_layers=launch.recompute_layers,
        hosts=job.plan.placement.hosts,
    )
    return export_job(scenario, plan, rank=job.rank)


def shape(model: ModelSpec) -> dict[str, Any]:
    return {
        field.name: getattr(model, field.name)
        for field in fields(model)
        if field.name not in NOT_IN_FLAGS
    }


@settings(max_examples=instances(40, 120), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_export_import_export_is_the_identity(jobs: Jobs, data: st.DataObject) -> None:
    job = jobs.draw(data, KINDS)
    try:
        text = as_arguments(job)
    except Inexpressible:
        assume(False)
    launch = launch_in(source_of(text.encode(), "arguments.sh"))
    again = imported(launch, job)
    assert again.plan == job.plan
    assert shape(again.model) == shape(job.model)
    assert as_arguments(again) == text
    assert launch.rank_order == job.plan.placement.order
    ours = {name for name in job.software.overlap if name in launch.overlap}
    assert set(launch.overlap) == ours


def test_the_shell_array_reads_back_with_its_launcher(jobs: Jobs) -> None:
    job = jobs.make(
        "dgx-h100-16", "llama-3-70b", tensor=8, pipeline=4, stage_layers=(19, 21, 21, 19)
    )
    launcher = 'torchrun --nnodes 16 --nproc-per-node 8 pretrain_gpt.py "${MEGATRON_ARGS[@]}"\n'
    head, _, _ = as_shell(job).partition("if [[")
    launch = launch_in(source_of((head + launcher).encode(), "launch.sh"))
    assert launch.devices == 128
    assert imported(launch, job).plan == job.plan


def test_the_yaml_style_reads_back(jobs: Jobs) -> None:
    job = jobs.make(
        "dgx-h100-16",
        "mixtral-8x7b",
        nodes=4,
        tensor=2,
        pipeline=4,
        expert=4,
        recompute="selective",
        stage_layers=(9, 8, 8, 7),
    )
    launch = launch_in(source_of(as_yaml(job).encode(), "model_config.yaml"))
    assert imported(launch, job).plan == job.plan
    lines = as_yaml(job).splitlines()
    place = launch.place("tensor")
    assert lines[place.line - 1][place.column - 1 :] == "2"
    wrong = as_yaml(job).replace("MODEL_ARGS:", "MODEL_ARGS:\n  num-layers: 3")
    with pytest.raises(InputError, match=r"model_config.yaml:\d+:\d+: .*'num-layers' is not a"):
        launch_in(source_of(wrong.encode(), "model_config.yaml"))


@pytest.mark.parametrize(
    "name",
    [
        "gpt3-175b",
        "llama-3.1-405b",
        "llama-2-7b",
        "mistral-7b",
        "mixtral-8x22b",
        "qwen3-235b-a22b",
        "deepseek-v2",
        "deepseek-v3",
        "gpt-oss-120b",
    ],
)
def test_shipped_models_read_back(jobs: Jobs, name: str) -> None:
    job = jobs.make("dgx-h100-16", name)
    launch = launch_in(source_of(as_arguments(job).encode(), "arguments.sh"))
    found = parse_model({"name": name, **launch.model}, name=name)
    assert shape(found) == shape(load_model(name))
    assert launch.notes.left_out == [] or all("--" in clause for clause in launch.notes.left_out)
    assert not any("are not known here" in clause for clause in launch.notes.left_out)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_bridge_overrides_read_back_to_the_same_plan(jobs: Jobs, data: st.DataObject) -> None:
    job = jobs.draw(data, KINDS)
    try:
        text = as_overrides(job)
    except Inexpressible:
        assume(False)
    launch = bridge_launch(source_of(text.encode(), "overrides.txt"))
    again = imported(launch, job)
    assert again.plan == job.plan
    assert shape(again.model) == shape(job.model)
