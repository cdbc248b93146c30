"""Every default of an architecture written out, so that a model file assumes nothing."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from planner.specs.model.architecture import ARCHITECTURES, RARE, Architecture

_NOT_SPELLED_OUT = (
    "full_attention_frequency",
    "num_query_groups",
    "mixture",
    "router_bias",
    "score_function",
)
"""Defaults that count only where a model has the part that they describe."""


def spelled_out(architecture: str) -> dict[str, Any]:
    """The fields of a model file that an architecture decides, with their values."""
    chosen = ARCHITECTURES[architecture]
    names = [one.name for one in fields(chosen) if one.name not in _NOT_SPELLED_OUT]
    usual = {one.name: one.default for one in fields(Architecture) if one.name in RARE}
    return {
        name: getattr(chosen, name)
        for name in names
        if name not in usual or getattr(chosen, name) != usual[name]
    }
