"""Megatron-LM arguments: golden files, its own rules as a property, and what it cannot express."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from planner.exporters.errors import Inexpressible
from planner.exporters.megatron.arguments import as_arguments, as_shell, as_yaml, megatron_flags
from planner.specs.experts import Expert
from planner.specs.software_parts import Fp8
from tests.every_instance import instances
from tests.exporters.megatron_rules import broken, parse

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob
    from tests.conftest import Golden
    from tests.exporters.conftest import Jobs

MAPPED = (("rank_order", "tp-cp-ep-pp-dp"),)
KINDS: tuple[tuple[Any, ...], ...] = (
    ("dgx-h100-16", "llama-3-70b", "megatron-core", 4, ()),
    ("dgx-h100-16", "llama-3-70b", "megatron-core-perf", 4, ()),
    ("dgx-h100-16", "llama-3-8b", "megatron-core", 4, MAPPED),
    ("dgx-a100-16", "gpt3-175b", "megatron-lm-2022", 4, ()),
    ("dgx-a100-16", "gpt3-175b", "megatron-core-mlperf", 4, ()),
    ("dgx-h100-16", "mixtral-8x7b", "megatron-core-perf", 4, ()),
    ("dgx-h100-16", "mixtral-8x7b", "megatron-core", 4, MAPPED),
    ("gb200-nvl72-18", "deepseek-v3", "megatron-core-perf", 16, ()),
    ("dgx-h100-16", "gpt-oss-120b", "megatron-core", 4, ()),
    ("dgx-h100-16", "qwen3-30b-a3b", "megatron-core-mlperf", 4, ()),
)


@pytest.mark.slow
@settings(
    max_examples=instances(80, 250),
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_exported_plan_breaks_a_rule_of_megatron_lm(jobs: Jobs, data: st.DataObject) -> None:
    job = jobs.draw(data, KINDS)
    try:
        text = as_arguments(job)
    except Inexpressible:
        assume(False)
    flags, environment = parse(text)
    assert list(broken(flags, environment, job.plan.degrees.devices)) == []


@pytest.mark.slow
def test_most_plans_can_be_exported(jobs: Jobs) -> None:
    """The property above is about something: what is refused is the exception."""
    outcomes: Counter[str] = Counter()

    @settings(
        max_examples=instances(60, 200),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )
    @given(data=st.data())
    def count(data: st.DataObject) -> None:
        try:
            as_arguments(jobs.draw(data, KINDS))
        except Inexpressible as error:
            outcomes[error.field] += 1
        else:
            outcomes["written"] += 1

    count()
    assert outcomes["written"] > 0.5 * outcomes.total(), outcomes


def test_uneven_stages_in_every_style(jobs: Jobs, golden: Golden) -> None:
    job = jobs.make(
        "dgx-h100-16",
        "llama-3-70b",
        tensor=8,
        pipeline=4,
        stage_layers=(19, 21, 21, 19),
        recompute="full",
        recompute_layers=2,
    )
    golden.check("export-megatron-lm.txt", as_arguments(job))
    golden.check("export-megatron-lm.sh", as_shell(job))
    golden.check("export-megatron-lm.yaml", as_yaml(job))


def test_a_mixture_with_latent_attention(jobs: Jobs, golden: Golden) -> None:
    job = jobs.make(
        "gb200-nvl72-18",
        "deepseek-v3",
        software="megatron-core-perf",
        nodes=16,
        options={"precision": "mxfp8"},
        tensor=1,
        pipeline=4,
        virtual_stages=4,
        expert=16,
        recompute="selective",
        stage_layers=(4, *(4,) * 13, 3, 2),
    )
    golden.check("export-megatron-lm-deepseek.txt", as_arguments(job))


def test_every_style_says_the_same(jobs: Jobs) -> None:
    job = jobs.make("dgx-h100-16", "mixtral-8x7b", tensor=2, pipeline=2, expert=8)
    flags, environment = parse(as_arguments(job))
    assert {name: tuple(given) for name, given in flags.items()} == megatron_flags(job)
    document = yaml.safe_load(as_yaml(job))
    assert document["ENV_VARS"] == environment
    as_words = {
        name: [] if value is True else str(value).split(" ")
        for name, value in document["MODEL_ARGS"].items()
    }
    assert as_words == flags


def test_the_layout_is_spelled_out_only_where_stages_differ(jobs: Jobs) -> None:
    even = jobs.make("dgx-h100-16", "llama-3-70b", tensor=8, pipeline=4)
    assert "--pipeline-model-parallel-layout" not in megatron_flags(even)
    chunked = jobs.make("dgx-h100-16", "llama-3-70b", tensor=8, pipeline=4, virtual_stages=2)
    assert megatron_flags(chunked)["--num-virtual-stages-per-pipeline-rank"] == ("2",)


def test_low_precision_without_sharding_gathers_nothing(jobs: Jobs) -> None:
    job = jobs.make(
        "dgx-h100-16",
        "llama-3-70b",
        software="megatron-core-mlperf",
        options={"precision": "fp8"},
        tensor=8,
        data_sharding="none",
    )
    flags = megatron_flags(job)
    assert flags["--fp8-recipe"] == ("tensorwise",)
    assert not {"--fp8-param-gather", "--overlap-param-gather"} & set(flags)


REFUSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("model.parallel_attention", {"model": "gpt-neox-20b"}),
    ("model.position_embedding", {"model": "bloom-176b"}),
    ("schedule", {"pipeline": 2, "schedule": "gpipe", "changes": "gpipe"}),
    ("software.overlap", {"changes": ("overlap", ("parameter_gather",))}),
    ("software.gradient_reduce_dtype", {"changes": ("gradient_reduce_dtype", "bf16")}),
    ("software.master_weights", {"changes": ("master_weights", False)}),
    (
        "software.fp8.attention",
        {"options": {"precision": "fp8"}, "changes": ("fp8", Fp8(attention=True))},
    ),
    ("job.software", {"software": "torchtitan", "tensor": 2}),
)


@pytest.mark.parametrize(
    ("field", "values"), REFUSED, ids=[f"{i}-{f}" for i, (f, _) in enumerate(REFUSED)]
)
def test_what_it_cannot_express_is_an_error_that_names_the_field(
    jobs: Jobs, field: str, values: dict[str, Any]
) -> None:
    values = dict(values)
    changes = values.pop("changes", ())
    if changes == "gpipe":
        switch = jobs.scenario("dgx-h100-16", "llama-3-8b").job.software.schedules
        wider = switch.model_copy(update={"choices": (*switch.choices, "gpipe")})
        changes = ("schedules", wider)
    job = jobs.make(
        "dgx-h100-16",
        values.pop("model", "llama-3-8b"),
        nodes=1,
        changes=(changes,) if changes else (),
        **values,
    )
    with pytest.raises(Inexpressible, match=r"^Megatron-LM cannot express ") as raised:
        as_arguments(job)
    assert raised.value.field == field
    assert field in str(raised.value)


def _refused(job: ExportJob) -> str:
    with pytest.raises(Inexpressible, match=r"^Megatron-LM cannot express ") as raised:
        as_arguments(job)
    return raised.value.field


def _with_software(job: ExportJob, **changes: Any) -> ExportJob:
    software = job.software.model_copy(update=changes)
    return replace(job, job=replace(job.job, software=software))


def test_two_stages_interleave_only_with_overlapped_sends(jobs: Jobs) -> None:
    overlap = (("overlap", ("pipeline",)),)
    job = jobs.make(
        "dgx-h100-16", "llama-3-8b", nodes=1, changes=overlap, pipeline=2, virtual_stages=2
    )
    assert "--no-overlap-p2p-communication" not in megatron_flags(job)
    assert _refused(_with_software(job, overlap=())) == "software.overlap"


def test_moments_in_fewer_bits_are_sharded(jobs: Jobs) -> None:
    job = jobs.make("dgx-h100-16", "llama-3-8b", nodes=1, data_sharding="none")
    assert _refused(_with_software(job, optimizer_state_dtype="bf16")) == (
        "software.optimizer_state_dtype"
    )


def test_experts_on_tensor_ranks_need_sequence_parallelism(jobs: Jobs) -> None:
    job = jobs.make("dgx-h100-16", "mixtral-8x7b", nodes=1, tensor=2, sequence_parallel=True)
    job = replace(job, plan=replace(job.plan, sequence_parallel=False))
    assert _refused(job) == "sequence_parallel"


def test_experts_with_biases_are_not_split(jobs: Jobs) -> None:
    job = jobs.make("dgx-h100-16", "gpt-oss-120b", nodes=1)
    degrees = replace(job.plan.degrees, expert_tensor=2)
    job = replace(job, plan=replace(job.plan, degrees=degrees))
    assert _refused(job) == "degrees.expert_tensor"


def test_a_mixture_is_not_recomputed_under_cuda_graphs(jobs: Jobs) -> None:
    job = jobs.make("dgx-h100-16", "mixtral-8x7b", nodes=1, recompute="full")
    assert _refused(_with_software(job, cuda_graphs=True)) == "software.cuda_graphs"


def test_stages_inside_the_replicas_leave_experts_one_order(jobs: Jobs) -> None:
    job = jobs.make("dgx-h100-16", "llama-3-8b", nodes=1, context=2, pipeline=2)
    placement = replace(job.plan.placement, order="tp-cp-ep-pp-dp")
    assert _refused(replace(job, plan=replace(job.plan, placement=placement))) == "placement.order"


def test_stages_that_recompute_differently_are_refused(jobs: Jobs) -> None:
    job = jobs.make("dgx-h100-16", "llama-3-8b", nodes=1, pipeline=2, recompute="full")
    recompute = replace(job.plan.recompute, layers_per_stage=(5, 3))
    job = replace(job, plan=replace(job.plan, recompute=recompute))
    with pytest.raises(Inexpressible, match=r"recompute\.layers_per_stage") as raised:
        as_arguments(job)
    assert raised.value.field == "recompute.layers_per_stage"


def test_tokens_sent_once_per_domain_take_the_dispatcher_of_the_fabric(jobs: Jobs) -> None:
    once = (("expert", Expert(dispatcher="deepep", dispatcher_choices=("hybridep",))),)
    rack = jobs.make("gb200-nvl72-18", "mixtral-8x7b", nodes=2, changes=once, expert=8)
    assert megatron_flags(rack)["--moe-flex-dispatcher-backend"] == ("hybridep",)
    nodes = jobs.make("dgx-h100-16", "mixtral-8x7b", nodes=1, changes=once, expert=8)
    assert megatron_flags(nodes)["--moe-flex-dispatcher-backend"] == ("deepep",)
    alone = jobs.make("dgx-h100-16", "mixtral-8x7b", nodes=1, changes=once)
    assert megatron_flags(alone)["--moe-token-dispatcher-type"] == ("alltoall",)
