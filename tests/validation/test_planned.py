"""What a run leaves open, and what it says differently from a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from planner.errors import RuleError
from planner.specs.runs.build import load_runs
from planner.specs.runs.spec import Run
from planner.validation.planned import plan_run

if TYPE_CHECKING:
    from tests.conftest import WriteRuns


def only_run(path: object) -> Run:
    file = load_runs(str(path))
    assert not file.errors
    return file.runs[0]


def layers(run: Run) -> list[int]:
    return [stage.num_layers for stage in plan_run(run).plan.stages]


def test_the_profile_decides_what_the_run_does_not(write_runs: WriteRuns) -> None:
    run = only_run(write_runs({"degrees": {"tensor": 2}}, software="megatron-core"))
    plan = plan_run(run).plan
    profile = run.job.software
    assert plan.degrees.data == 4
    assert plan.recompute.granularity == profile.recompute.default
    assert plan.data_sharding == profile.data_sharding.default
    assert plan.sequence_parallel is profile.sequence_parallel
    assert (plan.schedule, plan.virtual_stages, plan.num_microbatches) == ("1f1b", 1, 2)


def test_the_run_decides_over_the_profile(write_runs: WriteRuns) -> None:
    stated: dict[str, Any] = {
        "degrees": {"tensor": 2},
        "sequence_parallel": True,
        "data_sharding": "optimizer",
        "recompute": "full",
        "recompute_layers": 2,
        "attention": "flash",
        "compile": True,
        "overlap": ["gradient_reduce"],
    }
    planned = plan_run(only_run(write_runs(stated)))
    assert planned.plan.sequence_parallel
    assert planned.plan.data_sharding == "optimizer"
    assert planned.plan.recompute.layers_per_stage == (2,)
    software = planned.scenario.job.software
    assert (software.attention, software.compile) == ("flash", True)
    assert software.overlap == ("gradient_reduce",)


def test_full_recomputation_is_of_all_layers(write_runs: WriteRuns) -> None:
    run = only_run(write_runs({"degrees": {"pipeline": 2}, "recompute": "full"}))
    assert plan_run(run).plan.recompute.layers_per_stage == (3, 3)


def test_sequence_parallelism_needs_tensor_parallelism(write_runs: WriteRuns) -> None:
    assert not plan_run(only_run(write_runs({"sequence_parallel": True}))).plan.sequence_parallel


def test_layers_left_over_go_to_the_middle_and_it_is_said(write_runs: WriteRuns) -> None:
    run = only_run(write_runs({"degrees": {"pipeline": 4}}))
    planned = plan_run(run)
    assert [stage.num_layers for stage in planned.plan.stages] == [1, 2, 2, 1]
    assert any("6 layers on 4 chunks" in text for text in planned.assumptions)


def test_layers_that_divide_are_no_assumption(write_runs: WriteRuns) -> None:
    planned = plan_run(only_run(write_runs({"degrees": {"pipeline": 2}})))
    assert not planned.assumptions


def test_a_stated_layout_is_taken_chunk_by_chunk(write_runs: WriteRuns) -> None:
    stated = {"degrees": {"pipeline": 2}, "virtual_stages": 2, "stage_layers": [1, 2, 2, 1]}
    stages = plan_run(only_run(write_runs(stated))).plan.stages
    assert [stage.chunks for stage in stages] == [((0, 1), (3, 5)), ((1, 3), (5, 6))]


def test_a_cut_over_pseudo_layers_leaves_them_out(write_runs: WriteRuns) -> None:
    """2 before and 4 after the layers; the first stage may hold pseudo-layers only."""
    cut = {"degrees": {"pipeline": 4}, "pseudo_layer_boundaries": [0, 2, 4, 7, 12]}
    assert layers(only_run(write_runs(cut))) == [0, 2, 3, 1]


def test_an_interleaved_schedule_follows_from_virtual_stages(write_runs: WriteRuns) -> None:
    run = only_run(write_runs({"degrees": {"pipeline": 2}, "virtual_stages": 3}))
    assert plan_run(run).plan.schedule == "interleaved"


def test_one_stage_has_one_schedule(write_runs: WriteRuns) -> None:
    plan = plan_run(only_run(write_runs({"schedule": "gpipe", "virtual_stages": 2}))).plan
    assert (plan.schedule, plan.virtual_stages) == ("1f1b", 1)


@pytest.mark.parametrize(
    ("vocab_size", "expected"),
    [(256000, [4, 4, 4, 5, 5, 5, 5, 0]), (64000, [4, 4, 4, 4, 4, 4, 5, 3])],
)
def test_balanced_layers_are_the_published_ones(
    write_runs: WriteRuns, vocab_size: int, expected: list[int]
) -> None:
    """Stage times printed for the 4B model (Yeung et al. 2024, artifact) show these layers: a
    stage of five takes 5/4 of a stage of four, the last one what its output layer takes."""
    model = {
        "architecture": "gpt",
        "num_layers": 32,
        "hidden_size": 3072,
        "num_attention_heads": 24,
        "vocab_size": vocab_size,
    }
    run = only_run(
        write_runs(
            {"degrees": {"pipeline": 8}, "schedule": "1f1b-balanced"},
            model=model,
            software="megatron-core",
            defaults={"devices": 8, "seq_length": 2048, "global_batch_size": 16},
        )
    )
    assert layers(run) == expected
    assert plan_run(run).plan.schedule == "1f1b-balanced"


def test_torchtitan_cuts_the_local_batch_into_stages(write_runs: WriteRuns) -> None:
    stated = {"degrees": {"pipeline": 2}, "micro_batch_size": 4}
    planned = plan_run(only_run(write_runs(stated, software="torchtitan")))
    assert (planned.plan.micro_batch_size, planned.plan.num_microbatches) == (2, 2)
    assert any("local batch of 4" in text for text in planned.assumptions)


def test_a_last_smaller_microbatch_is_said(write_runs: WriteRuns) -> None:
    planned = plan_run(only_run(write_runs({"micro_batch_size": 3, "global_batch_size": 32})))
    assert planned.plan.num_microbatches == 2
    assert any("the last one smaller" in text for text in planned.assumptions)


@pytest.mark.parametrize(
    ("stated", "rule"),
    [
        ({"degrees": {"tensor": 8}, "model": {"num_attention_heads": 4}}, "heads"),
        ({"global_batch_size": 12}, "batch"),
        ({"degrees": {"pipeline": 2}, "schedule": "zigzag"}, "schedule"),
        ({"degrees": {"expert": 2}}, "experts"),
        ({"degrees": {"pipeline": 2}, "schedule": "interleaved"}, "vpp"),
    ],
)
def test_what_cannot_be_cut_names_its_rule(
    write_runs: WriteRuns, stated: dict[str, Any], rule: str
) -> None:
    with pytest.raises(RuleError) as caught:
        plan_run(only_run(write_runs(stated)))
    assert caught.value.rule == rule


@pytest.mark.parametrize(("devices", "nodes"), [(64, 18), (256, 16), (288, 18), (160, 10)])
def test_a_job_gets_equal_segments_of_domains(
    write_runs: WriteRuns, devices: int, nodes: int
) -> None:
    """Of racks of 18 nodes of 4: 64 nodes are four times 16, 40 nodes four times 10."""
    cluster = {
        "node_groups": [
            {
                "device": "gb200",
                "devices_per_node": 4,
                "intra_node": {"bandwidth": "900 GB/s"},
                "network": {"cards": 4, "bandwidth": "50 GB/s"},
                "scale_up": {"nodes": 18, "bandwidth": "900 GB/s"},
            }
        ]
    }
    run = only_run(
        write_runs(
            {
                "devices": devices,
                "cluster": cluster,
                "model": "llama-3-70b",
                "micro_batch_size": 1,
                "software": "megatron-core-perf",
                "global_batch_size": devices,
                "degrees": {"tensor": 8},
                "measured": {"step_s": 1.0},
            }
        )
    )
    planned = plan_run(run)
    topology = planned.scenario.topology
    assert {kind.domain_nodes for kind in topology.kinds} == {nodes}
    assert any("segment" in said for said in planned.assumptions) == (nodes != 18)
    assert topology.group(8, 1).inside


def test_an_interleaved_schedule_has_the_chunks_its_framework_makes(write_runs: WriteRuns) -> None:
    """torchtitan `generate_split_points`: two stages a rank where nothing says how many."""
    stated = {
        "devices": 8,
        "cluster": "dgx-h100-16",
        "model": "llama-3-8b",
        "micro_batch_size": 4,
        "global_batch_size": 16,
        "software": "torchtitan",
        "schedule": "interleaved",
        "degrees": {"pipeline": 4},
        "measured": {"step_s": 1.0},
    }
    assert plan_run(only_run(write_runs(stated))).plan.virtual_stages == 2
    named = plan_run(only_run(write_runs(stated | {"virtual_stages": 4})))
    assert named.plan.virtual_stages == 4
