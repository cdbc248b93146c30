"""Which device holds which experts, and how its share of the tokens differs from others'.

    N    tokens that route together        k   experts of a token        c_e  counted choices of e
    q_e  chance that a token meets expert e: k c_e / Σ c

A device meets Σ (1 − (1 − q_e)^N) of its experts and gets N Σ q_e rows, and a mixture ends with its
slowest device. Experts are placed layer by layer, as many on each device, so that the fullest one
gets the fewest rows. A token returns to its attention rank after every mixture, so that it does not
matter which experts follow one another (as it does in ExFlow, Yao et al. 2024, arXiv 2401.08383,
whose tokens stay where they are).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InputError
from planner.solver import Solver
from planner.solver.balance import balance
from planner.wording.units import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.arrays import Floats
    from planner.specs.engine import EngineProfile
    from planner.specs.model.spec import ModelSpec
    from planner.specs.routing import RoutingCounts

Order = tuple[int, ...]
"""Experts of a layer as devices hold them: those of the first device, then of the second, …"""
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedExperts:
    """Experts of every mixture layer on so many groups of devices. `chances` [layers, groups,
    experts of a group]: that a token meets an expert. `fullest`: rows of the fullest group over
    the mean, on average over layers; `in_order`: the same with experts in their own order;
    `bound`: no placement has less."""

    order: tuple[Order, ...]
    chances: Floats
    fullest: float
    in_order: float
    bound: float

    @property
    def gap(self) -> float:
        """How far the fullest group may be from the best, as a share."""
        return self.fullest / self.bound - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ExpertRouting:
    """Routing of a model as it was counted. `chances` [mixture layers, experts]: that a token meets
    an expert. `free`: the engine takes a placement; otherwise experts lie in their order.
    `stated`: placements by number of groups."""

    path: str
    chances: Floats
    free: bool
    stated: Mapping[int, tuple[Order, ...]] = field(default_factory=dict)

    @cached_property
    def _placed(self) -> dict[int, PlacedExperts]:
        return {}

    def on(self, groups: int) -> PlacedExperts:
        """Experts on so many groups of devices, each with as many. Raises: InputError for another
        number, or a stated placement of another model."""
        if groups not in self._placed:
            self._placed[groups] = self._place(groups)
        return self._placed[groups]

    def _place(self, groups: int) -> PlacedExperts:
        layers, experts = self.chances.shape
        if experts % groups:
            raise InputError(f"expert degree {groups} does not divide the {experts:,} experts")
        rows = float(self.chances[0].sum()) / groups
        own: Order = tuple(range(experts))
        order: tuple[Order, ...] = (own,) * layers
        bound = _fullest(self.chances, order, groups)
        if groups in self.stated:
            order = self.stated[groups]
            if (len(order), len(order[0])) != (layers, experts):
                raise InputError(
                    f"placements: {len(order):,} layers of {len(order[0]):,} experts, but the "
                    f"model has {layers:,} of {experts:,}"
                )
        elif self.free and groups > 1:
            solver = Solver()
            found = [balance(layer, groups, solver) for layer in self.chances.tolist()]
            order = tuple(tuple(e for held in one.bins for e in held) for one in found)
            bound = float(np.mean([one.bound for one in found]))
        fullest = _fullest(self.chances, order, groups)
        placed = np.take_along_axis(self.chances, np.array(order), axis=1)
        return PlacedExperts(
            order=order,
            chances=placed.reshape(layers, groups, experts // groups),
            fullest=fullest / rows,
            in_order=_fullest(self.chances, (own,) * layers, groups) / rows,
            bound=min(bound, fullest) / rows,
        )


def routing_of(
    counts: RoutingCounts | None,
    model: ModelSpec,
    engine: EngineProfile,
    stated: Mapping[int, tuple[Order, ...]] | None = None,
) -> ExpertRouting | None:
    """The counts as the model's routing. Rows of layers that are no mixtures are left out where
    there is one for every layer.

    Raises: InputError where they are of another model, or of no model: a token meets an expert once
    at most."""
    if counts is None:
        return None
    moe, rows = model.moe, counts.layers
    if moe is None:
        raise InputError(f"{model.name} is no mixture of experts", path=counts.path)
    mixtures = [at for at, kind in enumerate(model.layer_kinds) if kind == "moe"]
    if len(rows) == model.num_layers:
        rows = tuple(rows[at] for at in mixtures)
    if len(rows) != len(mixtures) or len(rows[0]) != moe.num_experts:
        raise InputError(
            f"{plural(len(counts.layers), 'layer')} of {len(rows[0]):,} experts, but "
            f"{model.name} has {len(mixtures):,} mixtures of {moe.num_experts:,}",
            path=counts.path,
        )
    table = np.array(rows)
    for at, layer in enumerate(table):
        most = layer.max() * moe.top_k
        if not layer.sum() or most > layer.sum() * (1 + _ROUNDING):
            raise InputError(
                f"mixture {at + 1}: expert {int(layer.argmax())} has {layer.max():,.0f} of "
                f"{layer.sum():,.0f} choices, but a token chooses {moe.top_k} different ones",
                path=counts.path,
            )
    return ExpertRouting(
        path=counts.path,
        chances=table * moe.top_k / table.sum(axis=1, keepdims=True),
        free=engine.reads_placement,
        stated=stated or {},
    )


def _fullest(chances: Floats, order: tuple[Order, ...], groups: int) -> float:
    """Rows of the fullest group for a token, on average over layers."""
    placed = np.take_along_axis(chances, np.array(order), axis=1)
    return float(placed.reshape(len(chances), groups, -1).sum(axis=2).max(axis=1).mean())
