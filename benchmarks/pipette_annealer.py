"""Pipette's simulated annealing over nodes, to compare with (Yim et al., DATE 2024, section V).

Written anew from the paper and from how its published program behaves: a random permutation of the
nodes cut into pipelines; five moves (a stretch reversed, a node moved, two nodes exchanged, a
stretch moved, a stretch moved and reversed); temperature 1, multiplied by 0.999 at every step; a
placement worse by d milliseconds is accepted with probability exp(−d′ / temperature), d′ being d
with its decimal point moved until it is below 1; and no end but the clock.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from time import process_time
from typing import TYPE_CHECKING

import numpy as np

from planner.placement.problem.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.placement.problem.problem import PlacementProblem

COOLING = 0.999


@dataclass(frozen=True, slots=True)
class Annealed:
    objective_s: float
    steps: int


def anneal(problem: PlacementProblem, seconds: float, *, seed: int = 0) -> Annealed:
    """The best placement it meets in so many seconds of the processor."""
    rng = random.Random(seed)
    until_s = process_time() + seconds
    value_ms = _value_ms(problem)
    nodes = list(range(len(problem.node_class)))
    rng.shuffle(nodes)
    now_ms = best_ms = value_ms(nodes)
    temperature, steps = 1.0, 0
    while process_time() < until_s:
        moved = MOVES[rng.randrange(len(MOVES))](nodes, rng)
        moved_ms = value_ms(moved)
        if moved_ms <= now_ms or rng.random() < _chance(moved_ms - now_ms, temperature):
            nodes, now_ms = moved, moved_ms
            best_ms = min(best_ms, now_ms)
        temperature *= COOLING
        steps += 1
    return Annealed(best_ms / 1e3, steps)


def _chance(worse_ms: float, temperature: float) -> float:
    if temperature < 1e-9 or not math.isfinite(worse_ms):
        return 0.0
    scaled = worse_ms / 10 ** (int(math.log10(worse_ms)) + 1)
    return math.exp(-scaled / temperature)


def _value_ms(problem: PlacementProblem) -> Callable[[list[int]], float]:
    """The objective of nodes listed pipeline by pipeline, those that are left out last."""
    terms = terms_of(problem)
    place = np.arange(problem.positions).reshape(problem.columns, problem.rows).T

    def value(nodes: list[int]) -> float:
        classes = problem.node_class[np.array(nodes[: problem.positions])]
        return 1e3 * float(terms.objectives_s(classes[place][None])[0])

    return value


def _two(size: int, rng: random.Random) -> tuple[int, int]:
    first, last = sorted(rng.sample(range(size), 2))
    return first, last + 1


def _reversed(nodes: list[int], rng: random.Random) -> list[int]:
    first, last = _two(len(nodes), rng)
    return nodes[:first] + nodes[first:last][::-1] + nodes[last:]


def _inserted(nodes: list[int], rng: random.Random) -> list[int]:
    moved = nodes.copy()
    node = moved.pop(rng.randrange(len(moved)))
    moved.insert(rng.randrange(len(nodes)), node)
    return moved


def _exchanged(nodes: list[int], rng: random.Random) -> list[int]:
    one, other = rng.sample(range(len(nodes)), 2)
    moved = nodes.copy()
    moved[one], moved[other] = moved[other], moved[one]
    return moved


def _stretch_moved(nodes: list[int], rng: random.Random) -> list[int]:
    first, last = _two(len(nodes), rng)
    rest = nodes[:first] + nodes[last:]
    to = rng.randrange(len(rest) + 1)
    return rest[:to] + nodes[first:last] + rest[to:]


def _stretch_moved_reversed(nodes: list[int], rng: random.Random) -> list[int]:
    first, last = _two(len(nodes), rng)
    rest = nodes[:first] + nodes[last:]
    to = rng.randrange(len(rest) + 1)
    return rest[:to] + nodes[first:last][::-1] + rest[to:]


MOVES = (_reversed, _inserted, _exchanged, _stretch_moved, _stretch_moved_reversed)
