"""Every type's parameters equal those of the model that transformers builds from the same config.

The counts are in `data/transformers_counts.json`, written by `count_with_transformers.py`; where
transformers is installed, it is asked again.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner.importers.huggingface.classes import READ
from planner.importers.huggingface.config import config_model
from planner.importers.huggingface.facts import facts
from planner.importers.huggingface.types import TYPES
from planner.specs.files.json_file import parse_json
from planner.specs.load import load_software, parse_model
from planner.workload.layers import layer_kinds, layer_operators
from planner.workload.parameters import parameter_counts
from planner.workload.shard import Shard
from planner.workload.workload import Workload

if TYPE_CHECKING:
    from types import ModuleType

    from planner.specs.model.spec import ModelSpec

HERE = Path(__file__).parent
TREE: dict[str, Any] = json.loads((HERE / "data" / "transformers_counts.json").read_text())
COUNTS: dict[str, list[dict[str, Any]]] = TREE["counts"]
INCOMPLETE = ("deepseek_v2", "dots1", "glm4_moe", "nemotron")
"""Classes whose defaults make no model: nothing chosen of the experts, heads that do not divide."""
CASES = [(kind, number) for kind, drawn in COUNTS.items() for number in range(len(drawn))]


def read(config: dict[str, Any]) -> ModelSpec:
    text = json.dumps(config).encode()
    model, _ = config_model(parse_json(text.decode(), "config.json"), assume=None)
    return parse_model({"name": "model", "make_vocab_size_divisible_by": 1, **model})


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_count(kind: str, number: int) -> None:
    case = COUNTS[kind][number]
    assert parameter_counts(read(case["config"])).total == case["parameters"]


def test_every_type_is_counted() -> None:
    assert set(COUNTS) == set(READ)
    assert TREE["transformers"] == facts().transformers


def test_the_documentation_lists_every_type() -> None:
    text = (HERE.parents[1] / "docs" / "import.md").read_text(encoding="utf-8")
    assert [kind for kind in READ if kind not in text.replace("\n", " ")] == []


def test_counts_tell_types_apart() -> None:
    """Two types read alike would hide one that is read wrong."""
    assert len({case["parameters"] for drawn in COUNTS.values() for case in drawn}) > 200


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_operators_hold_the_parameters(kind: str, number: int) -> None:
    """What the layers' operators own on one device is the whole model: memory and time see all."""
    model = read(COUNTS[kind][number]["config"])
    workload = Workload(
        model=model,
        software=load_software("megatron-core"),
        precision="bf16",
        seq_length=64,
        expert_imbalance=1.0,
        shard=Shard(),
    )
    kinds = ("embedding", *layer_kinds(model), "head")
    owned = sum(
        operator.parameters for kind in kinds for operator in layer_operators(workload, kind)
    )
    tied = model.vocab_size * model.hidden_size if model.tie_embeddings else 0
    assert owned - tied == parameter_counts(model).total


def _script() -> ModuleType:
    path = HERE / "count_with_transformers.py"
    spec = importlib.util.spec_from_file_location("count_with_transformers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", READ)
def test_transformers_still_counts_the_same(kind: str) -> None:
    pytest.importorskip("transformers", reason="the transformers extra is not installed")
    for case in COUNTS[kind]:
        assert _script().parameters(case["config"]) == case["parameters"]


@pytest.mark.parametrize("kind", TYPES)
def test_all_keys_of_a_class_are_welcome(kind: str) -> None:
    """A file that states every default of its class is no stranger's file."""
    transformers = pytest.importorskip("transformers", reason="the extra is not installed")
    like = kind if kind in READ else TYPES[kind].class_name
    mapping = transformers.models.auto.configuration_auto.CONFIG_MAPPING
    if like not in mapping or kind in INCOMPLETE:
        pytest.skip("another name, or defaults that make no model")
    config = json.loads(mapping[like]().to_json_string(use_diff=False))
    read({**config, "model_type": kind})
