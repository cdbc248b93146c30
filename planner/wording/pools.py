"""Pools of serving replicas in a few words."""

from __future__ import annotations

from planner.wording.units import count


def pool_words(
    *, role: str, replicas: int, tensor: int, attention_data: int, expert: int, pipeline: int
) -> str:
    """`3x TP2 PP2 prefill`; aggregated replicas go without their role."""
    shape = f"TP{tensor}"
    for short, degree in (("DP", attention_data), ("EP", expert), ("PP", pipeline)):
        if degree > 1:
            shape += f" {short}{degree}"
    return f"{count(replicas)}x {shape}" + ("" if role == "aggregated" else f" {role}")
