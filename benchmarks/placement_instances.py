"""Placement problems to measure searches on, the same at every run.

Every one has a transformer's traffic on a grid of `rows` stages and `columns` pipelines: 64
microbatches of 8.4 MB from stage to stage, 43.75 GB of gradients shared out over the stages, and
40 ms of backward a stage and microbatch behind which the rings of later stages are hidden. The
objective is the seconds of communication that are not hidden: compute adds the same to every
placement. Nodes are numbered as a scheduler lists them; the framework's order is 0, 1, 2, …
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from planner.placement.problem.problem import PlacementProblem, RingFamily, Wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MICROBATCHES = 64
MESSAGE_BYTES = 8.4e6
GRADIENT_BYTES = 43.75e9
BACKWARD_S = 0.040

LEAF_BYTES_PER_S, POD_BYTES_PER_S, SPINE_BYTES_PER_S = 25e9, 18e9, 9e9
SITE_BYTES_PER_S = 1.25e9
SLOW_FACTOR = 0.4
FLAKY_FACTOR = 0.2


@dataclass(frozen=True, slots=True)
class Instance:
    name: str
    problem: PlacementProblem

    @property
    def default_order(self) -> NDArray[np.int64]:
        """The framework's own: nodes as listed, stage by stage."""
        return np.arange(self.problem.positions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """Where each node hangs, int [N] each, and what its cards reach of their speed, [N]."""

    site: NDArray[np.int64]
    pod: NDArray[np.int64]
    leaf: NDArray[np.int64]
    factor: NDArray[np.float64]

    def bandwidth(
        self, senders: NDArray[np.int64], receivers: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Bytes/s from every sender to every receiver, [senders, receivers]."""
        i, j = senders[:, None], receivers[None, :]
        tier = np.where(
            self.leaf[i] == self.leaf[j],
            LEAF_BYTES_PER_S,
            np.where(self.pod[i] == self.pod[j], POD_BYTES_PER_S, SPINE_BYTES_PER_S),
        )
        tier = np.where(self.site[i] == self.site[j], tier, SITE_BYTES_PER_S)
        return tier * np.minimum(self.factor[i], self.factor[j])

    def matrix(self) -> NDArray[np.float64]:
        everyone = np.arange(len(self.leaf))
        return self.bandwidth(everyone, everyone)


def leaf_spine(nodes: int, *, sites: int = 1) -> Nodes:
    """Nodes listed leaf by leaf; larger clusters have larger switches."""
    leaf_nodes = 32 if nodes >= 1024 else 8
    pod_nodes = {512: 64, 1024: 256}.get(nodes, 32)
    index = np.arange(nodes)
    return Nodes(
        site=index * sites // nodes,
        pod=index // pod_nodes,
        leaf=index // leaf_nodes,
        factor=np.ones(nodes),
    )


def with_slow(nodes: Nodes, share: float, seed: int) -> Nodes:
    """A share of the nodes, at least one, reaches `SLOW_FACTOR` of its links' speed."""
    count = len(nodes.leaf)
    slow = np.random.default_rng(seed).choice(count, max(1, round(share * count)), replace=False)
    factor = nodes.factor.copy()
    factor[slow] = SLOW_FACTOR
    return Nodes(site=nodes.site, pod=nodes.pod, leaf=nodes.leaf, factor=factor)


def shuffled(nodes: Nodes, seed: int) -> Nodes:
    """Nodes as a scheduler lists them that knows nothing of switches."""
    order = np.random.default_rng(seed).permutation(len(nodes.leaf))
    return Nodes(
        site=nodes.site[order],
        pod=nodes.pod[order],
        leaf=nodes.leaf[order],
        factor=nodes.factor[order],
    )


def of_nodes(nodes: Nodes, rows: int, columns: int, *, lockstep: int = 1) -> PlacementProblem:
    """Nodes that hang on one leaf and have equal cards are one class."""
    _, first, node_class = np.unique(
        np.stack([nodes.leaf, nodes.factor * 1000]), axis=1, return_index=True, return_inverse=True
    )
    bandwidth = nodes.bandwidth(first, first)
    return of_bandwidth(bandwidth, rows, columns, node_class=node_class.ravel(), lockstep=lockstep)


def of_bandwidth(
    bandwidth: NDArray[np.float64],
    rows: int,
    columns: int,
    *,
    node_class: NDArray[np.int64] | None = None,
    lockstep: int = 1,
) -> PlacementProblem:
    """Bandwidth in bytes/s between classes, [K, K]; every node is its own class unless told.

    A path is a window of consecutive stages: a cycle of 1F1B takes their work and the links
    between them, there and back, over their number, once for every microbatch.
    """
    windows = [(first, last) for first in range(rows) for last in range(first + 1, rows)]
    path_links = np.zeros((max(1, len(windows)), rows - 1))
    for path, (first, last) in enumerate(windows):
        path_links[path, first:last] = MICROBATCHES / (last - first + 1)
    ring_bytes = 2 * (columns - 1) / columns * GRADIENT_BYTES / rows
    family = RingFamily(
        rings=(tuple(range(columns)),), hop_s=1 / bandwidth, scale=np.full(rows, ring_bytes)
    )
    return PlacementProblem(
        rows=rows,
        columns=columns,
        lockstep=lockstep,
        node_class=np.arange(len(bandwidth)) if node_class is None else node_class,
        link_s=MESSAGE_BYTES / bandwidth + MESSAGE_BYTES / bandwidth.T,
        path_s=np.zeros(len(path_links)),
        path_links=path_links,
        waits=(Wait(families=(family,), hidden_s=BACKWARD_S * np.arange(rows, dtype=float)),),
        row_class_allowed=np.ones((rows, len(bandwidth)), dtype=bool),
    )


def clean(nodes: int, rows: int) -> Instance:
    return Instance(f"clean {nodes}/{rows}", of_nodes(leaf_spine(nodes), rows, nodes // rows))


def slow(nodes: int, rows: int, share: float, *, seed: int = 0, lockstep: int = 1) -> Instance:
    """`seed` chooses which nodes are slow."""
    fabric = with_slow(leaf_spine(nodes), share, seed)
    problem = of_nodes(fabric, rows, nodes // rows, lockstep=lockstep)
    return Instance(f"slow {share:.0%} {nodes}/{rows} #{seed}", problem)


def spare(nodes: int, rows: int, columns: int, share: float, *, seed: int = 0) -> Instance:
    """More nodes than the job takes, some of them slow."""
    fabric = with_slow(leaf_spine(nodes), share, seed)
    problem = of_nodes(fabric, rows, columns)
    return Instance(f"spare {nodes - rows * columns} of {nodes}/{rows} #{seed}", problem)


def unsorted(nodes: int, rows: int, share: float, *, seed: int = 0) -> Instance:
    """Slow nodes and a list of hosts that jumps between switches."""
    fabric = shuffled(with_slow(leaf_spine(nodes), share, seed), seed)
    return Instance(f"unsorted {nodes}/{rows} #{seed}", of_nodes(fabric, rows, nodes // rows))


def two_sites(nodes: int, rows: int, share: float, *, seed: int = 0) -> Instance:
    """Half the nodes behind a slow wide-area network; hosts of both sites listed mixed."""
    fabric = leaf_spine(nodes, sites=2)
    fabric = shuffled(with_slow(fabric, share, seed) if share else fabric, seed)
    return Instance(f"two sites {nodes}/{rows} #{seed}", of_nodes(fabric, rows, nodes // rows))


def noise(nodes: int, rows: int, deviation: float, *, seed: int = 0) -> Instance:
    """A measured matrix: every pair's bandwidth is lower by the size of a normal deviate."""
    rng = np.random.default_rng(seed)
    bandwidth = leaf_spine(nodes).matrix()
    bandwidth = bandwidth * np.exp(-np.abs(rng.normal(0, deviation, bandwidth.shape)))
    name = f"noise {deviation:.0%} {nodes}/{rows} #{seed}"
    return Instance(name, of_bandwidth(bandwidth, rows, nodes // rows))


def flaky(nodes: int, rows: int, share: float, *, seed: int = 0) -> Instance:
    """A measured matrix in which a share of the pairs, at least one, is slow in one direction."""
    rng = np.random.default_rng(seed)
    bandwidth = leaf_spine(nodes).matrix() * (1 - 0.02 * rng.random((nodes, nodes)))
    sender, receiver = np.nonzero(~np.eye(nodes, dtype=bool))
    bad = rng.choice(len(sender), max(1, round(share * len(sender))), replace=False)
    bandwidth[sender[bad], receiver[bad]] *= FLAKY_FACTOR
    problem = of_bandwidth(bandwidth, rows, nodes // rows)
    return Instance(f"flaky {share:.0%} {nodes}/{rows} #{seed}", problem)


def measured(path: Path, rows: int, columns: int) -> Instance:
    """A matrix file `planner import cluster` reads; links that it has no figure for count as the
    widest. Raises InputError where it cannot be read."""
    from planner.importers.clusters.formats.csv_matrix import read_matrix
    from planner.importers.source import load_source
    from planner.specs.quantities import BYTES_PER_SECOND
    from planner.specs.units import unit_factor

    matrix = read_matrix(load_source(str(path)), None).matrix
    assert matrix is not None
    measured_rates = np.array(matrix.rows, dtype=np.float64)
    bandwidth = np.where(np.isnan(measured_rates), np.nanmax(measured_rates), measured_rates)
    bandwidth *= unit_factor(BYTES_PER_SECOND, matrix.unit)
    return Instance(f"{path.stem} {rows}x{columns}", of_bandwidth(bandwidth, rows, columns))


def reference_table() -> Iterator[Instance]:
    """Shapes whose values other formulations are known for."""
    for nodes, rows, share in (
        (16, 4, 0.06),
        (32, 4, 0.06),
        (64, 8, 0.0),
        (64, 8, 0.06),
        (128, 8, 0.0),
        (128, 16, 0.0),
        (128, 8, 0.06),
        (256, 8, 0.0),
        (256, 16, 0.0),
        (512, 8, 0.0),
        (1024, 8, 0.0),
        (1024, 16, 0.0),
        (1024, 8, 0.01),
    ):
        yield slow(nodes, rows, share) if share else clean(nodes, rows)


def fifty() -> Iterator[Instance]:
    """16 to 1,024 nodes: noise, slow nodes, flaky links, spare nodes, two sites."""
    for nodes, rows in ((16, 4), (32, 4), (64, 8), (128, 8), (256, 8)):
        yield noise(nodes, rows, 0.05)
        yield noise(nodes, rows // 2, 0.15, seed=1)
        yield slow(nodes, rows, 0.06)
        yield slow(nodes, rows * 2, 0.06, seed=1)
        yield slow(nodes, rows, 0.06, seed=2, lockstep=2)
        yield flaky(nodes, rows, 0.01)
        yield unsorted(nodes, rows, 0.06)
        yield spare(nodes, rows // 2, nodes // rows * 2 - 2, 0.06)
        yield two_sites(nodes, rows, 0.0)
    yield slow(512, 8, 0.02)
    yield two_sites(512, 8, 0.01)
    yield slow(1024, 8, 0.01)
    yield slow(1024, 16, 0.01, seed=1)
    yield unsorted(1024, 8, 0.01)
