"""docs/files.md: its examples load, and together with what is shipped they state every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from planner import api
from planner.specs.load import load_cluster, load_device, load_model, load_software
from planner.specs.runs.build import load_runs
from planner.specs.serving_load import load_serving_load
from tests.development.documents import ROOT, fences
from tools.site.keys import keys_of
from tools.site.reference import KINDS, example_of, examples

PAGE = ROOT / "docs" / "files.md"
FENCES = {fence.title: fence for fence in fences(PAGE) if fence.title.endswith(".yaml")}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    for title, fence in FENCES.items():
        (tmp_path / title).write_text(fence.text, encoding="utf-8")
    hosts = [*(f"gpu{i:02}" for i in range(1, 5)), *(f"rack-{i:02}" for i in range(1, 19))]
    rows = [",".join(["GB/s", *hosts]), *(f"{host}" + "," * len(hosts) for host in hosts)]
    (tmp_path / "bandwidth.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    line = '{"timestamp": %d, "input_length": 600, "output_length": 20, "hash_ids": [1, 2]}'
    trace = "\n".join(line % at for at in (0, 500))
    (tmp_path / "requests.jsonl").write_text(trace, encoding="utf-8")
    counts = '{"logical_count": [[3, 1], [2, 2]]}'
    (tmp_path / "routing.json").write_text(counts, encoding="utf-8")
    return tmp_path


def test_every_example_loads(written: Path) -> None:
    for title in FENCES:
        path, kind = str(written / title), title.partition("-")[0]
        if kind == "cluster":
            assert load_cluster(path).num_nodes == 22
        elif kind == "model":
            assert load_model(path).num_layers > 0
        elif kind == "device":
            assert load_device(path).memory.capacity.value > 0
        elif kind == "load":
            load = load_serving_load(path)
            assert load.slo or load.offline or load.is_open
        elif kind == "runs":
            assert len(load_runs(Path(path)).runs) == 2
        else:
            merged = _merged(load_software("megatron-core").model_dump(mode="json"), path)
            (written / "merged.yaml").write_text(yaml.safe_dump(merged), encoding="utf-8")
            assert load_software(str(written / "merged.yaml")).framework == "megatron-lm"


def _merged(base: dict[str, Any], path: str) -> dict[str, Any]:
    tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    for key, value in tree.items():
        base[key] = {**base[key], **value} if isinstance(value, dict) else value
    return base


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_explained(kind: str) -> None:
    """By an example, by what it means, or both; nearly all by an example."""
    shown = examples(kind)
    keys = keys_of(api.schema(kind), without=KINDS[kind].inside)
    lacking = [key for key in keys if example_of(key.path, shown) is None]
    assert [key.path for key in lacking if not key.meaning] == []
    assert len(lacking) < len(keys) / 10
