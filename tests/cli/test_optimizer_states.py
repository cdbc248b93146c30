"""Optimizers, and the types of their states, through the commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.answers import document, estimated, parts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Command = Callable[..., Outcome]

PARAMETERS = 8_030_261_248
"""Of Llama 3 8B, 2 · 128,256 · 4,096 of them in embedding and output layer."""
ENDS = 2 * 128_256 * 4096
JOB = ("--cluster", "dgx-a100-8", "--nodes", "1", "--model", "llama-3-8b",
       "--global-batch-size", "8", "--recompute", "full")  # fmt: skip
MEGATRON = (*JOB, "--software", "megatron-core")
DEEPSPEED = (*JOB, "--software", "deepspeed", "--data-sharding", "full")
TITAN = (*JOB, "--software", "torchtitan")


# Bytes of the optimizer on 8 devices. Remainders: TransformerEngine `fused_adam.py`; int8: an fp32
# scale for each 256 elements (bitsandbytes); Muon: Adam for embedding and output layer.
@pytest.mark.parametrize(
    ("options", "whole_bytes"),
    [
        (MEGATRON, 12 * PARAMETERS),
        ((*MEGATRON, "--master-weights", "remainders"), 10 * PARAMETERS),
        ((*MEGATRON, "--moments", "bf16,fp8"), (2 + 2 + 1) * PARAMETERS),
        ((*MEGATRON, "--optimizer", "lion"), (4 + 4) * PARAMETERS),
        ((*MEGATRON, "--optimizer", "muon"), (4 + 4) * PARAMETERS + 4 * ENDS),
        (DEEPSPEED, 8 * PARAMETERS),
        ((*DEEPSPEED, "--moments", "int8"), 2 * (1 + 4 / 256) * PARAMETERS),
        ((*DEEPSPEED, "--optimizer", "adafactor"), 0),
        ((*TITAN, "--moments", "bf16"), 4 * PARAMETERS),
    ],
)
def test_states_take_what_their_types_say(
    planner: Command, options: tuple[str, ...], whole_bytes: float
) -> None:
    assert parts(estimated(planner, *options))["optimizer"] == pytest.approx(
        whole_bytes / 8, rel=1e-3
    )


def test_states_in_bf16_alone_leave_no_other_copy(planner: Command) -> None:
    """torchtitan, `training.dtype` bfloat16: weights, gradients and moments of 2 bytes each."""
    found = parts(
        estimated(
            planner, *TITAN, "--master-weights", "none", "--moments", "bf16", "--gradients", "bf16"
        )
    )
    for part, each in (("weights", 2), ("gradients", 2), ("optimizer", 4)):
        assert found[part] == pytest.approx(each * PARAMETERS / 8, rel=1e-3)


def test_an_orthogonal_update_takes_products(planner: Command) -> None:
    """Five iterations of 4·a + 2·a²/b operations a parameter, for weights of a × b elements."""
    adam, muon = (
        estimated(planner, *MEGATRON, "--optimizer", one)["estimate"]["time"]["optimizer_s"]
        for one in ("adam", "muon")
    )
    operations = 5 * (4 * 4096 + 2 * 4096**2 / 14336) * (PARAMETERS - ENDS) / 8
    assert operations / 312e12 < muon - adam < 2 * operations / 312e12


@pytest.mark.parametrize("options", [MEGATRON, DEEPSPEED, TITAN])
def test_what_a_profile_does_already_changes_nothing(
    planner: Command, options: tuple[str, ...]
) -> None:
    plain = document(planner("estimate", *options, "--json"))
    same = document(
        planner(
            "estimate",
            *options,
            "--optimizer",
            "adam",
            "--master-weights",
            "fp32",
            "--moments",
            "fp32",
            "--expert-imbalance",
            "1",
            "--json",
        )
    )
    assert same["inputs"]["job"].pop("settings") == {"master_weights": "fp32", "moments": ["fp32"]}
    assert same == plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*MEGATRON, "--moments", "int8"), "keeps moments in fp32, bf16, fp16, fp8, not int8"),
        ((*MEGATRON, "--moments", "fp9"), "'fp9' is not one of"),
        ((*MEGATRON, "--moments", "bf16,bf16,bf16"), "3 types"),
        ((*MEGATRON, "--optimizer", "adafactor"), "has adam, sgd, lion, muon, not adafactor"),
        ((*MEGATRON, "--optimizer", "muon", "--moments", "bf16"), "for adam only"),
        ((*MEGATRON, "--moments", "bf16", "--data-sharding", "none"), "needs data sharding"),
        ((*TITAN, "--gradients", "fp16"), "keeps gradients in fp32, bf16, not fp16"),
        ((*MEGATRON, "--expert-imbalance", "0.5"), "not a number from 1"),
    ],
)
def test_what_a_framework_lacks_is_refused(
    planner: Command, options: tuple[str, ...], message: str
) -> None:
    done = planner("estimate", *options)
    assert (done.code, message in " ".join(done.stderr.split())) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("options", "form", "said"),
    [
        (
            (*MEGATRON, "--moments", "bf16,fp8", "--gradients", "bf16"),
            "megatron-lm",
            (
                "--use-precision-aware-optimizer",
                "--exp-avg-sq-dtype fp8",
                "--main-grads-dtype bf16",
            ),
        ),
        ((*MEGATRON, "--master-weights", "remainders"), "megatron-bridge", ("exp_avg_dtype",)),
        ((*MEGATRON, "--optimizer", "muon"), "megatron-lm", ("--optimizer muon",)),
        (
            (*DEEPSPEED, "--master-weights", "none", "--moments", "bf16"),
            "deepspeed",
            ('"bf16_master_weights_and_grads": true', '"bf16_optimizer_states": true'),
        ),
        ((*DEEPSPEED, "--optimizer", "lion"), "deepspeed", ('"type": "Lion"',)),
    ],
)
def test_exports_read_back_with_the_same_states(
    planner: Command, tmp_path: Path, options: tuple[str, ...], form: str, said: tuple[str, ...]
) -> None:
    plan, launch = tmp_path / "plan.json", tmp_path / "launch"
    first = document(planner("estimate", *options, "--json"))
    plan.write_text(json.dumps(first), encoding="utf-8")
    again = estimated(planner, "--cluster", "dgx-a100-8", "--model", "llama-3-8b",
                      "--plan", str(plan))  # fmt: skip
    assert again["estimate"] == first["plans"][0]["estimate"]
    assert planner("export", str(plan), "--format", form, "-o", str(launch)).code == 0
    text = launch.read_text(encoding="utf-8")
    assert all(one in text for one in said), text
    given: list[Any] = ["--cluster", "dgx-a100-8", "--devices", "8", "--plan", str(launch)]
    if form == "megatron-bridge":
        return  # its overrides start from a recipe, and are read as a model
    if form == "deepspeed":
        given += ["--model", "llama-3-8b", "--seq-length", "8192", "--recompute", "full"]
    read = parts(estimated(planner, *given))
    for part in ("weights", "gradients", "optimizer"):
        assert read[part] == pytest.approx(parts(first["plans"][0])[part], rel=1e-3)


def test_torchtitan_is_told_of_its_states(planner: Command, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    options = (*TITAN, "--moments", "bf16", "--json")
    plan.write_text(planner("estimate", *options).stdout, encoding="utf-8")
    assert "fused_opt_states_bf16" in planner("export", str(plan), "--format", "torchtitan").stdout


def test_a_search_takes_lighter_states(planner: Command) -> None:
    """On 8 devices of 40 GB a model of 8 billion parameters fits with fewer recomputed layers."""
    options = ("search", "--cluster", "dgx-a100-8", "--nodes", "1", "--model", "llama-3-8b",
               "--global-batch-size", "16", "--tensor", "1,2", "--pipeline", "1", "--top", "1",
               "--json")  # fmt: skip
    plain = document(planner(*options))
    light = document(planner(*options, "--moments", "bf16"))
    assert light["inputs"]["job"]["settings"] == {"moments": ["bf16"]}
    best = [one["plans"][0]["estimate"]["step_s"] for one in (plain, light)]
    assert best[1] <= best[0]


def test_a_script_is_not_contradicted(planner: Command, tmp_path: Path) -> None:
    script = tmp_path / "train.sh"
    script.write_text(
        "torchrun --nproc_per_node 8 pretrain_gpt.py --num-layers 8 --hidden-size 4096 "
        "--num-attention-heads 32 --seq-length 4096 --max-position-embeddings 4096 "
        "--micro-batch-size 1 --global-batch-size 8 --bf16 --use-distributed-optimizer "
        "--vocab-size 32000 --use-precision-aware-optimizer --exp-avg-dtype bf16\n",
        encoding="utf-8",
    )
    options = ("estimate", "--cluster", "dgx-a100-8", "--devices", "8", "--plan", str(script))
    assert planner(*options, "--moments", "bf16,fp32").code == 0
    done = planner(*options, "--moments", "fp8")
    assert done.code == 2
    assert "moments bf16,fp32 is stated here, --moments fp8 is asked for" in done.stderr
