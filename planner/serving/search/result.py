"""What a search for serving plans found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from planner.budget import Stopped
    from planner.serving.forecast import Offer
    from planner.solver import SolverRecord

Objective = Literal["throughput", "cost", "devices", "energy"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
"""Output tokens per second, the most; price of a million output tokens, devices, and joules of an
output token, the least."""


def value_of(objective: Objective, offer: Offer) -> float | None:
    """What plans are ranked by; None where the cluster does not state what it takes."""
    forecast = offer.forecast
    if objective == "throughput":
        return forecast.output_tokens_per_s
    if objective == "devices":
        return float(forecast.devices)
    if objective == "cost":
        return forecast.price_per_million_tokens
    return forecast.joules_per_token


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Kinds of replicas that are not in the space, and why."""

    reason: str
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSearch:
    """Plans, the best first. `bound` is a value of the objective that no plan of the space beats,
    `gap` how far the first plan may be from it, as a share of the better one; None where nothing
    was found. `kinds` of replicas are in the space, `candidates` of them with their requests under
    way were bounded and `priced` simulated. `front`: plans of which none has both more throughput
    of a device and more interactivity than another. `nearest`: where no plan keeps the limits of
    the load, those that miss them by least."""

    objective: Objective
    offers: tuple[Offer, ...]
    kinds: int
    candidates: int
    priced: int
    bound: float | None
    gap: float | None
    stopped: Stopped
    front: tuple[Offer, ...] = ()
    nearest: tuple[Offer, ...] = ()
    relaxations: tuple[str, ...] = ()
    excluded: tuple[LeftOut, ...] = ()
    solver: SolverRecord | None = None

    @property
    def proven(self) -> bool:
        """Whether nothing in the space is better."""
        return self.gap == 0.0
