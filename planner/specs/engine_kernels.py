"""Kernels of a serving engine: how long each takes on devices of a kind, by laws of sizes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from planner.specs.files.fields import (
    Basis,
    Constant,
    Count,
    Fraction,
    Input,
    Number,
    Seconds,
    Text,
)

Arithmetic = Literal["bf16", "fp8", "nvfp4"]
Share = Annotated[Fraction, Field(gt=0)]
Kernels = Annotated[int, Field(ge=0, le=1_000)]
"""How many a part of a layer has; none where another one holds them."""


class Untuned(Input):
    """Products that a library of tuned kernels has none for."""

    shapes: tuple[tuple[Count, Count], ...]
    """Columns of the weights, and the dimension that is summed."""
    chain: Seconds


class KernelLaw(Input):
    """Time of one kernel: floor + (traffic^x + arithmetic^x + chain^x)^(1/x), where traffic and
    arithmetic are seconds at the stated shares of the device's rates, and the chain is as long as
    the dimension that a product sums over."""

    floor: Seconds
    """Of a kernel with next to nothing to do, in a recorded graph."""
    bandwidth: Share
    """Share of the data-sheet memory bandwidth that streaming reaches."""
    peak: Share
    """Share of the peak rate that large shapes reach."""
    arithmetic: Arithmetic
    """The number format that the products are done in."""
    chain: Seconds = 0.0
    """For each element of the summed dimension, which such a kernel does not divide among
    processors."""
    untuned: Untuned | None = None

    def chain_of(self, n: float, k: float) -> float:
        """Of a product of [T, k] x [k, n]."""
        if self.untuned is not None and (n, k) in self.untuned.shapes:
            return self.untuned.chain
        return self.chain


class ExpertLaw(KernelLaw):
    """The same of a mixture's experts in one call."""

    tile: Count
    """Rows to which each expert's share of the batch is padded."""


class ReadingLaw(Input):
    """A kernel that memory bounds whatever its shape."""

    floor: Seconds
    bandwidth: Share


class PromptLaw(Input):
    """Attention of prompts: floor + tokens (keys + ramp) · arithmetic of a pair, where each token
    sees so many keys on average. Rows of few keys fill the device less, by the `ramp`."""

    floor: Seconds
    peak: Share
    """Of arithmetic in 16 bits, over many keys."""
    ramp: Number
    """Tokens."""


class AllReduceLaw(Input):
    """The two kernels for short messages: one-shot sends the whole buffer to each of the others,
    two-shot a share of it, twice."""

    one_shot: Seconds
    one_shot_bandwidth: Share
    """Of the data-sheet bandwidth of the links of one device, one direction."""
    two_shot: Seconds
    two_shot_bandwidth: Share


class ExchangeLaw(Input):
    """All-to-all of tokens between ranks of experts: the start of one direction, and the share of
    the links' bandwidth."""

    start: Seconds
    bandwidth: Share


class KernelTable(Input):
    """Kernels of one family of devices, by number format."""

    basis: Basis
    source: Text
    devices: tuple[Text, ...] = ()
    """Those that were measured, of a family whose other devices reach the same shares of their
    rates by assumption; none where the shares of the family are alike."""
    products: dict[str, KernelLaw]
    """By format of the weights."""
    experts: dict[str, ExpertLaw]
    """By format of the experts' weights: both products, activation, sorting and adding."""
    attention: dict[str, ReadingLaw]
    """Decode attention, by format of the KV cache."""
    latent_attention: dict[str, KernelLaw]
    """The same over a compressed KV cache, with absorbed up-projections."""
    prefill_attention: dict[str, PromptLaw]
    """By format of the KV cache, in which prompts are read where it is narrower."""
    latent_prefill_attention: dict[str, PromptLaw]
    all_reduce: AllReduceLaw
    exchange: ExchangeLaw
    small_kernel: Seconds
    """One elementwise kernel in a recorded graph."""
    shared_fused: Constant[bool] | None = None
    """Whether a shared expert is one more routed one, which all tokens choose, where every device
    holds a part of each expert; none: it is not."""
    shared_beside: Constant[Count] | None = None
    """Tokens of a step up to which shared experts run beside the routed ones, in a stream of their
    own; none where one kernel follows the other."""
