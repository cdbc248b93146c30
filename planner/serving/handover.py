"""Which replicas may continue what others read: what an engine's KV transfer refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.serving.scenario import ServingScenario


def refusal(reader: ServingScenario, writer: ServingScenario) -> str | None:
    """Why a decode replica does not take the KV cache of a prefill replica; None where it does. The
    rules are those of the engine file."""
    if reader.kv != writer.kv:
        return (
            f"prefill replicas keep the KV cache in {reader.kv}, decode replicas in {writer.kv}; "
            "both have one format"
        )
    rule = reader.engine.handover
    if rule is None:
        return None
    sent, taken = reader.degrees, writer.degrees
    pair = f"tensor degree {taken.tensor} of decode and {sent.tensor} of prefill replicas"
    if rule.tensor == "multiple" and taken.tensor % sent.tensor:
        return f"{pair}: {reader.engine.name} takes a decode degree that is a multiple of the other"
    if taken.tensor % sent.tensor and sent.tensor % taken.tensor:
        return f"{pair}: one has to divide the other"
    stages = f"pipeline degree {taken.pipeline} of decode and {sent.pipeline} of prefill replicas"
    if rule.pipeline == "one" and max(sent.pipeline, taken.pipeline) > 1:
        return f"{stages}: {reader.engine.name} hands no KV cache over between stages"
    if rule.pipeline == "same or one" and taken.pipeline not in (1, sent.pipeline):
        return f"{stages}: {reader.engine.name} takes as many decode stages as prefill stages, or 1"
    return None
