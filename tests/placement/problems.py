"""Random placement problems, and their best placement by trying all."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from planner.placement.problem.problem import PlacementProblem, RingFamily, Wait
from planner.placement.problem.terms import terms_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def random_problem(
    rng: np.random.Generator, most_nodes: int, *, device_types: int = 1
) -> PlacementProblem:
    """Any grid of at most `most_nodes`, with spare nodes, columns in lockstep, classes of several
    nodes, asymmetric links, up to two waits of up to two families of whole, split or partial rings.
    With several device types, each class has one and most rows take only one."""
    rows, columns = 1, 1
    while not 1 < rows * columns <= most_nodes:
        rows, columns = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    nodes = rows * columns + int(rng.integers(0, most_nodes - rows * columns + 1))
    classes = nodes if rng.random() < 0.6 else int(rng.integers(1, 4))
    node_class = np.arange(nodes) if classes == nodes else rng.integers(0, classes, nodes)
    paths = int(rng.integers(1, 6))
    allowed = np.ones((rows, classes), dtype=bool)
    if device_types > 1:
        wanted = rng.integers(0, device_types, rows)[:, None]
        allowed = (rng.integers(0, device_types, classes) == wanted) | (
            rng.random((rows, classes)) < 0.2
        )
    return PlacementProblem(
        rows=rows,
        columns=columns,
        lockstep=int(rng.choice([size for size in range(1, columns + 1) if columns % size == 0])),
        node_class=node_class,
        link_s=_costs(rng, classes),
        path_s=rng.random(paths),
        path_links=3 * rng.random((paths, rows - 1)) * (rng.random((paths, rows - 1)) < 0.7),
        waits=tuple(
            Wait(
                families=tuple(
                    RingFamily(
                        rings=_rings(rng, columns),
                        hop_s=_costs(rng, classes),
                        scale=3 * rng.random(rows),
                    )
                    for _ in range(rng.integers(0, 3))
                ),
                hidden_s=2 * rng.random(rows),
            )
            for _ in range(rng.integers(0, 3))
        ),
        row_class_allowed=allowed,
    )


def _costs(rng: np.random.Generator, classes: int) -> NDArray[np.float64]:
    costs = 0.2 + rng.random((classes, classes))
    if rng.random() < 0.3:
        costs = np.ceil(costs * 4) / 4
    return (costs + costs.T) / 2 if rng.random() < 0.4 else costs


def _rings(rng: np.random.Generator, columns: int) -> tuple[tuple[int, ...], ...]:
    kind = int(rng.integers(4))
    if kind == 0 or columns % 2:
        return (tuple(range(columns)),)
    if kind == 1:
        return tuple((column, column + columns // 2) for column in range(columns // 2))
    if kind == 2:
        return tuple((column, column + 1) for column in range(0, columns, 2))
    order = rng.permutation(columns)[: rng.integers(1, columns + 1)]
    return (tuple(order.tolist()),)


def least_s(problem: PlacementProblem) -> float:
    """The best objective of all placements; infinite where none is allowed."""
    nodes = range(len(problem.node_class))
    orders = np.array(list(permutations(nodes, problem.positions)))
    grids = problem.node_class[orders].reshape(-1, problem.rows, problem.columns)
    terms = terms_of(problem)
    batches = np.array_split(grids, max(1, len(grids) // 20_000))
    return min(float(terms.objectives_s(batch).min()) for batch in batches)


def problem_of(
    bandwidth: NDArray[np.float64], rows: int, columns: int, *, gradient_share: float = 1.0
) -> PlacementProblem:
    """A transformer's traffic, bandwidth in bytes/s between nodes, [N, N]: 64 microbatches of
    8.4 MB, the pipeline's slowest window of stages, and 43.75 GB of gradients around rings, hidden
    behind 40 ms of backward per stage."""
    windows = [(first, last) for first in range(rows) for last in range(first + 1, rows)]
    path_links = np.zeros((max(1, len(windows)), rows - 1))
    for path, (first, last) in enumerate(windows):
        path_links[path, first:last] = 64 / (last - first + 1)
    ring_bytes = gradient_share * 2 * (columns - 1) / columns * 43.75e9 / rows
    family = RingFamily(
        rings=(tuple(range(columns)),), hop_s=1 / bandwidth, scale=np.full(rows, ring_bytes)
    )
    return PlacementProblem(
        rows=rows,
        columns=columns,
        lockstep=1,
        node_class=np.arange(len(bandwidth)),
        link_s=8.4e6 / bandwidth + 8.4e6 / bandwidth.T,
        path_s=np.zeros(len(path_links)),
        path_links=path_links,
        waits=(Wait(families=(family,), hidden_s=0.040 * np.arange(rows, dtype=float)),),
        row_class_allowed=np.ones((rows, len(bandwidth)), dtype=bool),
    )
