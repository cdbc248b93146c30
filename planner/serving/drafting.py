"""Drafts of a load as a replica makes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.errors import RuleError
from planner.serving.scenario import Drafting

if TYPE_CHECKING:
    from planner.specs.drafts import Drafts
    from planner.specs.model.spec import ModelSpec


def drafting_of(
    stated: Drafts | None, model: ModelSpec, drafter: ModelSpec | None
) -> Drafting | None:
    """`drafter`: the model that the load names. A layer for later tokens is one more of the last
    kind (DeepSeek-AI 2024, arXiv 2412.19437, section 2.2), used again for each further token.

    Raises: RuleError where the model has no such layer."""
    if stated is None:
        return None
    writer = drafter
    if stated.method == "mtp":
        if not model.mtp_num_layers:
            raise RuleError(
                "drafts",
                f"{model.name} has no layer that predicts later tokens",
                hint="state mtp_num_layers in the model file, or another method of drafts",
            )
        kinds = model.moe
        if kinds is not None:
            kinds = replace(kinds, first_dense_layers=0, layer_frequency=1)
        writer = replace(model, num_layers=1, full_attention_frequency=1, moe=kinds)
    return Drafting(
        tokens=stated.tokens,
        tokens_per_step=stated.tokens_per_step,
        model=writer,
        own_layer=stated.method == "mtp",
    )
