"""Kinds of replicas that cannot hand a KV cache over to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from planner.serving.handover import refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan.serving import Role
    from planner.serving.search.space import ReplicaKind


class _Placed(Protocol):
    """A kind in a role, for writers of a group where it reads."""

    @property
    def kind(self) -> ReplicaKind: ...

    @property
    def role(self) -> Role: ...

    @property
    def reads_for(self) -> int | None: ...


def apart_of(columns: Sequence[_Placed]) -> tuple[tuple[int, ...], ...]:
    """Sets of columns of which a plan may use one: readers of one group that divide a model alike,
    with the writers that do not take what they send."""
    readers: dict[tuple[object, ...], list[int]] = {}
    for at, one in enumerate(columns):
        if one.role == "prefill":
            degrees = one.kind.scenario.degrees
            key = (
                one.kind.group,
                one.reads_for,
                degrees.tensor,
                degrees.pipeline,
                one.kind.shape[2:],
            )
            readers.setdefault(key, []).append(at)
    found = []
    for (_, receiver, *_), members in readers.items():
        reader = columns[members[0]].kind.scenario
        refused = [
            at
            for at, one in enumerate(columns)
            if one.role == "decode"
            and one.kind.group == receiver
            and refusal(reader, one.kind.scenario) is not None
        ]
        if refused:
            found.append((*members, *refused))
    return tuple(found)
