"""A pipeline schedule as a value: the order of the passes on every stage.

Letters: p stages, v chunks (virtual stages) of a stage, m microbatches, n passes of a stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from planner.arrays import SmallInts


class PassKind(IntEnum):
    """What a pass computes. A schedule that splits backwards runs both halves in place of the
    whole."""

    FORWARD = 0
    BACKWARD = 1
    BACKWARD_INPUT = 2
    BACKWARD_WEIGHT = 3
    VOCAB_FORWARD = 4
    """A stage's share of the logits and of their softmax (S of Yeung et al. 2024)."""
    VOCAB_BACKWARD = 5
    """A stage's share of the gradients of the output layer (T)."""
    RECOMPUTE = 6
    """Computes again what the next backward needs and the forward did not keep."""
    IDLE = 7
    """No pass: fills the end of a stage that runs fewer passes than another."""

    @property
    def label(self) -> str:
        return self.name.lower()


class Pass(NamedTuple):
    """One pass of a stage. Microbatches and chunks count from 0."""

    kind: PassKind
    microbatch: int
    chunk: int


VOCAB_KINDS = (PassKind.VOCAB_FORWARD, PassKind.VOCAB_BACKWARD)
"""Passes of the output layer where every stage holds a part of it: once per microbatch on every
stage, regardless of its chunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A collective of all stages, once per microbatch.

    It starts when every stage has run its pass `after`, and the passes `before` of the same
    microbatch start when it ends. If `after` is FORWARD or BACKWARD, which concern only the end of
    the model, it waits only for the stage that holds the last virtual stage. Exchanges run one at a
    time, by microbatch and then in the order of `Schedule.exchanges`, as in a communicator.
    """

    name: str
    after: PassKind
    before: tuple[PassKind, ...]
    lag: int = 0
    """Microbatches by which it is delayed in that order."""
    holds: bool = False
    """Whether a stage idles between its pass `after` and the end of the exchange."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkMap:
    """The virtual stage of each chunk of each stage.

    Microbatches visit virtual stages in rising order, from one in `starts` to the matching one in
    `ends`. There are several of these only when microbatches take different routes.
    """

    name: str
    virtual_stage: SmallInts
    """[p, v]: position of chunk c of stage s in the model."""
    starts: tuple[int, ...] = (0,)
    ends: tuple[int, ...]

    @property
    def stage_of(self) -> SmallInts:
        """[p·v]: the stage that holds each virtual stage."""
        stages, chunks = self.virtual_stage.shape
        owner = np.empty(stages * chunks, dtype=np.int32)
        owner[self.virtual_stage] = np.arange(stages, dtype=np.int32)[:, None]
        return owner

    @property
    def copies(self) -> int:
        """How many copies of the model the pipeline holds."""
        return len(self.starts)

    @property
    def positions(self) -> SmallInts:
        """[p, v]: position of each chunk in the copy of the model that it belongs to."""
        starts = np.array(self.starts, dtype=np.int32)
        copy = np.searchsorted(starts, self.virtual_stage, side="right") - 1
        return self.virtual_stage - starts[copy]

    @property
    def last_stage(self) -> int:
        """The stage that holds the end of the model (of its first copy)."""
        return int(self.stage_of[self.ends[0]])


def looped(stages: int, virtual_stages: int) -> ChunkMap:
    """Chunk c of stage s is virtual stage c·p + s (Narayanan et al. 2021, section 2.2)."""
    position = np.arange(stages * virtual_stages, dtype=np.int32)
    return ChunkMap(
        name="looped",
        virtual_stage=np.ascontiguousarray(position.reshape(virtual_stages, stages).T),
        ends=(stages * virtual_stages - 1,),
    )


def vee(stages: int, virtual_stages: int = 2) -> ChunkMap:
    """Chunk 0 runs down the stages, chunk 1 back up: stage 0 holds both ends of the model.

    Qi et al. 2024, arXiv:2401.10241 (ZB-V); further chunks continue to alternate.
    """
    position = np.arange(stages * virtual_stages, dtype=np.int32).reshape(virtual_stages, stages)
    position[1::2] = position[1::2, ::-1]
    return ChunkMap(
        name="vee",
        virtual_stage=np.ascontiguousarray(position.T),
        ends=(stages * virtual_stages - 1,),
    )


def bidirectional(stages: int, virtual_stages: int = 2) -> ChunkMap:
    """Two copies of the model, the second reversed: chunk 0 of stage s is stage s of the first
    copy, chunk 1 is stage p − 1 − s of the second. Each microbatch takes one of the copies
    (DualPipe)."""
    place = np.arange(stages, dtype=np.int32)
    return ChunkMap(
        name="bidirectional",
        virtual_stage=np.stack((place, virtual_stages * stages - 1 - place), axis=1),
        starts=(0, stages),
        ends=(stages - 1, 2 * stages - 1),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """The fixed order of passes on every stage.

    A pass is stored as one integer, (kind·v + chunk)·m + microbatch.
    """

    name: str
    stages: int
    virtual_stages: int
    num_microbatches: int
    placement: ChunkMap
    codes: SmallInts
    """[p, n]: the passes of each stage in order."""
    steady: SmallInts
    """[p, 2]: bounds of the steady phase, in which forwards and backwards alternate: its first pass
    and the first pass after it. Warm-up comes before it, cool-down after it; both bounds are 0
    where the order has no such phase."""
    places: SmallInts | None = None
    """[p, n]: when each pass could run if all took equally long. Where these respect every
    dependency, they save the search for such places."""
    exchanges: tuple[Exchange, ...] = ()
    """Collectives of all stages, in addition to the messages between stages."""

    @property
    def kinds(self) -> SmallInts:
        """[p, n]: `PassKind` of every pass."""
        return self.codes // (self.virtual_stages * self.num_microbatches)

    @property
    def chunks(self) -> SmallInts:
        """[p, n]: chunk of every pass."""
        return self.codes // self.num_microbatches % self.virtual_stages

    @property
    def microbatches(self) -> SmallInts:
        """[p, n]: microbatch of every pass."""
        return self.codes % self.num_microbatches

    @property
    def splits_backward(self) -> bool:
        return self.has(PassKind.BACKWARD_WEIGHT)

    def has(self, kind: PassKind) -> bool:
        """Whether any stage runs a pass of this kind."""
        block = self.virtual_stages * self.num_microbatches
        codes = self.codes
        return bool(((codes >= kind * block) & (codes < (kind + 1) * block)).any())

    def passes(self, stage: int) -> tuple[Pass, ...]:
        """The passes of one stage, decoded."""
        row = (self.decode(code) for code in self.codes[stage].tolist())
        return tuple(one for one in row if one.kind is not PassKind.IDLE)

    def decode(self, code: int) -> Pass:
        kind_and_chunk, microbatch = divmod(code, self.num_microbatches)
        kind, chunk = divmod(kind_and_chunk, self.virtual_stages)
        return Pass(PassKind(kind), microbatch, chunk)


def encode(
    kind: int | SmallInts,
    chunk: int | SmallInts,
    microbatch: SmallInts,
    *,
    virtual_stages: int,
    num_microbatches: int,
) -> SmallInts:
    """Codes of passes as `Schedule.codes` stores them."""
    code = (np.asarray(kind) * virtual_stages + chunk) * num_microbatches + microbatch
    return code.astype(np.int32)
