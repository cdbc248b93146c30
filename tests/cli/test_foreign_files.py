"""Files that are no plan and no launch script: one sentence says what each is and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

CLUSTER = "--cluster=dgx-a100-16"
TRAIN = (
    "torchrun pretrain_gpt.py --num-layers 8 --hidden-size 1024 --num-attention-heads 16 "
    "--seq-length 1024 --max-position-embeddings 1024 --micro-batch-size 1 --vocab-size 32000 "
    "--tokenizer-type NullTokenizer --bf16 --global-batch-size {batch}\n"
)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("accelerate.yaml", "compute_environment: LOCAL_MACHINE\ndistributed_type: DEEPSPEED\n",
         "of type DEEPSPEED is not read; FSDP is; read the file that its deepspeed_config_file"),
        ("lf.yaml", "model_name_or_path: meta-llama/Llama-2-7b-hf\nstage: sft\n"
         "finetuning_type: full\n", "`planner import model meta-llama/Llama-2-7b-hf` imports"),
        ("swift.sh", "bash prepare.sh\nNPROC_PER_NODE=8 swift sft --model Qwen/Qwen3-8B\n",
         "is a command of ms-swift, which trains with Transformers; give the DeepSpeed or"),
        ("fsdp.sh", "torchrun examples/finetuning.py --micro-batch-size 1 --lr 1e-5\n",
         "--num-layers: is missing, and so is every other size of the model"),
        ("foo.json", '{"foo": 1}', '"schema" is missing; `planner search --output FILE` writes'),
    ],
)  # fmt: skip
def test_a_file_of_another_framework_in_place_of_a_plan(
    planner: Run, tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    for command in (("estimate", CLUSTER, "--model=llama-3-8b", f"--plan={path}"),):
        done = planner(*command)
        assert (done.code, done.stdout) == (2, "")
        assert message in done.stderr


@pytest.mark.parametrize("target", ["slurm", "torchrun", "mpi"])
def test_an_exported_launcher_holds_no_flags(planner: Run, tmp_path: Path, target: str) -> None:
    plan, launcher = tmp_path / "plan.json", tmp_path / "launcher"
    made = planner("estimate", CLUSTER, "--nodes=2", "--model=llama-3-8b", "--tensor=2",
                   "--global-batch-size=64", "--json")  # fmt: skip
    plan.write_text(made.stdout)
    assert planner("export", str(plan), f"--format={target}", f"--output={launcher}").code == 0
    done = planner("estimate", CLUSTER, f"--plan={launcher}")
    assert done.code == 2
    assert "holds no training flags; read the script that has them" in done.stderr


def test_a_script_that_leaves_the_devices_open_takes_the_whole_cluster(
    planner: Run, tmp_path: Path
) -> None:
    path = tmp_path / "train.sh"
    path.write_text(TRAIN.format(batch=64))
    refused = planner("estimate", CLUSTER, f"--plan={path}")
    assert refused.code == 2
    whole = "all 128 devices of dgx-a100-16 (the file does not say how many; --nodes does)"
    assert f"it is planned for {whole}" in refused.stderr
    assert planner("estimate", CLUSTER, f"--plan={path}", "--nodes=8").code == 0
    path.write_text(TRAIN.format(batch=128))
    done = planner("estimate", CLUSTER, f"--plan={path}", "--json")
    assumed = json.loads(done.stdout)["inputs"]["assumptions"]
    assert f"train.sh: {whole}" in assumed
