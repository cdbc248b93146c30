"""A message is short, whatever the file says that it quotes, and keeps its end, where hints are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from planner.errors import LONGEST_LINE
from tests.cli.test_import_benchmarks import HEAD, row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

LONG = "x" * 60_000
MOST_LINES = 6
WORDS = " ".join(f"--odd-{i}" for i in range(20_000))
SIZES = "--num-layers 8 --hidden-size 1024 --num-attention-heads 16 --seq-length 1024"
GROUP = "node_groups:\n- {device: a100-sxm-80gb, devices_per_node: 8, intra_node: 300 GB/s, "


def plan_arguments(path: str) -> tuple[str, ...]:
    return ("estimate", "--cluster=dgx-a100-8", f"--plan={path}", "--vocab-size=1000")


def cluster_arguments(path: str) -> tuple[str, ...]:
    return ("estimate", f"--cluster={path}", "--model=gpt-7.5b", "--tensor=8")


def import_cluster(path: str) -> tuple[str, ...]:
    return ("import", "cluster", path, "--device=a100-sxm-80gb")


def import_model(path: str) -> tuple[str, ...]:
    return ("import", "model", path)


CASES: dict[str, tuple[str, str, Callable[[str], tuple[str, ...]]]] = {
    "a key of a config": (
        "config.json",
        json.dumps({"model_type": "llama", f"num_hidden_layers{LONG}": 4}),
        import_model,
    ),
    "a type of model": ("config.json", json.dumps({"model_type": LONG}), import_model),
    "keys of a cluster": (
        "cluster.yaml",
        GROUP + ", ".join(f"k{i}: 1" for i in range(90)) + "}\n",
        cluster_arguments,
    ),
    "a device of a cluster": (
        "cluster.yaml",
        f"node_groups:\n- device: {LONG}\n",
        cluster_arguments,
    ),
    "a value of a model": (
        "model.yaml",
        f"architecture: {LONG}\n",
        lambda path: ("estimate", "--cluster=dgx-a100-8", f"--model={path}", "--tensor=8"),
    ),
    "a device of a log": (
        "log.txt",
        f"#  Rank  0 Pid  1 on a device  0 [0x07] NVIDIA A{LONG} 80GB\n"
        f"#  Rank  1 Pid  2 on b device  0 [0x07] NVIDIA H{LONG} 80GB\n{HEAD}{row(8, 100)}",
        import_cluster,
    ),
    "a file": ("log.txt", LONG, import_cluster),
    "a flag of a script": (
        "train.sh",
        f"torchrun pretrain_gpt.py {SIZES} --num-layers {LONG}\n",
        plan_arguments,
    ),
    "flags of a script": ("train.sh", f"torchrun pretrain_gpt.py {SIZES} {WORDS}\n", import_model),
    "a variable of a script": ("train.sh", f"torchrun t.py ${{{LONG}?}}\n", plan_arguments),
    "a schema of a plan": (
        "plan.json",
        json.dumps({"schema": f"planner/{LONG}"}),
        lambda path: ("check", path),
    ),
    "a rank of a plan": ("plan.json", "{}", lambda path: ("check", f"{path}#{LONG}")),
    "a name of a file": ("a", "", lambda path: ("check", f"{path}{LONG}")),
    "an option": ("a", "", lambda path: ("list", f"--{LONG}")),
    "a command": ("a", "", lambda path: (LONG,)),
    "a value of an option": ("a", "", lambda path: ("show", LONG)),
    "values of an option": (
        "a",
        "",
        lambda path: ("search", "--cluster=dgx-a100-8", "--model=gpt-7.5b",
                      f"--schedule={','.join(f's{i}' for i in range(20_000))}"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_message_is_short(planner: Run, tmp_path: Path, case: str) -> None:
    name, text, arguments = CASES[case]
    path = tmp_path / name
    path.write_text(text)
    done = planner(*arguments(str(path)))
    lines = done.stderr.splitlines()
    assert lines
    assert all(line.startswith(("error: ", "note: ")) for line in lines)
    assert max(map(len, lines)) <= LONGEST_LINE
    assert len([line for line in lines if line.startswith("error: ")]) <= MOST_LINES
    assert done.code in (0, 1, 2)


def test_the_hint_of_a_shortened_message_stays(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({f"hidden_size{LONG}": 1, "num_hidden_layers": 4}))
    done = planner("import", "model", str(path), "--assume=llama")
    assert f"{path}:1:1: " in done.stderr
    assert done.stderr.endswith("which no config reads\n")
    assert "…" in done.stderr
