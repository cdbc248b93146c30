"""Environment variables that a framework wants on its ranks, whatever launches them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from planner.exporters.megatron import arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from planner.exporters.job import ExportJob

OF_FRAMEWORK: Mapping[str, Callable[[ExportJob], dict[str, str]]] = MappingProxyType(
    {"megatron-lm": arguments.environment}
)
"""By the framework of the software profile; a framework left out wants none."""


def environment(job: ExportJob) -> dict[str, str]:
    """The variables of a job's ranks by name."""
    wanted = OF_FRAMEWORK.get(job.software.framework)
    return {} if wanted is None else wanted(job)
