"""What the exports of a serving plan need to know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planner.exporters.errors import Inexpressible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.plan.serving import ServingPlan, ServingPool
    from planner.specs.drafts import Drafts

DRAFT_MODEL = "DRAFT_MODEL"
"""Stands for the checkpoint of a model that drafts; the variable of a script that has its path."""
ROUTER_PORT, FIRST_PORT = 8000, 8100
"""Where clients connect, and where the first replica of a node listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingExport:
    """`engine`: the one whose arguments it writes; `model`: its name here, which stands for a
    checkpoint that the user has; `mixture`: whether it has experts; `longest`: tokens of the
    longest prompt with its answer, `beyond` in words where the model is made for fewer;
    `node_devices`: devices of one node, by node group; `block_tokens`: of one block of the KV
    cache; `chunked`: a prompt may be split over steps; `drafts`: as the load states them, by a
    checkpoint in `DRAFT_MODEL` where another model writes them; `experts`: of every layer, as
    devices hold them, by expert degree, where they do not lie in their order."""

    title: str
    plan: ServingPlan
    engine: str
    model: str
    mixture: bool
    longest: int
    node_devices: Mapping[str, int]
    block_tokens: int
    chunked: bool
    beyond: str | None = None
    drafts: Drafts | None = None
    experts: Mapping[int, tuple[tuple[int, ...], ...]] = field(default_factory=dict)

    @property
    def pools(self) -> dict[str, ServingPool]:
        """By a name of its own: its role, and its number where several have it."""
        roles = [pool.role for pool in self.plan.pools]
        named: dict[str, ServingPool] = {}
        for index, pool in enumerate(self.plan.pools):
            several = roles.count(pool.role) > 1
            number = roles[: index + 1].count(pool.role)
            named[f"{pool.role}-{number}" if several else pool.role] = pool
        return named

    def nodes_of(self, pool: ServingPool) -> int:
        """Nodes that one replica takes."""
        return -(-pool.replica_devices // self.node_devices[pool.group])

    def for_engine(self, engine: str, target: str) -> None:
        """Raises: Inexpressible for a plan of another engine."""
        if self.engine != engine:
            raise Inexpressible(target, "engine", f"the plan is for engine {self.plan.engine}")


def whole_nodes(job: ServingExport, pool: ServingPool, target: str) -> int:
    """Nodes of one replica. Raises: Inexpressible where it takes several and not all of each."""
    nodes, each = job.nodes_of(pool), job.node_devices[pool.group]
    if nodes > 1 and pool.replica_devices % each:
        raise Inexpressible(
            target,
            "tensor",
            f"a replica of {pool.replica_devices} devices leaves devices of a node of {each} over",
        )
    return nodes
