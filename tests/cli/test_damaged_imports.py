"""Damaged files to import: an answer at once, a short one, with the file it is about."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

OVERRIDES = "model.num_layers=2 model.hidden_size=64 model.seq_length={} {}\n"


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("model", "overrides.txt", OVERRIDES.format(8, "(" + "x" * 100_000)),
        ("model", "overrides.txt", OVERRIDES.format("8" * 50_000, "")),
        ("model", "overrides.txt", OVERRIDES.format("${a:-" * 20_000, "")),
        ("model", "overrides.txt", OVERRIDES.format(8, f"model.{'x' * 50_000}=$UNSET")),
        ("model", "train.sh", "torchrun pretrain_gpt.py " + "'a'b" * 100_000),
        ("cluster", "system.xml", "<!---->" * 200 + "x"),
        ("cluster", "system.xml", "<!---->" * 200 + "<system"),
    ],
)
def test_refused_at_once(planner: Run, tmp_path: Path, kind: str, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    started = time.process_time()
    outcome = planner("import", kind, str(path))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: ")
    assert len(outcome.stderr) < 1000
    assert time.process_time() - started < 5


DENSE = (
    "torchrun --nproc_per_node 8 pretrain_gpt.py --num-layers 2 --hidden-size 64 "
    "--num-attention-heads 4 --seq-length 8 --vocab-size 100 --micro-batch-size 1 --bf16"
)
SCRIPT = (
    "torchrun pretrain_gpt.py --num-layers 2 --hidden-size 64 --num-attention-heads 4 "
    "--seq-length 8 --group-query-attention --num-query-groups 3\n"
)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--n-shared-experts 2", "--n-shared-experts: shared experts without --num-experts"),
        ("--moe-train-capacity-factor 0", "'0' is not a factor above 0"),
        ("--moe-expert-capacity-factor 0", "'0' is not a factor above 0"),
        ("--context-parallel-algo ring_algo", "'ring_algo' is not one of megatron_cp_algo"),
    ],
)
def test_values_that_a_dense_model_would_hide(
    planner: Run, tmp_path: Path, flags: str, said: str
) -> None:
    (tmp_path / "train.sh").write_text(f"{DENSE} {flags}\n")
    outcome = planner("estimate", "--cluster", "dgx-a100-8", "--plan", str(tmp_path / "train.sh"))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert said in outcome.stderr


@pytest.mark.parametrize(
    ("name", "content", "what", "instead"),
    [
        ("t.xml", '<?xml version="1.0"?>\n<!DOCTYPE topology SYSTEM "hwloc2.dtd">\n<topology/>',
         "a topology of hwloc", "nvidia-smi topo -m"),
        ("t.txt", "Machine (1008GB total)\n  Package L#0\n    NUMANode L#0 (P#0 504GB)\n",
         "a topology of hwloc", "nvidia-smi topo -m"),
        ("q.xml", "<?xml version='1.0'?>\n<!DOCTYPE nvidia_smi_log SYSTEM 'v.dtd'>\n",
         "the XML of `nvidia-smi -q`", "nvidia-smi topo -m"),
        ("l.txt", "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)\n", "nvidia-smi -L", "topo -m"),
        ("r.json", '{"system": {"(Topology) Link type between DRM devices 0 and 1": "XGMI"}}',
         "the JSON of rocm-smi or amd-smi", "without --json"),
        ("a.json", '[{"gpu": 0, "bdf": "0000:0c:00.0", "links": []}]',
         "the JSON of rocm-smi or amd-smi", "without --json"),
        ("b.json", '{"gpu_data": [{"gpu": 0, "bdf": "0000:0c:00.0"}]}',
         "the JSON of rocm-smi or amd-smi", "without --json"),
        ("i.txt", "CA 'mlx5_0'\n\tCA type: MT4129\n", "`ibstat`", "--network-bandwidth"),
    ],
)  # fmt: skip
def test_known_files_that_are_not_read(
    planner: Run, tmp_path: Path, name: str, content: str, what: str, instead: str
) -> None:
    (tmp_path / name).write_text(content)
    outcome = planner("import", "cluster", str(tmp_path / name))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert what in outcome.stderr
    assert instead in outcome.stderr


@pytest.mark.parametrize(
    ("content", "what", "instead"),
    [
        ("python -m torchtitan.train --module llama3\n", "of torchtitan", "--software torchtitan"),
        ('[model]\nname = "llama3"\n[parallelism]\ntensor_parallel_degree = 2\n',
         "of torchtitan", "--software torchtitan"),
        ("accelerate launch --config_file a.yaml x.py\n", "of Accelerate", "and --model"),
        ("deepspeed --num_gpus 8 x.py --deepspeed ds.json\n", "of DeepSpeed", "and --model"),
        ("torchrun x.py --yaml-cfg a.yaml\n", "flags are in a YAML file", "as flags"),
        ("# deepspeed -x\ntorchrun mine.py\n", "in the program it starts", "--tensor 2"),
    ],
)  # fmt: skip
def test_launch_files_whose_decisions_are_elsewhere(
    planner: Run, tmp_path: Path, content: str, what: str, instead: str
) -> None:
    (tmp_path / "run.txt").write_text(content)
    outcome = planner("estimate", "--cluster", "dgx-a100-8", "--plan", str(tmp_path / "run.txt"))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert what in outcome.stderr
    assert instead in outcome.stderr


@pytest.mark.parametrize("command", [("import", "model"), ("estimate", "--plan")])
def test_rules_of_the_model_name_the_file(
    planner: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = tmp_path / "train.sh"
    path.write_text(SCRIPT)
    more = ("--cluster", "dgx-a100-8") if command[0] == "estimate" else ()
    outcome = planner(*command, str(path), "--vocab-size", "1000", *more)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f"error: {path}:1:140: num_query_groups: num_attention_heads 4" in outcome.stderr


@pytest.mark.parametrize("number", ["9" * 50 + "<<" + "9" * 50, "9" * 50 + "e", "-" + "9" * 50])
def test_a_long_number_that_is_none(planner: Run, tmp_path: Path, number: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(f'{{"model_type": "llama",\n "hidden_size": {number}}}')
    outcome = planner("import", "model", str(path))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {path}:2:17: number ")


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--global-batch-size 1000000000", "global batch size must be at most 1,000,000"),
        ("--seq-length 1000000000", "sequence length must be at most 4,194,304"),
    ],
)
def test_a_script_may_ask_for_no_more_than_options(
    planner: Run, tmp_path: Path, flag: str, message: str
) -> None:
    path = tmp_path / "train.sh"
    shape = "--num-layers 8 --hidden-size 64 --num-attention-heads 4 --micro-batch-size 1"
    length = "" if "seq-length" in flag else " --seq-length 8"
    path.write_text(
        f"torchrun pretrain_gpt.py {shape}{length} --pipeline-model-parallel-size 8 {flag}\n"
    )
    outcome = planner(
        *("estimate", "--cluster", "dgx-a100-8", "--nodes", "1", "--plan", str(path)),
        *("--vocab-size", "1000"),
    )
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f"error: {message}, found 1,000,000,000" in outcome.stderr
