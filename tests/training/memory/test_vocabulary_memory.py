"""Vocabulary layers in memory: shared by all stages, held twice by DualPipe, their gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.plan import StageMemory
from planner.specs.cluster.spec import ClusterSpec
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.specs.settings import Settings
from planner.training.estimate import estimate
from planner.training.scenario import Scenario, build_scenario
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.space.restrictions import parse_restrictions

V, H, L, S = 128_000, 1024, 8, 1024
LAYER = 12 * H * H + 13 * H
CLUSTER: ClusterSpec = load_cluster("dgx-a100-8")


def scenario(*, tied: bool = False, software: str = "megatron-core", batch: int = 32) -> Scenario:
    model = replace(
        load_model("gpt-7.5b"),
        num_layers=L,
        hidden_size=H,
        ffn_hidden_size=4 * H,
        num_attention_heads=16,
        num_query_groups=16,
        head_dim=H // 16,
        vocab_size=V,
        seq_length=S,
        tie_embeddings=tied,
        dropout=False,
    )
    job = build_job(
        model,
        load_software(software),
        devices=4,
        global_batch_size=batch,
        seq_length=S,
        precision="bf16",
        settings=Settings(resumes=False),
    )
    return build_scenario(CLUSTER.sized(devices=8), model, job)


def stages(of: Scenario, **flags: str) -> tuple[StageMemory, ...]:
    plan = plan_from_flags(
        of, parse_restrictions({"pipeline": "4", "data_sharding": "none", **flags})
    )
    return estimate(of, plan).memory.per_stage


def parameters(stage: StageMemory) -> int:
    assert stage.components.weights % 2 == 0
    return stage.components.weights // 2


def test_the_ends_hold_the_vocabulary_whole() -> None:
    found = [parameters(stage) for stage in stages(scenario())]
    layers = L // 4 * LAYER
    assert found == [
        layers + V * H + S * H,
        layers,
        layers,
        layers + V * H + 2 * H,
    ]


@pytest.mark.parametrize("schedule", ["1f1b-vocab-1", "1f1b-vocab-2", "interlaced-vocab"])
@pytest.mark.parametrize("tied", [False, True])
def test_shared_by_all_stages_every_one_holds_its_part(schedule: str, tied: bool) -> None:
    """Positions stay on the first stage; tied, the two parts are one."""
    found = [parameters(stage) for stage in stages(scenario(tied=tied), schedule=schedule)]
    share = V // 4 * H * (1 if tied else 2)
    layers = L // 4 * LAYER
    assert found == [layers + share + S * H, *[layers + share] * 3]


def test_shared_logits_are_divided_too() -> None:
    whole = stages(scenario(), schedule="1f1b")[-1].components.logits
    shared = [stage.components.logits for stage in stages(scenario(), schedule="1f1b-vocab-2")]
    assert whole == 4 * S * V
    assert shared == [S * V] * 4


def test_dualpipe_holds_every_parameter_twice() -> None:
    of = scenario(software="torchtitan", batch=64)
    once = stages(of, schedule="1f1b")
    twice = stages(of, schedule="dualpipe")
    assert sum(map(parameters, twice)) == 2 * sum(map(parameters, once))
    assert [parameters(stage) for stage in twice] == [
        parameters(once[stage]) + parameters(once[3 - stage]) for stage in range(4)
    ]


def test_split_backwards_keep_the_gradients_of_logits() -> None:
    """ZB-H1 keeps p microbatches on the last stage: the probabilities of one of them, and the
    16-bit gradients of the logits of the others until their weight gradients."""
    last = stages(scenario(), schedule="zb-h1")[-1].components
    assert last.logits == 4 * S * V + 3 * 2 * S * V


def test_the_embedding_makes_a_dense_gradient() -> None:
    """On the first stage it outweighs the microbatch that is freed by then."""
    first, second, *_ = stages(scenario())
    kept = second.components.activations // 3
    gradient = 2 * V * H
    assert first.components.activations == pytest.approx(3 * kept, rel=0.02)
    workspaces = 2 * 8320 * 1024 + 4 * 1024**2
    placeholders = 2 * (3 + 1 + 4 + 4) * H**2
    standing = workspaces + placeholders
    assert first.components.buffers == gradient + 3 * 2 * S * H + standing
    assert gradient > kept
