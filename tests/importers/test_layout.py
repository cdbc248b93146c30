"""Layers per chunk by the flags of Megatron-LM, and patterns of layers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.importers.megatron.script import launch_in
from planner.importers.patterns import every_nth, first_and_frequency, read_pattern
from planner.importers.source import source_of

BASE = (
    "--hidden-size 1024 --num-attention-heads 16 --seq-length 2048 --vocab-size 51200 --bf16 "
    "--num-layers {layers} --pipeline-model-parallel-size {pipeline} "
)


def stage_layers(flags: str, *, layers: int, pipeline: int) -> tuple[int, tuple[int, ...] | None]:
    text = BASE.format(layers=layers, pipeline=pipeline) + flags
    found = launch_in(source_of(text.encode(), "run.sh"))
    return found.virtual_stages, found.stage_layers


@pytest.mark.parametrize(
    ("flags", "layers", "pipeline", "virtual", "chunks"),
    [
        ("", 24, 4, 1, None),
        ("--num-layers-per-virtual-pipeline-stage 3", 24, 4, 2, None),
        ("--num-virtual-stages-per-pipeline-rank 3", 24, 4, 3, None),
        ("--decoder-first-pipeline-num-layers 4", 25, 4, 1, (4, 7, 7, 7)),
        ("--decoder-last-pipeline-num-layers 4", 25, 4, 1, (7, 7, 7, 4)),
        (
            "--decoder-first-pipeline-num-layers 4 --decoder-last-pipeline-num-layers 6 "
            "--num-virtual-stages-per-pipeline-rank 2",
            26,
            4,
            2,
            (2, 4, 4, 3, 2, 4, 4, 3),
        ),
        (
            "--account-for-embedding-in-pipeline-split --account-for-loss-in-pipeline-split",
            30,
            4,
            1,
            (7, 8, 8, 7),
        ),
        ("--account-for-embedding-in-pipeline-split", 31, 4, 1, (7, 8, 8, 8)),
        ("--pipeline-model-parallel-layout 'Ettt|tt|tt|tL'", 8, 4, 1, (3, 2, 2, 1)),
        (
            "--pipeline-model-parallel-layout 'Et*3|(tt|)*5,t*3|L'",
            16,
            4,
            2,
            (3, 2, 2, 2, 2, 2, 3, 0),
        ),
        ("--pipeline-model-parallel-layout Et*3|(tt|)*29,m|L", 61, 16, 2, (3, *(2,) * 29, 0, 0)),
    ],
)
def test_stage_layers(
    flags: str, layers: int, pipeline: int, virtual: int, chunks: tuple[int, ...] | None
) -> None:
    quoted = flags.replace("Et*3|(tt|)*29,m|L", "'Et*3|(tt|)*29,m|L'")
    assert stage_layers(quoted, layers=layers, pipeline=pipeline) == (virtual, chunks)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--pipeline-model-parallel-layout tt|ttL", "must start with the one E"),
        (
            "--pipeline-model-parallel-layout 'Ett|tt|tL'",
            "3 stages are not a multiple of the pipeline",
        ),
        ("--pipeline-model-parallel-layout 'Ett|tL'", "holds 3 layers, the model has 8"),
        ("--pipeline-model-parallel-layout 'Ex|L'", "is not a layout"),
        ("--pipeline-model-parallel-layout 'E((t)*2)*2|L'", "is not a layout"),
        ("--pipeline-model-parallel-layout 'E(t)*999999|L'", "repeats something too often"),
        ("--num-layers-per-virtual-pipeline-stage 3", "8 layers on 2 stages are not chunks of 3"),
        (
            "--num-layers-per-virtual-pipeline-stage 2 --num-virtual-stages-per-pipeline-rank 2",
            "are both given",
        ),
        ("--decoder-first-pipeline-num-layers 9", "-1 layers remain"),
        ("--account-for-loss-in-pipeline-split", "9 layers with the ends are not 2 equal chunks"),
    ],
)
def test_layouts_megatron_refuses(flags: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stage_layers(flags, layers=8, pipeline=2)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_layout_round_trip(counts: list[int]) -> None:
    """Layers written as a layout are read back."""
    layout = "E" + "|".join("t" * count for count in counts) + "L"
    layers = sum(counts)
    if not layers:
        return
    flags = f"--pipeline-model-parallel-layout '{layout}'"
    assert stage_layers(flags, layers=layers, pipeline=len(counts)) == (1, tuple(counts))


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("[0]*3+[1]*2", (0, 0, 0, 1, 1)),
        ("([1]*2+[0])*2", (1, 1, 0, 1, 1, 0)),
        ("2*[1]", (1, 1)),
        ("[0, 1]", (0, 1)),
        ("__import__('os')", None),
        ("[1]*99999999", None),
        ("[1]*(2**99)", None),
        ("1", None),
        ("[1", None),
        ("[1]-[1]", None),
        ("(" * 500 + "[1]" + ")" * 500, None),
    ],
)
def test_patterns(text: str, pattern: tuple[int, ...] | None) -> None:
    assert read_pattern(text) == pattern


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_first_and_frequency_describe_the_list(chosen: list[bool]) -> None:
    found = first_and_frequency(chosen)
    by_hand = [
        (first, frequency)
        for first in range(len(chosen) + 1)
        for frequency in range(1, len(chosen) + 1)
        if chosen == [i >= first and (i - first + 1) % frequency == 0 for i in range(len(chosen))]
    ]
    if found is None:
        assert not by_hand
    else:
        assert found in by_hand


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_every_nth_describes_the_list(chosen: list[bool]) -> None:
    n = every_nth(chosen)
    possible = [
        n
        for n in range(1, len(chosen) + 1)
        if chosen == [(i + 1) % n == 0 for i in range(len(chosen))]
    ]
    assert (n in possible) if n else (n == 0) == (not any(chosen)) and not possible
