"""Megatron-Bridge, NeMo 2, DeepSpeed and torchtitan: golden files and what they cannot express."""

from __future__ import annotations

import ast
import json
import math
import re
import shlex
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from planner.exporters import accelerate, automodel, bridge, deepspeed, nemo, torchtitan
from planner.exporters.errors import Inexpressible

if TYPE_CHECKING:
    from tests.conftest import Golden
    from tests.exporters.conftest import Jobs

MEGATRON: tuple[tuple[Any, ...], ...] = (
    ("dgx-h100-16", "llama-3-70b", "megatron-core", 4, ()),
    ("dgx-h100-16", "llama-3-8b", "megatron-core-perf", 4, ()),
    ("dgx-h100-16", "mixtral-8x7b", "megatron-core", 4, ()),
    ("gb200-nvl72-18", "deepseek-v3", "megatron-core-perf", 16, ()),
    ("dgx-a100-16", "gpt3-175b", "megatron-core-mlperf", 4, ()),
)
UNEVEN: dict[str, Any] = {"tensor": 8, "pipeline": 4, "stage_layers": (19, 21, 21, 19)}


def overrides_of(text: str) -> dict[str, str]:
    words = shlex.split(text.replace("\\\n", " "), comments=True)
    pairs = [word.split("=", 1) for word in words]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_bridge_golden(jobs: Jobs, golden: Golden) -> None:
    job = jobs.make("dgx-h100-16", "llama-3-70b", **UNEVEN)
    golden.check("export-megatron-bridge.txt", bridge.as_overrides(job))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_bridge_says_every_megatron_flag(jobs: Jobs, data: st.DataObject) -> None:
    """No flag is without its field, and every field is stated once."""
    job = jobs.draw(data, MEGATRON)
    try:
        text = bridge.as_overrides(job)
    except Inexpressible as error:
        if error.field.startswith("--"):
            raise
        assume(False)
    found = overrides_of(text)
    degrees = job.plan.degrees
    assert found["model.tensor_model_parallel_size"] == str(degrees.tensor)
    assert found["model.sequence_parallel"] == str(job.plan.sequence_parallel).lower()
    layout = found["model.pipeline_model_parallel_layout"]
    virtual = found["model.virtual_pipeline_model_parallel_size"]
    sizes = {end - start for stage in job.plan.stages for start, end in stage.chunks}
    assert (layout != "null") == (len(sizes) > 1)
    assert (virtual != "null") == (len(sizes) == 1 and job.plan.virtual_stages > 1)
    assert (
        found["ddp.overlap_grad_reduce"] == str("gradient_reduce" in job.software.overlap).lower()
    )


def test_bridge_names_a_precision_only_where_it_says_just_that(jobs: Jobs) -> None:
    def precision(software: str, format_: str) -> dict[str, str]:
        job = jobs.make(
            "dgx-h100-16", "llama-3-8b", software=software, nodes=1, options={"precision": format_}
        )
        found = overrides_of(bridge.as_overrides(job))
        return {name: value for name, value in found.items() if name.startswith("mixed_precision")}

    assert precision("megatron-core", "bf16") == {"mixed_precision": "bf16_mixed"}
    assert precision("megatron-core", "fp16") == {"mixed_precision": "fp16_mixed"}
    eight_bits = precision("megatron-core-perf", "fp8")
    assert eight_bits["mixed_precision.fp8"] == "hybrid"
    assert eight_bits["mixed_precision.grad_reduce_in_fp32"] == "false"
    assert eight_bits["mixed_precision.fp8_param_gather"] == "true"


