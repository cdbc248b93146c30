"""The messages that a stage of every class has, wherever its row lies in a node.

Letters: C classes, p stages, v chunks of a stage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.stage_layout.stage_bounds import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats
    from planner.stage_layout.problem import LayoutProblem
    from planner.training.search.mixed.classes import NodePart, RowClasses
    from planner.training.search.mixed.typed import TypedCombination


class _Links(NamedTuple):
    """Seconds of messages [p]: from a stage to the next and back to it; and between a stage and the
    one before it."""

    forward_after_s: Floats
    backward_after_s: Floats
    forward_before_s: Floats
    backward_before_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassSends:
    """Seconds [C, p], with the best links that the slowest type of a class has: `links`, four
    tables, are those of `_Links`, with the way from one chunk to the next after the last stage and
    before the first; the others are what messages add to own, late and way (`Rows`)."""

    links: _Links
    own_s: Floats
    late_s: Floats
    way_s: Floats

    @classmethod
    def of(cls, of: TypedCombination, classes: RowClasses, pace: Sequence[int]) -> ClassSends:
        """`pace` [C]: the slowest device type of every class."""
        links, rows = [], []
        for c, index in enumerate(pace):
            problem = of.problems[index]
            if not classes.sends_known:
                problem = _without_sends(problem)
            if classes.parts:
                largest = max(
                    part.stages
                    for part, types in zip(classes.parts, classes.types, strict=True)
                    if types == classes.types[c]
                )
                around = _in_nodes(problem, classes.parts[c], classes.rows, largest)
                links.append(around)
                rows.append(_rows_of(problem, around))
            else:
                links.append(_as_stated(problem))
                rows.append(Rows.of(problem))
        return cls(
            links=_Links(*(np.stack(tables) for tables in zip(*links, strict=True))),
            own_s=np.stack([one.own_held_s for one in rows]),
            late_s=np.stack([one.late_held_s for one in rows]),
            way_s=np.stack(
                [one.forward_link_s + one.returns * one.backward_link_s for one in rows]
            ),
        )


def _without_sends(problem: LayoutProblem) -> LayoutProblem:
    """It is not known which stages share a node, so messages take no time."""
    none = np.zeros_like(problem.forward_send_s)
    return replace(problem, forward_send_s=none, backward_send_s=none)


def _as_stated(problem: LayoutProblem) -> _Links:
    """Those of stages that lie in nodes as they do on nodes of one type alone."""
    p = problem.stages
    if p == 1:
        return _Links(*[np.zeros(1)] * 4)
    known = (problem.forward_send_s[: p - 1], problem.backward_send_s[: p - 1])
    after = [np.append(one, one.min()) for one in known]
    return _Links(*after, *(np.roll(one, 1) for one in after))


def _in_nodes(problem: LayoutProblem, part: NodePart, rows: int, known_stages: int) -> _Links:
    """Those of stages that are a part of a node; `known_stages` lie in a node in the problem, which
    begins with one."""
    p = problem.stages
    boundary = np.arange(p - 1)
    known_inside = boundary % known_stages != known_stages - 1
    position = part.first + np.arange(p) % (p // rows)
    enters, leaves = position == 0, position == part.stages - 1
    after, before = [], []
    for sends in (problem.forward_send_s, problem.backward_send_s):
        known = sends[: p - 1]
        inside_s, outside_s = (
            float(known[where if where.any() else slice(None)].min(initial=np.inf))
            for where in (known_inside, ~known_inside)
        )
        after.append(np.where(leaves, outside_s, inside_s))
        before.append(np.where(enters, outside_s, inside_s))
        after[-1][-1] = before[-1][0] = min(inside_s, outside_s)
    return _Links(*after, *before)


def _rows_of(problem: LayoutProblem, around: _Links) -> Rows:
    """What these messages add to the rows of a problem."""
    v = problem.virtual_stages
    after, answered = (np.tile(one, (v, 1)) for one in around[:2])
    sent_back = np.tile(around.backward_before_s, (v, 1))
    after[-1, -1] = answered[-1, -1] = sent_back[0, 0] = 0.0
    return Rows.of_sends(problem, after, sent_back, answered)
