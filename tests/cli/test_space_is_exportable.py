"""What a search finds under a software profile, the exporter of its framework can say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from planner.specs.files.catalog import list_shipped
from planner.specs.load import load_software

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

FORMATS = {"megatron-lm": "megatron-lm", "deepspeed": "deepspeed", "torchtitan": "torchtitan"}
"""The format of each framework that has one."""

JOBS = (
    ("llama-3-8b", "dgx-h100-16", "16"),
    ("llama-2-13b", "dgx-a100-16", "32"),
    ("qwen3-30b-a3b", "dgx-h100-16", "64"),
)
OF_THEIR_OWN = (
    "megatron-lm-2021",
    "megatron-lm-2022",
    "megatron-deepspeed-2022",
    "deepspeed-3d-2021",
)
"""Profiles of published runs, whose frameworks' flags of that time are not written."""


@pytest.mark.parametrize("software", sorted(set(list_shipped("software")) - set(OF_THEIR_OWN)))
@pytest.mark.parametrize(("model", "cluster", "batch"), JOBS, ids=[job[0] for job in JOBS])
def test_every_plan_found_is_exported(
    planner: Run, tmp_path: Path, software: str, model: str, cluster: str, batch: str
) -> None:
    profile = load_software(software)
    target = FORMATS.get(profile.framework)
    if target is None:
        pytest.skip(f"no exporter for {profile.framework}")
    if model == "qwen3-30b-a3b" and (profile.expert.looped or "expert" not in profile.axes):
        pytest.skip("no mixtures")
    if model == "llama-2-13b" and target == "torchtitan":
        pytest.skip("torchtitan has no such sizes")
    path = tmp_path / "plans.json"
    found = planner("search", f"--cluster={cluster}", f"--model={model}", "--nodes=2", "--top=10",
                    f"--global-batch-size={batch}", "--seq-length=4096",
                    f"--software={software}", f"--output={path}")  # fmt: skip
    assert found.code == 0, found.stderr
    plans = json.loads(path.read_text())["plans"]
    assert plans
    refused = {}
    for plan in plans:
        done = planner("export", f"{path}#{plan['rank']}", f"--format={target}")
        if done.code:
            refused[plan["rank"]] = done.stderr
    assert not refused
