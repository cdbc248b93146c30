"""Columns of the table of ranked plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.wording import labels
from planner.wording.units import capacity, count, gib, percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.plan import Estimate, Plan
    from planner.wording.units import TimeScale


TIGHT = "!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing a plan decides: its column header, its name in prose, how a cell and how a sentence
    shows it (`say`, where that differs). `quiet` is the value that nobody needs to be told about;
    without `told` no value is, as the report says it elsewhere. A crowded table takes the `brief`
    header and shortens the words in `shorter`."""

    header: str
    name: str
    show: Callable[[Plan], str]
    say: Callable[[Plan], str] | None = None
    quiet: str | None = None
    told: bool = True
    number: bool = True
    brief: str = ""
    shorter: tuple[tuple[str, str], ...] = ()

    def column(self, *, crowded: bool) -> str:
        return self.brief if crowded and self.brief else self.header

    def cell(self, plan: Plan, *, crowded: bool) -> str:
        text = self.show(plan)
        for word, short in self.shorter if crowded else ():
            text = text.replace(word, short)
        return text


def _axis(axis: str, letter: str) -> Decision:
    quiet = None if axis in labels.ALWAYS_NAMED else "1"
    return Decision(
        header=letter,
        name=f"{axis.replace('_', ' ')} degree ({labels.AXIS_ABBREVIATIONS[axis]})",
        show=lambda plan: str(getattr(plan.degrees, axis)),
        quiet=quiet,
    )


AXES = tuple(_axis(axis, letter) for axis, letter in labels.AXIS_LETTERS.items())
NO_DISPATCHER = "-"
"""Shown of a plan without an expert degree."""
CHOICES = (
    Decision(header="mb", name="micro-batch", show=lambda plan: str(plan.micro_batch_size)),
    Decision(
        header="schedule",
        name="schedule",
        show=labels.schedule,
        number=False,
        brief="sched",
        shorter=(("interleaved", "inter"),),
    ),
    Decision(
        header="recompute",
        name="recompute",
        show=labels.recompute_kind,
        say=labels.recompute,
        number=False,
        brief="recomp",
        shorter=(("selective", "select"),),
    ),
    Decision(
        header="dispatcher",
        name="dispatcher of experts",
        show=lambda plan: plan.dispatcher or NO_DISPATCHER,
        quiet=NO_DISPATCHER,
        number=False,
        brief="disp",
    ),
    Decision(
        header="ep-overlap",
        name="exchanges of experts beside another microbatch",
        show=lambda plan: labels.on_off(plan.expert_overlap),
        quiet="off",
        number=False,
        brief="ep-ov",
    ),
    Decision(
        header="pieces",
        name="pieces in which tokens travel to their experts",
        show=lambda plan: str(plan.dispatch_pieces),
        quiet="1",
        brief="pcs",
    ),
    Decision(
        header="sharding",
        name="data sharding",
        show=lambda plan: (
            plan.data_sharding + (f"/{plan.shard_over}" if plan.shard_over is not None else "")
        ),
        say=labels.data_sharding,
        number=False,
        brief="shard",
        shorter=(("optimizer", "opt"), ("gradients", "grad")),
    ),
    Decision(
        header="offload",
        name="offloaded",
        show=labels.offloaded_kinds,
        say=labels.offloading,
        quiet="none",
        number=False,
        shorter=(("of the optimizer", "opt"), ("optimizer", "opt")),
    ),
    Decision(
        header="seq-par",
        name="sequence parallel",
        show=lambda plan: labels.on_off(plan.sequence_parallel),
        number=False,
        brief="sp",
    ),
)
NODES = Decision(
    header="nodes",
    name="nodes",
    show=lambda plan: count(len(plan.placement.hosts)),
    told=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Of a table's figures. `capacity_bytes` where all plans run on the same memory."""

    scale: TimeScale
    capacity_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing that an estimate says; `spare`: it follows from the others."""

    name: str
    header: Callable[[Units], str]
    cell: Callable[[Estimate, Units], str]
    spare: bool = False


def _peak_header(units: Units) -> str:
    of = units.capacity_bytes
    return f"peak GiB\nof {capacity(of)}" if of is not None else "peak GiB\nof"


def _peak(estimate: Estimate, units: Units) -> str:
    binding = estimate.memory.binding
    used = gib(binding.peak_bytes)
    if units.capacity_bytes is None:
        used += f"/{capacity(binding.capacity_bytes)}"
    return f"{TIGHT}{used}" if estimate.fit_class == "tight" else used


FIGURES = (
    Figure(
        name="step",
        header=lambda units: f"step\n{units.scale.unit}",
        cell=lambda estimate, units: units.scale.number(estimate.step_s),
    ),
    Figure(
        name="tokens/s per device",
        header=lambda _: "tok/s/\ndevice",
        cell=lambda estimate, _: count(estimate.tokens_per_s_per_device),
        spare=True,
    ),
    Figure(
        name="MFU",
        header=lambda _: "MFU",
        cell=lambda estimate, _: percent(estimate.mfu),
        spare=True,
    ),
    Figure(name="peak memory", header=_peak_header, cell=_peak),
)
