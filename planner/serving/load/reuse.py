"""Which tokens of the prompts of a trace earlier ones left in the cache."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from planner.specs.trace import BLOCK_TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.specs.trace import Trace


def reused_tokens(
    lengths: Sequence[tuple[int, int]], blocks: Sequence[tuple[int, ...]], room: int
) -> list[int]:
    """Tokens at the beginning of each prompt whose blocks are among the `room` that were used
    last."""
    kept: OrderedDict[int, None] = OrderedDict()
    found: list[int] = []
    for (prompt, _), names in zip(lengths, blocks, strict=True):
        known = 0
        while known < len(names) and names[known] in kept:
            known += 1
        found.append(min(known * BLOCK_TOKENS, prompt - 1))
        for name in reversed(names):
            kept[name] = None
            kept.move_to_end(name)
        while len(kept) > room:
            kept.popitem(last=False)
    return found


def found_again(trace: Trace) -> float:
    """Mean tokens of a prompt that a cache of any size finds again."""
    requests = trace.requests
    lengths = [(one.input_tokens, one.output_tokens) for one in requests]
    blocks = [one.blocks for one in requests]
    room = sum(len(names) for names in blocks) + 1
    return sum(reused_tokens(lengths, blocks, room)) / len(requests)
