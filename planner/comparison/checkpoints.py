"""Whether a checkpoint of one plan loads into another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from planner.plan import AXES
from planner.specs.checkpoints import checkpoint_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.comparison.side import Side
    from planner.specs.checkpoints import Decision

Verdict = Literal["loads", "prepared", "does not load", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """`verdict`: a checkpoint of the first plan loads into the other as it is, after preparation,
    or not at all; `reason` says what changes and how it is prepared."""

    verdict: Verdict
    reason: str


def loading(first: Side, other: Side) -> Loading:
    """Whether the job can go on under the other plan (`defaults/checkpoints.yaml`)."""
    one, two = first.scenario, other.scenario
    if one.model != two.model:
        return Loading(verdict="does not load", reason="another model")
    framework = one.job.software.framework
    if framework != two.job.software.framework:
        return Loading(verdict="does not load", reason="another framework")
    changed = tuple(_changed(first, other))
    if not changed:
        return Loading(verdict="loads", reason="nothing that it holds changes")
    names = " and ".join(", ".join(changed).rsplit(", ", 1))
    rules = checkpoint_rules(framework)
    if rules is None:
        return Loading(verdict="unknown", reason=f"not known of {framework} (change of {names})")
    if set(changed) <= set(rules.freely):
        return Loading(verdict="loads", reason=f"{names} may change")
    if set(changed) <= {*rules.freely, *rules.prepared}:
        return Loading(verdict="prepared", reason=f"change of {names}; it takes {rules.how}")
    fixed = ", ".join(one for one in changed if one not in {*rules.freely, *rules.prepared})
    return Loading(verdict="does not load", reason=f"{fixed} may not change")


def _changed(first: Side, other: Side) -> Iterator[Decision]:
    """The decisions that shape what a checkpoint holds."""
    one, two = first.plan, other.plan
    for axis in AXES:
        if getattr(one.degrees, axis) != getattr(two.degrees, axis):
            yield axis  # type: ignore[misc]
    same_stages = one.degrees.pipeline != two.degrees.pipeline or [
        stage.chunks for stage in one.stages
    ] == [stage.chunks for stage in two.stages]
    if not same_stages:
        yield "layout"
    if (one.data_sharding, one.shard_over) != (two.data_sharding, two.shard_over):
        yield "sharding"
