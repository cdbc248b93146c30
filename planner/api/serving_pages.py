"""Serving plans as an HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.api.serving_exports import export_all_serving
from planner.errors import PlannerError
from planner.plan_document.nodes import parse_text, read_file, split_rank
from planner.plan_document.serving.read import read_serving_plan
from planner.reports.page.serving import serving_page

if TYPE_CHECKING:
    from planner.api.inputs import ClusterLike, ModelLike


def report_serving(
    plans: str, *, cluster: ClusterLike | None = None, model: ModelLike | None = None
) -> str:
    """The page of a document of serving plans. What launches the first plan is left out where its
    cluster or model is not found. Raises: InputError for a file that holds no serving plans."""
    read_serving_plan(plans)
    path, _ = split_rank(plans)
    text = read_file(path).text
    try:
        launches = export_all_serving(f"{path}#1", cluster=cluster, model=model)
    except PlannerError:
        launches = {}
    return serving_page(parse_text(text, path).value, text, launches)
