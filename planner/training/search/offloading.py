"""Which offloading a search tries where nothing fits without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.workload.formats import offload_under

if TYPE_CHECKING:
    from planner.specs.job import JobSpec
    from planner.training.search.space.restrictions import Restrictions

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of the optimizer that searches try by themselves, where a framework has shares."""


def with_offloading(
    restrictions: Restrictions, job: JobSpec, *, although: bool = False
) -> Restrictions | None:
    """What else a search may try, under the same restrictions. None where the framework offloads
    nothing or the user says what may be offloaded; `although` leaves that out of account."""
    offload = offload_under(job.software, job.precision)
    stated = (restrictions.optimizer_offload, restrictions.weight_offload) != (None, None)
    if not offload.optimizer or (stated and not although):
        return None
    weights = (True,) if offload.together else (False, True) if offload.weights else (False,)
    shares = SHARES if offload.optimizer_share else SHARES[-1:]
    return replace(restrictions, optimizer_offload=shares, weight_offload=weights)
