"""A plan over the months that it runs: failures, repairs, spare nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from planner.api.comparisons import priced_like
from planner.api.keywords import CheckKeywords, takes
from planner.specs import ranges

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.api.plans import PlanLike
    from planner.resilience.months import SimulatedMonths

MOST_DAYS = 10_000
MOST_LIVES = 100_000
MOST_SPARES = 100_000


@takes(CheckKeywords)
def simulate(
    plan: PlanLike,
    *,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    days: int = 30,
    seeds: int = 1000,
    spares: int | Iterable[int] | None = None,
    note: Callable[[str], None] | None = None,
    **options: Unpack[CheckKeywords],
) -> SimulatedMonths:
    """What a plan gives over so many days, in `seeds` lives that fail at random, with each number
    of `spares`; without them, those that may matter are tried. While nodes are away and no spare is
    left, the job goes on with what `replan` finds for the others.

    The cluster file says how often devices fail and how long repairs and restarts take
    (`reliability:`, with `repair`). The plan is given as to `explain`.

    Raises: InputError, with its place.

    >>> from planner import api
    >>> import dataclasses
    >>> from planner.specs.cluster.reliability import Reliability
    >>> known = Reliability(device_mtbf_s=1e7, restart_s=900, repair_s=86400, spares=0,
    ...     write_bytes_per_s=1e10, read_bytes_per_s=1e10, copy_bytes_per_s=None, stall_s=None,
    ...     interval_s=None)
    >>> cluster = dataclasses.replace(api.load_cluster("dgx-a100-8"), reliability=known)
    >>> priced = api.estimate(cluster, "gpt-1.7b", nodes=2)
    >>> found = api.simulate(priced, spares=[0, 1], seeds=100)
    >>> found.outcomes[0].goodput < found.outcomes[1].goodput < 1
    True
    """
    from planner.resilience.months import simulated_months

    length = ranges.whole("--days", days, most=MOST_DAYS) or 1
    count = ranges.whole("--seeds", seeds, most=MOST_LIVES) or 1
    asked = None
    if spares is not None:
        given = spares if isinstance(spares, Iterable) else (spares,)
        found = (ranges.whole("--spares", one, most=MOST_SPARES, least=0) for one in given)
        asked = [one for one in found if one is not None]
    priced = priced_like(plan, cluster, model, note, options)
    return simulated_months(
        priced.scenario, priced.plan, priced.estimate, days=length, seeds=count, spares=asked
    )
