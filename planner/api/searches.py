"""The best plans for a model on a cluster."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from planner.alarm import enforced
from planner.api.answers import FoundPlans
from planner.api.decisions import decisions_of
from planner.api.effects import check_model_options
from planner.api.inputs import load_cluster, load_model
from planner.api.keywords import SearchKeywords, takes
from planner.api.objectives import objective_of
from planner.api.profiles import fastest_profile, named_profiles
from planner.api.scaling import scaled
from planner.api.scenarios import AskedJob
from planner.budget import Budget, OutOfTime
from planner.errors import InputError, TimeRanOut
from planner.specs import ranges
from planner.training.search import search as engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
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
    cloud: bool = False,
    idle: bool = True,
    scaling: Iterable[int] | None = None,
    rank_by: str | None = None,
    budget: str | float | None = None,
    at_least: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    **options: Unpack[SearchKeywords],
) -> FoundPlans:
    """The `top` fastest plans that fit, and how far they are proven best.

    Axes such as `tensor` narrow the search to one value or to several. `robust` is a share: plans
    are ranked by the worst case, in which every bandwidth between nodes is lower by it. Plans may
    leave nodes idle where all are alike, unless `idle` is false. With
    `cloud`, `search.cloud` holds every combination that fits, for the picture on the page; with
    `scaling`, `search.scaling` holds the best plan on each of these numbers of nodes. The search
    calls `progress` now and then. A time limit, or Ctrl-C, ends it with the best plans found so
    far, and `search.stopped` says so. Without any plan that fits, `plans` is empty.

    With `rank_by` "goodput" plans are ranked by the tokens of the long run, failures included; with
    "cost" by the price of a step. `budget` is the most that the whole job may cost ("40M"), or a
    step ("0.5/step"), `at_least` the fewest tokens per second. The cluster file has to state prices
    and how often it fails. Where all nodes are alike, every number of nodes counts.

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
    profiles = named_profiles(options.get("software"))
    if profiles:
        each_s = None if limit_s is None else limit_s / len(profiles)

        def under(name: str) -> FoundPlans:
            given: dict[str, Any] = {**options, "software": name}
            return search(
                cluster,
                model,
                top=top,
                time_limit_s=each_s,
                robust=robust,
                cloud=cloud,
                scaling=scaling,
                idle=idle,
                rank_by=rank_by,
                budget=budget,
                at_least=at_least,
                progress=progress,
                **given,
            )

        return fastest_profile(profiles, under)
    if cloud and share is not None:
        raise InputError(
            "--cloud and --robust are both given; a cloud bounds steps on links as described"
        )
    objective = objective_of(rank_by, budget, at_least)
    if not objective.plain and (cloud or share is not None):
        raise InputError("--rank-by, --budget and --at-least go without --cloud and --robust")
    effort = Budget.lasting(limit_s)
    restrictions, asked = decisions_of(options), AskedJob.of(options)
    try:
        with enforced(effort):
            loaded = load_model(model)
            check_model_options(loaded, asked.settings, asked.expert_imbalance)
            scenario = asked.searched(load_cluster(cluster), loaded)
    except OutOfTime:
        raise TimeRanOut(
            "--time-limit: time ran out while the inputs were read; nothing was searched"
        ) from None
    run = partial(
        engine.search,
        restrictions=restrictions,
        top=count or 1,
        progress=progress,
        cloud=cloud,
        idle=idle and asked.devices is None,
    )
    sizes = _sizes(scaling)
    if not objective.plain:
        from planner.training.search.ranked import search_ranked

        result = search_ranked(
            scenario,
            objective,
            restrictions=restrictions,
            top=count or 1,
            budget=effort,
            progress=progress,
            idle=idle and asked.devices is None,
        )
    elif share is None:
        result = run(scenario, budget=effort)
    else:
        from planner.training.search.robust import search_worst_case

        result = search_worst_case(scenario, share, run, effort)
    may = idle and asked.devices is None
    sized = scaled(asked, cluster, loaded, sizes, restrictions, idle=may, budget=effort)
    return FoundPlans(scenario=scenario, search=replace(result, scaling=tuple(sized)))


def _sizes(scaling: Iterable[int] | None) -> tuple[int, ...]:
    """Numbers of nodes, each once, the smallest first. Raises: InputError."""
    given = () if scaling is None else scaling
    found = (ranges.whole("--scaling", one, most=ranges.MOST_NODES) for one in given)
    return tuple(sorted({one for one in found if one is not None}))
