"""`--pipeline-model-parallel-layout`: which layers each pipeline chunk holds.

E is the embedding, t a layer, m a prediction layer, L the loss; | separates chunks, which stand in
virtual-stage order (chunk c of stage s at c · pipeline + s); x*n and (…)*n repeat, the parentheses
expanded first, once; commas mean nothing (`PipelineParallelLayerLayout.parse_str_to_list`).
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from planner.exporters.megatron.flags import cannot

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHORTEST_RUN = 3
"""Equal chunks that are written as one group."""


def layout_of(layers: Sequence[int], predictions: int) -> str:
    """The layout of chunks with these numbers of layers, `predictions` prediction layers before the
    loss. Raises: Inexpressible for an empty chunk, at which Megatron-LM has been seen to hang.
    """
    chunks = ["t" if count == 1 else f"t*{count}" if count else "" for count in layers]
    chunks[0] = f"E{chunks[0]}"
    ending = {0: "", 1: "m"}.get(predictions, f"m*{predictions}")
    chunks[-1] = f"{chunks[-1]}{ending}L"
    if "" in chunks:
        raise cannot("stages", f"chunk {chunks.index('')} holds no layer")
    return _grouped(chunks)


def _grouped(chunks: Sequence[str]) -> str:
    """Chunks joined by |, runs of equal ones as `(t*2|)*6,`."""
    text = ""
    rest = len(chunks)
    for chunk, run in groupby(chunks):
        times = len(list(run))
        rest -= times
        if times >= _SHORTEST_RUN and rest:
            text += f"({chunk}|)*{times},"
        else:
            text += "|".join([chunk] * times) + ("|" if rest else "")
    return text
