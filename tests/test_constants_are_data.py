"""Numbers of hardware, libraries and frameworks stand in YAML with basis and source. What is left
in modules of formulas is mathematics, a number format, or effort of a search; it is listed here."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import BaseModel

from planner.specs.device import DeviceSpec
from planner.specs.files.fields import Constant
from planner.specs.software import SoftwareProfile

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[1]
ROOMS = (
    "hardware",
    "serving",
    "workload",
    "training/batch.py",
    "training/costs.py",
    "training/estimate.py",
    "training/scenario.py",
    "training/layer",
    "training/memory",
    "training/step",
)
ALLOWED = {
    "hardware/device.py": {"ELEMENT_BYTES": "number formats"},
    "hardware/ideal.py": {"_MOST_MEASURED": "effort"},
    "hardware/kernels.py": {
        "_BACKWARD_QUERY_PRODUCTS": "the algorithm of fused attention",
        "_BACKWARD_VALUE_PRODUCTS": "the algorithm of fused attention",
        "_STANDARD_HEAD": "what efficiencies in device files are relative to",
    },
    "hardware/links.py": {"_RANKS_LOOKED_AT": "effort"},
    "serving/scenario.py": {"WEIGHT_BYTES": "number formats", "KV_BYTES": "number formats"},
    "serving/step.py": {"_GRID": "effort"},
    "serving/held.py": {"_MOST_BYTES": "effort"},
    "serving/memory.py": {
        "_KEPT": "hidden states alive after the last layer",
        "_LOGIT_BYTES": "a number format",
        "_BUFFERS": "tensors that the layer's operators need at once",
    },
    "serving/layer/attention.py": {
        "_PRODUCTS": "the algorithm of attention",
        "_SPARSE_HEADS": "the algorithm of attention",
    },
    "serving/layer/layers.py": {"_MLP_PRODUCTS"},
    "serving/load/lengths.py": {
        "_GOLDEN": "an even sequence",
        "_PARTS": "effort",
        "_STRATA": "effort",
        "_BLOCKS": "effort",
        "_SEED": "an even sequence",
    },
    "serving/load/steady.py": {"_ROUNDS": "effort"},
    "serving/deployment.py": {"FULL": "a tolerance", "_HALVINGS": "effort"},
    "serving/placement.py": {"_ROUNDING": "a tolerance"},
    "serving/limits.py": {"KEPT": "a tolerance"},
    "serving/search/equal.py": {"_CLOSEST": "how many are shown", "NOTHING": "a bound without any"},
    "serving/search/levels.py": {
        "_RATIO": "effort",
        "_BEYOND": "where more requests only wait",
        "_MOST_COUNTS": "effort",
        "_MOST_LEVELS": "effort",
    },
    "serving/search/columns.py": {"READ_SHARES": "effort", "_HALVINGS": "effort"},
    "serving/search/mixing.py": {
        "_ROUNDS": "effort",
        "_TIGHTER": "effort",
        "_USED": "a tolerance",
        "_SAME": "a tolerance",
        "_MANY": "effort",
        "_BOUND_WITHIN": "effort",
    },
    "serving/search/relaxed.py": {
        "_PRICES": "effort",
        "_FINER": "effort",
        "_FREE": "a bound without any",
    },
    "serving/search/simulated.py": {"_CONCAVE": "a tolerance"},
    "serving/search/tightening.py": {"_MOST": "effort", "_CLOSE": "effort"},
    "serving/search/search.py": {"_FRONT_SETTINGS": "effort"},
    "serving/search/ranking.py": {"_SAME": "a tolerance"},
    "serving/search/rates.py": {"SETTLED": "a tolerance"},
    "serving/search/streams.py": {
        "_ROUNDS": "effort",
        "_USED": "a tolerance",
        "_TIGHTER": "effort",
    },
    "serving/search/open_search.py": {"_FRONT_POINTS": "how many are shown"},
    "serving/search/shortfall.py": {"_LOW": "effort", "_TIMES": "wording of a message"},
    "serving/heads.py": {"_MOST_NAMED": "length of a message"},
    "serving/search/space.py": {"_CHUNKS": "the space"},
    "serving/search/degrees.py": {
        "_STAGES": "the space",
        "_MOST_STAGES": "the space",
        "_MOST_NAMED": "length of a message",
    },
    "serving/load/arrivals.py": {"DRAWN": "effort", "WARM_UP": "effort"},
    "serving/open_estimate.py": {"_SATURATED": "effort", "_FEWEST_ROUNDS": "effort"},
    "serving/estimate.py": {"_ENOUGH": "effort", "_FEWEST_ROUNDS": "effort"},
    "workload/formats.py": {
        "STATE_BYTES": "number formats",
        "MOMENT_BYTES": "number formats",
        "QUANTIZED_BYTES": "number formats",
    },
    "workload/sparse_attention.py": {"_SCORE_BYTES": "a number format"},
    "training/batch.py": {"OUTER_KINDS": "a place in an array"},
    "training/memory/in_flight.py": {"_SAME": "a tolerance"},
    "training/step/sends.py": {"_MASK_BYTES": "a number format"},
    "training/step/vocabulary.py": {
        "RESCALED_BYTES": "traffic of an algorithm",
        "CAST_BYTES": "traffic of an algorithm",
        "SCALARS": "traffic of an algorithm",
    },
}
"""Modules, their numbers, and what those are."""


def numbers(source: str) -> Iterator[str]:
    """Names that a module gives to values with numbers in them."""
    for node in ast.parse(source).body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        if any(
            isinstance(part, ast.Constant) and type(part.value) in (int, float)
            for part in ast.walk(node.value)
        ):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                part.id
                for target in targets
                for part in ast.walk(target)
                if isinstance(part, ast.Name)
            )


def modules() -> dict[str, set[str]]:
    package = ROOT / "planner"
    found: dict[str, set[str]] = {}
    for room in ROOMS:
        place = package / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            named = set(numbers(path.read_text(encoding="utf-8")))
            if named:
                found[path.relative_to(package).as_posix()] = named
    return found


def test_modules_of_formulas_hold_no_other_numbers() -> None:
    assert modules() == {module: set(names) for module, names in ALLOWED.items()}


def test_numbers_are_seen_however_they_are_written() -> None:
    assert list(numbers("A = 0.4\nB: float = 1 / 3\nC, D = 2, 'x'\nE = {'a': 1}\nF = 'x'")) == [
        *("A", "B", "C", "D", "E")
    ]


def constants(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    """Constants that may be left out, by their place, and what they are then."""
    for name, field in model.model_fields.items():
        default = field.default
        if isinstance(default, Constant):
            yield f"{above}{name}", default
        elif isinstance(default, BaseModel):
            yield from held(default, f"{above}{name}.")
        elif isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
            yield from constants(field.annotation, f"{above}{name}.")


def held(part: BaseModel, above: str) -> Iterator[tuple[str, Any]]:
    """Constants of a part that stands in where a file leaves it out."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Constant):
            yield f"{above}{name}", value
        elif isinstance(value, BaseModel):
            yield from held(value, f"{above}{name}.")


def leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in tree.items():
        if not isinstance(value, dict):
            continue
        if "value" in value:
            yield f"{above}{key}", value
        else:
            yield from leaves(value, f"{above}{key}.")


WITHOUT_PROVENANCE = {
    "device": {"matmul.tiles"},
    "software": {
        "fused.shortest_softmax",
        "fused.longest_softmax",
        "fused.softmax_rows",
        "full_sharding.units_gathered",
        "full_sharding.units_reduced",
        "workspaces.handles",
    },
}
"""Fields that hold the bare value."""


@pytest.mark.parametrize(("kind", "model"), [("device", DeviceSpec), ("software", SoftwareProfile)])
def test_what_a_file_leaves_out_comes_from_the_general_file(
    kind: str, model: type[BaseModel]
) -> None:
    text = (ROOT / "defaults" / f"{kind}.yaml").read_text(encoding="utf-8")
    general = dict(leaves(yaml.safe_load(text)))
    taken = dict(constants(model))
    assert set(taken) | WITHOUT_PROVENANCE[kind] == set(general)
    for place, constant in taken.items():
        stated = general[place]
        assert (constant.basis, constant.source) == (stated["basis"], stated["source"]), place


@pytest.mark.parametrize(
    "module",
    [
        "device",
        "device_parts",
        "software",
        "software_parts",
        "software_offload",
        "experts",
        "library",
        "engine",
    ],
)
def test_no_field_of_a_constant_has_a_number_for_a_default(module: str) -> None:
    """Counts that are switches, such as `loss_copies`, may be 0."""
    source = (ROOT / "planner" / "specs" / f"{module}.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            found = [
                part.value
                for part in ast.walk(node.value)
                if isinstance(part, ast.Constant) and type(part.value) in (int, float)
            ]
            assert not any(found), ast.unparse(node)
