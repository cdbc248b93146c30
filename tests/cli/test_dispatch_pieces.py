"""Tokens that travel to their experts in pieces, as a decision of a plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

JOB = ("--cluster", "dgx-h100-16", "--nodes", "4", "--model", "qwen3-30b-a3b")
BATCH = ("--seq-length", "4096", "--global-batch-size", "256")
SPREAD = ("--expert", "16", "--expert-tensor", "1", "--tensor", "1", "--pipeline", "1")
NARROW = (*SPREAD, "--micro-batch-size", "1,2", "--dispatcher", "alltoall")


@pytest.fixture
def pieces(tmp_path: Path) -> str:
    """A profile whose framework divides tokens, and hides all that it can."""
    path = tmp_path / "pieces.yaml"
    path.write_text(
        "like: megatron-core\nname: pieces\nexpert:\n  dispatch_piece_choices: [2, 4]\n"
        "  overlapped_share: {value: 0.9, basis: default, source: example}\n"
    )
    return str(path)


def best(planner: Callable[..., Outcome], *flags: str) -> dict[str, Any]:
    done = planner("search", "--json", "--top", "1", *JOB, *BATCH, *NARROW, *flags)
    assert done.code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_best_of_all_is_the_best_of_the_best_with_each(
    planner: Callable[..., Outcome], pieces: str
) -> None:
    software = ("--software", pieces)
    apart = {
        number: best(planner, *software, "--dispatch-pieces", number)["plans"][0]
        for number in ("1", "2", "4")
    }
    found = best(planner, *software)
    least_s = min(one["estimate"]["step_s"] for one in apart.values())
    assert found["plans"][0]["estimate"]["step_s"] == pytest.approx(least_s, rel=1e-12)
    chosen = found["plans"][0].get("dispatch_pieces", 1)
    assert apart[str(chosen)]["estimate"]["step_s"] == pytest.approx(least_s, rel=1e-12)
    tried = {one["name"]: one["values"] for one in found["search"]["space"]["dimensions"]}
    assert tried["dispatch_pieces"] == [1, 2, 4]
    assert "dispatch_pieces" not in apart["1"]
    assert apart["4"]["dispatch_pieces"] == 4


def test_one_piece_is_what_other_profiles_do(planner: Callable[..., Outcome]) -> None:
    space = best(planner)["search"]["space"]
    assert "dispatch_pieces" not in {one["name"] for one in space["dimensions"]}
    refused = planner("search", *JOB, *BATCH, *NARROW, "--dispatch-pieces", "2")
    assert refused.code == 2
    assert "has no '2'; it has 1" in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--expert", "1", "--dispatch-pieces", "2"), "only with an expert degree above 1"),
        ((*SPREAD, "--dispatcher", "alltoall", "--dispatch-pieces", "3"), "has no '3'"),
        (
            (*SPREAD, "--dispatcher", "allgather", "--dispatch-pieces", "2"),
            "alltoall or a dispatcher of its own",
        ),
    ],
)
def test_pieces_have_rules(
    planner: Callable[..., Outcome], pieces: str, flags: tuple[str, ...], said: str
) -> None:
    refused = planner("estimate", *JOB, *BATCH, "--software", pieces, *flags)
    assert refused.code == 2
    assert said in " ".join(refused.stderr.split())


def test_pieces_divide_the_tokens(planner: Callable[..., Outcome], pieces: str) -> None:
    size = ("--seq-length", "4098", "--global-batch-size", "256")
    refused = planner(
        "estimate", *JOB, *size, "--software", pieces, *SPREAD, "--dispatch-pieces", "4"
    )
    assert refused.code == 2
    assert "must divide the tokens" in " ".join(refused.stderr.split())


def test_pieces_are_shown_read_back_and_no_launch_has_them(
    planner: Callable[..., Outcome], pieces: str, tmp_path: Path
) -> None:
    flags = (*JOB, *BATCH, *SPREAD, "--software", pieces, "--dispatch-pieces", "2")
    shown = planner("estimate", *flags)
    assert shown.code == 0, shown.stderr
    assert "in 2 pieces" in " ".join(shown.stdout.split())
    path = tmp_path / "plan.json"
    written = planner("estimate", *flags, "--json")
    path.write_text(written.stdout)
    again = planner("estimate", *JOB, *BATCH, "--software", pieces, "--plan", str(path), "--json")
    assert again.code == 0, again.stderr
    one, two = (json.loads(text)["plans"][0] for text in (written.stdout, again.stdout))
    assert (one["dispatch_pieces"], one["estimate"]) == (2, two["estimate"])
    refused = planner("export", str(path), "--format", "megatron-lm")
    assert refused.code != 0
    assert "travel in 2 pieces" in " ".join(refused.stderr.split())
