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


SCRIPT = (
    "torchrun pretrain_gpt.py --num-layers 2 --hidden-size 64 --num-attention-heads 4 "
    "--seq-length 8 --group-query-attention --num-query-groups 3\n"
)


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
