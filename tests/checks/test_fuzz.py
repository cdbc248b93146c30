"""Damaged plan files: a verdict or a message, in every format, and never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.cli.app import run
from planner.reports.checks.formats import FORMATS
from tests.checks.conftest import GROUP, MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

INPUTS = ("--cluster=cluster.yaml", "--model=model.yaml")
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 1, 2, 3, 5, 8, 64, 10**6, 10**30, 1.5, "", "none", "full", "fp8", "fp32",
     "optimizer", "1f1b", "interleaved", "zb-v", "dualpipe", "1f1b-vocab-1", "gpipe", "a100-1",
     "megatron-lm-2021", "deepspeed-3d-2021", "composer-fsdp", [], {}, [0], [1, 1], [[0, 8]]]
)  # fmt: skip


def called(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A plan of two stages, in a folder with its cluster and its model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("damaged"))
        patch.setenv("PLANNER_DEBUG", "1")
        Path("cluster.yaml").write_text(yaml.safe_dump({"name": "c", "node_groups": [GROUP]}))
        Path("model.yaml").write_text(yaml.safe_dump(MODEL))
        flags = ("--tensor=4", "--pipeline=4", "--virtual-stages=2", "--recompute=full")
        code, text, _ = called("estimate", *INPUTS, *flags, "--json")
        assert code == 0
        made: dict[str, Any] = json.loads(text)
        del made["plans"][0]["estimate"]
        yield made


def places(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield (*above, key)
        yield from places(value[key], (*above, key))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_plan_has_a_verdict_or_a_message(document: dict[str, Any], data: Any) -> None:
    damaged = json.loads(json.dumps(document))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(list(places(damaged))))
        around = damaged
        for key in place[:-1]:
            around = around[key]
        around[place[-1]] = data.draw(VALUES)
    Path("plan.json").write_text(json.dumps(damaged), encoding="utf-8")
    name = data.draw(st.sampled_from(FORMATS))
    code, out, err = called("check", *INPUTS, "plan.json", f"--format={name}")
    assert code in (0, 1, 2)
    if code == 2:
        assert err.startswith("error: plan.json")
    elif code == 1:
        assert out
        assert err == ""


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_truncated_plan_has_a_message(document: dict[str, Any], data: Any) -> None:
    text = json.dumps(document, indent=1)
    Path("plan.json").write_text(text[: data.draw(st.integers(0, len(text) - 1))])
    code, out, err = called("check", *INPUTS, "plan.json")
    assert (code, out) == (2, "")
    assert err.startswith("error: plan.json")
