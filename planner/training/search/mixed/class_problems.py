"""The sends that a stage of every class has, wherever its row lies in a node.

Letters: C classes, p stages, v chunks of a stage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.stage_layout.stage_bounds import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.stage_layout.problem import LayoutProblem
    from planner.training.search.mixed.classes import NodePart, RowClasses
    from planner.training.search.mixed.typed import TypedCombination


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassLinks:
    """Seconds of messages [C, p]: from a stage to the next and back to it; and between a stage and
    the one before it. After the last stage and before the first is the way from one chunk to the
    next."""

    forward_after_s: Floats
    backward_after_s: Floats
    forward_before_s: Floats
    backward_before_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassProblems:
    """Layout problems of one device type each, with the best links that the type has; `of_stage`
    [C, p] says which of them prices a stage of a class."""

    problems: tuple[LayoutProblem, ...]
    types: tuple[int, ...]
    of_stage: Ints

    @classmethod
    def of(cls, of: TypedCombination, classes: RowClasses, pace: Sequence[int]) -> ClassProblems:
        """`pace` [C]: the slowest device type of every class."""
        p = of.batch.pipeline
        row_begins = np.arange(p) // (p // classes.rows) * (p // classes.rows)
        problems: list[LayoutProblem] = []
        known: dict[tuple[int, ...], int] = {}
        types: list[int] = []
        of_stage = np.zeros((len(pace), p), dtype=np.int64)
        for c, index in enumerate(pace):
            part = classes.parts[c] if classes.parts else None
            for stage, begin in enumerate(row_begins.tolist()):
                key = (index,) if part is None else (index, part.stages, _offset(part, begin))
                if key not in known:
                    known[key] = len(problems)
                    problems.append(_problem(of, classes, key))
                    types.append(index)
                of_stage[c, stage] = known[key]
        return cls(problems=tuple(problems), types=tuple(types), of_stage=of_stage)

    def by_class(self, values: list[Floats]) -> Floats:
        """[C, p, …] from values [p, …] of every problem."""
        return np.stack(values)[self.of_stage, np.arange(self.of_stage.shape[1])]

    @property
    def links(self) -> ClassLinks:
        rows = [Rows.of(problem) for problem in self.problems]
        forward = [_around(one.forward_link_s) for one in rows]
        backward = [_around(one.backward_link_s) for one in rows]
        return ClassLinks(
            forward_after_s=self.by_class(forward),
            backward_after_s=self.by_class(backward),
            forward_before_s=self.by_class([np.roll(one, 1) for one in forward]),
            backward_before_s=self.by_class([np.roll(one, 1) for one in backward]),
        )


def _offset(part: NodePart, begin: int) -> int:
    """By how many stages the nodes are shifted, where this part of one begins with a stage."""
    return (begin - part.first) % part.stages


def _problem(of: TypedCombination, classes: RowClasses, key: tuple[int, ...]) -> LayoutProblem:
    """Sends take no time where it is unknown which stages share a node."""
    problem = of.problems[key[0]]
    if not classes.sends_known:
        none = np.zeros_like(problem.forward_send_s)
        return replace(problem, forward_send_s=none, backward_send_s=none)
    if not classes.parts:
        return problem
    index, stages, offset = key
    largest = max(
        part.stages
        for part, types in zip(classes.parts, classes.types, strict=True)
        if types == (index,)
    )
    return _shifted(of, problem, largest, stages, offset)


def _shifted(
    of: TypedCombination, problem: LayoutProblem, known_stages: int, stages: int, offset: int
) -> LayoutProblem:
    """The problem of nodes with so many stages of which one begins at stage `offset`, from that of
    nodes with `known_stages` which begin at the first."""
    owner = of.batch.placement.stage_of
    lower, falls = np.minimum(owner[:-1], owner[1:]), owner[1:] > owner[:-1]
    next_to = abs(np.diff(owner)) == 1
    known_inside = lower % known_stages != known_stages - 1
    inside = (lower - offset) % stages != stages - 1

    def moved(known_s: Floats) -> Floats:
        moved_s = known_s.copy()
        for way in (next_to & falls, next_to & ~falls):
            for here in (True, False):
                alike = way & (known_inside == here)
                like_s = known_s[alike if alike.any() else way]
                moved_s[way & (inside == here)] = like_s.min(initial=np.inf)
        return moved_s

    return replace(
        problem,
        forward_send_s=moved(problem.forward_send_s),
        backward_send_s=moved(problem.backward_send_s),
    )


def _around(link_s: Floats) -> Floats:
    """[p]: with the least of all in place of the link after the last stage."""
    return np.append(link_s[:-1], link_s[:-1].min(initial=np.inf if len(link_s) > 1 else 0.0))
