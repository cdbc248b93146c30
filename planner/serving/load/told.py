"""What the requests of a load take for granted, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.serving.load.arrivals import DRAWN, WARM_UP
from planner.serving.scenario import DRAFT_WEIGHTS
from planner.specs.serving_load import ROUNDS
from planner.specs.trace import BLOCK_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.serving.load.lengths import ClosedLoad
    from planner.specs.drafts import Drafts
    from planner.specs.engine import EngineProfile
    from planner.specs.serving_load import LoadFile
    from planner.specs.trace import Trace


def told_of(load: LoadFile, closed: ClosedLoad, engine: EngineProfile) -> Iterator[str]:
    """Who sends the requests, how long they are, and what they share. `closed`: the same lengths in
    a closed loop."""
    stated, trace = load.arrivals, load.trace
    if load.concurrency is not None:
        yield f"each of {load.concurrency:,} clients sends {ROUNDS} requests, one after the other"
    if trace is not None:
        yield from _of_trace(load, trace)
    elif stated is not None:
        how = "at equal distances" if stated.process == "even" else "independently of each other"
        yield (
            f"{DRAWN:,} requests are drawn with seed {1 if stated.seed is None else stated.seed} "
            f"and come {how}; the first {WARM_UP:.0%} are not counted"
        )
    if trace is None and any(one.p95 for one in (load.requests.input, load.requests.output) if one):
        yield (
            "lognormal lengths in a thousand equally likely parts: at most "
            f"{closed.input_tokens:,} tokens of prompt, {closed.output_tokens:,} of answer"
        )
    yield from _shared(load, closed, engine)
    yield from _drafts(load.drafts)


def _drafts(stated: Drafts | None) -> Iterator[str]:
    if stated is None:
        yield "no drafts of tokens"
        return
    who = {
        "mtp": "by the model's layer for later tokens",
        "model": f"by {stated.model}, with weights in {DRAFT_WEIGHTS}",
        "ngram": "from earlier tokens, at no cost",
    }
    yield (
        f"{stated.tokens} tokens of every sequence are drafted in a step {who[stated.method]}; "
        f"{stated.accepted:.0%} of them are kept where all before them are, as stated: "
        f"{stated.tokens_per_step:.2f} tokens in a step"
    )


def _of_trace(load: LoadFile, trace: Trace) -> Iterator[str]:
    count = len(trace.requests)
    which = f"the first {count:,} requests" if trace.cut else f"all {count:,} requests"
    told = f"{which} of a trace in the format of {trace.format}"
    if not load.is_open:
        told += ": each length as often as there, prompts and answers independently of each other"
    elif load.arrivals is None:
        told += f", at the times it states, {trace.rate_per_s:.4g} in a second"
    else:
        told += f", whose {trace.rate_per_s:.4g} requests in a second come at the stated rate"
    yield told
    if trace.empty:
        yield f"{trace.empty:,} requests without tokens of a prompt or an answer are left out"


def _shared(load: LoadFile, closed: ClosedLoad, engine: EngineProfile) -> Iterator[str]:
    trace, asked = load.trace, load.requests.shared_prefix
    if trace is not None and trace.has_blocks:
        if load.is_open and engine.keeps_prefixes:
            yield (
                f"blocks of {BLOCK_TOKENS} tokens with the same hash id are read once, while as "
                "many as the KV cache holds were used since; answers are not reused"
            )
        else:
            why = "in a closed loop" if engine.keeps_prefixes else f"{engine.name} states no cache"
            yield f"hash ids of the trace are left aside, {why}: every prompt is read whole"
    elif closed.shared:
        yield (
            f"the first {closed.shared:,} tokens of all prompts, whole blocks of them, are read "
            "with the first prompt and kept"
        )
    elif asked:
        why = "less than a block" if engine.keeps_prefixes else f"{engine.name} states no cache"
        yield f"the shared prefix is read with every prompt: {why}"
    else:
        yield "no shared prefixes"
