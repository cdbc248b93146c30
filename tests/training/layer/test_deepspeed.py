"""What DeepSpeed's pipeline engine sends and reduces, worked out by hand on slow networks."""

from __future__ import annotations

import numpy as np
import pytest

from planner.hardware.collectives import all_gather_s, all_reduce_s, send_s
from planner.specs.cluster.spec import ClusterSpec, IntraNode, Network, NodeGroup
from planner.specs.job import build_job
from planner.specs.load import load_device, load_model, load_software
from planner.training.costs import cost_table
from planner.training.estimate import batch_of_one, estimate, shard_of
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.space.restrictions import parse_restrictions
from planner.training.step.reduction import tied_reduction_s
from planner.training.step.sends import Sends, boundary_sends
from planner.workload.stages import stage_load

MODEL = load_model("gpt-1.7b")
SEQ_LENGTH = 1024
RESIDUAL_BYTES = 2 * SEQ_LENGTH * MODEL.hidden_size
MASK_BYTES = 2 * SEQ_LENGTH**2


def scenario(**profile: object) -> Scenario:
    """Four nodes of four T4."""
    nodes = NodeGroup(
        name="t4",
        count=4,
        hosts=tuple(f"t4-{node}" for node in range(4)),
        device=load_device("t4"),
        devices_per_node=4,
        intra_node=IntraNode(bandwidth_bytes_per_s=8e9),
        network=Network(cards=1, bandwidth_bytes_per_s=1.25e9),
    )
    software = load_software("deepspeed-3d-2021").model_copy(update=profile)
    job = build_job(
        MODEL,
        software,
        devices=16,
        global_batch_size=32,
        seq_length=SEQ_LENGTH,
        precision="fp16",
    )
    return build_scenario(ClusterSpec(name="test", node_groups=(nodes,)), MODEL, job)


def sends(of: Scenario, **flags: str) -> Sends:
    plan = plan_from_flags(of, parse_restrictions(flags))
    load = stage_load(of.model, of.kinds, plan.stages)
    return boundary_sends(of, cost_table(of, [shard_of(plan)]), batch_of_one(plan, 0, load))


def tied_s(of: Scenario, **flags: str) -> float:
    plan = plan_from_flags(of, parse_restrictions(flags))
    load = stage_load(of.model, of.kinds, plan.stages)
    return float(tied_reduction_s(of, batch_of_one(plan, 0, load))[0])


def test_activations_are_divided_and_bring_the_mask_gradients_are_whole() -> None:
    of = scenario()
    found = sends(of, tensor="2", pipeline="4")
    link = of.topology.between(0, 4, active=4)
    gather_s = all_gather_s(of.topology.group(2, 1), RESIDUAL_BYTES)
    assert found.forward_s[0, 0] == pytest.approx(
        send_s(link, RESIDUAL_BYTES / 2 + MASK_BYTES) + gather_s
    )
    assert found.backward_s[0, 0] == pytest.approx(send_s(link, RESIDUAL_BYTES) + gather_s)


def test_without_tensor_parallelism_only_the_mask_is_extra() -> None:
    of = scenario()
    found = sends(of, tensor="1", pipeline="4")
    link = of.topology.between(0, 4, active=4)
    assert found.forward_s[0, 0] == pytest.approx(send_s(link, RESIDUAL_BYTES + MASK_BYTES))
    assert found.backward_s[0, 0] == pytest.approx(send_s(link, RESIDUAL_BYTES))


def test_other_frameworks_send_the_same_both_ways() -> None:
    found = sends(scenario(mask_sends=False, whole_gradient_sends=False), tensor="4", pipeline="4")
    np.testing.assert_allclose(found.forward_s, found.backward_s)


def test_the_tied_embedding_has_the_network_to_itself() -> None:
    """With 16 stages one pair of devices adds up the embedding's gradient, in the 16 bits it is
    kept in; with 4 stages four pairs share the cards."""
    of = scenario()
    vocab_bytes = 2 * MODEL.padded_vocab_size(1) * MODEL.hidden_size
    alone = of.topology.among((0, 15), active=1)
    assert tied_s(of, tensor="1", pipeline="16") == pytest.approx(all_reduce_s(alone, vocab_bytes))
    shared = of.topology.among((0, 12), active=4)
    assert tied_s(of, tensor="1", pipeline="4") == pytest.approx(all_reduce_s(shared, vocab_bytes))
    assert tied_s(of, tensor="1", pipeline="4") > 3 * tied_s(of, tensor="1", pipeline="16")


def test_rings_alone_carry_more_over_a_slow_network() -> None:
    """Between two nodes a ring of eight moves 2 · 7/8 of the buffer, a tree the buffer once."""
    rings, trees = (scenario(collective_trees=choice).topology.group(8, 1) for choice in (0, 1))
    ratio = all_reduce_s(rings, 1e9) / all_reduce_s(trees, 1e9)
    assert ratio == pytest.approx(2 * 7 / 8, rel=0.03)


def test_a_host_that_waits_costs_every_tensor_collective() -> None:
    """Four collectives a layer, and those of the embedding and the loss."""
    waited = scenario().job.software.tensor_collective_wait
    assert waited is not None
    steps = []
    for of in (scenario(), scenario(tensor_collective_wait=None)):
        plan = plan_from_flags(of, parse_restrictions({"tensor": "2", "pipeline": "1"}))
        steps.append(estimate(of, plan).step_s)
        microbatches = plan.num_microbatches
    collectives = (steps[0] - steps[1]) / waited.value / microbatches
    layers = 4 * MODEL.num_layers
    assert layers <= collectives <= layers + 8
