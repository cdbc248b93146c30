"""Awkward numbers of nodes, as a user has them after a node is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

KEPT = ("--recompute", "none")
"""So that no modules are chosen, which takes long and is beside the point here."""

GPT = ("--cluster", "dgx-a100-128", "--model", "gpt3-175b", "--top", "1")
LLAMA = ("--cluster", "dgx-h100-128", "--model", "llama-3-8b", "--global-batch-size", "512", *KEPT)


def found(planner: Run, *options: str) -> dict[str, Any]:
    done = planner("search", *options, "--json")
    assert done.code == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_one_node_of_128_is_lost(planner: Run) -> None:
    """127 nodes leave no combination, 126 do."""
    document = found(planner, *GPT, *KEPT, "--nodes", "127")
    best = document["plans"][0]
    assert best["estimate"]["step_s"] <= 21.76
    assert len(best["placement"]["hosts"]) == 126
    nodes = document["search"]["nodes"]
    assert nodes["given"] == 127
    assert nodes["idle_hosts"] == ["a100-126"]
    assert 0 < nodes["opened"] < nodes["others"] / 2
    assert document["inputs"]["job"]["devices"] == 127 * 8


def test_one_node_of_32_is_lost(planner: Run, tmp_path: Path) -> None:
    plans = tmp_path / "plans.json"
    done = planner("search", *LLAMA, "--nodes", "31", "--top", "2", "--output", str(plans))
    document = json.loads(plans.read_text(encoding="utf-8"))
    best, idle = document["plans"][0], document["search"]["nodes"]["idle_hosts"]
    said = " ".join(done.stdout.split())
    assert f"{31 - len(idle)} of 31 nodes are used; " in said
    assert idle[-1] == "h100-30"
    assert best["estimate"]["step_s"] <= 2.856
    cluster, model = LLAMA[:2], LLAMA[2:4]
    again = planner("estimate", *cluster, *model, "--plan", f"{plans}#1", "--json")
    step_s = json.loads(again.stdout)["plans"][0]["estimate"]["step_s"]
    assert step_s == pytest.approx(best["estimate"]["step_s"], rel=1e-6)
    assert planner("check", *cluster, *model, f"{plans}#1").code == 0
    ranks = planner("export", f"{plans}#1", "--format", "ranks")
    assert best["placement"]["hosts"][-1] in ranks.stdout
    assert "h100-30" not in ranks.stdout
    assert planner("report", str(plans), "-o", str(tmp_path / "page.html")).code == 0


def test_all_nodes_only(planner: Run) -> None:
    refused = planner("search", *GPT, "--nodes", "127", "--idle", "off")
    assert refused.code == 2
    assert "no combination is valid on 1016 devices" in refused.stderr
    wrong = planner("search", *GPT, "--idle", "maybe")
    assert wrong.code == 2
    assert "--idle" in wrong.stderr


def test_a_friendly_number_uses_all_nodes(planner: Run) -> None:
    """And its batch is as good as others, so that none is advised."""
    document = found(planner, *LLAMA, "--nodes", "32", "--top", "1")
    assert document["search"]["nodes"]["idle_hosts"] == []
    assert "near_batches" not in document["search"]
    alone = found(planner, *LLAMA, "--nodes", "32", "--top", "1", "--idle", "off")
    assert "nodes" not in alone["search"]
    assert document["plans"][0]["degrees"] == alone["plans"][0]["degrees"]
    assert document["plans"][0]["estimate"] == alone["plans"][0]["estimate"]


def test_an_exact_number_of_devices_is_kept(planner: Run) -> None:
    done = planner("search", *GPT, "--devices", str(127 * 8))
    assert done.code == 2
    assert "no combination is valid" in done.stderr


def test_a_slightly_smaller_batch_is_advice_that_holds(planner: Run) -> None:
    """Megatron-LM runs it with --decrease-batch-size-if-needed: floor(512 / 124) · 124."""
    document = found(planner, *LLAMA, "--nodes", "31", "--top", "1")
    advice = document["search"]["near_batches"][0]
    assert (advice["global_batch_size"], advice["nodes"]) == (496, 31)
    assert advice["step_s"] <= 1.917
    fewer = ("--global-batch-size", "496", *KEPT, "--nodes", "31", "--top", "1")
    taken = found(planner, *LLAMA[:4], *fewer)
    assert taken["plans"][0]["estimate"]["step_s"] == pytest.approx(advice["step_s"], rel=0.01)
    assert document["inputs"]["job"]["global_batch_size"] == 512


def test_replicas_may_differ_by_one_microbatch_where_asked(planner: Run, tmp_path: Path) -> None:
    """58 replicas on 29 nodes share 512 sequences: 8 or 9 microbatches of one sequence each."""
    file = str(tmp_path / "plans.json")
    fixed = ("--tensor", "1", "--pipeline", "1", "--context", "4", "--micro-batch-size", "1")
    options = (*LLAMA, *fixed, "--nodes", "29", "--top", "1")
    even = found(planner, *options)["plans"][0]
    assert even["degrees"]["data"] == 32
    uneven = found(planner, *options, "--uneven-replicas", "on", "--output", file)["plans"][0]
    assert (uneven["degrees"]["data"], uneven["num_microbatches"]) == (58, 9)
    assert uneven["estimate"]["step_s"] < 0.7 * even["estimate"]["step_s"]
    said = "48 of 58 replicas run 9 microbatches, the others 8: it needs a framework"
    assert any(one.startswith(said) for one in uneven["estimate"]["assumptions"])
    again = json.loads(planner("estimate", *LLAMA[:4], "--plan", file, "--json").stdout)
    assert again["plans"][0]["estimate"]["step_s"] == uneven["estimate"]["step_s"]
    assert planner("check", file, "--ignore", "tight-fit").code == 0
    for format, code in (("megatron-lm", 2), ("nemo", 2), ("ranks", 0), ("kubernetes", 0)):
        done = planner("export", file, "--format", format)
        assert done.code == code, done.stderr
        told = "cannot express num_microbatches: some replicas run 9 microbatches, others 8"
        assert (told in done.stderr) == (code == 2)


def test_the_worst_case_is_estimated_on_the_nodes_in_use_too(planner: Run, tmp_path: Path) -> None:
    file = str(tmp_path / "plans.json")
    fixed = ("--tensor", "2", "--pipeline", "1", "--context", "1", "--nodes", "9", "--top", "1")
    options = (*LLAMA, *fixed, "--robust", "20%", "--output", file)
    best = found(planner, *options)["plans"][0]
    degrees, estimate = best["degrees"], best["estimate"]
    devices = degrees["tensor"] * degrees["pipeline"] * degrees["data"] * degrees["context"]
    assert devices == 8 * 8
    assert estimate["tokens_per_s_per_device"] * devices == pytest.approx(estimate["tokens_per_s"])
    again = json.loads(planner("estimate", *LLAMA[:4], "--plan", file, "--json").stdout)
    assert again["plans"][0]["estimate"]["confidence"] == estimate["confidence"]


def test_ranges_are_of_the_nodes_in_use_under_the_worst_case_too(
    planner: Run, tmp_path: Path
) -> None:
    """A job inside one node is another kind of job than one on both."""
    path = str(tmp_path / "plans.json")
    files = ("--cluster", "dgx-h100-16", "--model", "gpt-1.7b")
    few = ("--nodes", "2", "--global-batch-size", "3", "--top", "1", "--output", path)
    best = found(planner, *files, *few, "--robust", "50%")["plans"][0]
    assert len(best["placement"]["hosts"]) == 1
    again = json.loads(planner("estimate", *files, "--plan", path, "--json").stdout)["plans"][0]
    assert again["estimate"]["confidence"] == best["estimate"]["confidence"]


SCRIPT = """torchrun --nnodes 7 --nproc-per-node 8 pretrain_gpt.py --tensor-model-parallel-size 1 \\
  --pipeline-model-parallel-size 7 --num-layers 28 --hidden-size 2048 --num-attention-heads 16 \\
  --vocab-size 51200 --seq-length 4096 --max-position-embeddings 4096 --micro-batch-size 1 \\
  --global-batch-size 16 --bf16 --use-distributed-optimizer --use-flash-attn
