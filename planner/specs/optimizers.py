"""What optimizers keep, and what a framework can keep it in: the part of a software profile about
them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from planner.specs.files.fields import Constant, Count, Input
from planner.specs.files.general import general_part
from planner.specs.software_words import DataSharding

OptimizerName = Literal["adam", "sgd", "lion", "muon", "adafactor"]
MasterType = Literal["none", "fp32", "fp16", "remainders"]
StateType = Literal["fp32", "bf16", "fp16"]
MomentType = Literal["fp32", "bf16", "fp16", "fp8", "int8"]
Moments = Annotated[int, Field(ge=0, le=2)]


class Optimizer(Input):
    """What one optimizer keeps for a parameter in addition to its weight, and computes."""

    moments: Moments
    """Of the weights of layers. What rows and columns of a factored moment keep is left out: 4
    bytes for each, below 0.01 byte a parameter."""
    end_moments: Moments
    """Of embedding and output layer."""
    iterations: Constant[Count] | None = None
    """Iterations that make the update of a weight orthogonal, of three products each. Default:
    none, the update is element by element."""


def _optimizer(name: str) -> Optimizer:
    return general_part("software", f"optimizers.{name}", Optimizer)


class Optimizers(Input):
    """What each optimizer keeps."""

    adam: Optimizer = _optimizer("adam")
    """Adam and AdamW."""
    sgd: Optimizer = _optimizer("sgd")
    """Gradient descent with momentum."""
    lion: Optimizer = _optimizer("lion")
    """The sign of a momentum."""
    muon: Optimizer = _optimizer("muon")
    """Orthogonal momentum for the weights of layers, Adam for everything else."""
    adafactor: Optimizer = _optimizer("adafactor")
    """A factored second moment and no first."""

    def of(self, name: str) -> Optimizer:
        found: Optimizer = getattr(self, name)
        return found


class StateChoices(Input):
    """Types of optimizer states that a job may choose in addition to the profile's own."""

    master_weights: tuple[MasterType, ...] = ()
    moments: tuple[MomentType, ...] = ()
    gradients: tuple[StateType, ...] = ()
    only_adam: bool = False
    """Adam alone takes them."""
    sharding: tuple[DataSharding, ...] = ()
    """Data sharding that states in other types than fp32 need. Default: any."""
    whole_matrices: tuple[DataSharding, ...] = ()
    """Data sharding that an optimizer needs whose update takes whole weights. Default: any."""
    together: bool = False
    """Where moments have another type than fp32, master weights are remainders."""
    reduced_as_kept: bool = False
    """Gradients travel in the type in which they are kept."""

    def shardings(
        self, software_states: Iterable[str | None], optimizer: Optimizer
    ) -> tuple[str, ...]:
        """Data sharding that states of these types and the optimizer need; () for any."""
        reduced = any(one not in (None, "fp32") for one in software_states)
        needs = [
            *([self.sharding] if reduced and self.sharding else []),
            *([self.whole_matrices] if optimizer.iterations and self.whole_matrices else []),
        ]
        return tuple(one for one in (needs[0] if needs else ()) if all(one in n for n in needs))
