"""What `planner.api` offers: its names, their docstrings, and that the examples in them run."""

from __future__ import annotations

import ast
import doctest
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from planner import api

ROOT = Path(__file__).parents[2]

FUNCTIONS = [
    "calibrate",
    "calibrate_serving",
    "check",
    "cluster_template",
    "compare",
    "compare_clusters",
    "compare_serving",
    "estimate",
    "estimate_serving",
    "estimate_serving_plan",
    "search_serving",
    "explain",
    "explain_serving",
    "export",
    "export_all",
    "export_all_serving",
    "export_folder",
    "export_formats",
    "export_serving",
    "import_cluster",
    "import_model",
    "improve",
    "list_shipped",
    "load_baseline",
    "load_cluster",
    "load_device",
    "load_hosts",
    "load_library",
    "load_model",
    "load_plan",
    "load_plans",
    "load_software",
    "read_launch",
    "replan",
    "report",
    "schema",
    "search",
    "select_rules",
    "serving_formats",
    "shipped_text",
    "size",
    "simulate",
    "sweep",
    "timeline",
    "to_document",
    "to_text",
    "validate",
    "validate_serving",
    "write_import",
    "write_plans",
]
TYPES = [
    "Calibrated",
    "CalibratedEngine",
    "CheckLimits",
    "Checked",
    "ClusterSpec",
    "CollectiveLibrary",
    "Confidence",
    "Degrees",
    "DeviceSpec",
    "DeviceGroup",
    "Estimate",
    "Explanation",
    "Finding",
    "FoundPlans",
    "FoundServing",
    "ImportedCluster",
    "ImportedModel",
    "Inexpressible",
    "Improvement",
    "InputError",
    "JobSpec",
    "LaunchedPlan",
    "ModelSpec",
    "NothingFits",
    "Placement",
    "Plan",
    "PlanComparison",
    "PlannerError",
    "PricedPlan",
    "Progress",
    "PricedServing",
    "PricedServingPlan",
    "ServingComparison",
    "ServingExplanation",
    "ServingWhyNot",
    "Proof",
    "RankedPlan",
    "ReadPlan",
    "Recompute",
    "Replan",
    "RuleError",
    "Scenario",
    "SearchResult",
    "Sized",
    "SoftwareProfile",
    "Stage",
    "SweptStudy",
    "TimeRanOut",
    "ServingValidation",
    "Validation",
]


def test_a_name_is_added_or_removed_on_purpose() -> None:
    assert sorted(api.__all__) == sorted([*FUNCTIONS, *TYPES])


def test_what_type_checkers_see_is_what_there_is() -> None:
    tree = ast.parse(Path(inspect.getfile(api)).read_text(encoding="utf-8"))
    seen = {
        alias.asname: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: module for module, names in api._HOMES.items() for name in names}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_no_modules_of_the_same_name(name: str) -> None:
    assert inspect.isroutine(getattr(api, name))
    assert not isinstance(getattr(api, name), ModuleType)
    assert not (Path(inspect.getfile(api)).parent / f"{name}.py").exists()


@pytest.mark.parametrize("name", [*FUNCTIONS, *TYPES])
def test_every_name_has_a_docstring_of_its_own(name: str) -> None:
    value = getattr(api, name)
    text = value.__doc__
    assert text
    assert not text.startswith(f"{name}("), "the one that dataclass makes"
    if name in FUNCTIONS:
        assert ">>> " in text


@pytest.mark.parametrize("name", [*FUNCTIONS, "FoundPlans", "PricedPlan", "api"])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    value: Any = api if name == "api" else getattr(api, name)
    finder = doctest.DocTestFinder(recurse=False)
    for example in finder.find(inspect.unwrap(value), name, globs={name: value}):
        result = doctest.DocTestRunner().run(example)
        assert result.attempted
        assert not result.failed


@pytest.mark.parametrize("name", [*FUNCTIONS, *TYPES])
def test_every_name_is_in_the_reference(name: str) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert f"`{name}`" in text or f"api.{name}(" in text


@pytest.mark.parametrize("name", ["search", "estimate", "check", "read_launch"])
def test_keywords_are_listed_one_by_one(name: str) -> None:
    parameters = inspect.signature(getattr(api, name)).parameters
    assert {"tensor", "data_sharding", "global_batch_size", "nodes"} <= set(parameters)
    assert all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    with pytest.raises(TypeError, match="unexpected keyword argument 'tensr'"):
        getattr(api, name)(*["x"] * (1 if name == "check" else 2), tensr=4)


def test_the_import_is_light() -> None:
    code = (
        "import sys; from planner import api; "
        "heavy = {'numpy', 'pulp', 'highspy', 'rich', 'pydantic', 'yaml'} & set(sys.modules); "
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'serch'"):
        getattr(api, "serch")  # noqa: B009
    assert set(api.__all__) <= set(dir(api))
