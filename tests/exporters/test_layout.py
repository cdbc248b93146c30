"""`--pipeline-model-parallel-layout`: what is written reads back to the same chunks."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.exporters.errors import Inexpressible
from planner.exporters.megatron.layout import layout_of
from planner.exporters.megatron.model import expert_pattern
from planner.importers.patterns import read_pattern
from planner.specs.load import parse_model
from tests.exporters.megatron_rules import parse_layout

CHUNKS = st.lists(st.sampled_from([1, 1, 2, 2, 3, 7, 12]), min_size=2, max_size=64)


@given(layers=CHUNKS, predictions=st.integers(0, 3))
def test_a_layout_reads_back_to_the_same_chunks(layers: list[int], predictions: int) -> None:
    chunks = parse_layout(layout_of(layers, predictions))
    assert [chunk.count("t") for chunk in chunks] == layers
    whole = "".join(chunks)
    assert re.fullmatch(r"Et+m*L", whole)
    assert chunks[0].startswith("E")
    assert chunks[-1].endswith("m" * predictions + "L")


@pytest.mark.parametrize(
    ("layers", "layout"),
    [
        ((2, 2), "Et*2|t*2L"),
        ((1, 2, 2, 1), "Et|t*2|t*2|tL"),
        ((3, 4, 4, 4, 1), "Et*3|(t*4|)*3,tL"),
        ((2, 2, 2, 2, 1, 1, 1, 1), "Et*2|(t*2|)*3,(t|)*3,tL"),
    ],
)
def test_runs_of_equal_chunks_are_written_once(layers: tuple[int, ...], layout: str) -> None:
    assert layout_of(layers, 0) == layout


def test_the_embedding_or_the_loss_may_stand_alone_but_no_chunk_may_be_empty() -> None:
    assert parse_layout(layout_of((0, 4, 0), 1)) == ["E", "tttt", "mL"]
    with pytest.raises(Inexpressible, match=r"stages: chunk 1 holds no layer"):
        layout_of((4, 0, 4), 0)


@given(layers=st.integers(1, 80), first=st.integers(0, 80), every=st.integers(1, 9))
def test_expert_layers_as_a_pattern(layers: int, first: int, every: int) -> None:
    model = parse_model(
        {
            "architecture": "deepseek",
            "num_layers": layers,
            "hidden_size": 64,
            "ffn_hidden_size": 64,
            "num_attention_heads": 4,
            "vocab_size": 1000,
            "moe": {
                "num_experts": 4,
                "top_k": 2,
                "ffn_hidden_size": 32,
                "first_dense_layers": min(first, layers),
                "layer_frequency": every,
            },
        }
    )
    text = expert_pattern(model)
    assert " " not in text
    assert read_pattern(text) == tuple(int(kind == "moe") for kind in model.layer_kinds)
