"""Step time by cause and peak memory by component of several plans. The parts of each plan add up
to its total, so that the differences between two plans add up to the difference of their totals."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from planner.plan import MemoryComponents, TimeBreakdown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planner.comparison.side import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingPart:
    """One cause in seconds, or one component in bytes, of every plan. `name` is its field."""

    name: str
    amounts: tuple[float, ...]

    def change(self, of: int) -> float:
        """By how much plan `of` exceeds the first."""
        return self.amounts[of] - self.amounts[0]

    @property
    def largest_change(self) -> float:
        return max(abs(amount - self.amounts[0]) for amount in self.amounts)


def time_parts(sides: Sequence[Side]) -> tuple[DifferingPart, ...]:
    """Seconds of a step by cause, the largest difference first, without causes that no plan has."""
    return _sorted(
        DifferingPart(
            name=field.name, amounts=tuple(getattr(s.estimate.time, field.name) for s in sides)
        )
        for field in fields(TimeBreakdown)
    )


def memory_parts(sides: Sequence[Side]) -> tuple[DifferingPart, ...]:
    """Bytes of each plan's fullest stage by component, as `time_parts` sorts them."""
    components = [side.estimate.memory.binding.components for side in sides]
    return _sorted(
        DifferingPart(
            name=field.name, amounts=tuple(getattr(one, field.name) for one in components)
        )
        for field in fields(MemoryComponents)
    )


def _sorted(parts: Iterable[DifferingPart]) -> tuple[DifferingPart, ...]:
    present = [part for part in parts if any(part.amounts)]
    return tuple(sorted(present, key=lambda part: -part.largest_change))
