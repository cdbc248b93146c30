"""What a serving estimate takes for granted, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.serving.accuracy import measured_shares

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.serving.scenario import ServingScenario
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.serving_load import LoadFile


def assumptions_of(
    cluster: ClusterSpec,
    scenario: ServingScenario,
    load: LoadFile,
    *,
    weights: str | None,
    kv_format: str | None,
    rounds: int,
) -> Iterator[str]:
    """What nothing states, and what the figures rest on. `weights` and `kv_format` are as stated,
    `rounds` requests of each client."""
    engine, group = scenario.engine, cluster.node_groups[0]
    limits = engine.scheduler
    if weights is None:
        yield f"weights in {scenario.weights}; --weights says otherwise"
    if kv_format is None:
        yield f"KV cache in {scenario.kv}, as {engine.name} has it; --kv-format says otherwise"
    yield (
        f"{engine.name} {engine.version} with its defaults: at most {limits.max_step_tokens:,} "
        f"prompt tokens in a step, {limits.max_running:,} requests at a time"
    )
    if load.concurrency is not None:
        yield f"each of {load.concurrency:,} clients sends {rounds} requests, one after the other"
    yield "one replica alone; no shared prefixes, no drafts of tokens"
    if len(cluster.node_groups) > 1:
        yield f"devices of group {group.name}, the first of the cluster"
    if group.device.inferred is not None:
        yield f"cluster: {group.device.inferred}"
    yield from scenario.model.assumptions
    longest, made_for = load.requests.input + load.requests.output, scenario.model.seq_length
    if made_for is not None and longest > made_for:
        yield (
            f"requests of {longest:,} tokens are served, although {scenario.model.name} is stated "
            f"to be made for {made_for:,}"
        )
    host = {name: getattr(engine.host, name) for name in type(engine.host).model_fields}
    inferred = [name.replace("_", " ") for name, one in host.items() if one.basis == "inferred"]
    if inferred:
        yield f"host times of {engine.name} that are inferred, not measured: {', '.join(inferred)}"
    yield (
        f"the ranges hold nine of ten of {measured_shares(scenario).runs:,} published runs of "
        f"{'dense models' if scenario.model.moe is None else 'mixtures of experts'}"
    )
