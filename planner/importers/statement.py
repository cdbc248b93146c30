"""What a launch file says, whatever its format: the part of a job and of a plan that it decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.importers.notes import Notes
    from planner.importers.shell.text import Origin
    from planner.specs.model.spec import ModelSpec
    from planner.specs.software import SoftwareProfile
    from planner.training.search.plans.problems import PlanProblem

Decision = int | float | str | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Decisions and fields of the job once the degrees and the devices are known, and what is
    wrong with them."""

    decisions: Mapping[str, Decision]
    workload: Mapping[str, int | str]
    problems: tuple[PlanProblem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """`software` names the profile that counts where the user names none. `switch` changes it
    to what the file says, given the precision.

    `workload` has the fields of `JobSpec` that are stated, `decisions` the axes of the search
    space; `settle` completes both from what the user adds to them and the number of devices.
    `place` says where a field was decided, and finds a flag by its name. `problems` are settings
    that the framework refuses and no plan can express. `hosts` are those that the file names, in
    the order of ranks, and where they stand. `node_devices`: devices of a node, where it says so.
    """

    kind: str
    path: str
    sha256: str
    model: ModelSpec
    software: str
    switch: Callable[[SoftwareProfile, str], SoftwareProfile]
    workload: Mapping[str, int | str]
    decisions: Mapping[str, Decision]
    devices: int | None
    stage_layers: tuple[int, ...] | None = None
    recompute_layers: int | None = None
    settle: Callable[[Mapping[str, Decision], Mapping[str, int | str], int], Settled]
    problems: tuple[PlanProblem, ...] = ()
    notes: Notes
    hosts: tuple[tuple[str, ...], Origin] | None = None
    node_devices: int | None = None
    place: Callable[[str], Origin]
