"""What replicas in several pools do together: their latencies and their throughput.

Aggregated replicas are simulated by themselves with the requests that they hold. Readers (prefill)
and writers (decode) are in their steady state: as many answers are begun as prompts are read, and
requests that are read, on their way and written are those under way (Little 1961).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

from planner.serving.estimate import estimate
from planner.serving.forecast import Forecast
from planner.serving.latency import Latency
from planner.serving.waiting import reader_of
from planner.serving.writing import writer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan.serving import Role
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.scenario import ServingScenario
    from planner.serving.waiting import PromptReader
    from planner.serving.writing import AnswerWriter

_HALVINGS = 60
FULL = 0.98
"""Share of what readers can read at which they count as the bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPart:
    """Equal replicas in one role. `clients`: requests under way in each; `per_s`: requests per
    second that come to each, where they come at times of their own. `transfer_s`: what a request
    waits for its KV cache, where it is read in this part."""

    role: Role
    group: int
    scenario: ServingScenario
    replicas: int
    clients: float
    transfer_s: float = 0.0
    per_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flow:
    """Requests per second with their latencies."""

    per_s: float
    ttft: Latency
    tpot: Latency | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """Readers and writers in balance. `scale`: of the writers' stated clients."""

    scale: float
    per_s: float
    share: float
    ttft_s: float
    queued_s: float = 0.0


def forecast_of(
    parts: Sequence[PoolPart],
    load: ClosedLoad,
    *,
    price_per_hour: float | None = None,
    watts: float | None = None,
) -> tuple[Forecast, tuple[PoolPart, ...]]:
    """What the parts do, and the parts with the requests that each of their replicas then holds.
    The load's `concurrency` is not looked at: parts state their clients.

    Raises: RuleError("memory") where a replica has no room for a request.
    """
    flows: list[_Flow] = []
    kept = list(parts)
    for part in parts:
        if part.role == "aggregated":
            found = estimate(part.scenario, replace(load, concurrency=part.clients))
            tokens = found.output_tokens_per_s_per_device * part.scenario.degrees.devices
            per_s = part.replicas * tokens / load.mean_output
            flows.append(_Flow(per_s=per_s, ttft=found.ttft, tpot=found.tpot))
    bound_by, transfer_s = None, 0.0
    if any(part.role == "prefill" for part in parts):
        pooled, state = _pooled(parts, load)
        flows += pooled
        transfer_s = _mean_transfer_s(parts, load)
        bound_by = "prefill" if state.share > FULL else "decode"
        kept = [_settled(part, state, load) for part in parts]
    per_s = sum(flow.per_s for flow in flows)
    forecast = Forecast(
        ttft=Latency.together([(flow.per_s, flow.ttft) for flow in flows]),
        tpot=Latency.together([(f.per_s, f.tpot) for f in flows if f.tpot is not None])
        if any(flow.tpot is not None for flow in flows)
        else None,
        output_tokens_per_s=per_s * load.mean_output,
        requests_per_s=per_s,
        clients=sum(part.replicas * part.clients for part in parts),
        devices=sum(part.replicas * part.scenario.degrees.devices for part in parts),
        bound_by=bound_by,
        transfer_s=transfer_s,
        price_per_hour=price_per_hour,
        watts=watts,
    )
    return forecast, tuple(kept)


def _pooled(parts: Sequence[PoolPart], load: ClosedLoad) -> tuple[list[_Flow], _State]:
    readers = [(one, reader_of(one.scenario, load)) for one in parts if one.role == "prefill"]
    writers = [(one, writer_of(one.scenario, load)) for one in parts if one.role == "decode"]
    under_way = sum(one.replicas * one.clients for one, _ in (*readers, *writers))
    state = _balanced(readers, writers, under_way)
    waits = Latency.together(
        [
            (one.replicas * reader.read_per_s, reader.ttft(state.share, one.transfer_s))
            for one, reader in readers
        ]
    )
    ttft = waits.later(state.queued_s)
    flows = []
    for one, writer in writers:
        held = writer.held(one.clients * state.scale)
        tpot_s = writer.tpot_s(held)
        per_s = one.replicas * writer.per_s(held)
        flows.append(_Flow(per_s=per_s, ttft=ttft, tpot=Latency.same(tpot_s)))
    return flows, state


def _balanced(
    readers: Sequence[tuple[PoolPart, PromptReader]],
    writers: Sequence[tuple[PoolPart, AnswerWriter]],
    under_way: float,
) -> _State:
    """The share of the writers' clients at which all requests under way are somewhere. Where
    writers are full, the rest waits for them."""
    read_per_s = sum(one.replicas * reader.read_per_s for one, reader in readers)

    def at(scale: float) -> tuple[float, float, float, float]:
        """Requests under way, per second, share of the readers, seconds to the first token."""
        held = [(one, writer, writer.held(one.clients * scale)) for one, writer in writers]
        per_s = sum(one.replicas * writer.per_s(clients) for one, writer, clients in held)
        share = per_s / read_per_s
        total = sum(one.replicas * clients for one, _, clients in held)
        ttft_s = Latency.together(
            [
                (one.replicas * reader.read_per_s, reader.ttft(share, one.transfer_s))
                for one, reader in readers
            ]
        ).mean_s
        return total + per_s * ttft_s, per_s, share, ttft_s

    stated = sum(one.replicas * one.clients for one, _ in writers)
    low, high = 0.0, under_way / stated
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if at(middle)[0] > under_way:
            high = middle
        else:
            low = middle
    total, per_s, share, ttft_s = at(low)
    left = max(0.0, under_way - total) if isfinite(total) else 0.0
    queued_s = left / per_s if per_s and left > 1e-6 * under_way else 0.0
    return _State(scale=low, per_s=per_s, share=share, ttft_s=ttft_s + queued_s, queued_s=queued_s)


def _settled(part: PoolPart, state: _State, load: ClosedLoad) -> PoolPart:
    """The part with the clients that each replica holds in balance."""
    if part.role == "decode":
        writer = writer_of(part.scenario, load)
        return replace(part, clients=writer.held(part.clients * state.scale))
    if part.role == "prefill":
        reader = reader_of(part.scenario, load)
        each = state.share * reader.read_per_s
        waits_s = reader.ttft(state.share, part.transfer_s).mean_s + state.queued_s
        return replace(part, clients=each * waits_s)
    return part


def _mean_transfer_s(parts: Sequence[PoolPart], load: ClosedLoad) -> float:
    readers = [one for one in parts if one.role == "prefill"]
    rates = [one.replicas * reader_of(one.scenario, load).read_per_s for one in readers]
    moved = sum(rate * one.transfer_s for rate, one in zip(rates, readers, strict=True))
    return moved / sum(rates)
