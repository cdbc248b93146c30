"""What launches say that tables leave out: degrees, kernels, and when requests come."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.serving.load.arrivals import drawn
from planner.validation.serving.launches import expert_kernels, launched_degrees, trace_rate
from planner.validation.serving.table import RowError

if TYPE_CHECKING:
    from planner.serving.load.arrivals import OpenLoad
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.scenario import ServingDegrees
    from planner.validation.serving.launch_match import Launched
    from planner.validation.serving.launch_settings import LaunchSettings
    from planner.validation.serving.table import ServingRow

_TRACE = re.compile(r"trace (\S+)")
_ONE_OF_SEVERAL = "one replica of a data-parallel run"
_SEED = 1


def degrees_as_launched(degrees: ServingDegrees, launched: Launched) -> ServingDegrees:
    """Degrees of a replica of which its table may leave a part out."""
    known = launched_degrees(launched)
    if known is None or degrees.expert > 1 or degrees.attention_data > 1:
        return degrees
    if known.data_parallel:
        degrees = replace(degrees, tensor=1, attention_data=degrees.tensor)
    return replace(degrees, expert=degrees.stage_devices)


def with_kernels(
    settings: LaunchSettings, launched: Launched, degrees: ServingDegrees
) -> LaunchSettings:
    """With the kernels of experts that a launch of these degrees chose."""
    law = expert_kernels(launched, data_parallel=degrees.attention_data > 1)
    return replace(settings, experts=law)


def arrivals_of(row: ServingRow, launched: Launched, load: ClosedLoad) -> OpenLoad | None:
    """Of a row that replays a trace, as a Poisson process at its rate. Raises: RowError."""
    if row.text("load_kind") != "trace":
        return None
    name = _TRACE.match(row.text("lengths"))
    known = None if name is None else trace_rate(launched, name[1])
    if known is None:
        raise RowError("load_kind 'trace': how often its requests come is not known")
    rate_per_s, devices = known
    alone = _ONE_OF_SEVERAL not in row.text("notes")
    replicas = 1 if alone else max(1, devices // row.required("devices"))
    requests = drawn(load, rate_per_s=rate_per_s, poisson=True, seed=_SEED)
    return replace(requests, replicas=replicas)