def test_nemo_golden(jobs: Jobs, golden: Golden) -> None:
    job = jobs.make("dgx-h100-16", "llama-3-70b", **UNEVEN)
    golden.check("export-nemo.py", nemo.as_recipe(job))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_nemo_recipe_sets_only_known_places(jobs: Jobs, data: st.DataObject) -> None:
    job = jobs.draw(data, MEGATRON)
    try:
        text = nemo.as_recipe(job)
    except Inexpressible:
        assume(False)
    body = ast.parse(text).body[-1]
    assert isinstance(body, ast.FunctionDef)
    places = [ast.unparse(line.targets[0]) for line in body.body if isinstance(line, ast.Assign)]
    assert len(set(places)) == len(places)
    parts = r"trainer(\.(strategy(\.ddp)?|plugins))?|data|model\.config|optim\.config"
    allowed = rf"os\.environ\['\w+'\]|recipe\.({parts})\.\w+"
    assert [place for place in places if not re.fullmatch(allowed, place)] == []


def test_nemo_has_nothing_of_what_came_later(jobs: Jobs) -> None:
    four_bits = jobs.make(
        "gb200-nvl72-18",
        "llama-3-8b",
        software="megatron-core-perf",
        nodes=2,
        options={"precision": "nvfp4"},
        data_sharding="none",
    )
    with pytest.raises(Inexpressible, match=r"NeMo 2 cannot express job\.precision"):
        nemo.as_recipe(four_bits)


def test_deepspeed_golden(jobs: Jobs, golden: Golden) -> None:
    piped = jobs.make(
        "dgx-a100-16",
        "gpt-18b",
        software="deepspeed-3d-2021",
        nodes=4,
        tensor=2,
        pipeline=4,
        recompute="full",
        data_sharding="optimizer",
    )
    golden.check("export-deepspeed.json", deepspeed.as_json(piped))
    (note,) = deepspeed.code_notes(piped)
    assert "PipeModelDataParallelTopology(num_pp=4, num_mp=2, num_dp=4)" in note


def test_deepspeed_counts_its_batch_over_the_replicas(jobs: Jobs) -> None:
    job = jobs.make(
        "dgx-a100-16",
        "gpt-7.5b",
        software="deepspeed-3d-2021",
        nodes=2,
        tensor=4,
        micro_batch_size=2,
        data_sharding="optimizer",
    )
    document = json.loads(deepspeed.as_json(job))
    assert document["train_batch_size"] == (
        document["train_micro_batch_size_per_gpu"]
        * document["gradient_accumulation_steps"]
        * job.plan.degrees.data
    )
    assert document["tensor_parallel"] == {"autotp_size": 4}
    assert document["zero_optimization"]["stage"] == 1
    assert deepspeed.code_notes(job) == ()


DEEPSPEED_REFUSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("virtual_stages", {"pipeline": 4, "virtual_stages": 3}),
    ("stages", {"pipeline": 2, "stage_layers": (17, 19)}),
    ("sequence_parallel", {"tensor": 2, "sequence_parallel": True}),
    ("degrees.context", {"context": 2}),
    ("recompute.granularity", {"recompute": "selective"}),
    ("recompute.layers_per_stage", {"pipeline": 2, "recompute": "full", "recompute_layers": 3}),
    ("job.precision", {"options": {"precision": "fp8"}, "cluster": "dgx-h100-16"}),
    ("placement.order", {"changes": (("rank_order", "tp-cp-ep-pp-dp"),)}),
)


@pytest.mark.parametrize(("field", "values"), DEEPSPEED_REFUSES)
def test_deepspeed_refuses_by_field(jobs: Jobs, field: str, values: dict[str, Any]) -> None:
    values = dict(values)
    cluster = values.pop("cluster", "dgx-a100-16")
    job = jobs.make(cluster, "gpt-7.5b", nodes=1, **values)
    with pytest.raises(Inexpressible, match=r"^DeepSpeed cannot express ") as raised:
        deepspeed.as_json(job)
    assert raised.value.field == field


