"""What a serving estimate takes for granted, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.serving.accuracy import shares_of
from planner.serving.load.told import told_of
from planner.specs.model.context import longer_than_made_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.placement import ExpertRouting
    from planner.serving.scenario import ServingScenario
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.device import DeviceSpec
    from planner.specs.engine import EngineProfile
    from planner.specs.model.spec import ModelSpec
    from planner.specs.serving_load import LoadFile


def assumptions_of(
    cluster: ClusterSpec,
    scenario: ServingScenario,
    load: LoadFile,
    closed: ClosedLoad,
    *,
    weights: str | None,
    kv_format: str | None,
) -> Iterator[str]:
    """What nothing states, and what the figures of one replica rest on. `weights` and `kv_format`
    are as stated."""
    engine, group = scenario.engine, cluster.node_groups[0]
    limits = engine.scheduler
    yield from _formats(scenario.weights, scenario.kv, engine, weights, kv_format)
    yield (
        f"{engine.name} {engine.version} with its defaults: at most {limits.max_step_tokens:,} "
        f"prompt tokens in a step, {limits.max_running:,} requests at a time"
    )
    yield from told_of(load, closed, engine)
    if scenario.routing is not None:
        yield told_of_experts(scenario.routing, scenario.degrees.expert, engine)
    yield "one replica alone"
    if len(cluster.node_groups) > 1:
        yield f"devices of group {group.name}, the first of the cluster"
    if group.device.inferred is not None:
        yield f"cluster: {group.device.inferred}"
    yield from _kernels(engine, group.device)
    yield from _rest(scenario.model, engine, closed)


def assumptions_of_search(
    cluster: ClusterSpec,
    model: ModelSpec,
    engine: EngineProfile,
    load: LoadFile,
    closed: ClosedLoad,
    *,
    weights: str | None,
    kv_format: str | None,
    default_weights: str,
) -> Iterator[str]:
    """The same for plans of several replicas."""
    yield from _formats(default_weights, engine.kv_format, engine, weights, kv_format)
    yield f"{engine.name} {engine.version}, with its defaults in all that a plan does not state"
    yield from told_of(load, closed, engine)
    yield from _dealt(load)
    yield "one kind of replica for each role in a node group, a stage inside one fast fabric"
    for group in cluster.node_groups:
        if group.device.inferred is not None:
            yield f"cluster: {group.device.inferred}"
        yield from _kernels(engine, group.device)
    yield from _rest(model, engine, closed)


def told_of_experts(routing: ExpertRouting, groups: int, engine: EngineProfile) -> str:
    """Where the experts of a stage lie, and what their fullest group of devices gets."""
    placed = routing.on(groups)
    if groups == 1:
        return f"experts are chosen as {routing.path} counts; every device has a part of each"
    if not routing.free:
        return (
            f"experts are chosen as {routing.path} counts, and lie in their order on {groups} "
            f"groups of devices, since {engine.name} takes no other: the fullest gets "
            f"{placed.fullest:.3f} times the mean"
        )
    return (
        f"experts are chosen as {routing.path} counts, and placed on {groups} groups of devices: "
        f"the fullest gets {placed.fullest:.3f} times the mean ({placed.in_order:.3f} in their "
        f"order), at most {placed.gap:.2%} above the best placement"
    )


def _dealt(load: LoadFile) -> Iterator[str]:
    """How requests come to the replicas of a plan."""
    if load.is_open:
        poisson = load.trace is None and load.arrivals and load.arrivals.process != "even"
        how = "at random" if poisson else "in turn"
        yield (
            f"requests go to replicas of a pool {how}, and more of them never make a replica "
            "answer sooner"
        )
        yield "requests reach decode replicas as they reach prefill replicas, one reading later"
        return
    if load.concurrency is None and load.offline is None:
        yield "as many clients as are best within the limits"
    yield (
        "requests go to replicas of a pool evenly, and more of them never make a replica answer "
        "sooner"
    )
    yield (
        "pools that read prompts and pools that write answers are in their steady state: readers "
        "are a queue (Pollaczek-Khinchine), writers give all their requests a token in every step"
    )


def _formats(
    weights: str, kv: str, engine: EngineProfile, stated: str | None, stated_kv: str | None
) -> Iterator[str]:
    if stated is None:
        yield f"weights in {weights}; --weights says otherwise"
    if stated_kv is None:
        yield f"KV cache in {kv}, as {engine.name} has it; --kv-format says otherwise"


def _kernels(engine: EngineProfile, device: DeviceSpec) -> Iterator[str]:
    """Of a device on which no kernels of the engine were measured."""
    table = engine.table_of(device.name, device.family)
    if table is not None and table.devices and device.name not in table.devices:
        yield (
            f"kernels of {engine.name} on {device.name} reach the same shares of its rates as on "
            f"{' and '.join(table.devices)}; the ranges hold no runs of such devices"
        )


def _rest(model: ModelSpec, engine: EngineProfile, closed: ClosedLoad) -> Iterator[str]:
    yield from model.assumptions
    beyond = longer_than_made_for(model, closed.input_tokens + closed.output_tokens)
    if beyond is not None:
        yield f"requests of {beyond}"
    host = {name: getattr(engine.host, name) for name in type(engine.host).model_fields}
    inferred = [name.replace("_", " ") for name, one in host.items() if one.basis == "inferred"]
    if inferred:
        yield f"host times of {engine.name} that are inferred, not measured: {', '.join(inferred)}"
    yield (
        f"the ranges hold nine of ten of {shares_of(mixture=model.moe is not None).runs:,} "
        "published runs of "
        f"{'dense models' if model.moe is None else 'mixtures of experts'}"
    )
