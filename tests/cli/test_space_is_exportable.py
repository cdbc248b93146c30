"""What a search finds under a software profile, the exporter of its framework can say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from planner.specs.files.catalog import list_shipped
from planner.specs.load import load_software
from tests.every_instance import EVERY_INSTANCE
from tests.fuzz.exports import OWN_FORMATS, PUBLISHED_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

PROFILES = {
    name: load_software(name)
    for name in sorted(set(list_shipped("software")) - set(PUBLISHED_ONLY))
    if load_software(name).framework in OWN_FORMATS
}
FIRST = tuple({profile.framework: name for name, profile in reversed(PROFILES.items())}.values())
"""One profile of each framework."""
WHOLE = "--recompute=none,selective,full"
"""Layers as they are recomputed without a choice of modules."""
JOBS = (
    ("llama-3-8b", "dgx-h100-16", "16"),
    ("llama-2-13b", "dgx-a100-16", "32"),
    ("qwen3-30b-a3b", "dgx-h100-16", "64"),
)


@pytest.mark.parametrize("software", PROFILES)
@pytest.mark.parametrize(("model", "cluster", "batch"), JOBS, ids=[job[0] for job in JOBS])
def test_every_plan_found_is_exported(
    planner: Run, tmp_path: Path, software: str, model: str, cluster: str, batch: str
) -> None:
    profile = PROFILES[software]
    target = OWN_FORMATS[profile.framework]
    if model == "qwen3-30b-a3b" and (profile.expert.looped or "expert" not in profile.axes):
        pytest.skip("no mixtures")
    if not EVERY_INSTANCE and model == "qwen3-30b-a3b" and software not in FIRST:
        pytest.skip("one profile of each framework")
    if model == "llama-2-13b" and (software not in FIRST or target == "torchtitan"):
        pytest.skip("one profile of each framework, and torchtitan has no such sizes")
    path = tmp_path / "plans.json"
    # Modules are chosen under one profile of each framework: the exporter writes them alike.
    chosen = () if EVERY_INSTANCE or software in FIRST else (WHOLE,)
    found = planner("search", f"--cluster={cluster}", f"--model={model}", "--nodes=1", "--top=10",
                    f"--global-batch-size={batch}", "--seq-length=4096",
                    f"--software={software}", f"--output={path}", *chosen)  # fmt: skip
    assert found.code == 0, found.stderr
    plans = json.loads(path.read_text())["plans"]
    assert plans
    refused = {}
    for plan in plans:
        done = planner("export", f"{path}#{plan['rank']}", f"--format={target}")
        if done.code:
            refused[plan["rank"]] = done.stderr
    assert not refused


MIXED = """
node_groups:
  - name: a
    count: 1
    device: a100-sxm-40gb
    devices_per_node: 4
    intra_node: {bandwidth: 300 GB/s}
    network: {cards: 4, bandwidth: 25 GB/s}
  - name: b
    count: 1
    device: h100-sxm-80gb
    devices_per_node: 4
    intra_node: {bandwidth: 450 GB/s}
    network: {cards: 4, bandwidth: 50 GB/s}
"""


@pytest.mark.parametrize("software", FIRST)
def test_every_plan_found_on_mixed_devices_is_exported(
    planner: Run, tmp_path: Path, software: str
) -> None:
    """Where layers are recomputed, and some device types have more room than others."""
    target = OWN_FORMATS[PROFILES[software].framework]
    cluster, path = tmp_path / "mixed.yaml", tmp_path / "plans.json"
    cluster.write_text(MIXED)
    found = planner("search", f"--cluster={cluster}", "--model=llama-3-8b", "--top=3",
                    "--global-batch-size=32", "--seq-length=8192", "--recompute=full",
                    "--pipeline=1,2", "--tensor=2,4", "--schedule=1f1b", "--micro-batch-size=1",
                    f"--software={software}", f"--output={path}")  # fmt: skip
    assert found.code == 0, found.stderr
    plans = json.loads(path.read_text())["plans"]
    assert plans
    for plan in plans:
        given = f"{path}#{plan['rank']}"
        done = planner("export", given, f"--cluster={cluster}", f"--format={target}")
        assert done.code == 0, done.stderr
        again = planner("estimate", f"--plan={given}", f"--cluster={cluster}", "--model=llama-3-8b")
        assert again.code == 0, again.stderr
