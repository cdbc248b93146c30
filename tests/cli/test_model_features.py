"""What newer models have: priced in estimates, exported or refused by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

SMALL: dict[str, Any] = {
    "architecture": "llama",
    "num_layers": 8,
    "hidden_size": 2048,
    "ffn_hidden_size": 5632,
    "num_attention_heads": 16,
    "num_query_groups": 8,
    "head_dim": 128,
    "vocab_size": 32000,
    "seq_length": 32768,
}
MIXTURE = {**SMALL, "architecture": "mixtral"}
EXPERTS = {
    "num_experts": 8,
    "top_k": 2,
    "ffn_hidden_size": 1024,
    "shared_expert_ffn_hidden_size": 1024,
}
LATENT = {
    "q_lora_rank": 768,
    "kv_lora_rank": 512,
    "qk_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}
INDEXER = {"num_heads": 16, "head_dim": 128, "top_k": 2048}


@pytest.fixture
def planned(planner: Run, tmp_path: Path) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """An estimate of a model on a node, its plan file and what it estimates."""

    def plan(model: dict[str, Any], *options: str) -> tuple[Path, dict[str, Any]]:
        path, target = tmp_path / "model.yaml", tmp_path / "plan.json"
        path.write_text(yaml.safe_dump(model))
        done = planner(
            *("estimate", "--cluster", "dgx-a100-8", "--nodes", "1", "--model", str(path)),
            *("--global-batch-size", "8", "--micro-batch-size", "1", "--json", *options),
        )
        assert done.code == 0, done.stderr
        target.write_text(done.stdout)
        estimate: dict[str, Any] = json.loads(done.stdout)["plans"][0]["estimate"]
        return target, estimate

    return plan


@pytest.fixture
def exported(planner: Run) -> Callable[[Path, str], Outcome]:
    """A plan in a format; its model's file stands beside it."""

    def export(plan: Path, name: str) -> Outcome:
        model = str(plan.with_name("model.yaml"))
        return planner("export", str(plan), "--format", name, "--model", model)

    return export


def weights(estimate: dict[str, Any]) -> int:
    found: int = estimate["memory"]["per_stage"][0]["components"]["weights"]
    return found


def test_chunks_are_cheaper_than_windows_and_both_than_the_whole(planned: Any) -> None:
    """A chunk of c shows a query c/2 keys on the mean, a window of c nearly c."""
    local = {"full_attention_frequency": 0}
    whole = planned(SMALL)[1]["step_s"]
    window = planned({**SMALL, "attention_window": 4096, **local})[1]["step_s"]
    chunk = planned({**SMALL, "attention_chunk": 4096, **local})[1]["step_s"]
    assert chunk < window < whole
    longer = planned({**SMALL, "attention_chunk": 32768, **local})[1]["step_s"]
    assert longer == pytest.approx(whole, rel=1e-9)
    mixed = planned({**SMALL, "attention_chunk": 4096, "full_attention_frequency": 4})[1]["step_s"]
    assert chunk < mixed < whole


def test_chunks_under_context_parallelism(planned: Any) -> None:
    local = {"attention_chunk": 4096, "full_attention_frequency": 0}
    alone = planned({**SMALL, **local})[1]["step_s"]
    split = planned({**SMALL, **local}, "--context", "4")[1]["step_s"]
    assert split < planned(SMALL, "--context", "4")[1]["step_s"]
    assert split < 2 * alone


def test_an_indexer_pays_at_long_sequences(planned: Any) -> None:
    """All heads read latents 3.4 times as wide, but only 2,048 of them; weights grow by its own."""
    latent = {**SMALL, "mla": LATENT}
    sparse = {**SMALL, "mla": {**LATENT, "indexer": INDEXER}}
    for length, ratio in ((4096, 1.0), (131072, 0.8)):
        options = ("--seq-length", str(length), "--recompute", "full")
        dense_s = planned(latent, *options)[1]["step_s"]
        sparse_s = planned(sparse, *options)[1]["step_s"]
        assert (sparse_s > dense_s) if ratio == 1.0 else (sparse_s < ratio * dense_s)
    own = 768 * 16 * 128 + 2048 * 128 + 2 * 128 + 2048 * 16
    grown = weights(planned(sparse)[1]) - weights(planned(latent)[1])
    assert grown == 2 * SMALL["num_layers"] * own


def test_a_gate_of_shared_experts_is_exported(planned: Any, exported: Any) -> None:
    flag = "--moe-shared-expert-gate"
    for gate in (True, False):
        plan, _ = planned({**MIXTURE, "moe": {**EXPERTS, "shared_expert_gate": gate}})
        text = exported(plan, "megatron-lm").stdout
        assert (flag in text) == gate


def test_squared_relu_goes_out_and_comes_back(
    planned: Any, exported: Any, planner: Run, tmp_path: Path
) -> None:
    model = {
        **SMALL,
        "architecture": "nemotron",
        "vocab_size": 50257,
        "position_embedding": "rope",
        "seq_length": 2048,
    }
    plan, _ = planned(model)
    for name, option in (("megatron-lm", "--squared-relu"), ("megatron-bridge", "squared_relu")):
        done = exported(plan, name)
        assert done.code == 0, done.stderr
        assert option in done.stdout
    script = tmp_path / "train.txt"
    script.write_text(exported(plan, "megatron-lm").stdout)
    back = planner("import", "model", str(script))
    assert yaml.safe_load(back.stdout)["activation"] == "squared_relu"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"post_norm": True}, "model.post_norm"),
        ({"norm_scale": False}, "model.norm_scale"),
        ({"head_bias": True}, "model.head_bias"),
        ({"qk_norm": True, "qk_norm_scale": "per_head"}, "model.qk_norm_scale"),
        ({"qk_norm": True, "qk_norm_bias": True}, "model.qk_norm_bias"),
        ({"attention_chunk": 4096, "full_attention_frequency": 4}, "model.attention_chunk"),
        ({"mla": {**LATENT, "indexer": INDEXER}}, "model.mla.indexer"),
    ],
)
def test_what_megatron_has_no_flag_for_is_named(
    planned: Any, exported: Any, change: dict[str, Any], named: str
) -> None:
    """Never left out in silence: the exported job would train another model."""
    plan, _ = planned({**SMALL, **change})
    for name in ("megatron-lm", "megatron-bridge", "nemo"):
        refused = exported(plan, name)
        assert refused.code == 2
        assert named in refused.stderr


def test_a_local_layer_has_a_window_or_chunks(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "attention_window": 128, "attention_chunk": 256}))
    refused = planner("estimate", "--cluster", "dgx-a100-8", "--model", str(path))
    assert refused.code == 2
    assert "attention_chunk: attention_window 128 is given too" in refused.stderr
