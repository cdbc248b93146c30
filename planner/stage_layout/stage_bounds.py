"""Lower bounds on a step that are linear in the times of its stages. Layouts are compared by them.

Letters: p stages, v chunks of a stage, m microbatches, B layouts at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.schedule.registry import kind_of

if TYPE_CHECKING:
    from planner.arrays import Floats
    from planner.stage_layout.problem import LayoutProblem, Prices


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Lower bounds on the step that each stage s causes: the larger of two paths.

    Own: a microbatch reaches the stage; the stage does all its work; the rest of the last
    microbatch goes back to the first stage, which reduces its gradients
    (`closed_form.span_lower_bound`). Where backwards are split or chunks are not placed in a loop,
    the path ends with the stage itself.

    Late: one microbatch goes through the whole pipeline and back. The stage keeps only a limited
    number of microbatches in flight; it then does the forwards that had to wait for that
    microbatch, and all other backwards (`windows.window_lower_bound`, the loop of one stage). This
    path needs one chunk per stage, whole backwards, and an order that is the same under every
    layout.
    """

    returns: bool
    late: bool
    own_held_s: Floats
    late_forwards: Floats
    late_held_s: Floats
    forward_link_s: Floats
    backward_link_s: Floats
    """[p] each; links are those after the first chunk of every stage, 0 after the last stage."""

    @classmethod
    def of(cls, problem: LayoutProblem) -> Rows:
        p, v = problem.stages, problem.virtual_stages
        return cls.of_sends(
            problem,
            np.append(problem.forward_send_s, 0.0).reshape(v, p),
            np.append(0.0, problem.backward_send_s).reshape(v, p),
            np.append(problem.backward_send_s, 0.0).reshape(v, p),
        )

    @classmethod
    def of_sends(
        cls, problem: LayoutProblem, after_s: Floats, sent_back_s: Floats, answered_s: Floats
    ) -> Rows:
        """With other messages [v, p] than those of the problem: what the chunks of a stage send on,
        what they send back, and what is sent back to them."""
        p, v, m = problem.stages, problem.virtual_stages, problem.num_microbatches
        kind = kind_of(problem.schedule)
        returns = kind.returns_to_first
        forward = m * after_s.sum(axis=0)
        backward = m * sent_back_s.sum(axis=0) - sent_back_s[0]
        held = {
            "blocking": forward + backward,
            "paired": np.maximum(forward, backward),
        }.get(problem.sends, np.zeros(p))
        late_forwards = np.maximum(m - problem.in_flight[:, 0], 0).astype(np.float64)
        blocking = float(problem.sends == "blocking")
        return cls(
            returns=returns,
            late=returns and v == 1 and not kind.runs_ahead,
            own_held_s=held,
            late_forwards=late_forwards,
            late_held_s=blocking * (late_forwards * after_s[0] + (m - 1) * sent_back_s[0]),
            forward_link_s=np.append(after_s[0, :-1], 0.0),
            backward_link_s=np.append(answered_s[0, :-1], 0.0),
        )

    def way_s(self, forward_s: Floats, backward_s: Floats) -> Floats:
        """[..., p]: what a stage adds to the path of the stages after it, through its first
        chunk."""
        way = forward_s + self.forward_link_s
        return way + backward_s + self.backward_link_s if self.returns else way


def rows_s(problem: LayoutProblem, prices: Prices) -> Floats:
    """[B, p]: the lower bounds of layouts; none exceeds the simulated step."""
    rows, m = Rows.of(problem), problem.num_microbatches
    forward, backward = prices.forward_s, prices.backward_s
    way = rows.way_s(forward[..., 0], backward[..., 0])
    begun = np.cumsum(way, axis=-1) - way
    reduction = prices.reduction_s[:, :1] if rows.returns else prices.reduction_s
    own = begun + m * (forward + backward).sum(axis=-1) + rows.own_held_s + reduction
    if not rows.late:
        return np.asarray(own)
    late = (
        way.sum(axis=-1, keepdims=True)
        + rows.late_forwards * forward[..., 0]
        + (m - 1) * backward[..., 0]
        + rows.late_held_s
        + reduction
    )
    return np.asarray(np.maximum(own, late))