@pytest.mark.parametrize("sharding", ["optimizer+gradients", "full"])
def test_deepspeed_shards_gradients_without_a_pipeline_only(jobs: Jobs, sharding: str) -> None:
    switch = jobs.scenario("dgx-a100-16", "gpt-7.5b").job.software.data_sharding
    wider = switch.model_copy(update={"choices": ("none", "optimizer", sharding)})
    changes = (("data_sharding", wider),)
    values: dict[str, Any] = {"nodes": 1, "changes": changes, "data_sharding": sharding}
    alone = jobs.make("dgx-a100-16", "gpt-7.5b", **values)
    stage = json.loads(deepspeed.as_json(alone))["zero_optimization"]["stage"]
    assert stage == {"optimizer+gradients": 2, "full": 3}[sharding]
    piped = jobs.make("dgx-a100-16", "gpt-7.5b", pipeline=2, **values)
    with pytest.raises(Inexpressible, match=r"data_sharding: .* and a pipeline exclude"):
        deepspeed.as_json(piped)


def test_torchtitan_golden(jobs: Jobs, golden: Golden) -> None:
    job = jobs.make(
        "dgx-h100-16",
        "llama-3-8b",
        software="torchtitan",
        tensor=2,
        pipeline=4,
        virtual_stages=2,
        stage_layers=(3, 4, 4, 4, 4, 5, 4, 4),
    )
    golden.check("export-torchtitan.py", torchtitan.as_recipe(job))


def test_a_torchtitan_recipe_holds_the_plan(jobs: Jobs) -> None:
    """The function runs on a stand-in for torchtitan's configuration."""
    job = jobs.make(
        "dgx-h100-16", "llama-3-70b", software="torchtitan", tensor=4, pipeline=2, recompute="full"
    )
    text = torchtitan.as_recipe(job)
    source = re.sub(r"^from torchtitan.*$", "", text, flags=re.MULTILINE)
    config = SimpleNamespace(
        parallelism=SimpleNamespace(), training=SimpleNamespace(), compile=SimpleNamespace()
    )
    names = {
        "llama3_70b": lambda: config,
        "FullAC": SimpleNamespace(Config=lambda: "full"),
        "Trainer": SimpleNamespace(Config=None),
    }
    exec(compile(source, "recipe", "exec"), names)
    made = names["llama3_70b_planned"]()  # type: ignore[operator]
    split = made.parallelism
    world = split.data_parallel_replicate_degree * split.data_parallel_shard_degree
    world *= split.tensor_parallel_degree * split.pipeline_parallel_degree
    world *= split.context_parallel_degree
    assert world == job.plan.degrees.devices
    parts = split.module_fqns_per_model_part
    assert parts[0][0] == "tok_embeddings"
    assert parts[-1][-2:] == ["norm", "lm_head"]
    layers = [name for part in parts for name in part if name.startswith("layers.")]
    assert layers == [f"layers.{index}" for index in range(80)]
    assert [len(part) for part in parts] == [41, 42]
    training = made.training
    assert training.num_tokens_per_train_step == (
        training.num_tokens_per_microbatch_per_dp_rank
        * split.num_pp_microbatches
        * split.data_parallel_shard_degree
    )
    assert made.activation_checkpoint == "full"


def test_an_automodel_recipe_holds_the_plan(jobs: Jobs, golden: Golden) -> None:
    job = jobs.make(
        "dgx-h100-16",
        "qwen3-30b-a3b",
        software="automodel",
        pipeline=2,
        expert=8,
        virtual_stages=2,
        schedule="interleaved",
        stage_layers=(11, 12, 13, 12),
    )
    text = automodel.as_recipe(job)
    golden.check("export-automodel.yaml", text)
    recipe = yaml.safe_load(text)
    split, degrees = recipe["distributed"], job.plan.degrees
    assert (split["pp_size"], split["ep_size"]) == (degrees.pipeline, degrees.expert)
    parts = split["pipeline"]["module_fqns_per_model_part"]
    layers = [name for part in parts for name in part if ".layers." in name]
    assert layers == [f"model.layers.{index}" for index in range(48)]
    batch = recipe["step_scheduler"]
    assert batch["global_batch_size"] == batch["local_batch_size"] * degrees.data


