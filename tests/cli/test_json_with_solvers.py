"""`--json` while integer programs are solved: one document on standard output, whoever solves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CLUSTER = """
name: leaves
node_groups:
  - name: a
    count: 21
    device: a100-sxm-80gb
    devices_per_node: 1
    intra_node: {bandwidth: 300 GB/s}
    network: {cards: 1, bandwidth: 25 GB/s}
fabric:
  tiers: [{name: leaf, nodes: 7, oversubscription: 1}, {name: spine, oversubscription: 8}]
"""
"""More nodes than are placed exactly, on leaves whose order matters."""

MODEL = """
name: small
architecture: llama
num_layers: 12
hidden_size: 2048
ffn_hidden_size: 8192
num_attention_heads: 16
vocab_size: 32000
"""

ONE = "--tensor 1 --pipeline 3 --schedule 1f1b --micro-batch-size 1 --recompute none --top 1"
JOB = "--global-batch-size 42 --seq-length 1024"

WITHOUT_HIGHS = "raise ImportError('no highspy here')\n"


@pytest.mark.parametrize("engine", ["highs", "cbc"])
def test_stdout_is_one_document_whoever_solves(tmp_path: Path, engine: str) -> None:
    (tmp_path / "c.yaml").write_text(CLUSTER)
    (tmp_path / "m.yaml").write_text(MODEL)
    environment = dict(os.environ)
    if engine == "cbc":
        (tmp_path / "highspy.py").write_text(WITHOUT_HIGHS)
        environment["PYTHONPATH"] = str(tmp_path)
    files = ("--cluster", str(tmp_path / "c.yaml"), "--model", str(tmp_path / "m.yaml"))
    done = subprocess.run(
        [sys.executable, "-m", "planner", "search", *files, *ONE.split(), *JOB.split(), "--json"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (best,) = json.loads(done.stdout)["plans"]
    (proof,) = best["proofs"]
    solved = int(proof["method"].split()[-2])
    assert proof["method"].endswith(" solved")
    assert solved > 0
