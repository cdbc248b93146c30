"""A repository as a user has it: a cluster, a model, plans, and `planner check` run in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from planner.specs.files.catalog import find_shipped
from tests.cli.conftest import planner as planner

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

GROUP = {
    "name": "a100",
    "count": 2,
    "device": "a100-sxm-80gb",
    "devices_per_node": 8,
    "intra_node": {"bandwidth": "300 GB/s"},
    "network": {"cards": 8, "bandwidth": "25 GB/s"},
}
MODEL = {
    "name": "ours",
    "architecture": "llama",
    "num_layers": 8,
    "hidden_size": 2048,
    "ffn_hidden_size": 5632,
    "num_attention_heads": 16,
    "num_query_groups": 16,
    "head_dim": 128,
    "vocab_size": 32000,
    "seq_length": 2048,
    "training": {"global_batch_size": 64, "precision": "bf16"},
}
EXPERTS = {"num_experts": 8, "top_k": 2, "ffn_hidden_size": 2048}


@dataclass(frozen=True)
class Repository:
    """Files in a folder that is the working directory, and the program run on them."""

    planner: Callable[..., Outcome]

    def write(self, path: str, content: object) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def edit(self, path: str, changes: dict[str, Any]) -> None:
        """Sets values of a YAML or JSON file by dotted path; None takes a key away."""
        file = Path(path)
        load, dump = (json.loads, json.dumps) if file.suffix == ".json" else (yaml.safe_load, _yaml)
        document = load(file.read_text())
        for dotted, value in changes.items():
            *around, last = (int(key) if key.isdigit() else key for key in dotted.split("."))
            place = document
            for key in around:
                place = place[key]
            if value is None:
                del place[last]
            else:
                place[last] = value
        file.write_text(dump(document), encoding="utf-8")

    def plan(self, path: str = "plan.json", **flags: object) -> str:
        """A plan file made by `planner estimate` with these decisions."""
        options = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
        outcome = self.planner(
            "estimate", "--cluster=cluster.yaml", "--model=model.yaml", *options, "--json"
        )
        assert outcome.code in (0, 1), outcome.stderr
        Path(path).write_text(outcome.stdout, encoding="utf-8")
        return path

    def check(self, *arguments: str) -> Outcome:
        return self.planner("check", "--cluster=cluster.yaml", "--model=model.yaml", *arguments)

    def findings(self, *arguments: str) -> list[dict[str, Any]]:
        outcome = self.check(*arguments, "--json")
        document = json.loads(outcome.stdout)
        return [found for plan in document["plans"] for found in plan["findings"]]

    def codes(self, *arguments: str) -> set[str]:
        return {found["code"] for found in self.findings(*arguments)}


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False)


@pytest.fixture
def repository(
    planner: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Repository:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    made = Repository(planner)
    made.write("cluster.yaml", {"name": "cluster", "node_groups": [GROUP]})
    made.write("model.yaml", MODEL)
    return made


def software(name: str, path: str, changes: dict[str, Any], repository: Repository) -> str:
    """A shipped software profile with changes, in a file of its own."""
    shipped = find_shipped("software", name)
    assert shipped is not None
    Path(path).write_text(shipped.read_text(), encoding="utf-8")
    repository.edit(path, {"name": Path(path).stem, **changes})
    return path
