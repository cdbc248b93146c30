"""Plans from flags, and the check of plans."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from planner.errors import InputError, PlannerError, RuleError
from planner.plan import Recompute
from planner.training.search.plans.build import check_plan, plan_from_flags, plan_values
from planner.training.search.plans.problems import plan_problems
from planner.training.search.space.broken import check_values
from planner.training.search.space.codes import code_of
from planner.training.search.space.facts import SpaceFacts
from planner.training.search.space.restrictions import Restrictions, parse_restrictions
from planner.training.search.space.rules.experts import order

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.plan import Plan
    from planner.training.scenario import Scenario


@pytest.fixture(scope="module")
def scenario(scenario_of: Callable[..., Scenario]) -> Scenario:
    return scenario_of(nodes=2, layers=12, batch=32)


def made(scenario: Scenario, **flags: Any) -> Plan:
    extra = {
        name: flags.pop(name)
        for name in ("stage_layers", "hosts", "recompute_layers")
        if name in flags
    }
    return plan_from_flags(
        scenario, parse_restrictions({axis: str(value) for axis, value in flags.items()}), **extra
    )


def test_what_is_left_out_takes_its_default(scenario: Scenario) -> None:
    plan = made(scenario, tensor=4, pipeline=2)
    assert plan.degrees.data == 2
    assert plan.micro_batch_size == 1
    assert plan.num_microbatches == 16
    assert plan.schedule == "1f1b"
    assert plan.sequence_parallel
    assert plan.data_sharding == "optimizer"
    assert plan.recompute == Recompute(granularity="none", layers_per_stage=(0, 0))
    assert [stage.chunks for stage in plan.stages] == [((0, 6),), ((6, 12),)]
    assert plan.placement.hosts == ("group-0-0", "group-0-1")
    check_plan(scenario, plan)


def test_virtual_stages_mean_interleaving(scenario: Scenario) -> None:
    plan = made(scenario, pipeline=4, virtual_stages=3, tensor=2)
    assert plan.schedule == "interleaved"
    assert [len(stage.chunks) for stage in plan.stages] == [3] * 4


def test_without_tensor_parallelism_there_is_no_sequence_parallelism(scenario: Scenario) -> None:
    assert not made(scenario, sequence_parallel="on").sequence_parallel
    assert not made(scenario, tensor=2, sequence_parallel="off").sequence_parallel


def test_full_recomputation_is_of_every_layer_unless_told(scenario: Scenario) -> None:
    assert made(scenario, pipeline=4, recompute="full").recompute.layers_per_stage == (3,) * 4
    few = made(scenario, pipeline=4, recompute="full", recompute_layers=1)
    assert few.recompute.layers_per_stage == (1,) * 4
    with pytest.raises(InputError, match="need --recompute full, not none"):
        made(scenario, recompute_layers=2)


def test_stage_layers_are_taken(scenario: Scenario) -> None:
    plan = made(scenario, pipeline=4, virtual_stages=2, stage_layers=[1, 2, 1, 2, 2, 1, 2, 1])
    assert [stage.chunks for stage in plan.stages] == [
        ((0, 1), (6, 8)),
        ((1, 3), (8, 9)),
        ((3, 4), (9, 11)),
        ((4, 6), (11, 12)),
    ]
    check_plan(scenario, plan)


def test_megatron_interleaves_two_stages_only_with_overlapped_sends(scenario: Scenario) -> None:
    with pytest.raises(RuleError, match="vpp-sends"):
        made(scenario, pipeline=2, virtual_stages=2)
    software = scenario.job.software.model_copy(update={"overlap": ("pipeline",)})
    overlapped = replace(scenario, job=replace(scenario.job, software=software))
    assert made(overlapped, pipeline=2, virtual_stages=2).virtual_stages == 2


def test_hosts_are_taken_in_their_order(scenario: Scenario) -> None:
    plan = made(scenario, hosts=["group-0-1", "group-0-0"])
    assert plan.placement.hosts == ("group-0-1", "group-0-0")
    check_plan(scenario, plan)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"tensor": "2,4"}, "--tensor takes one value here, found 2"),
        (
            {"tensor": 3},
            "world: tensor 3 · pipeline 1 · context 1 = 3 does not divide the 16 devices; "
            "nearest products that do: 2 or 4",
        ),
        (
            {"tensor": 4, "data": 3},
            "world: tensor · pipeline · context · data must equal the 16 devices; "
            "found tensor 4, pipeline 1, context 1, data 3; nearest data that would do: 4",
        ),
        (
            {"tensor": 16},
            "heads: the tensor degree must divide the 8 attention heads; found tensor 16; "
            "nearest tensor that would do: 8",
        ),
        (
            {"micro_batch_size": 3},
            "batch: micro-batch size · data must divide the global batch of 32; found data 16, "
            "micro-batch-size 3; nearest micro-batch-size that would do: 2",
        ),
        ({"pipeline": 16}, "layers: every stage needs at least one of the 12 layers"),
        ({"pipeline": 8, "virtual_stages": 2}, "chunks: each of the pipeline · virtual stages"),
        ({"pipeline": 2, "schedule": "interleaved"}, "vpp: interleaved needs at least 2 stages"),
        ({"virtual_stages": 2}, "vpp: interleaved needs at least 2 stages"),
        ({"pipeline": 2, "virtual_stages": 2, "schedule": "1f1b"}, "vpp: "),
        (
            {"pipeline": 4, "micro_batch_size": 4, "virtual_stages": 2},
            "vpp-mb: schedule interleaved: the interleaved microbatch group must hold at least one",
        ),
        ({"context": 16}, None),
        ({"expert": 2}, "experts: the expert degree must divide the number of experts (0)"),
        ({"schedule": "gpipe"}, "--schedule: software profile megatron-core has no 'gpipe'"),
        ({"data_sharding": "full"}, "--data-sharding: software profile megatron-core has no"),
        ({"pipeline": 2, "stage_layers": [6, 7]}, "the stage layout holds 13 layers, the model"),
        (
            {"pipeline": 4, "stage_layers": [4, 0, 8, 0]},
            "layers: every chunk needs a layer, unless it has the embedding or the head; chunk 1",
        ),
        ({"pipeline": 2, "stage_layers": [4, 4, 4]}, "the stage layout has 3 entries; pipeline 2"),
        ({"hosts": ["group-0-0"]}, "placement: 1 hosts are listed, the job runs on 2"),
        ({"hosts": ["group-0-0", "group-0-9"]}, "placement: cluster small has no host"),
        ({"hosts": ["group-0-0", "group-0-0"]}, "placement: host 'group-0-0' is listed 2 times"),
    ],
)
def test_every_mistake_has_its_message(
    scenario: Scenario, flags: dict[str, Any], message: str | None
) -> None:
    if message is None:
        check_plan(scenario, made(scenario, **flags))
        return
    with pytest.raises(PlannerError) as error:
        made(scenario, **flags)
    assert str(error.value).startswith(message)


def test_even_layouts_only_where_the_framework_has_no_others(
    scenario_of: Callable[..., Scenario],
) -> None:
    even = scenario_of(nodes=2, layers=12, batch=32, framework={"pipeline_layout": False})
    assert made(even, pipeline=4, tensor=2).stages[0].chunks == ((0, 3),)
    with pytest.raises(RuleError, match="has no uneven stage layouts; found 5,7"):
        made(even, pipeline=2, stage_layers=[5, 7])
    with pytest.raises(
        RuleError, match=r"^layers: .*found pipeline 8; nearest pipeline .* 6 or 12"
    ):
        made(even, pipeline=8)


def test_the_order_of_ranks_can_rule_expert_degrees_out(
    scenario_of: Callable[..., Scenario],
) -> None:
    ordered = {"experts": 4, "layers": 12, "framework": {"rank_order": "tp-cp-ep-pp-dp"}}
    scenario = scenario_of(**ordered)
    made(scenario, pipeline=2, tensor=2, expert=2, expert_tensor=1)
    made(scenario, pipeline=1, tensor=2, expert=4, expert_tensor=1)
    with pytest.raises(RuleError, match=r"^order: with rank order tp-cp-ep-pp-dp"):
        made(scenario, pipeline=2, tensor=2, expert=4, expert_tensor=1)


def test_the_order_of_ranks_holds_where_the_pipelines_of_both_grids_are_the_same(
    scenario_of: Callable[..., Scenario],
) -> None:
    """Against the groups themselves: ranks that differ in the pipeline alone, on the dense grid
    (tensor, context, pipeline, data) and the experts' (expert-tensor, expert, pipeline, data), as
    `RankGenerator` numbers them. Without experts expert-tensor is tensor."""
    for experts in (0, 4):
        scenario = scenario_of(experts=experts, framework={"rank_order": "tp-cp-ep-pp-dp"})
        facts = SpaceFacts.of(scenario, Restrictions())
        for tensor, context, pipeline, expert, expert_tensor in product((1, 2, 4), repeat=5):
            if not experts and expert * expert_tensor > 1:
                continue
            degrees = tensor, context, pipeline, expert, expert_tensor
            names = ("tensor", "context", "pipeline", "expert", "expert_tensor")
            columns = {n: np.array([d]) for n, d in zip(names, degrees, strict=True)}
            inner = expert * expert_tensor if experts else tensor
            same = pipelines(tensor * context, pipeline) == pipelines(inner, pipeline)
            assert bool(order(facts, columns).all()) == same, degrees


def pipelines(stride: int, pipeline: int, world: int = 64) -> set[frozenset[int]]:
    """Ranks of each pipeline group where `stride` ranks come before the pipeline axis."""
    block = stride * pipeline
    return {
        frozenset(range(outer + inner, outer + block, stride))
        for outer in range(0, world, block)
        for inner in range(stride)
    }


def test_full_recomputation_of_a_mixture_runs_without_graphs(
    scenario_of: Callable[..., Scenario],
) -> None:
    graphs = {"cuda_graphs": True}
    made(scenario_of(framework=graphs), recompute="full")
    made(scenario_of(experts=4, framework=graphs), recompute="selective")
    made(scenario_of(experts=4), recompute="full")
    with pytest.raises(RuleError, match=r"^graphs: .*nearest recompute .*selective"):
        made(scenario_of(experts=4, framework=graphs), recompute="full")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_microbatches": 3}, "3 microbatches of 1 on 2 replicas make 6 sequences, the global"),
        ({"schedule": "interleaved"}, "vpp: interleaved needs"),
        ({"virtual_stages": 2}, "vpp: "),
        (
            {"recompute": Recompute(granularity="none", layers_per_stage=(1, 0))},
            "recompute none: layers_per_stage must have 2 entries, all 0; found [1, 0]",
        ),
        (
            {"recompute": Recompute(granularity="full", layers_per_stage=(1, 7))},
            "stage 1 recomputes 7 layers of the 6 it has",
        ),
        ({"stages": ()}, "the plan lists 0 stages"),
    ],
)
def test_damaged_plans_are_refused(
    scenario: Scenario, changes: dict[str, Any], message: str
) -> None:
    plan = made(scenario, tensor=4, pipeline=2)
    with pytest.raises(PlannerError) as error:
        check_plan(scenario, replace(plan, **changes))
    assert str(error.value).startswith(message)


def test_plans_for_other_jobs_are_refused(
    scenario: Scenario, scenario_of: Callable[..., Scenario]
) -> None:
    plan = made(scenario, tensor=4, pipeline=2)
    with pytest.raises(InputError, match="the plan is for 16 devices, the job has 8"):
        check_plan(scenario_of(layers=12, batch=32), plan)
    swapped = replace(plan, stages=plan.stages[::-1])
    with pytest.raises(InputError, match="do not hold the layers in the order"):
        check_plan(scenario, swapped)
    with pytest.raises(InputError, match="the stage layout holds 12 layers, the model has 13"):
        check_plan(scenario_of(nodes=2, layers=13, batch=32), plan)


def test_shared_vocabulary_and_multi_token_prediction_exclude_each_other(
    scenario: Scenario,
) -> None:
    plan = made(scenario, pipeline=4, schedule="1f1b-vocab-2")
    assert all(stage.embedding and stage.head for stage in plan.stages)
    facts = replace(SpaceFacts.of(scenario, Restrictions()), predictions=1)
    values = {axis: code_of(axis, value) for axis, value in plan_values(scenario, plan).items()}
    with pytest.raises(RuleError, match="shared-vocabulary: schedules that share"):
        check_values(facts, values)


def test_a_v_placement_puts_both_ends_on_the_first_stage(scenario: Scenario) -> None:
    plan = made(scenario, pipeline=2, schedule="zb-v")
    assert plan.virtual_stages == 2
    assert [stage.chunks for stage in plan.stages] == [((0, 3), (9, 12)), ((3, 6), (6, 9))]
    assert [(stage.embedding, stage.head) for stage in plan.stages] == [
        (True, True),
        (False, False),
    ]
    check_plan(scenario, plan)


def test_every_problem_of_a_plan_is_found_at_once(scenario: Scenario) -> None:
    plan = made(scenario, tensor=4, pipeline=2)
    names = {problem.name: problem.field for problem in plan_problems(scenario, plan)}
    assert names == {}
    damaged = replace(
        plan,
        degrees=replace(plan.degrees, tensor=16, data=1),
        num_microbatches=5,
        placement=replace(plan.placement, order="tp-dp-pp", hosts=("nobody",)),
        data_sharding="full",
    )
    names = {problem.name: problem.field for problem in plan_problems(scenario, damaged)}
    assert names == {
        "world": "degrees",
        "global-batch": "num_microbatches",
        "rank-order": "placement.order",
        "offered": "data_sharding",
        "heads": "degrees.tensor",
        "hosts": "placement.hosts",
    }


def test_an_unknown_schedule_hides_the_rules_that_need_it(scenario: Scenario) -> None:
    plan = replace(made(scenario, tensor=4, pipeline=2), schedule="2f2b")
    assert [problem.name for problem in plan_problems(scenario, plan)] == ["offered"]


def test_a_batch_that_does_not_divide_says_nothing_of_the_schedule(scenario: Scenario) -> None:
    """The number of microbatches, which schedules look at, is no whole number then."""
    plan = made(scenario, tensor=4, pipeline=4, virtual_stages=3)
    for size in (5, 10**5):
        wrong = replace(plan, micro_batch_size=size)
        assert [problem.name for problem in plan_problems(scenario, wrong)] == ["batch"]
    neither = replace(wrong, schedule="1f1b")
    assert {problem.name for problem in plan_problems(scenario, neither)} >= {"batch", "vpp"}


@pytest.mark.parametrize(
    ("software", "flags", "message"),
    [
        ("megatron-lm-2021", {"context": 2}, "has no context parallelism; found"),
        ("megatron-deepspeed-2022", {"context": 2}, "has no context parallelism; found"),
        ("composer-fsdp", {"pipeline": 2}, "has no pipeline parallelism; found"),
        ("megatron-lm-2022", {"expert": 2}, "software profile megatron-lm-2022 has no expert axis"),
        ("deepspeed-3d-2021", {"expert": 2}, "deepspeed-3d-2021 has no expert axis"),
    ],
)
def test_profiles_say_which_axes_their_frameworks_lack(
    scenario_of: Callable[..., Scenario], software: str, flags: dict[str, int], message: str
) -> None:
    of = scenario_of(nodes=2, layers=12, batch=32, software=software, experts=4)
    with pytest.raises(RuleError, match=message):
        made(of, **flags)
