"""`planner import model` on launch scripts whose dialect or aim is another than Megatron-LM's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from planner.importers.megatron.script import read_script

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

SIZES = (
    "--num-layers 24 --hidden-size 1024 --num-attention-heads 16 --seq-length 2048 "
    "--max-position-embeddings 2048 --micro-batch-size 4 --vocab-size 50257"
)
DENSE = 355_871_744
EXPERT = 2 * 4 * 1024 * 1024 + 5 * 1024


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "train.sh"
        path.write_text(text)
        return str(path)

    return write


def total(done: Outcome) -> int:
    assert done.code == 0, done.stderr
    return int(done.stderr.split("parameters: ")[1].split(" in all")[0].replace(",", ""))


@pytest.mark.parametrize(
    ("flags", "layers", "top_k"),
    [
        ("--num-experts 128 --moe-expert-parallel-size 8", 12, 1),
        ("--num-experts 128 --expert-interval 1 --topk 2", 24, 2),
        ("--num-experts 128 --expert-interval 3", 8, 1),
        (f"--num-experts {' '.join(['128'] * 12)}", 12, 1),
    ],
)
def test_experts_of_megatron_deepspeed(
    planner: Run, script: Callable[[str], str], flags: str, layers: int, top_k: int
) -> None:
    """Top-1 and every second layer unless said; the router has no bias (`TopKGate`)."""
    done = planner(
        "import", "model", script(f"deepspeed pretrain_gpt.py {SIZES} {flags} --deepspeed")
    )
    assert total(done) == DENSE + layers * (127 * EXPERT + 128 * 1024)
    assert yaml.safe_load(done.stdout)["moe"]["top_k"] == top_k


def test_one_expert_of_megatron_deepspeed_is_a_dense_model(
    planner: Run, script: Callable[[str], str]
) -> None:
    flags = "--num-experts 1 --moe-expert-parallel-size 1 --deepspeed"
    done = planner("import", "model", script(f"deepspeed pretrain_gpt.py {SIZES} {flags}"))
    assert total(done) == DENSE
    assert "moe" not in yaml.safe_load(done.stdout)


@pytest.mark.parametrize(
    ("more", "expert_tensor"), [("", 1), ("--enable-expert-tensor-parallelism", 2)]
)
def test_degrees_of_megatron_deepspeed(
    script: Callable[[str], str], more: str, expert_tensor: int
) -> None:
    flags = f"--num-experts 16 --moe-expert-parallel-size 8 --tensor-model-parallel-size 2 {more}"
    path = script(
        f"deepspeed --num_nodes 2 --num_gpus 8 pretrain_gpt.py {SIZES} {flags} --deepspeed"
    )
    launch = read_script(path)
    assert (launch.expert, launch.expert_tensor, launch.tensor) == (8, expert_tensor, 2)
    assert launch.place("expert").line == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--num-experts 64 128 --deepspeed", "layers with different numbers of experts"),
        ("--num-experts 8 --mlp-type residual --deepspeed", "mixed in by a weight"),
        ("--num-experts 8 --expert-interval 48 --deepspeed", "no layer of 24 has experts"),
        ("--num-experts --deepspeed", "a value is missing"),
        ("--num-experts 1", "2 of 1 experts (--moe-router-topk)"),
    ],
)
def test_mixtures_that_cannot_be(
    planner: Run, script: Callable[[str], str], flags: str, message: str
) -> None:
    path = script(f"deepspeed pretrain_gpt.py {SIZES} {flags}")
    refused = planner("import", "model", path)
    assert refused.code == 2
    assert f"{path}:1:" in refused.stderr
    assert message in refused.stderr


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("pretrain_bert.py", "an encoder, which does not predict the next token"),
        ("megatron/pretrain_t5.py", "an encoder and a decoder"),
        ("pretrain_mamba.py", "layers of state spaces"),
        ("pretrain_vlm.py", "a model of images and text"),
    ],
)
def test_scripts_that_train_no_decoder(
    planner: Run, script: Callable[[str], str], name: str, what: str
) -> None:
    refused = planner("import", "model", script(f"torchrun {name} {SIZES} --bf16"))
    assert refused.code == 2
    assert f"trains {what}" in refused.stderr
    assert "train.sh:1:" in refused.stderr


def test_a_variable_the_script_does_not_have(planner: Run, script: Callable[[str], str]) -> None:
    path = script(f"torchrun pretrain_gpt.py {SIZES} --tensor-model-parallel-size $TP")
    done = planner("import", "model", path, "--set", "TP=2,tp=4,WORLD_SIZE=8")
    assert done.code == 0, done.stderr
    assert "--set tp: the script has no such variable (did you mean TP?)" in done.stderr
    assert "--set TP" not in done.stderr
    assert "--set WORLD_SIZE" not in done.stderr


def test_a_variable_the_script_sets_itself(planner: Run, script: Callable[[str], str]) -> None:
    command = f"torchrun pretrain_gpt.py {SIZES} --tensor-model-parallel-size $TP"
    refused = planner("import", "model", script(f"TP=2\n{command}\n"), "--set", "TP=4")
    assert refused.code == 2
    assert "train.sh:1:" in refused.stderr
    assert "--set TP=4 has no effect: the file sets TP to '2' itself" in refused.stderr
    for first in ("TP=${TP:-2}", "", "TP=$((TP * 2))"):
        assert (
            planner("import", "model", script(f"{first}\n{command}\n"), "--set", "TP=4").code == 0
        )


@pytest.mark.parametrize(
    ("tokenizer", "hidden", "rows"),
    [
        ("Qwen/Qwen2.5-7B", 3584, 152064),
        ("/data/Qwen2.5-1.5B-Instruct", 1536, 151936),
        ("/data/qwen2.5-tokenizer", 5120, 152064),
        ("/data/qwen2.5-tokenizer", 1536, 151936),
        ("meta-llama/Llama-3.1-8B", 4096, 128256),
    ],
)
def test_vocabularies_by_the_size_of_the_model(
    planner: Run, script: Callable[[str], str], tokenizer: str, hidden: int, rows: int
) -> None:
    sizes = SIZES.replace("--hidden-size 1024", f"--hidden-size {hidden}")
    sizes = sizes.replace("--num-attention-heads 16", "--num-attention-heads 4")
    text = sizes.replace("--vocab-size 50257", f"--tokenizer-model {tokenizer}")
    done = planner("import", "model", script(f"torchrun pretrain_gpt.py {text} --bf16"))
    assert yaml.safe_load(done.stdout)["vocab_size"] == rows
    assert f"vocab_size {rows} (--tokenizer-model" in done.stderr


def test_a_job_in_fp32_is_said_to_be_slow(planner: Run, script: Callable[[str], str]) -> None:
    done = planner("import", "model", script(f"torchrun pretrain_gpt.py {SIZES}"))
    assert "precision fp32 (neither --bf16 nor --fp16, either of which is several" in done.stderr


@pytest.mark.parametrize(
    ("program", "flags", "does"),
    [
        ("tools/run_text_generation_server.py", "", "answers prompts"),
        ("examples/text_generation_ptq.py", "", "changes the number format of trained weights"),
        ("tools/checkpoint/convert.py", "", "converts a checkpoint"),
        ("train_rl.py", "--perform-rl-step", "learns from answers that it generates itself"),
        ("pretrain_gpt.py", "--skip-train", "only measures a trained model"),
    ],
)
def test_programs_that_do_not_train_give_sizes_and_no_plan(
    planner: Run, script: Callable[[str], str], program: str, flags: str, does: str
) -> None:
    path = script(f"torchrun --nproc_per_node 8 {program} {SIZES} {flags} --bf16")
    refused = planner("estimate", "--cluster", "dgx-h100-16", "--plan", path)
    name = program.rpartition("/")[2]
    assert refused.code == 2
    assert f"{name} {does}" in refused.stderr
    assert "planner import model" in refused.stderr
    read = planner("import", "model", path)
    assert total(read) == DENSE
    assert f"sizes only: {name} {does}" in read.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--moe-num-experts=64 --moe-top-k=1", "--moe-num-experts: 64 is not read, and the model"),
        ("--num-router-experts 8", "--num-router-experts: 8 is not read, and the model"),
        ("--vision-model-type clip", "images beside the text"),
        ("--lf-conv2d-group 1", "convolutions before attention"),
    ],
)
def test_flags_that_hold_most_of_a_model_are_not_passed_over(
    planner: Run, script: Callable[[str], str], flags: str, said: str
) -> None:
    """Of MegaBlocks' Megatron-LM and others: without them the model is a small part of itself."""
    done = planner("import", "model", script(f"torchrun pretrain_gpt.py {SIZES} {flags}"))
    assert done.code == 2
    assert said in done.stderr


