"""Flags in order: names with their values, none for switches."""

from __future__ import annotations

from planner.exporters.errors import Inexpressible

TARGET = "Megatron-LM"
VERSION = "mcore 0.20, d98e8a64"

Flags = dict[str, tuple[str, ...]]
"""Names with their dashes, in the order they are written."""


def values(**named: int | str | float | None) -> Flags:
    """`num_layers=96` → `--num-layers 96`; None leaves a flag out."""
    return {
        f"--{name.replace('_', '-')}": (str(value),)
        for name, value in named.items()
        if value is not None
    }


def switches(**named: bool) -> Flags:
    """`sequence_parallel=True` → `--sequence-parallel`; False leaves a flag out."""
    return {f"--{name.replace('_', '-')}": () for name, on in named.items() if on}


def cannot(field: str, reason: str, *, hint: str | None = None) -> Inexpressible:
    return Inexpressible(TARGET, field, reason, hint=hint)
