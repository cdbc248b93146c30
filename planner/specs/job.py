"""The job: what is trained how, apart from the plan that is looked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, get_args

from planner.arrays import Ints
from planner.errors import InputError
from planner.specs.defaults import DEFAULT_HEADROOM
from planner.specs.device import PRECISIONS, Precision
from planner.specs.model.context import longer_than_made_for
from planner.specs.model.spec import ModelSpec
from planner.specs.optimizers import OptimizerName
from planner.specs.ranges import LONGEST_SEQUENCE, MOST_SEQUENCES
from planner.specs.settings import AS_THE_PROFILE, Settings
from planner.specs.software import SoftwareProfile

OPTIMIZERS = get_args(OptimizerName)

Count = TypeVar("Count", int, Ints)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One training job on `devices` devices.

    `global_batch_size` is in sequences of `seq_length` tokens. `headroom` is the share of device
    memory that must stay free. `expert_imbalance` is the load of the busiest expert over the mean.
    """

    global_batch_size: int
    seq_length: int
    precision: Precision
    software: SoftwareProfile
    devices: int
    optimizer: str = "adam"
    headroom: float = DEFAULT_HEADROOM
    expert_imbalance: float = 1.0
    settings: Settings = AS_THE_PROFILE
    """What `software` was changed by."""
    tokens: int | None = None
    """Of the whole job, for how long it takes; None where nobody says."""
    assumptions: tuple[str, ...] = ()

    def microbatches(self, together: Count) -> Count:
        """Microbatches of the busiest replica, where all replicas together take so many sequences
        in each; whole numbers, or arrays of them."""
        uneven = self.software.uneven_replicas
        return microbatches_of_replicas(self.global_batch_size, together, uneven=uneven)[-1]


def microbatches_of_replicas(
    global_batch_size: int, together: Count, *, uneven: bool
) -> tuple[Count, ...]:
    """Microbatches of every replica, where all replicas together take so many sequences in each; of
    `uneven` replicas, of those that run fewest and of those that run most."""
    fewest = global_batch_size // together
    return (fewest, -(-global_batch_size // together)) if uneven else (fewest,)


def build_job(
    model: ModelSpec,
    software: SoftwareProfile,
    *,
    devices: int,
    global_batch_size: int | None = None,
    seq_length: int | None = None,
    precision: str | None = None,
    optimizer: str | None = None,
    headroom: float = DEFAULT_HEADROOM,
    expert_imbalance: float = 1.0,
    settings: Settings | None = None,
    tokens: int | None = None,
) -> JobSpec:
    """A job from options, then the model's `training:` block, then its sequence length.

    Raises: InputError when nothing states a value, or the value is not one of those known.
    """
    training = model.training
    assumptions: list[str] = []
    batch = _stated(
        "global batch size",
        "global_batch_size",
        global_batch_size,
        training.global_batch_size,
        most=MOST_SEQUENCES,
    )
    length = _stated(
        "sequence length",
        "seq_length",
        seq_length,
        training.seq_length,
        model.seq_length,
        most=LONGEST_SEQUENCE,
    )
    chosen = precision or training.precision
    if chosen is None:
        chosen = "bf16"
        assumptions.append("job: precision bf16 (nothing states another)")
    updated_by = _known("optimizer", optimizer or training.optimizer or "adam", OPTIMIZERS)
    settings = settings or AS_THE_PROFILE
    longest = settings.longest_packed or settings.packed_length or 0
    if longest > length:
        raise InputError(
            f"--packed-lengths: a sequence of {longest:,} tokens does not fit into the sequence "
            f"length of {length:,}"
        )
    beyond = longer_than_made_for(model, longest or length)
    if beyond is not None and model.position_embedding != "learned":
        assumptions.append(f"job: sequences of {beyond}")
    return JobSpec(
        global_batch_size=batch,
        seq_length=length,
        precision=_known_precision(chosen),
        software=settings.applied(software, updated_by),
        devices=_at_least_one("devices", devices),
        optimizer=updated_by,
        headroom=_share("headroom", headroom),
        expert_imbalance=_imbalance(expert_imbalance),
        settings=settings,
        tokens=tokens or training.tokens,
        assumptions=tuple(assumptions),
    )


def _stated(what: str, key: str, *values: int | None, most: int) -> int:
    """The first value that is stated. A model file and a launch file may hold what no option may;
    an estimate of it would take hours."""
    for value in values:
        if value is not None and value > most:
            raise InputError(f"{what} must be at most {most:,}, found {value:,}")
        if value is not None:
            return _at_least_one(what, value)
    option = key.replace("_", "-")
    raise InputError(f"no {what}", hint=f"give --{option}, or training.{key} in the model file")


def _at_least_one(what: str, value: int) -> int:
    if value < 1:
        raise InputError(f"{what} must be at least 1, found {value}")
    return value


def _known(what: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise InputError(f"unknown {what} {value!r}; allowed: {', '.join(allowed)}")
    return value


def _known_precision(value: str) -> Precision:
    for precision in PRECISIONS:
        if precision == value:
            return precision
    raise InputError(f"unknown precision {value!r}; allowed: {', '.join(PRECISIONS)}")


def _share(what: str, value: float) -> float:
    if not 0 <= value < 1:
        raise InputError(f"{what} must be at least 0 and below 1, found {value}")
    return value


def _imbalance(value: float) -> float:
    if not 1 <= value <= 1000:
        raise InputError(f"expert imbalance must be between 1 and 1000, found {value}")
    return value
