"""Tells what a health report is, and reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.importers.health.slurm import is_slurm, lost_hosts
from planner.specs.cluster.matrix import MatrixFile, load_matrix
from planner.specs.files.text_file import decode, read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """Hosts that are gone with their state, or a matrix of bandwidths."""

    lost: Mapping[str, str]
    matrix: MatrixFile | None = None


def read_health(path: Path) -> HealthReport:
    """Raises: InputError with the place."""
    text = decode(read_bytes(path), path)
    if is_slurm(text):
        return HealthReport(lost=lost_hosts(text, path))
    first = next((line for line in text.splitlines() if line.strip()), "")
    if "," in first:
        return HealthReport(lost={}, matrix=load_matrix(path))
    raise InputError(
        "is not a health report",
        path=path,
        hint="states of nodes as scontrol show node or sinfo print them, or a CSV matrix of "
        "bandwidths with host names and a unit in its corner",
    )
