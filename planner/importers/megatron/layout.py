"""Which layers each pipeline chunk holds, according to the flags of Megatron-LM.

Chunks are in virtual-stage order: chunk c of stage s is virtual stage c · pipeline + s, the order
of `--pipeline-model-parallel-layout` as well (`pipeline_parallel_layer_layout.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from planner.importers.megatron.flags import Flags

LAYOUT = "--pipeline-model-parallel-layout"
FIRST = "--decoder-first-pipeline-num-layers"
LAST = "--decoder-last-pipeline-num-layers"
EMBEDDING = "--account-for-embedding-in-pipeline-split"
LOSS = "--account-for-loss-in-pipeline-split"
NOOPS = "--noop-layers"
OF_STAGES = "--num-layer-list"
LAYERS_PER_CHUNK = "--num-layers-per-virtual-pipeline-stage"
CHUNKS_PER_STAGE = "--num-virtual-stages-per-pipeline-rank"

_LONGEST_LAYOUT = 4096
_MOST_STAGES = 100_000
_REPEATED_GROUP = re.compile(r"\(([^()]*)\)\*([0-9]{1,6})")
_REPEATED_LETTER = re.compile(r"([EtmL|])\*([0-9]{1,6})")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLayout:
    """`stage_layers` is None where the layers are divided evenly."""

    virtual_stages: int
    stage_layers: tuple[int, ...] | None


def stage_layout(flags: Flags, *, layers: int, pipeline: int) -> StageLayout:
    """Raises: InputError for a layout that Megatron-LM would refuse."""
    stated = [flag for flag in (LAYERS_PER_CHUNK, CHUNKS_PER_STAGE, LAYOUT) if flags.given(flag)]
    if len(stated) > 1:
        raise flags.error(f"and {stated[0]} are both given; Megatron-LM takes one", stated[1])
    layout = flags.text(LAYOUT)
    if layout is not None:
        return _from_layout(flags, layout, layers=layers, pipeline=pipeline)
    empty = noop_layers(flags)
    counted = layers + len(empty) + flags.given(EMBEDDING) + flags.given(LOSS)
    virtual_stages = _virtual_stages(flags, layers=counted, pipeline=pipeline)
    first, last = flags.integer(FIRST), flags.integer(LAST)
    if first is not None or last is not None:
        chunks = _uneven_ends(flags, layers, pipeline, virtual_stages, first, last)
    elif flags.given(OF_STAGES):
        chunks = _of_stages(flags, layers, pipeline)
    elif empty:
        chunks = _without_noops(flags, counted, pipeline * virtual_stages, empty)
    elif flags.given(EMBEDDING) or flags.given(LOSS):
        chunks = _with_ends_counted(flags, counted, pipeline, virtual_stages)
    else:
        return StageLayout(virtual_stages=virtual_stages, stage_layers=None)
    return StageLayout(virtual_stages=virtual_stages, stage_layers=chunks)


def _virtual_stages(flags: Flags, *, layers: int, pipeline: int) -> int:
    stated = flags.integer(CHUNKS_PER_STAGE)
    if stated is not None:
        return stated
    per_chunk = flags.integer(LAYERS_PER_CHUNK)
    if per_chunk is None:
        return 1
    if pipeline < 2:
        raise flags.error("needs a pipeline degree of 2 or more", LAYERS_PER_CHUNK)
    per_stage, rest = divmod(layers, pipeline)
    if rest or per_stage % per_chunk:
        raise flags.error(
            f"{layers} layers on {pipeline} stages are not chunks of {per_chunk}", LAYERS_PER_CHUNK
        )
    return per_stage // per_chunk


def _uneven_ends(
    flags: Flags,
    layers: int,
    pipeline: int,
    virtual_stages: int,
    first: int | None,
    last: int | None,
) -> tuple[int, ...]:
    """transformer_config.py and transformer_block.py `get_num_layers_to_build`: the first and the
    last stage have as many layers as stated; the others share the rest evenly."""
    flag = FIRST if first is not None else LAST
    if pipeline < 2:
        raise flags.error("needs a pipeline degree of 2 or more", flag)
    middle_stages = pipeline - (first is not None) - (last is not None)
    middle_layers = layers - (first or 0) - (last or 0)
    uneven = middle_layers < 0 or bool(middle_layers) != bool(middle_stages)
    if uneven or (middle_stages and middle_layers % middle_stages):
        raise flags.error(
            f"{middle_layers} layers remain for {middle_stages} stages in between", flag
        )
    middle = middle_layers // middle_stages if middle_stages else 0
    stages = [middle] * pipeline
    stages[0] = first if first is not None else middle
    stages[-1] = last if last is not None else middle
    for layers_of_stage in stages:
        if layers_of_stage % virtual_stages:
            raise flags.error(
                f"{layers_of_stage} layers of a stage are not {virtual_stages} equal chunks", flag
            )
    return tuple(count // virtual_stages for count in stages) * virtual_stages


def noop_layers(flags: Flags) -> frozenset[int]:
    """Layers of `--num-layers`, from 0, that MindSpeed-LLM leaves out (`NoopTransformerLayer`)."""
    words = flags.words(NOOPS)
    if not words:
        return frozenset()
    layers = flags.needed("--num-layers")
    for word in words:
        if not (word.isascii() and word.isdigit() and int(word[:9]) < layers):
            raise flags.error(f"{word[:20]!r} is not a layer from 0 to {layers - 1}", NOOPS)
    if len(set(words)) == layers:
        raise flags.error("leaves no layer", NOOPS)
    return frozenset(map(int, words))


def _without_noops(
    flags: Flags, counted: int, chunks: int, empty: frozenset[int]
) -> tuple[int, ...]:
    """Layers that are left out count where layers are divided over the chunks."""
    if counted % chunks:
        raise flags.error(f"{counted} layers with them are not {chunks} equal chunks", NOOPS)
    each = counted // chunks
    held = [each] * chunks
    for layer in empty:
        held[layer // each] -= 1
    return tuple(held)


def _of_stages(flags: Flags, layers: int, pipeline: int) -> tuple[int, ...]:
    """MindSpeed-LLM: the layers of every stage."""
    words = flags.words(OF_STAGES) or ()
    counts = tuple(int(word[:9]) for word in words if word.isascii() and word.isdigit())
    if len(counts) != len(words) or len(counts) != pipeline or sum(counts) != layers:
        raise flags.error(
            f"{','.join(words)[:60]!r} are not {layers} layers on {pipeline} stages", OF_STAGES
        )
    return counts


def _with_ends_counted(
    flags: Flags, counted: int, pipeline: int, virtual_stages: int
) -> tuple[int, ...]:
    """Counts the embedding or the loss in place of a layer."""
    flag = EMBEDDING if flags.given(EMBEDDING) else LOSS
    chunks = pipeline * virtual_stages
    if counted % chunks:
        raise flags.error(f"{counted} layers with the ends are not {chunks} equal chunks", flag)
    held = [counted // chunks] * chunks
    held[0] -= flags.given(EMBEDDING)
    held[-1] -= flags.given(LOSS)
    return tuple(held)


def _from_layout(flags: Flags, layout: str, *, layers: int, pipeline: int) -> StageLayout:
    stages = [stage.count("t") for stage in expand_layout(flags, layout).split("|")]
    if len(stages) % pipeline:
        raise flags.error(
            f"{len(stages)} stages are not a multiple of the pipeline degree {pipeline}", LAYOUT
        )
    if sum(stages) != layers:
        raise flags.error(f"holds {sum(stages)} layers, the model has {layers}", LAYOUT)
    return StageLayout(virtual_stages=len(stages) // pipeline, stage_layers=tuple(stages))


def expand_layout(flags: Flags, layout: str) -> str:
    """`Et*3|(tt|)*2` → `Ettt|tt|tt|`: one letter for each layer. Groups are expanded first, once,
    then letters; commas mean nothing.

    Raises: InputError for anything else, and for an embedding or loss in the wrong place.
    """
    if len(layout) > _LONGEST_LAYOUT:
        raise flags.error(f"is longer than {_LONGEST_LAYOUT} characters", LAYOUT)
    text = re.sub(r"[\s,]", "", layout)
    repeats = [int(number) for number in re.findall(r"\*([0-9]{1,6})", text)]
    if max(repeats, default=0) > _MOST_STAGES // max(1, len(text)):
        raise flags.error("repeats something too often", LAYOUT)
    text = _REPEATED_GROUP.sub(lambda match: match[1] * int(match[2]), text)
    text = _REPEATED_LETTER.sub(lambda match: match[1] * int(match[2]), text)
    if len(text) > _MOST_STAGES or not re.fullmatch(r"[EtmL|]+", text):
        raise flags.error(
            f"{layout[:60]!r} is not a layout",
            LAYOUT,
            hint="E t m L for embedding, layer, prediction, loss, | between stages, (…)*n, t*n",
        )
    if not (text.startswith("E") and text.endswith("L")) or text.count("E") + text.count("L") != 2:
        raise flags.error("must start with the one E and end with the one L", LAYOUT)
    return text
