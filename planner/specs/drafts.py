"""Drafts of tokens that a load states: who writes them, how many, and how many of them hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from planner.specs.files.fields import Fraction, Input, Text

MOST_DRAFTED = 16


class Drafts(Input):
    """Speculative decoding: a step checks tokens that were drafted, and keeps those up to the first
    one that the model would not have written."""

    method: Literal["mtp", "model", "ngram"]
    """Who drafts: the model's own layer for later tokens (mtp), a smaller model, or earlier tokens
    of the request (ngram)."""
    tokens: Annotated[int, Field(ge=1, le=MOST_DRAFTED)]
    """Drafted for each sequence in a step."""
    accepted: Fraction
    """Chance that a drafted token is kept, where all before it are. It depends on the requests: no
    value is taken where none is stated."""
    model: Text | None = None
    """With `method: model`: a shipped model, or a model file."""

    @model_validator(mode="after")
    def _model_goes_with_its_method(self) -> Drafts:
        if (self.model is not None) == (self.method == "model"):
            return self
        text = (
            "method: model needs a model" if self.model is None else "a model is for method: model"
        )
        raise PydanticCustomError("rule", "{text}", {"text": text, "at": ("model",)})

    @property
    def tokens_per_step(self) -> float:
        """Mean tokens that a sequence gains in a step, (1 - a^(k + 1))/(1 - a) (Leviathan, Kalman
        and Matias 2023, arXiv 2211.17192, equation 1)."""
        return float(sum(self.accepted**at for at in range(self.tokens + 1)))
