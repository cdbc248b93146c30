"""The best plans for a model on a cluster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from planner.alarm import enforced
from planner.api.answers import FoundPlans
from planner.api.decisions import decisions_of
from planner.api.inputs import load_cluster, load_model
from planner.api.keywords import SearchKeywords, takes
from planner.api.scenarios import AskedJob
from planner.budget import Budget, OutOfTime
from planner.errors import TimeRanOut
from planner.specs import ranges
from planner.training.search import search as engine
from planner.training.search.robust import search_worst_case

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.training.search.search import Progress


@takes(SearchKeywords)
def search(
    cluster: ClusterLike,
    model: ModelLike,
    *,
    top: int = 10,
    time_limit_s: float | None = None,
    robust: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    **options: Unpack[SearchKeywords],
) -> FoundPlans:
    """The `top` fastest plans that fit, and how far they are proven best.

    Axes such as `tensor` narrow the search to one value or to several. `robust` is a share: plans
    are ranked by the worst case, in which every bandwidth between nodes is lower by it. The search
    calls `progress` now and then. A time limit, or Ctrl-C, ends it with the best plans found so
    far, and `search.stopped` says so. Without any plan that fits, `plans` is empty.

    Raises: InputError for anything wrong in what is given; RuleError when the axes leave no
    combination that the framework allows; TimeRanOut when the time limit passes before the search
    begins.

    >>> from planner import api
    >>> cluster = api.load_cluster("dgx-a100-8")
    >>> found = api.search(cluster, "gpt-7.5b", nodes=2, tensor=(4, 8), recompute="none", top=3)
    >>> sorted({one.plan.degrees.tensor for one in found.plans} - {4, 8})
    []
    >>> found.best.fits
    True
    """
    count = ranges.whole("--top", top, most=ranges.MOST_PLANS)
    limit_s = ranges.duration_s("--time-limit", time_limit_s)
    share = ranges.share("--robust", robust, below=1.0)
    budget = Budget.lasting(limit_s)
    restrictions, asked = decisions_of(options), AskedJob.of(options)
    try:
        with enforced(budget):
            loaded = load_model(model)
            scenario = asked.scenario(load_cluster(cluster), loaded)
    except OutOfTime:
        raise TimeRanOut(
            "--time-limit: time ran out while the inputs were read; nothing was searched"
        ) from None
    run = partial(engine.search, restrictions=restrictions, top=count or 1, progress=progress)
    if share is None:
        result = run(scenario, budget=budget)
    else:
        result = search_worst_case(scenario, share, run, budget)
    return FoundPlans(scenario=scenario, search=result)
