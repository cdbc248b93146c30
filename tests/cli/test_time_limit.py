"""`--time-limit` and Ctrl-C in processes of their own, on inputs that take far longer.

What counts is the processor's time: on a busy machine the wall clock says little of the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.every_instance import EVERY_INSTANCE

if TYPE_CHECKING:
    from pathlib import Path

LATE_S = 1.0
"""By how much a search may miss its limit."""

GROUP = """  - name: {name}
    count: {count}
    device: {device}
    devices_per_node: 8
    intra_node: {{bandwidth: 300 GB/s}}
    network: {{cards: 8, bandwidth: 25 GB/s}}
"""

LONG_MODEL = """
name: long
architecture: qwen3_moe
num_layers: 127
hidden_size: 4096
num_attention_heads: 32
num_query_groups: 32
head_dim: 80
ffn_hidden_size: 16384
vocab_size: 1000003
seq_length: 131072
moe: {num_experts: 1, top_k: 1, ffn_hidden_size: 64}
"""
"""Its logits alone fill every device, so that nothing fits on most sizes of a cluster."""


def cluster_file(path: Path, groups: list[tuple[int, str]], *, overrides: int = 0) -> str:
    """Nodes of several types, some pairs of which have links of their own."""
    random, nodes = Random(1), sum(count for count, _ in groups)
    pairs = sorted({tuple(sorted(random.sample(range(nodes), 2))) for _ in range(overrides)})
    text = f"name: {path.stem}\nnode_groups:\n" + "".join(
        GROUP.format(name=f"g{index}", count=count, device=device)
        for index, (count, device) in enumerate(groups)
    )
    if pairs:
        text += "links:\n  overrides:\n" + "".join(
            f"    - {{between: [{one}, {two}], bandwidth: {random.choice((5, 10))} GB/s}}\n"
            for one, two in pairs
        )
    path.write_text(text)
    return str(path)


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str
    processor_s: float


def run(*arguments: str, path: str = "") -> Ended:
    """The program, with another folder to import from."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "planner", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    after = os.times()
    used_s = after.children_user + after.children_system
    used_s -= before.children_user + before.children_system
    return Ended(done.returncode, done.stdout, done.stderr, used_s)


@cache
def start_s() -> float:
    """What a search takes before it begins."""
    return run("search", "--cluster", "dgx-a100-8", "--model", "gpt-1.7b", "--top", "0").processor_s


ANY = ("--model", "gpt3-175b", "--top", "3")
CASES = ("equal", "unequal links", "mixed", "nothing fits", "worst case")
LIMITS = [(case, 1) for case in CASES]
LIMITS += [(case, 3) for case in (CASES if EVERY_INSTANCE else ("mixed",))]
"""After a second a search is bounding, after three it places or improves."""
PRESSED_S = (0.02, 0.08, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5) if EVERY_INSTANCE else (0.08, 0.4, 1.5)
"""While Python starts, the inputs are read, and plans are searched."""


@pytest.mark.parametrize(("case", "limit_s"), LIMITS)
def test_a_search_ends_in_time_and_says_what_it_knows(
    tmp_path: Path, case: str, limit_s: int
) -> None:
    path, a100, h100 = tmp_path / "c.yaml", "a100-sxm-80gb", "h100-sxm-80gb"
    options: tuple[str, ...] = ANY
    if case == "equal":
        cluster = "dgx-h100-2048"
        options = ("--model", "llama-3.1-405b", "--global-batch-size", "16384", "--top", "100")
    elif case == "unequal links":
        cluster = cluster_file(path, [(12_000, h100)], overrides=60)
        options += ("--global-batch-size", "96000")
    elif case == "mixed":
        cluster = cluster_file(path, [(300, h100), (400, a100), (324, "a100-sxm-40gb")])
    elif case == "worst case":
        cluster = cluster_file(path, [(24, h100), (24, a100)], overrides=20)
        options += ("--robust", "20%")
    else:
        (tmp_path / "m.yaml").write_text(LONG_MODEL)
        cluster = cluster_file(path, [(10, "h200-sxm"), (3, h100), (6, "a100-sxm-40gb")])
        options = ("--model", str(tmp_path / "m.yaml"), "--global-batch-size", "64")
        options += ("--software", "megatron-deepspeed-2022")
    limit = ("--time-limit", str(limit_s))
    ended = run("search", "--cluster", cluster, *options, *limit, "--json")
    assert ended.processor_s < limit_s + LATE_S + start_s()
    assert "Traceback" not in ended.stderr
    if "while the inputs were read" in ended.stderr:
        assert (ended.code, ended.stdout) == (1, "")
        return
    document = json.loads(ended.stdout)
    found, plans = document["search"], document["plans"]
    assert ended.code == (0 if plans else 1)
    assert found["stopped"] in ("time limit", "proven")
    gaps = [found[name] for name in ("gap", "layout_gap", "placement_gap")]
    assert not (found["proven"] and any(gaps))
    if not plans:
        assert found["proven"] == bool(found["fitting"] == 0 and found["gap"] == 0)
        assert bool(found["nearest"]) <= found["proven"]


def test_out_of_time_is_not_nothing_fits(tmp_path: Path) -> None:
    cluster = cluster_file(tmp_path / "c.yaml", [(12_000, "h100-sxm-80gb")], overrides=60)
    batch = ("--global-batch-size", "96000")
    ended = run("search", "--cluster", cluster, *ANY, *batch, "--time-limit", "0.9")
    assert ended.code == 1
    said = ended.stdout + ended.stderr
    assert "Nothing fits" not in said
    assert "No answer yet: stopped by time limit" in said or "time ran out while" in said


DROPPED = """
import os, signal, sys, weakref

class Press:
    def find_spec(self, name, path=None, target=None):
        if name == "planner.api":
            one = Press()
            kept = weakref.ref(one, lambda _: os.kill(os.getpid(), signal.SIGINT))
            del one
            [number for number in range(100)]

sys.meta_path.insert(0, Press())
"""
"""Presses Ctrl-C where Python drops what is raised: in the callback of a weak reference."""


def test_an_interrupt_that_python_drops_is_raised_again(tmp_path: Path) -> None:
    cluster = cluster_file(tmp_path / "c.yaml", [(24, "h100-sxm-80gb"), (24, "a100-sxm-80gb")])
    (tmp_path / "sitecustomize.py").write_text(DROPPED)
    ended = run("search", "--cluster", cluster, *ANY, path=str(tmp_path))
    assert ended.code == 130, ended.stderr
    assert "Traceback" not in ended.stderr


PRESSED = """
import os, signal
signal.signal(signal.SIGPROF, lambda *_: os.kill(os.getpid(), signal.SIGINT))
signal.setitimer(signal.ITIMER_PROF, {after_s})
"""
"""Presses Ctrl-C after so many seconds of the processor."""


@pytest.mark.parametrize("after_s", PRESSED_S)
def test_an_interrupt_at_any_time_ends_with_130(tmp_path: Path, after_s: float) -> None:
    groups = [(24, "h100-sxm-80gb"), (24, "a100-sxm-80gb")]
    cluster = cluster_file(tmp_path / "c.yaml", groups, overrides=20)
    (tmp_path / "sitecustomize.py").write_text(PRESSED.format(after_s=after_s))
    ended = run("search", "--cluster", cluster, *ANY, path=str(tmp_path))
    assert ended.code == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    if ended.stdout:
        assert ended.stdout.startswith(("Best ", "No answer yet: interrupted"))
    else:
        assert "error: interrupted" in ended.stderr
