"""Serving plans side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.api.serving_plans import estimate_serving_plan
from planner.comparison.serving import ServedSide, to_serving_comparison
from planner.errors import InputError
from planner.plan_document.serving.kind import is_serving_document

if TYPE_CHECKING:
    from planner.api.inputs import ClusterLike, ModelLike


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingComparison:
    """Serving plans side by side. The others are compared with the first."""

    sides: tuple[ServedSide, ...]

    @property
    def document(self) -> dict[str, Any]:
        """What `planner compare --json` prints."""
        return to_serving_comparison(self.sides)


def compare_serving(
    *plans: str, cluster: ClusterLike | None = None, model: ModelLike | None = None
) -> ServingComparison:
    """Two serving plans or more of documents, `FILE#rank`, side by side: what differs in their
    pools, and what each does with its own load. Cluster and model are those that a plan was made
    for unless they are given.

    Raises: InputError, with its place; RuleError for a plan that its engine cannot run.

    >>> from pathlib import Path
    >>> from planner import api
    >>> load = Path("load.yaml")
    >>> _ = load.write_text("requests: {input: 512, output: 64}\\nconcurrency: 8\\n")
    >>> found = api.search_serving(
    ...     "dgx-h100-16", "llama-3-8b", load, nodes=1, pipeline=1, disaggregated=False, top=2
    ... )
    >>> _ = Path("plans.json").write_text(api.to_text(found))
    >>> compared = api.compare_serving("plans.json#1", "plans.json#2")
    >>> first, second = compared.document["figures"]["output_tokens_per_s"]
    >>> first >= second
    True
    """
    if len(plans) < 2:
        raise InputError("compare needs two plans or more")
    for plan in plans:
        if not is_serving_document(plan):
            raise InputError(
                f"{plan} is no serving plan, and others are; a comparison takes plans of one kind"
            )
    priced = [(plan, estimate_serving_plan(plan, cluster, model)) for plan in plans]
    return ServingComparison(
        sides=tuple(
            ServedSide(
                name=plan, cluster=one.job.cluster.name, model=one.job.model.name, offer=one.offer
            )
            for plan, one in priced
        )
    )
