"""Load files: the requests that a serving job answers, and how fast it has to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from planner.specs.files.fields import Fraction, Input, Name, Seconds
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document
from planner.specs.ranges import LONGEST_SEQUENCE, MOST_CONCURRENT

ROUNDS = 10
"""Requests of each client in a closed loop: as published benchmarks have them."""
Clients = Annotated[int, Field(ge=1, le=MOST_CONCURRENT)]
Length = Annotated[int, Field(ge=1, le=LONGEST_SEQUENCE)]


class Requests(Input):
    """How long they are."""

    input: Length
    """Tokens of a prompt, mean."""
    output: Length
    """Tokens of an answer, mean."""
    spread: Fraction = Field(default=0.0, lt=1)
    """Lengths are uniform within this share below and above the mean."""


class LatencyLimit(Input):
    """Limits of one latency, by statistic."""

    mean: Seconds | None = None
    p50: Seconds | None = None
    p99: Seconds | None = None


class ServiceLevel(Input):
    """What the latencies have to be."""

    ttft: LatencyLimit | None = None
    tpot: LatencyLimit | None = None


class LoadFile(Input):
    """A load: a closed loop of clients, or all requests at once; with neither, as many clients as
    a search finds to be best."""

    name: Name | None = None
    requests: Requests
    concurrency: Clients | None = None
    """Requests under way; each is followed by the next."""
    offline: Clients | None = None
    """Requests that are all there at the start."""
    slo: ServiceLevel | None = None

    @model_validator(mode="after")
    def _has_tpot(self) -> LoadFile:
        if self.slo is not None and self.slo.tpot is not None and self.requests.output == 1:
            text = "answers of one token have no time of a further one to limit"
            raise PydanticCustomError("rule", "{text}", {"text": text, "at": ("slo", "tpot")})
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> LoadFile:
        if self.concurrency is not None and self.offline is not None:
            text = "state either concurrency or offline, not both"
            raise PydanticCustomError("rule", "{text}", {"text": text})
        return self


def load_serving_load(path: str | Path) -> LoadFile:
    """A load file. Raises: InputError."""
    return validate(load_document(Path(path)), LoadFile)