def test_flags_of_mixtures_in_forks_and_old_releases(
    planner: Run, script: Callable[[str], str]
) -> None:
    """MindSpeed-LLM's tensor ranks hold whole experts; the old flag that recomputes experts."""
    path = script(
        f"torchrun --nproc_per_node 8 --nnodes 2 pretrain_gpt.py {SIZES} --num-experts 8 "
        "--tensor-model-parallel-size 2 --expert-model-parallel-size 4 --moe-tp-extend-ep --bf16 "
        "--sequence-parallel --use-distributed-optimizer --global-batch-size 64 "
        "--moe-layer-recompute"
    )
    done = planner("estimate", "--cluster", "dgx-h100-16", "--plan", path, "--json")
    plan = json.loads(done.stdout)["plans"][0]
    assert (plan["degrees"]["expert"], plan["degrees"]["expert_tensor"]) == (8, 1)
    assert plan["recompute"]["granularity"] == "selective"


def test_programs_of_others_may_build_other_layers(
    planner: Run, script: Callable[[str], str]
) -> None:
    """CodeGeeX adds a layer of its own to those of --num-layers."""
    said = "layers as the flags describe them; pretrain_codegeex.py may build others"
    for program, noted in (("pretrain_codegeex.py", True), ("pretrain_gpt.py", False)):
        done = planner("import", "model", script(f"torchrun {program} {SIZES} --bf16"))
        assert (said in done.stderr) == noted
