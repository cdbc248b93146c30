"""The planner as functions: what the commands answer, in a few lines of Python.

>>> from planner import api
>>> cluster = api.load_cluster("dgx-a100-8")
>>> found = api.search(cluster, "gpt-7.5b", nodes=2, tensor=(4, 8), top=3)
>>> found.plans[0].estimate.step_s < found.plans[-1].estimate.step_s
True

Clusters, models and software profiles are given by name, by path or as values, plans by reference
(`plans.json#2`) or as values. A keyword is called like the command's option and means the same.
Whatever is wrong with what is given raises an error of `planner.errors`, and its message calls a
keyword by its option: `--nodes` is `nodes`. Nothing is printed and nothing is kept between calls.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.api.answers import FoundPlans as FoundPlans
    from planner.api.answers import PricedPlan as PricedPlan
    from planner.api.calibrations import Calibrated as Calibrated
    from planner.api.calibrations import CalibratedEngine as CalibratedEngine
    from planner.api.calibrations import calibrate as calibrate
    from planner.api.calibrations import calibrate_serving as calibrate_serving
    from planner.api.checks import check as check
    from planner.api.checks import load_baseline as load_baseline
    from planner.api.checks import select_rules as select_rules
    from planner.api.comparisons import PlanComparison as PlanComparison
    from planner.api.comparisons import compare as compare
    from planner.api.documents import schema as schema
    from planner.api.documents import to_document as to_document
    from planner.api.documents import to_text as to_text
    from planner.api.documents import write_plans as write_plans
    from planner.api.estimates import estimate as estimate
    from planner.api.estimates import timeline as timeline
    from planner.api.explanations import Explanation as Explanation
    from planner.api.explanations import explain as explain
    from planner.api.exports import export as export
    from planner.api.exports import export_all as export_all
    from planner.api.exports import export_folder as export_folder
    from planner.api.exports import export_formats as export_formats
    from planner.api.imports import import_cluster as import_cluster
    from planner.api.imports import import_model as import_model
    from planner.api.imports import write_import as write_import
    from planner.api.improvements import Improvement as Improvement
    from planner.api.improvements import improve as improve
    from planner.api.inputs import load_cluster as load_cluster
    from planner.api.inputs import load_device as load_device
    from planner.api.inputs import load_hosts as load_hosts
    from planner.api.inputs import load_library as load_library
    from planner.api.inputs import load_model as load_model
    from planner.api.inputs import load_software as load_software
    from planner.api.launches import read_launch as read_launch
    from planner.api.pages import report as report
    from planner.api.plans import load_plan as load_plan
    from planner.api.plans import load_plans as load_plans
    from planner.api.replans import Replan as Replan
    from planner.api.replans import replan as replan
    from planner.api.searches import search as search
    from planner.api.serving import PricedServing as PricedServing
    from planner.api.serving import estimate_serving as estimate_serving
    from planner.api.serving_comparisons import ServingComparison as ServingComparison
    from planner.api.serving_comparisons import compare_serving as compare_serving
    from planner.api.serving_explanations import ServingExplanation as ServingExplanation
    from planner.api.serving_explanations import ServingWhyNot as ServingWhyNot
    from planner.api.serving_explanations import explain_serving as explain_serving
    from planner.api.serving_exports import export_all_serving as export_all_serving
    from planner.api.serving_exports import export_serving as export_serving
    from planner.api.serving_exports import serving_formats as serving_formats
    from planner.api.serving_plans import PricedServingPlan as PricedServingPlan
    from planner.api.serving_plans import estimate_serving_plan as estimate_serving_plan
    from planner.api.serving_searches import FoundServing as FoundServing
    from planner.api.serving_searches import search_serving as search_serving
    from planner.api.shipped import cluster_template as cluster_template
    from planner.api.shipped import shipped_text as shipped_text
    from planner.api.simulations import simulate as simulate
    from planner.api.sizes import Sized as Sized
    from planner.api.sizes import size as size
    from planner.api.sweeps import SweptStudy as SweptStudy
    from planner.api.sweeps import compare_clusters as compare_clusters
    from planner.api.sweeps import sweep as sweep
    from planner.api.validations import validate as validate
    from planner.api.validations import validate_serving as validate_serving
    from planner.checks.check import Checked as Checked
    from planner.checks.check import CheckLimits as CheckLimits
    from planner.checks.finding import Finding as Finding
    from planner.errors import InputError as InputError
    from planner.errors import NothingFits as NothingFits
    from planner.errors import PlannerError as PlannerError
    from planner.errors import RuleError as RuleError
    from planner.errors import TimeRanOut as TimeRanOut
    from planner.exporters.errors import Inexpressible as Inexpressible
    from planner.importers.clusters.importer import ImportedCluster as ImportedCluster
    from planner.importers.launch import LaunchedPlan as LaunchedPlan
    from planner.importers.models import ImportedModel as ImportedModel
    from planner.plan import Confidence as Confidence
    from planner.plan import Degrees as Degrees
    from planner.plan import DeviceGroup as DeviceGroup
    from planner.plan import Estimate as Estimate
    from planner.plan import Placement as Placement
    from planner.plan import Plan as Plan
    from planner.plan import Proof as Proof
    from planner.plan import RankedPlan as RankedPlan
    from planner.plan import Recompute as Recompute
    from planner.plan import Stage as Stage
    from planner.plan_document.read import ReadPlan as ReadPlan
    from planner.specs.cluster.spec import ClusterSpec as ClusterSpec
    from planner.specs.device import DeviceSpec as DeviceSpec
    from planner.specs.files.catalog import list_shipped as list_shipped
    from planner.specs.job import JobSpec as JobSpec
    from planner.specs.library import CollectiveLibrary as CollectiveLibrary
    from planner.specs.model.spec import ModelSpec as ModelSpec
    from planner.specs.software import SoftwareProfile as SoftwareProfile
    from planner.training.scenario import Scenario as Scenario
    from planner.training.search.best_first.run import Progress as Progress
    from planner.training.search.result import SearchResult as SearchResult
    from planner.validation.serving.compare import ServingValidation as ServingValidation
    from planner.validation.validate import Validation as Validation

_HOMES = {
    "planner.api.answers": ("FoundPlans", "PricedPlan"),
    "planner.api.calibrations": (
        "Calibrated",
        "CalibratedEngine",
        "calibrate",
        "calibrate_serving",
    ),
    "planner.api.checks": ("check", "load_baseline", "select_rules"),
    "planner.api.comparisons": ("PlanComparison", "compare"),
    "planner.api.documents": ("schema", "to_document", "to_text", "write_plans"),
    "planner.api.estimates": ("estimate", "timeline"),
    "planner.api.explanations": ("Explanation", "explain"),
    "planner.api.exports": ("export", "export_all", "export_folder", "export_formats"),
    "planner.api.improvements": ("Improvement", "improve"),
    "planner.api.imports": ("import_cluster", "import_model", "write_import"),
    "planner.api.inputs": (
        "load_cluster",
        "load_device",
        "load_hosts",
        "load_library",
        "load_model",
        "load_software",
    ),
    "planner.api.launches": ("read_launch",),
    "planner.api.pages": ("report",),
    "planner.api.plans": ("load_plan", "load_plans"),
    "planner.api.replans": ("Replan", "replan"),
    "planner.api.searches": ("search",),
    "planner.api.serving": ("PricedServing", "estimate_serving"),
    "planner.api.serving_comparisons": ("ServingComparison", "compare_serving"),
    "planner.api.serving_explanations": (
        "ServingExplanation",
        "ServingWhyNot",
        "explain_serving",
    ),
    "planner.api.serving_exports": ("export_all_serving", "export_serving", "serving_formats"),
    "planner.api.serving_plans": ("PricedServingPlan", "estimate_serving_plan"),
    "planner.api.serving_searches": ("FoundServing", "search_serving"),
    "planner.api.shipped": ("cluster_template", "shipped_text"),
    "planner.api.simulations": ("simulate",),
    "planner.api.sweeps": ("SweptStudy", "compare_clusters", "sweep"),
    "planner.api.sizes": ("Sized", "size"),
    "planner.api.validations": ("validate", "validate_serving"),
    "planner.checks.check": ("CheckLimits", "Checked"),
    "planner.checks.finding": ("Finding",),
    "planner.errors": ("InputError", "NothingFits", "PlannerError", "RuleError", "TimeRanOut"),
    "planner.exporters.errors": ("Inexpressible",),
    "planner.importers.clusters.importer": ("ImportedCluster",),
    "planner.importers.launch": ("LaunchedPlan",),
    "planner.importers.models": ("ImportedModel",),
    "planner.plan": (
        "Confidence",
        "Degrees",
        "DeviceGroup",
        "Estimate",
        "Placement",
        "Plan",
        "Proof",
        "RankedPlan",
        "Recompute",
        "Stage",
    ),
    "planner.plan_document.read": ("ReadPlan",),
    "planner.specs.cluster.spec": ("ClusterSpec",),
    "planner.specs.device": ("DeviceSpec",),
    "planner.specs.files.catalog": ("list_shipped",),
    "planner.specs.job": ("JobSpec",),
    "planner.specs.library": ("CollectiveLibrary",),
    "planner.specs.model.spec": ("ModelSpec",),
    "planner.specs.software": ("SoftwareProfile",),
    "planner.training.scenario": ("Scenario",),
    "planner.training.search.best_first.run": ("Progress",),
    "planner.training.search.result": ("SearchResult",),
    "planner.validation.serving.compare": ("ServingValidation",),
    "planner.validation.validate": ("Validation",),
}
"""Where each name comes from: a module is imported when the first of its names is used, so that
`from planner import api` costs nothing."""

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