"""


def test_a_script_keeps_its_nodes(planner: Run, tmp_path: Path) -> None:
    """Six of the seven would be faster; `improve` says what the script can do on all of them."""
    script = tmp_path / "train.sh"
    script.write_text(SCRIPT, encoding="utf-8")
    done = planner("improve", "--cluster", "dgx-h100-16", str(script), "--write", "--json")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["gain"] > 0.1
    again = planner("estimate", "--cluster", "dgx-h100-16", "--plan", str(script), "--json")
    assert json.loads(again.stdout)["inputs"]["job"]["devices"] == 56


def test_no_node_is_idle_where_the_fast_half_of_a_cluster_is_taken(
    planner: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search on 2 nodes may take any 2, not the first ones of the file alone."""
    group = (
        "  - {{name: {0}, count: 2, device: {1}, devices_per_node: 1, "
        "intra_node: {{bandwidth: 300 GB/s}}, network: {{cards: 1, bandwidth: 25 GB/s}}}}\n"
    )
    slow, fast = group.format("slow", "v100-sxm-32gb"), group.format("fast", "h100-sxm-80gb")
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(f"name: halves\nnode_groups:\n{slow}{fast}", encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "100")
    job = ("--model", "gpt-1.7b", "--global-batch-size", "8", "--precision", "fp16", "--top", "1")
    done = planner("search", "--cluster", str(cluster), *job, "--nodes", "2")
    assert done.code == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "stay idle" not in said
    assert "Hosts are chosen and ordered (fast-0, fast-1)" in said
