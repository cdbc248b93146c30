"""Study files: what a user writes. `build` makes a `Study` of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from planner.specs.cluster.electricity import ElectricityInput
from planner.specs.cluster.prices import PricesInput
from planner.specs.cluster.reliability import ReliabilityInput
from planner.specs.device import Precision
from planner.specs.files.fields import Count, Duration, Fraction, Input, Name, Size, Text, Tokens

Objective = Literal["time", "cost", "energy", "carbon", "devices"]

_VALUES_SCHEMA = {
    "anyOf": [
        {"type": "array", "minItems": 1},
        {"type": "string", "pattern": r"^[0-9]+\.\.[0-9]+$"},
        {
            "type": "object",
            "properties": {
                name: {"type": "integer", "minimum": 1}
                for name in ("first", "last", "step", "factor")
            },
            "required": ["first", "last"],
            "additionalProperties": False,
        },
    ],
    "examples": [[64, 128], "96..128", {"first": 8, "last": 128, "factor": 2}],
}

Values = Annotated[Any, WithJsonSchema(_VALUES_SCHEMA)]


class StudyJobInput(Input):
    """How models are trained, where no axis says it."""

    global_batch_size: Size | None = None
    """Sequences per step."""
    seq_length: Size | None = None
    """Tokens per sequence."""
    precision: Precision | None = None
    """Number format."""
    software: Text | None = None
    """A shipped software profile, or the path of one. Default: megatron-core."""
    tokens: Tokens | None = None
    """Of the whole job: days and costs are then those of the job, else of a step."""
    nodes: Count | None = None
    """Default: all nodes of the cluster."""
    headroom: Fraction | None = None
    """Device memory that must stay free."""


class LimitsInput(Input):
    """What an answer may take at most. Points beyond are listed, and no part of the front."""

    time: Duration | None = None
    """Of the whole job, or of a step where its tokens are not stated."""
    cost: Annotated[float, Field(gt=0, le=1e15)] | None = None
    """Of the same, in the currency of the prices."""
    devices: Size | None = None
    """Devices that the plan uses."""


class StudyInput(Input):
    """A study for `planner sweep`: a search for every combination of the values in `sweep`."""

    name: Name | None = None
    """Default: the name of the file."""
    cluster: Text | None = None
    """A shipped name, or a path relative to this file, where no axis says it."""
    model: Text | None = None
    """The same."""
    job: StudyJobInput = StudyJobInput()
    search: dict[Annotated[str, Field(max_length=100)], Any] = {}  # noqa: RUF012
    """Axes of a plan, each with a value or a list, to which every search is restricted."""
    sweep: Annotated[dict[Annotated[str, Field(max_length=200)], Values], Field(min_length=1)]
    """By the path of a field: the values that it takes. `nodes`, `precision` and other fields of
    `job`; `cluster`, `model` and `software`, or a field of one of them (`model.num_layers`,
    `cluster.fabric.tiers[1].oversubscription`); a field of every node group (`network.bandwidth`,
    `device.memory.capacity`); an axis of the search (`search.tensor`)."""
    apart: tuple[Text, ...] = ()
    """Axes of which every value has a front of its own, such as a network that is not for you to
    choose. The model and its batch always have."""
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1, max_length=5)] | None = None
    """What is to be low. Default: time, and cost where there are prices, else devices."""
    limits: LimitsInput = LimitsInput()
    prices: PricesInput | None = None
    """As in a cluster file, for all clusters; each takes the prices of its devices."""
    power: ElectricityInput | None = None
    """As in a cluster file, for all clusters."""
    reliability: ReliabilityInput | None = None
    """As in a cluster file, for all clusters."""
