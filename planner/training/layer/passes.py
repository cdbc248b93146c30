"""Seconds of the passes of many layers at once, from the tallies of their parts: what
`planner.training.layer.tally` says of one layer, in the same order of operations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.training.layer.pieces import hidden_by_pieces_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Bools, Floats, Ints
    from planner.specs.software import SoftwareProfile
    from planner.training.layer.tally import LayerTally, PassTally

_COLUMNS = (
    "compute_s",
    "experts_s",
    "tensor_s",
    "context_s",
    "expert_s",
    "exchange_s",
    "launching_s",
    "launched_s",
    "exchange_multiprocessors",
)
"""What of a `PassTally` decides its seconds."""


def no_parts() -> Floats:
    """The table of `pass_seconds` without a part."""
    return np.zeros((0, len((*_COLUMNS, *_COLUMNS, "spared_s"))))


def part_numbers(tally: LayerTally) -> list[float]:
    """A part's tally as a row of the table of `pass_seconds`."""
    return [*_numbers(tally.forward), *_numbers(tally.backward), tally.spared_s]


def _numbers(tally: PassTally) -> list[float]:
    return [getattr(tally, name) for name in _COLUMNS]


def pass_seconds(
    software: SoftwareProfile,
    multiprocessors: int,
    numbers: Floats,
    parts: Sequence[Ints],
    overlapped: Bools,
    pieces: Ints,
) -> Floats:
    """[N, 5]: forward, backward, both of passes without another one beside them, and what full
    recomputation redoes, of N layers on a device with so many `multiprocessors`. `numbers` are
    those of all parts, `parts` the rows of the first, second and later parts of the layers; in
    `overlapped` ones the exchanges of experts run beside another microbatch; tokens travel in so
    many `pieces`."""
    total = numbers[parts[0]]
    width = len(_COLUMNS)
    largest = [_COLUMNS.index("exchange_multiprocessors") + first for first in (0, width)]
    for rows in parts[1:]:
        more = numbers[rows]
        summed = total + more
        summed[:, largest] = np.maximum(total[:, largest], more[:, largest])
        total = summed
    blocking, most = software.launch_blocking, software.expert.overlapped_share.value
    forward = _Passes.of(total[:, :width], blocking)
    backward = _Passes.of(total[:, width : 2 * width], blocking)
    divided = np.flatnonzero(pieces > 1)
    if divided.size:
        forward, backward = (
            _in_pieces(one, divided, pieces[divided], most, multiprocessors)
            for one in (forward, backward)
        )
    full_s = np.maximum(forward.total_s - total[:, -1], 0.0)
    alone = forward.total_s, backward.total_s
    at = np.flatnonzero(overlapped & (forward.exchange_s + backward.exchange_s != 0))
    paired = alone[0].copy(), alone[1].copy()
    if at.size:
        pair = _paired(forward.some(at), backward.some(at), most, multiprocessors)
        paired[0][at], paired[1][at] = pair[0].total_s, pair[1].total_s
    return np.stack([*paired, *alone, full_s], axis=-1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Passes:
    """[N] each, as in `PassTally`."""

    compute_s: Floats
    experts_s: Floats
    tensor_s: Floats
    context_s: Floats
    expert_s: Floats
    exchange_s: Floats
    launching_s: Floats
    launched_s: Floats
    exchange_multiprocessors: Floats
    blocking: bool

    @classmethod
    def of(cls, numbers: Floats, blocking: bool) -> _Passes:
        columns = dict(zip(_COLUMNS, numbers.T, strict=True))
        return cls(**columns, blocking=blocking)

    def some(self, which: Ints) -> _Passes:
        return replace(self, **{name: getattr(self, name)[which] for name in _COLUMNS})

    def with_some(self, which: Ints, others: _Passes) -> _Passes:
        """With some of them replaced."""
        columns = {name: getattr(self, name).copy() for name in _COLUMNS}
        for name, column in columns.items():
            column[which] = getattr(others, name)
        return replace(self, **columns)

    @property
    def total_s(self) -> Floats:
        waiting_s = self.launching_s
        if not self.blocking:
            waiting_s = np.maximum(self.launching_s - self.launched_s, 0.0)
        return self.compute_s + waiting_s + self.tensor_s + self.context_s + self.expert_s


def _in_pieces(
    passes: _Passes, which: Ints, pieces: Ints, most: float, multiprocessors: int
) -> _Passes:
    """Passes of which some have their tokens in `pieces`, as `tally` overlaps them."""
    one = passes.some(which)
    possible_s = hidden_by_pieces_s(one.exchange_s, one.experts_s, pieces)
    hidden_s = np.minimum(most * one.exchange_s, possible_s)
    slowed_s = hidden_s * one.exchange_multiprocessors / multiprocessors
    beside = replace(
        one,
        expert_s=one.expert_s - hidden_s,
        compute_s=one.compute_s + slowed_s,
        launched_s=np.maximum(one.launched_s + slowed_s - hidden_s, 0.0),
    )
    return passes.with_some(which, beside)


def _paired(
    forward: _Passes, backward: _Passes, most: float, multiprocessors: int
) -> tuple[_Passes, _Passes]:
    """Passes that run beside those of another microbatch, as `tally` pairs them."""
    exchange_s = forward.exchange_s + backward.exchange_s
    cover_s = forward.compute_s + backward.compute_s
    taken = forward.exchange_multiprocessors / multiprocessors
    there_s, back_s = forward.exchange_s / 2, backward.exchange_s / 2
    phases = (
        (back_s, forward.compute_s - forward.experts_s),
        (there_s + back_s, forward.experts_s + backward.experts_s),
        (there_s, backward.compute_s - backward.experts_s),
    )
    each_s = [np.minimum(most * sent_s, behind_s / (1 - taken)) for sent_s, behind_s in phases]
    hidden_s = each_s[0] + each_s[1] + each_s[2]

    def beside(one: _Passes) -> _Passes:
        hidden = hidden_s * one.exchange_s / exchange_s
        slowed = hidden_s * taken * one.compute_s / cover_s
        return replace(
            one,
            expert_s=one.expert_s - hidden,
            compute_s=one.compute_s + slowed,
            launched_s=np.maximum(one.launched_s + slowed - hidden, 0.0),
        )

    return beside(forward), beside(backward)
