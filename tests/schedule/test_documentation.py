"""docs/schedules.md lists every schedule with its paper and what runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from planner.schedule.registry import SCHEDULES

TABLE = Path(__file__).parents[2] / "docs" / "schedules.md"
NAMES = {
    "megatron-lm": "Megatron-LM",
    "torchtitan": "torchtitan",
    "deepspeed": "DeepSpeed",
    "internevo": "InternEvo",
    "automodel": "AutoModel",
}


def rows() -> dict[str, list[str]]:
    found = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if match := re.fullmatch(r"`([a-z0-9-]+)`", cells[0]):
            found[match[1]] = cells
    return found


def test_all_are_listed() -> None:
    assert rows().keys() == SCHEDULES.keys()


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_with_their_paper_and_their_frameworks(name: str) -> None:
    _, paper, runs_on, *_ = rows()[name]
    kind = SCHEDULES[name]
    for number in re.findall(r"arXiv:[0-9.]+[0-9]", kind.source):
        assert number in paper
    assert kind.source.split(",")[0].split(" (")[0].removesuffix(" 2024") in paper
    for support in kind.runs_on:
        if support.framework in ("composer", "accelerate", "fms-fsdp"):
            continue
        expected = NAMES[support.framework]
        if support.provider.startswith("deepseek-ai"):
            expected = support.provider
        assert expected in runs_on
        if support.mainline:
            assert expected in runs_on.split(";")[0]
