"""Rules on the dense degrees: what they divide, and what they multiply to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.training.search.space.codes import ALL_RANKS
from planner.training.search.space.facts import LONG_SEQUENCE
from planner.training.search.space.rules.rule import SpaceRule

if TYPE_CHECKING:
    from planner.training.search.space.facts import SpaceFacts
    from planner.training.search.space.rules.rule import Columns, Holds


def world(f: SpaceFacts, c: Columns) -> Holds:
    devices = c["tensor"] * c["context"] * c["pipeline"] * c["data"]
    if f.least_devices is not None:
        some = (devices >= f.least_devices) & (devices <= f.devices)
        return some & (devices % f.node_devices == 0)
    return devices == f.devices


def stages(f: SpaceFacts, c: Columns) -> Holds:
    return (c["pipeline"] <= f.layers) & (f.uneven_layout | (f.layers % c["pipeline"] == 0))


def framework(f: SpaceFacts, c: Columns) -> Holds:
    degrees = np.ones_like(c["tensor"])
    for axis in {"tensor", "pipeline", "context"}.intersection(f.lacking):
        degrees = degrees * c[axis]
    return degrees == 1


def lacking_axis(f: SpaceFacts, c: Columns) -> str:
    """The axis that one combination has and the framework lacks, and with which part of the model
    it lacks it, in words."""
    for axis in ("tensor", "pipeline", "context"):
        if axis in f.lacking and int(c[axis][0]) > 1:
            lacks = f"software profile {f.software} has no {axis} parallelism"
            if axis in f.lacking_everywhere:
                return lacks
            return f"{lacks} with {' or '.join(p for p, axes in f.refused_parts if axis in axes)}"
    raise AssertionError("no axis is broken")


def kv(f: SpaceFacts, c: Columns) -> Holds:
    multiple = f.beyond_query_groups & (c["tensor"] % f.query_groups == 0)
    return (f.query_groups % c["tensor"] == 0) | multiple


def ffn(f: SpaceFacts, c: Columns) -> Holds:
    return (f.ffn % c["tensor"] == 0) & (f.shared_ffn % c["tensor"] == 0)


def context_alone(f: SpaceFacts, c: Columns) -> Holds:
    others = np.ones_like(c["tensor"])
    for axis in f.context_excludes:
        others = others * c[axis]
    return (c["context"] == 1) | (others == 1)


def exchanged_heads(f: SpaceFacts, c: Columns) -> Holds:
    """Heads and key-value groups of a tensor rank, at least one, are dealt out evenly."""
    if f.context_heads == 1 or not (c["context"] > 1).any():
        return np.True_
    ranks = c["context"] if f.context_heads == ALL_RANKS else np.int64(f.context_heads)
    heads = f.heads // np.maximum(c["tensor"], 1)
    groups = np.maximum(f.query_groups // np.maximum(c["tensor"], 1), 1)
    even = (heads % ranks == 0) & (groups % ranks == 0)
    return (c["context"] == 1) | ((c["context"] % ranks == 0) & even)


DEGREES = (
    SpaceRule(
        name="layers",
        sentence="every stage needs at least one of the {f.layers} layers (and the same number as "
        "the others where the framework has no uneven layouts)",
        axes=("pipeline",),
        adjusts="pipeline",
        holds=stages,
    ),
    SpaceRule(
        name="heads",
        sentence="the tensor degree must divide the {f.heads} attention heads",
        axes=("tensor",),
        adjusts="tensor",
        holds=lambda f, c: f.heads % c["tensor"] == 0,
    ),
    SpaceRule(
        name="kv",
        sentence="the tensor degree must divide the {f.query_groups} key-value groups"
        "{f.multiples_too}",
        axes=("tensor",),
        adjusts="tensor",
        holds=kv,
    ),
    SpaceRule(
        name="ffn",
        sentence="the tensor degree must divide the MLP's hidden size ({f.ffn}; of shared experts "
        "{f.shared_ffn})",
        axes=("tensor",),
        adjusts="tensor",
        holds=ffn,
    ),
    SpaceRule(
        name="cp",
        sentence="twice the context degree must divide the sequence length {f.seq_length}",
        axes=("context",),
        adjusts="context",
        holds=lambda f, c: (c["context"] == 1) | (f.seq_length % (2 * c["context"]) == 0),
    ),
    SpaceRule(
        name="context-heads",
        sentence="context ranks that exchange heads must divide the context degree and the "
        "attention heads and the key-value groups of every tensor rank ({f.heads} and "
        "{f.query_groups} in all)",
        axes=("tensor", "context"),
        adjusts="context",
        holds=exchanged_heads,
        fix="--context-heads {f.evenly_exchanged} divide these heads and groups",
    ),
    SpaceRule(
        name="context-alone",
        sentence="{f.framework} divides sequences over context ranks only without "
        "{f.excluded_axes} parallelism",
        axes=("tensor", "pipeline", "context"),
        adjusts="context",
        holds=context_alone,
    ),
    SpaceRule(
        name="context-use",
        sentence="context parallelism is tried for sequences of {long} tokens or more, unless "
        "--context asks for it",
        axes=("context",),
        adjusts="context",
        holds=lambda f, c: (c["context"] == 1) | (f.seq_length >= LONG_SEQUENCE) | f.context_asked,
        search_only=True,
    ),
    SpaceRule(
        name="framework",
        sentence="software profile {f.software} has no {f.lacking_axes} parallelism"
        "{f.of_such_models}",
        axes=("tensor", "pipeline", "context"),
        adjusts="tensor",
        holds=framework,
        of_one=lacking_axis,
    ),
    SpaceRule(
        name="world",
        sentence="tensor · pipeline · context · data must equal the {f.devices} devices",
        axes=("tensor", "pipeline", "context", "data"),
        adjusts="data",
        holds=world,
    ),
)
