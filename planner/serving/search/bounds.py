"""What a replica can do at most, in closed form for many loads at once.

    c   requests under way on one rank      O   tokens of an answer      B   sequences that run

A request takes at least the time of its prompt alone and O − 1 steps of B sequences, where B is the
share of the c that writes at a time; no step ends more than B tokens; and the steps that all
requests take up together are no longer than the time there is. Prompts of others, which make steps
longer, are left out of a request's own time, so that nothing is faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.serving.load.steady import held_requests, prompt_alone_s, running_alone

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.search.space import ReplicaKind


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bounds:
    """Of one replica, [L]: requests per second at most; mean seconds to the first token, and of
    each further one, at least."""

    rate: Floats
    ttft_s: Floats
    tpot_s: Floats


def bounds_of(
    kind: ReplicaKind, load: ClosedLoad, clients: Floats, *, tpot_limit_s: float = inf
) -> Bounds:
    """For `clients` [L] under way in one replica; the rate is that of a replica whose mean TPOT is
    within a limit."""
    costs, memory = kind.costs, kind.memory
    engine = kind.scenario.engine
    each = np.maximum(1.0, clients / kind.lanes)
    alone_s = prompt_alone_s(costs, load, engine.scheduler.max_step_tokens)
    ttft_s = alone_s + engine.host.request.value
    steps = max(load.mean_output - 1, 0.0)
    running, tpot_s = running_alone(
        costs,
        memory,
        load,
        clients=each,
        ttft_s=ttft_s,
        most=engine.scheduler.max_running,
        steps=steps,
    )
    ranks = np.minimum(clients, kind.lanes)
    taken_s = ttft_s + steps * tpot_s
    rate = each / taken_s
    if steps:
        rate = np.minimum(rate, running / (steps * tpot_s))
        most = min(float(engine.scheduler.max_running), held_requests(memory, load))
        work = costs.request_work(
            read=load.mean_read,
            before=load.shared,
            answer=steps,
            context=load.mean_input + load.mean_output / 2,
        )
        rate = np.minimum(rate, 1.0 / work.least_s(np.maximum(1.0, np.minimum(each, most))))
        rate = np.minimum(rate, work.most_per_s(tpot_limit_s))
    return Bounds(rate=rate * ranks, ttft_s=np.full_like(clients, ttft_s), tpot_s=tpot_s)
