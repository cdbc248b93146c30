"""The smallest cluster for a job."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any, cast

import yaml

from planner import __version__
from planner.alarm import enforced
from planner.api.answers import PricedPlan
from planner.api.effects import check_model_options
from planner.api.inputs import load_cluster, load_model
from planner.api.keywords import JobKeywords, takes
from planner.api.scenarios import AskedJob
from planner.api.shipped import cluster_template
from planner.budget import Budget, OutOfTime
from planner.errors import InputError, NothingFits, TimeRanOut
from planner.plan_document.write_estimate import estimate_fields
from planner.plan_document.write_plan import plan_fields
from planner.specs import ranges
from planner.specs.units import UnitError, parse_duration
from planner.training.lifetime.goodput import goodput_bound
from planner.training.search.smallest import smallest
from planner.wording.units import plural

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.plan import Estimate
    from planner.specs.cluster.spec import ClusterSpec
    from planner.training.scenario import Scenario
    from planner.training.search.smallest import Smallest

SCHEMA_ID = "planner/size/1"
SIZES = (16, 128, 1024, 4096)
"""Numbers of nodes up to which a cluster is looked for, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """The fewest devices on which a job fits (`fit`), and on which it ends in time (`target`): the
    best plan on each. `target` is None where no time is asked for, or no number of devices up to
    `most_nodes` keeps it.

    >>> from planner import api
    >>> sized = api.size("gpt-1.7b", device="a100-sxm-80gb", global_batch_size=64, nodes=2)
    >>> sized.fit.plan.degrees.devices
    1
    """

    scenario: Scenario = field(repr=False)
    fit: PricedPlan
    target: PricedPlan | None
    within_s: float | None
    most_nodes: int

    @property
    def best(self) -> PricedPlan:
        """The plan for the target, else on the fewest devices."""
        return self.fit if self.target is None else self.target

    @property
    def document(self) -> dict[str, Any]:
        """What `planner size --json` prints."""
        return _result(self.within_s, self.most_nodes, self.fit, self.target)


class FitsNowhere(NothingFits):
    """The job fits on no number of nodes; `document` is what `planner size --json` prints."""

    def __init__(self, most_nodes: int, within_s: float | None) -> None:
        super().__init__(f"the job fits on no number of nodes up to {most_nodes:,}")
        self.document = _result(within_s, most_nodes, None, None)


def _result(
    within_s: float | None, most_nodes: int, fit: PricedPlan | None, target: PricedPlan | None
) -> dict[str, Any]:
    return {
        "schema": SCHEMA_ID,
        "planner_version": __version__,
        "within_s": within_s,
        "most_nodes": most_nodes,
        "fit": None if fit is None else _document(fit),
        "target": None if target is None else _document(target),
    }


def _document(one: PricedPlan) -> dict[str, Any]:
    return {
        "devices": one.plan.degrees.devices,
        "nodes": len(one.plan.placement.hosts),
        **plan_fields(one.plan),
        "estimate": estimate_fields(one.estimate),
    }