def test_an_accelerate_configuration_holds_the_plan(jobs: Jobs, golden: Golden) -> None:
    job = jobs.make(
        "dgx-h100-16",
        "llama-3-8b",
        software="accelerate-fsdp2",
        nodes=2,
        tensor=2,
        context=4,
        data_sharding="full",
        recompute="full",
    )
    text = accelerate.as_config(job)
    golden.check("export-accelerate.yaml", text)
    config = yaml.safe_load(text)
    sizes = config["parallelism_config"]
    assert math.prod(sizes.values()) == config["num_processes"] == job.plan.degrees.devices
    variables = accelerate.as_environment(job)
    assert variables["PARALLELISM_CONFIG_CP_SIZE"] == "4"
    assert variables["FSDP_ACTIVATION_CHECKPOINTING"] == "true"


ACCELERATE_REFUSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("job.software", {"software": "torchtitan"}),
    ("job.precision", {"options": {"precision": "fp8"}}),
    ("activation_offload", {"activation_offload": 0.5, "recompute": "full"}),
)


@pytest.mark.parametrize(("field", "values"), ACCELERATE_REFUSES)
def test_accelerate_refuses_by_field(jobs: Jobs, field: str, values: dict[str, Any]) -> None:
    values = {"software": "accelerate-fsdp2", "nodes": 2, **values}
    job = jobs.make("dgx-h100-16", "llama-3-8b", **values)
    with pytest.raises(Inexpressible, match=r"^Accelerate cannot express ") as raised:
        accelerate.as_config(job)
    assert raised.value.field == field


AUTOMODEL_REFUSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("job.software", {"software": "torchtitan"}),
    ("model", {"model": "gpt-7.5b", "options": {"precision": "bf16"}}),
    ("job.precision", {"options": {"precision": "fp16"}}),
    ("job.optimizer", {"options": {"optimizer": "sgd"}}),
    ("software.master_weights", {"changes": (("master_weights", True),)}),
)


@pytest.mark.parametrize(("field", "values"), AUTOMODEL_REFUSES)
def test_automodel_refuses_by_field(jobs: Jobs, field: str, values: dict[str, Any]) -> None:
    values = {"software": "automodel", "nodes": 2, **values}
    job = jobs.make("dgx-h100-16", values.pop("model", "llama-3-8b"), **values)
    with pytest.raises(Inexpressible, match=r"^NeMo AutoModel cannot express ") as raised:
        automodel.as_recipe(job)
    assert raised.value.field == field


TORCHTITAN_REFUSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("job.software", {"software": "megatron-core"}),
    ("model", {"model": "llama-2-7b"}),
    ("model.mtp_num_layers", {"model": "deepseek-v3", "nodes": 16, "expert": 2}),
    ("job.precision", {"options": {"precision": "fp8"}}),
    ("degrees.expert_tensor", {"model": "qwen3-30b-a3b", "expert": 2, "expert_tensor": 2}),
    ("software.overlap", {"changes": (("overlap", ("tensor",)),)}),
    ("software.gradient_reduce_dtype", {"changes": (("gradient_reduce_dtype", "bf16"),)}),
)


@pytest.mark.parametrize(("field", "values"), TORCHTITAN_REFUSES)
def test_torchtitan_refuses_by_field(jobs: Jobs, field: str, values: dict[str, Any]) -> None:
    values = {"software": "torchtitan", "nodes": 2, "tensor": 2, **values}
    job = jobs.make(
        values.pop("cluster", "dgx-h100-16"), values.pop("model", "llama-3-8b"), **values
    )
    with pytest.raises(Inexpressible, match=r"^torchtitan cannot express ") as raised:
        torchtitan.as_recipe(job)
    assert raised.value.field == field
