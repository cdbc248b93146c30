"""Layers of every chunk of a measured run that does not print them."""

from __future__ import annotations


def spread_layers(num_layers: int, chunks: int) -> tuple[int, ...]:
    """Equal chunks; what does not divide goes one each to the middle ones. Chunks may be empty."""
    each, rest = divmod(num_layers, chunks)
    first = (chunks - rest) // 2
    return tuple(each + (first <= index < first + rest) for index in range(chunks))
