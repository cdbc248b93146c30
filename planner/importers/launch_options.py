"""What the user adds to a launch file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from planner.specs.settings import AS_THE_PROFILE, Settings
from planner.specs.software import SoftwareProfile
from planner.training.search.space.restrictions import Restrictions


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """What the user adds to a launch file. Where the file says something else, that is an error;
    the number of devices is the exception, because schedulers take it on their command line.

    `variables`, `command` and `vocabulary` are those of
    `planner.importers.megatron.script.read_script`."""

    decisions: Restrictions = field(default_factory=Restrictions)
    devices: int | None = None
    nodes: int | None = None
    global_batch_size: int | None = None
    seq_length: int | None = None
    precision: str | None = None
    software: str | Path | SoftwareProfile | None = None
    headroom: float | None = None
    optimizer: str | None = None
    expert_imbalance: float | None = None
    settings: Settings = AS_THE_PROFILE
    stage_layers: tuple[int, ...] | None = None
    recompute_layers: int | None = None
    hosts: tuple[str, ...] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    command: int | None = None
    vocabulary: int | None = None