@takes(JobKeywords)
def size(
    model: ModelLike,
    *,
    device: str | None = None,
    cluster: ClusterLike | None = None,
    within: str | float | None = None,
    time_limit_s: float | None = None,
    **options: Unpack[JobKeywords],
) -> Sized:
    """The fewest devices on which a job fits, and with `tokens` and `within` (such as "30d", or
    seconds) the fewest that end it in that time, with the best plan on each.

    Nodes are those that usually hold the `device` (`cluster_template`), or those of `cluster`, a
    cluster of equal nodes. `nodes` is the most that are looked at, by default those of the cluster,
    or 4,096.

    Raises: InputError; NothingFits where the job fits on no number of devices; TimeRanOut.

    >>> from planner import api
    >>> sized = api.size("gpt-1.7b", device="a100-sxm-80gb", global_batch_size=64, nodes=2,
    ...                  tokens="300B", within="60d")
    >>> sized.target.estimate.job_s < 60 * 86400
    True
    """
    limit_s = ranges.duration_s("--time-limit", time_limit_s)
    within_s = _within_s(within)
    asked = AskedJob.of(options)
    if asked.devices is not None:
        raise InputError("--devices: how many are needed is the question", hint="give --nodes")
    nodes_of = _nodes_of(device, cluster)
    loaded, budget = load_model(model), Budget.lasting(limit_s)
    check_model_options(loaded, asked.settings, asked.expert_imbalance)
    most = _most_nodes(asked, nodes_of(1) if device is not None else nodes_of(0))
    longest_s = None if within_s is None else within_s / _steps(nodes_of, loaded, asked)
    try:
        with enforced(budget):
            fit = _first(nodes_of, loaded, asked, most, inf, lambda _: True, budget)
            if fit is None:
                raise FitsNowhere(most, within_s)
            target = None
            if within_s is not None and longest_s is not None:

                def in_time(found: Estimate) -> bool:
                    return found.job_s is not None and found.job_s <= within_s

                target = _first(nodes_of, loaded, asked, most, longest_s, in_time, budget)
    except OutOfTime:
        raise TimeRanOut("--time-limit: time ran out before the answer was found") from None
    return Sized(
        scenario=fit.scenario,
        fit=_priced(fit),
        target=None if target is None else _priced(target),
        within_s=within_s,
        most_nodes=most,
    )


def _priced(found: Smallest) -> PricedPlan:
    return PricedPlan(scenario=found.scenario, ranked=found.ranked)


def _within_s(within: str | float | None) -> float | None:
    if within is None:
        return None
    if isinstance(within, (int, float)) and not isinstance(within, bool):
        if within > 0:
            return float(within)
        raise InputError(f"--within: a time above 0 is needed, found {within!r}")
    try:
        return parse_duration(within)
    except UnitError as error:
        raise InputError(f"--within: {error}") from error


def _nodes_of(device: str | None, cluster: ClusterLike | None) -> Callable[[int], ClusterSpec]:
    """The cluster with so many nodes; with 0 as it is."""
    if (device is None) == (cluster is None):
        raise InputError("give --device or --cluster: one of them says which nodes there are")
    if cluster is not None:
        given = load_cluster(cluster)
        if len(given.node_groups) > 1:
            raise InputError(
                f"--cluster: {given.name} has several groups of nodes; one kind of node is sized"
            )
        return lambda nodes: given.sized(nodes=nodes) if nodes else given

    def usual(nodes: int) -> ClusterSpec:
        text = cluster_template(str(device), nodes=nodes, name="sized")
        return load_cluster(cast("dict[str, object]", yaml.safe_load(text)))

    return usual


def _most_nodes(asked: AskedJob, cluster: ClusterSpec) -> int:
    known = cluster.num_nodes if cluster.name != "sized" else None
    if known is not None and asked.nodes is not None and asked.nodes > known:
        raise InputError(
            f"--nodes: cluster {cluster.name} has {plural(known, 'node')}, fewer than the "
            f"{asked.nodes:,} asked for",
            hint="--device looks at any number of nodes",
        )
    limits = [one for one in (asked.nodes, known) if one is not None]
    return min(limits, default=SIZES[-1])


def _steps(nodes_of: Callable[[int], ClusterSpec], model: ModelLike, asked: AskedJob) -> float:
    """Of the whole job. Raises: InputError where nothing says how many tokens it has."""
    job = replace(asked, nodes=1).scenario(nodes_of(1), load_model(model)).job
    if job.tokens is None:
        raise InputError("--within: nothing says how many tokens the job has", hint="give --tokens")
    return job.tokens / (job.global_batch_size * job.seq_length)


def _first(
    nodes_of: Callable[[int], ClusterSpec],
    model: Any,
    asked: AskedJob,
    most: int,
    longest_s: float,
    enough: Callable[[Estimate], bool],
    budget: Budget,
) -> Smallest | None:
    """The answer on the first range of nodes that has one."""
    limits = [*(size for size in SIZES if size < most), most]
    for limit in limits:
        scenario = replace(asked, nodes=limit).scenario(nodes_of(limit), model)
        lasting_s = longest_s * goodput_bound(replace(asked, nodes=1).scenario(nodes_of(1), model))
        found = smallest(scenario, lasting_s, enough, budget)
        if found is not None:
            return found
    return None
