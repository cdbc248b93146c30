"""Decisions of a serving plan: pools of equal replicas, and what each replica is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["aggregated", "prefill", "decode"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPool:
    """Equal replicas of an engine on devices of one node group.

    `role`: aggregated replicas read prompts and write answers, prefill replicas only read, decode
    replicas only write. `max_running` (requests) and `max_step_tokens` are limits of one rank that
    holds requests of its own. `kv_tokens`: what the KV cache of such a rank holds. `clients`:
    requests under way in one replica; `requests_per_s`: how many come to it, where they come at
    times of their own. `hosts`: the nodes of the pool, in cluster order.
    """

    role: Role
    group: str
    device: str
    replicas: int
    tensor: int
    pipeline: int
    attention_data: int
    expert: int
    weights: str
    kv_format: str
    max_running: int
    max_step_tokens: int
    kv_tokens: int
    memory_share: float
    clients: float
    requests_per_s: float | None = None
    hosts: tuple[str, ...] = ()

    @property
    def replica_devices(self) -> int:
        """Devices of one replica."""
        return self.tensor * self.pipeline * self.attention_data

    @property
    def devices(self) -> int:
        """Devices of the pool."""
        return self.replicas * self.replica_devices


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPlan:
    """Pools under one engine: aggregated ones, or prefill and decode pools, or all of them."""

    engine: str
    pools: tuple[ServingPool, ...]

    @property
    def devices(self) -> int:
        """Devices of all pools."""
        return sum(pool.devices for pool in self.pools)

    @property
    def disaggregated(self) -> bool:
        """Whether some prompts are read in a pool of their own."""
        return any(pool.role == "prefill" for pool in self.pools)
