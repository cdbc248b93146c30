"""The `reliability:` block of a cluster file: how often machines fail, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from planner.specs.files.fields import BytesPerSecond, Constant, Duration, Input
from planner.specs.files.general import general


class CheckpointInput(Input):
    """Where checkpoints go."""

    write_bandwidth: BytesPerSecond
    """What all devices together reach when they write one."""
    read_bandwidth: BytesPerSecond | None = None
    """When they load one. Default: `write_bandwidth`."""
    asynchronous: bool = False
    """Training goes on while a checkpoint is written: it waits for the copy to the hosts only."""
    copy_bandwidth: BytesPerSecond | None = None
    """From one device to its host. Default: that of PCI Express 4.0."""
    stall: Duration | None = None
    """For how long one stops the steps, where that was seen. Default: until it is written, or
    copied to the hosts."""
    interval: Duration | None = None
    """Between two checkpoints. Default: the best one."""


class ReliabilityInput(Input):
    """Without this block nothing is said of failures."""

    device_mtbf: Duration | None = None
    """Mean time between failures of one device, everything that stops a job counted. Default: that
    of H100 in production."""
    restart: Duration | None = None
    """From a failure to the next step, without loading the checkpoint. Default: 15 minutes."""
    repair: Duration | None = None
    """Until a node that failed is back. Without it nothing is said of spare nodes."""
    spares: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Spare nodes that replace failed ones, in addition to the nodes of the cluster."""
    checkpoint: CheckpointInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """The block with what it leaves out filled in. Times are seconds,
    bandwidths bytes/s. `copy_bytes_per_s`: of one device; None where training waits for the whole
    write. None: `stall_s` follows from the bandwidths, `interval_s` is the best one, `repair_s` is
    unknown."""

    device_mtbf_s: float
    restart_s: float
    repair_s: float | None
    spares: int
    write_bytes_per_s: float
    read_bytes_per_s: float
    copy_bytes_per_s: float | None
    stall_s: float | None
    interval_s: float | None


def build_reliability(given: ReliabilityInput, assumed: list[str]) -> Reliability:
    """The block as a value; what it leaves out is added to what is `assumed`."""

    def stated(value: float | None, key: str, kind: type[Constant[float]], what: str) -> float:
        if value is not None:
            return value
        constant = general("cluster", f"reliability.{key}", kind)
        assumed.append(f"reliability: {what} ({constant.source})")
        return constant.value

    checkpoint = given.checkpoint
    mtbf_s = stated(
        given.device_mtbf,
        "device_mtbf",
        Constant[Duration],
        "a device fails once in 50,000 hours",
    )
    restart_s = stated(given.restart, "restart", Constant[Duration], "a restart takes 15 minutes")
    copy = None
    if checkpoint.asynchronous and checkpoint.stall is None:
        copy = stated(
            checkpoint.copy_bandwidth,
            "copy_bandwidth",
            Constant[BytesPerSecond],
            "devices copy to hosts over PCI Express 4.0",
        )
    return Reliability(
        device_mtbf_s=mtbf_s,
        restart_s=restart_s,
        repair_s=given.repair,
        spares=given.spares,
        write_bytes_per_s=checkpoint.write_bandwidth,
        read_bytes_per_s=checkpoint.read_bandwidth or checkpoint.write_bandwidth,
        copy_bytes_per_s=copy,
        stall_s=checkpoint.stall,
        interval_s=checkpoint.interval,
    )
