"""The requests of a load file as loads that can be simulated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.serving.load.arrivals import Stream
from planner.serving.load.lengths import ClosedLoad, LengthTable
from planner.serving.load.reuse import found_again
from planner.specs.serving_load import ROUNDS

if TYPE_CHECKING:
    from planner.specs.engine import EngineProfile
    from planner.specs.serving_load import Lengths, LoadFile


def closed_load(file: LoadFile, engine: EngineProfile) -> ClosedLoad:
    """The requests of a load file in a closed loop, with one client where it states none. Of a
    trace it has all lengths, each as often as there."""
    requests = file.requests
    spread = requests.spread
    inputs: LengthTable | None
    outputs: LengthTable | None
    if file.trace is not None:
        found = file.trace.requests
        inputs = LengthTable.of([one.input_tokens for one in found])
        outputs = LengthTable.of([one.output_tokens for one in found])
        longest = inputs.tokens[-1], outputs.tokens[-1]
    else:
        assert requests.input is not None
        assert requests.output is not None
        inputs, outputs = _table(requests.input), _table(requests.output)
        longest = (
            _longest(requests.input, inputs, spread),
            _longest(requests.output, outputs, spread),
        )
    block = engine.memory.block_tokens
    kept = requests.shared_prefix // block * block if engine.keeps_prefixes else 0
    return ClosedLoad(
        concurrency=file.concurrency or file.offline or 1,
        input_tokens=longest[0],
        output_tokens=longest[1],
        least=(1 - spread) / (1 + spread),
        rounds=1 if file.offline else ROUNDS,
        inputs=inputs,
        outputs=outputs,
        shared=kept,
    )


def bounding_load(file: LoadFile, engine: EngineProfile) -> ClosedLoad:
    """The same as what bounds are made from: with the tokens that a cache of any size finds again
    in a trace as a shared prefix, so that no replica has less to read."""
    closed, trace = closed_load(file, engine), file.trace
    if trace is None or not (file.is_open and trace.has_blocks and engine.keeps_prefixes):
        return closed
    return replace(closed, shared=int(found_again(trace)))


def stream_of(file: LoadFile, engine: EngineProfile) -> Stream:
    """The requests of a load file that come at times of their own."""
    closed, stated, trace = closed_load(file, engine), file.arrivals, file.trace
    if trace is not None:
        rate_per_s = trace.rate_per_s if stated is None else stated.rate
        return Stream(closed=closed, rate_per_s=rate_per_s, trace=trace)
    assert stated is not None
    return Stream(
        closed=closed,
        rate_per_s=stated.rate,
        poisson=stated.process != "even",
        seed=1 if stated.seed is None else stated.seed,
    )


def _table(lengths: Lengths) -> LengthTable | None:
    """None for lengths that are uniform around a mean."""
    if lengths.tokens is not None:
        return LengthTable.of(lengths.tokens, lengths.shares)
    if lengths.mean is not None and lengths.p95 is not None:
        return LengthTable.lognormal(lengths.mean, lengths.p95)
    return None


def _longest(lengths: Lengths, table: LengthTable | None, spread: float) -> int:
    if table is not None:
        return table.tokens[-1]
    return round((lengths.mean or 1) * (1 + spread))
