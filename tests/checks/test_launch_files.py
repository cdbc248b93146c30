"""`planner check` of what launches a job: scripts and DeepSpeed configurations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.checks.conftest import Repository

SCRIPT = """\
#!/bin/bash
torchrun --nnodes 2 --nproc-per-node 8 pretrain_gpt.py \\
  --num-layers 24 --hidden-size 1024 --num-attention-heads 16 \\
  --seq-length 2048 --max-position-embeddings 2048 --vocab-size 51200 \\
  --micro-batch-size 4 --global-batch-size 64 --bf16 \\
  --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2
"""


def findings(repository: Repository, text: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and findings of a script."""
    Path("train.sh").write_text(text)
    outcome = repository.planner(
        "check", "train.sh", "--cluster", "cluster.yaml", "--json", *options
    )
    (plan,) = json.loads(outcome.stdout)["plans"]
    return outcome.code, plan["findings"]


def test_a_script_that_can_run_passes(repository: Repository) -> None:
    assert findings(repository, SCRIPT) == (0, [])


def test_everything_that_is_wrong_with_a_script_is_found_at_its_flag(
    repository: Repository,
) -> None:
    text = (
        SCRIPT.replace("--tensor-model-parallel-size 2", "--tensor-model-parallel-size 3")
        .replace("embeddings 2048", "embeddings 1024")
        .replace("--bf16", "--bf16 --fp16")
        .replace("--num-layers 24", "--num-layers 25")
    )
    code, found = findings(repository, text)
    assert code == 1
    assert {(one["code"], one["line"]) for one in found} >= {
        ("PL101", 3),
        ("PL102", 6),
        ("PL104", 6),
        ("PL121", 4),
        ("PL121", 5),
    }
    assert {one["path"] for one in found} == {"train.sh"}


def test_a_script_for_more_devices_than_there_are(repository: Repository) -> None:
    code, found = findings(repository, SCRIPT.replace("--nnodes 2", "--nnodes 4"))
    assert (code, [one["code"] for one in found]) == (1, ["PL201"])


def test_how_far_a_script_is_from_the_best(repository: Repository) -> None:
    """Eight stages for a small model: its best plan has fewer."""
    slow = SCRIPT.replace("--pipeline-model-parallel-size 2", "--pipeline-model-parallel-size 8")
    code, found = findings(repository, slow, "--within-of-best", "5%")
    assert code == 1
    assert "PL301" in [one["code"] for one in found]


def test_a_script_is_held_to_its_baseline(repository: Repository) -> None:
    """Recomputing every layer adds a third of the matrix products to a step."""
    Path("train.sh").write_text(SCRIPT)
    written = repository.planner(
        "check", "train.sh", "--cluster", "cluster.yaml", "--write-baseline", "base.json"
    )
    assert written.code == 0
    assert findings(repository, SCRIPT, "--baseline", "base.json") == (0, [])
    recompute = " --recompute-granularity full --recompute-method uniform --recompute-num-layers 1"
    slow = SCRIPT.replace(" --bf16", f" --bf16{recompute}")
    code, found = findings(repository, slow, "--baseline", "base.json")
    assert (code, [one["code"] for one in found]) == (1, ["PL401"])


def test_a_configuration_and_what_it_leaves_open(repository: Repository) -> None:
    Path("ds.json").write_text(
        '{\n "train_batch_size": 64,\n "train_micro_batch_size_per_gpu": 3,\n'
        ' "gradient_accumulation_steps": 2,\n "zero_optimization": {"stage": 2}\n}'
    )
    outcome = repository.planner(
        "check", "ds.json", "--cluster", "cluster.yaml", "--model", "model.yaml",
        "--pipeline", "2", "--json",
    )  # fmt: skip
    found = json.loads(outcome.stdout)["plans"][0]["findings"]
    assert outcome.code == 1
    assert {(one["code"], one["line"]) for one in found} >= {
        ("PL113", 2),
        ("PL120", 5),
    }
    assert "tensor 1 (a DeepSpeed configuration does not say it" not in outcome.stderr


def test_options_for_scripts_need_one(repository: Repository) -> None:
    repository.plan("plan.json", tensor=2)
    for option in ("--set=A=1", "--tensor=2"):
        outcome = repository.planner("check", "plan.json", "--cluster", "cluster.yaml", option)
        assert outcome.code == 2
        assert option.partition("=")[0] in outcome.stderr


def test_a_script_needs_a_cluster(repository: Repository) -> None:
    Path("train.sh").write_text(SCRIPT)
    outcome = repository.planner("check", "train.sh")
    assert outcome.code == 2
    assert "train.sh: a launch file does not say which cluster it runs on; give --cluster" in (
        outcome.stderr
    )
