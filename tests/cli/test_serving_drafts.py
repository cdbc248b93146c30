"""Drafts of tokens in load files, as a user states them."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


DRAFTED = "requests: {input: 512, output: 64}\nconcurrency: 8\n"


@pytest.mark.parametrize(
    ("engine", "format", "drafts", "said"),
    [
        ("vllm", "vllm", "{method: ngram, tokens: 4, accepted: 30%}", '"method": "ngram"'),
        ("vllm", "dynamo", "{method: model, model: llama-3-8b, tokens: 2, accepted: 0.7}",
         '"model": "DRAFT_MODEL"'),
        ("sglang", "sglang", "{method: model, model: llama-3-8b, tokens: 2, accepted: 0.7}",
         "--speculative-num-draft-tokens=3"),
        ("trtllm", "trtllm", "{method: model, model: llama-3-8b, tokens: 2, accepted: 0.7}",
         '"decoding_type": "DraftTarget"'),
    ],
)  # fmt: skip
def test_drafts_are_priced_and_exported(
    planner: Callable[..., Any], tmp_path: Path, engine: str, format: str, drafts: str, said: str
) -> None:
    (tmp_path / "load.yaml").write_text(f"{DRAFTED}drafts: {drafts}\n")
    out = str(tmp_path / "plan.json")
    what: tuple[str, ...] = ("--cluster", "dgx-h100-16", "--model", "llama-3-8b", "--nodes", "1")
    what += (
        "--tensor",
        "1",
    )
    what += ("--pipeline", "1", "--disaggregated", "off", "--engine", engine, "--top", "1")
    found = planner("search", *what, "--serving", str(tmp_path / "load.yaml"), "--json", "-o", out)
    assert found.code == 0
    assert any(
        "drafted in a step" in one for one in json.loads(found.stdout)["inputs"]["assumptions"]
    )
    text = planner("export", out, "--format", format).stdout
    assert said in text.replace("\\", "")
    if format == "vllm":
        assert text.count("--speculative-config") == 1
    if format in ("sglang", "trtllm"):
        script = tmp_path / "serve.sh"
        script.write_text(text)
        asked = subprocess.run(
            ["bash", str(script), "aggregated"],
            env={"PATH": "/usr/bin:/bin", "MODEL": "x"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode == 2
        assert "DRAFT_MODEL is not set: a checkpoint of llama-3-8b" in asked.stderr


@pytest.mark.parametrize(
    ("drafts", "message"),
    [
        ("{method: mtp, tokens: 2, accepted: 0.7}", "has no layer that predicts later tokens"),
        ("{method: model, tokens: 2, accepted: 0.7}", "method: model needs a model"),
        ("{method: ngram, tokens: 2, accepted: 0.7, model: llama-3-8b}", "for method: model"),
        ("{method: ngram, tokens: 0, accepted: 0.7}", "load.yaml:3:"),
        ("{method: ngram, tokens: 2, accepted: 1.7}", "load.yaml:3:"),
        ("{method: ngram, tokens: 2}", "accepted"),
        ("{method: medusa, tokens: 2, accepted: 0.7}", "load.yaml:3:"),
        ("{method: model, tokens: 2, accepted: 0.7, model: llama-3-9b}", "llama-3-8b"),
    ],
)
def test_drafts_that_say_too_little_are_refused(
    planner: Callable[..., Any], tmp_path: Path, drafts: str, message: str
) -> None:
    (tmp_path / "load.yaml").write_text(f"{DRAFTED}drafts: {drafts}\n")
    what = ("--cluster", "dgx-h100-16", "--model", "llama-3-8b")
    told = planner("estimate", *what, "--serving", str(tmp_path / "load.yaml"))
    assert told.code == 2
    assert message in told.stderr


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("vllm", '"method": "mtp", "num_speculative_tokens": 2'),
        ("sglang", "--speculative-algorithm=NEXTN"),
        ("trtllm", '"num_nextn_predict_layers": 2'),
    ],
)
def test_the_models_own_layer_drafts(
    planner: Callable[..., Any], tmp_path: Path, engine: str, said: str
) -> None:
    """One layer drafts for 61, so that most of what is kept is gained; its weights take room."""
    what: tuple[str, ...] = ("--cluster", "gb200-nvl72-18", "--model", "deepseek-v3")
    what += ("--nodes", "1", "--top", "1")
    what += ("--weights", "nvfp4", "--kv-format", "bf16", "--engine", engine)
    what += ("--tensor", "4", "--attention-data", "1", "--expert", "4", "--pipeline", "1")
    what += ("--max-step-tokens", "8192", "--disaggregated", "off")
    seconds, tokens = [], []
    for name, drafts in (("none", ""), ("mtp", "drafts: {method: mtp, tokens: 2, accepted: 80%}")):
        load, out = tmp_path / f"{name}.yaml", str(tmp_path / f"{name}.json")
        load.write_text(f"requests: {{input: 256, output: 32}}\nconcurrency: 4\n{drafts}\n")
        found = planner("search", *what, "--serving", str(load), "--json", "-o", out)
        [first] = json.loads(found.stdout)["plans"]
        seconds.append(first["estimate"]["tpot"]["mean_s"])
        tokens.append(first["pools"][0]["kv_tokens"])
    gained = seconds[0] / seconds[1]
    assert 0.6 * 2.44 < gained < 2.44
    assert 0.8 * tokens[0] < tokens[1] < tokens[0]
    assert said in planner("export", out, "--format", engine).stdout.replace("\\", "")
