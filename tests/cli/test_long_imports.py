"""Long files of the kinds people have are read in seconds: logs, lists, topologies, scripts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_import_benchmarks import HEAD, pci, row, topology

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

LONGEST_CPU_S = 8.0
"""Several times what it takes; what grows with the square of the length takes minutes."""

SIZES = (
    "--num-layers 8 --hidden-size 1024 --num-attention-heads 16 --seq-length 1024 "
    "--max-position-embeddings 1024 --vocab-size 32000 --bf16"
)

UNKNOWN_PARTS = (
    f"FLAGS=(--note x{'`' * 20_000})\n"
    + ("FLAGS=(${FLAGS[@]} --one)\n" + 'FLAGS=("${FLAGS[@]}" --two)\n') * 200
)

UNKNOWN = " ".join(f"--unknown-{i}" for i in range(60_000))


def slurm_nodes() -> str:
    return "".join(f"NodeName=node{i:05d} Gres=gpu:a100:8 CPUs=64\n" for i in range(10_000))


def topology_of_many_devices() -> str:
    gpus = (
        pci(i, "0x030200", '<gpu sm="80"/>', vendor="0x10de", device="0x20b2") for i in range(8)
    )
    others = (pci(i, "0x040300", vendor="0x8086", device="0x0001") for i in range(40_000))
    return topology(*gpus, "\n".join(others))


def benchmark_log() -> str:
    lines = (f"worker-3: [NCCL] some chatter {i}\n{row(8, 100 + i % 3)}" for i in range(40_000))
    return HEAD + "".join(lines)


@pytest.mark.parametrize("text", [slurm_nodes, topology_of_many_devices, benchmark_log])
def test_a_long_description_of_a_cluster(
    planner: Run, tmp_path: Path, text: Callable[[], str]
) -> None:
    path = tmp_path / "long.txt"
    path.write_text(text())
    began = time.process_time()
    done = planner("import", "cluster", str(path), "--device=a100-sxm-80gb",
                   f"--output={tmp_path / 'c.yaml'}")  # fmt: skip
    assert done.code == 0, done.stderr
    assert time.process_time() - began < LONGEST_CPU_S


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (
            f"torchrun pretrain_gpt.py {SIZES} {UNKNOWN}\n",
            0,
        ),
        ("A=x\n" + 'A="$A$A$A$A"\n' * 12 + f"torchrun pretrain_gpt.py {SIZES}\n", 2),
        (UNKNOWN_PARTS + f"torchrun pretrain_gpt.py {SIZES} ${{FLAGS[@]}}\n", 0),
    ],
    ids=["60,000 unknown flags", "a value beyond any", "a value of many unknown parts"],
)
def test_a_long_script(planner: Run, tmp_path: Path, script: str, code: int) -> None:
    path = tmp_path / "train.sh"
    path.write_text(script)
    began = time.process_time()
    assert planner("import", "model", str(path)).code == code
    assert time.process_time() - began < LONGEST_CPU_S
