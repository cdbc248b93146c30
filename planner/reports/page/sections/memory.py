"""Memory of every stage by component, at both peaks, against the limit."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from planner.plan import MemoryComponents
from planner.reports.page.bars import Part, legend, length, stacked
from planner.reports.page.html import Html, element
from planner.reports.page.palette import COMPONENTS
from planner.reports.page.parts import note, same_as_table, section, table
from planner.reports.sentences import MEMORY_LABELS, binding
from planner.wording.units import capacity, gib

if TYPE_CHECKING:
    from planner.plan import MemoryEstimate, StageMemory
    from planner.reports.page.content import PageContent

TWO_COLUMNS = 16
"""Stages from which the bars stand in two columns."""


def memory(content: PageContent) -> Html | None:
    """Of plan 1; None for a document without plans."""
    if not content.answer.plans:
        return None
    estimate = content.best.estimate
    stages = estimate.memory.per_stage
    used = [
        one.name
        for one in fields(MemoryComponents)
        if any(getattr(components, one.name) for stage in stages for components in _both(stage))
    ]
    whole = max(max(stage.capacity_bytes, stage.peak_bytes) for stage in stages)
    return section(
        "memory",
        "Memory by stage",
        note(f"Plan 1. {binding(estimate)}"),
        legend(COMPONENTS, MEMORY_LABELS, used),
        element(
            "ul",
            *(_bar(stage, whole, estimate.memory) for stage in stages),
            class_="bars stages columns" if len(stages) > TWO_COLUMNS else "bars stages",
        ),
        note(_limits(stages)),
        same_as_table(_table(stages, used)),
        wide=len(stages) > TWO_COLUMNS,
    )


def _both(stage: StageMemory) -> tuple[MemoryComponents, ...]:
    other = stage.other_components
    return (stage.components,) if other is None else (stage.components, other)


def _bar(stage: StageMemory, whole: int, memory: MemoryEstimate) -> Html:
    usable = stage.capacity_bytes - stage.headroom_bytes
    parts = [
        Part(
            colour=name,
            size=getattr(stage.components, name),
            title=f"{MEMORY_LABELS[name]}: {gib(getattr(stage.components, name))} GiB",
        )
        for name in COMPONENTS
    ]
    limits = (
        element(
            "i",
            class_=f"headroom {length('l', usable / whole)} "
            f"{length('w', stage.headroom_bytes / whole)}",
        ),
        element("i", class_=f"limit {length('l', usable / whole)}"),
        _other(stage, whole),
    )
    binds = memory.binding.stage == stage.stage
    return element(
        "li",
        element("span", f"stage {stage.stage}", class_="what"),
        element("span", stacked(parts, whole), *limits, class_="track-of"),
        element("span", gib(stage.peak_bytes), " ◀" if binds else None, class_="total"),
        class_="binds" if binds else None,
    )


def _other(stage: StageMemory, whole: int) -> Html | None:
    """A tick at the peak of the other phase."""
    if stage.other_components is None:
        return None
    peak = stage.other_components.total_bytes
    return element(
        "i",
        class_=f"other {length('l', peak / whole)}",
        title=f"peak of the {stage.other_phase} phase: {gib(peak)} GiB",
    )


def _limits(stages: tuple[StageMemory, ...]) -> str:
    sizes = sorted({(one.capacity_bytes, one.headroom_bytes) for one in stages})
    shown = dict.fromkeys(f"{gib(size - free)} of {capacity(size)}" for size, free in sizes)
    tick = ""
    if any(one.other_components is not None for one in stages):
        phases = " or ".join(sorted({f"the {one.other_phase} phase" for one in stages}))
        tick = f" A tick in a bar is the peak in {phases}."
    return (
        f"GiB at the peak of each stage; the line is what may be used, {' or '.join(shown)}, the "
        f"shaded part behind it the headroom.{tick} ◀ has the least room."
    )


def _table(stages: tuple[StageMemory, ...], used: list[str]) -> Html:
    rows = []
    for stage in stages:
        known = [(stage.peak_phase, stage.components)]
        if stage.other_components is not None:
            known.append((stage.other_phase, stage.other_components))
        usable = stage.capacity_bytes - stage.headroom_bytes
        rows += [
            (
                str(stage.stage),
                phase,
                *(gib(getattr(components, name)) for name in used),
                gib(components.total_bytes),
                gib(usable - components.total_bytes),
            )
            for phase, components in known
        ]
    return table(
        "Memory of one device of each stage at the peak of each phase, GiB",
        ["stage", "phase", *(MEMORY_LABELS[name] for name in used), "peak", "spare"],
        rows,
        text_columns=2,
    )
