"""What a serving replica does with a load."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from planner.api.inputs import load_cluster, load_model
from planner.errors import InputError
from planner.plan_document.serving.write import latency_fields
from planner.serving.accuracy import ranges_of
from planner.serving.assumptions import assumptions_of
from planner.serving.domain import fast_domain
from planner.serving.drafting import drafting_of
from planner.serving.estimate import ServingEstimate, estimate, holds_a_request, prices
from planner.serving.limits import missed_limits
from planner.serving.load.stated import closed_load, stream_of
from planner.serving.open_estimate import estimate_open, intensity_of
from planner.serving.placement import routing_of
from planner.serving.room import changes_with_room
from planner.serving.scenario import KV_BYTES, WEIGHT_BYTES, ServingDegrees, ServingScenario
from planner.specs.engine import load_engine
from planner.specs.ranges import word
from planner.specs.serving import serving_defaults
from planner.specs.serving_load import load_serving_load

if TYPE_CHECKING:
    from pathlib import Path

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.serving.memory import ServingMemory
    from planner.serving.open_estimate import Intensity
    from planner.serving.scenario import Drafting
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.model.spec import ModelSpec
    from planner.specs.serving_load import LoadFile

DEFAULT_ENGINE, DEFAULT_WEIGHTS = "vllm", "bf16"


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedServing:
    """One replica under a load. `estimate` is None where the KV cache has no room for a request,
    and `changes` are then what would make room; so it is where requests come faster than the
    replica answers them. `intensity`: how fast they come, where they do at times of their own.
    `missed` are the limits of the load that it does not keep."""

    cluster: str
    scenario: ServingScenario
    load: LoadFile
    memory: ServingMemory
    estimate: ServingEstimate | None
    intensity: Intensity | None = None
    missed: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the KV cache has room for the longest request."""
        return self.estimate is not None or self.intensity is not None

    @property
    def keeps_up(self) -> bool:
        """Whether the queue of requests stays finite."""
        return self.intensity is None or self.intensity.keeps_up

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Where nine of ten measurements lie around the means: seconds, and tokens per second.
        Empty where nothing is estimated."""
        found = self.estimate
        if found is None:
            return {}
        return ranges_of(
            ttft_s=found.ttft.mean_s,
            tpot_s=None if found.tpot is None else found.tpot.mean_s,
            tokens_per_s_per_device=found.output_tokens_per_s_per_device,
            mixture=self.scenario.model.moe is not None,
        )

    @property
    def document(self) -> dict[str, Any]:
        """Seconds, bytes, tokens per second."""
        scenario, memory = self.scenario, self.memory
        degrees, limits = scenario.degrees, scenario.engine.scheduler
        return {
            "job": "serving",
            "inputs": {
                "cluster": self.cluster,
                "model": scenario.model.name,
                "device": scenario.device.name,
                "engine": scenario.engine.name,
                "weights": scenario.weights,
                "kv_format": scenario.kv,
                "assumptions": list(self.assumptions),
            },
            "load": self.load.model_dump(mode="json", exclude_none=True),
            "pools": [
                {
                    "role": "aggregated",
                    "replicas": 1,
                    "tensor": degrees.tensor,
                    "pipeline": degrees.pipeline,
                    "attention_data": degrees.attention_data,
                    "expert": degrees.expert,
                    "max_running": limits.max_running,
                    "max_step_tokens": limits.max_step_tokens,
                    "kv_tokens": memory.kv_tokens,
                }
            ],
            "estimate": {
                "fits": self.fits,
                **self._figures(),
                "memory": {
                    "capacity_bytes": scenario.device.memory.capacity.value,
                    "weight_bytes": round(memory.weight_bytes),
                    "activation_bytes": round(memory.activation_bytes),
                    "kv_bytes": round(memory.kv_bytes),
                },
                "missed": list(self.missed),
                "changes": list(self.changes),
            },
        }

    def _figures(self) -> dict[str, Any]:
        found, come = self.estimate, self.intensity
        figures: dict[str, Any] = {}
        if come is not None:
            figures["keeps_up"] = come.keeps_up
            figures["requests_per_s"] = come.rate_per_s
            figures["highest_requests_per_s"] = come.highest_per_s
        if found is None:
            return figures
        return figures | {
            "ttft": latency_fields(found.ttft),
            "tpot": None if found.tpot is None else latency_fields(found.tpot),
            "output_tokens_per_s_per_device": found.output_tokens_per_s_per_device,
            "ranges": {
                "level": serving_defaults().ranges.level,
                **{name: list(ends) for name, ends in self.ranges.items()},
            },
        }


def estimate_serving(
    cluster: ClusterLike,
    model: ModelLike,
    load: str | Path,
    *,
    engine: str | Path = DEFAULT_ENGINE,
    tensor: int = 1,
    pipeline: int = 1,
    attention_data: int = 1,
    expert: int = 1,
    weights: str | None = None,
    kv_format: str | None = None,
) -> PricedServing:
    """Latencies and throughput of one replica of an engine under the load of a file, on devices of
    the cluster's first group. `weights` are in bf16, and the KV cache is as the engine has it,
    where nothing else is said.

    Raises: InputError; RuleError for degrees or formats that the engine cannot run.

    >>> from pathlib import Path
    >>> from planner import api
    >>> load = Path("load.yaml")
    >>> _ = load.write_text("requests: {input: 1024, output: 256}\\nconcurrency: 8\\n")
    >>> priced = api.estimate_serving("dgx-h100-16", "llama-3-70b", load, tensor=8)
    >>> priced.fits and 0.005 < priced.estimate.tpot.mean_s < 0.03
    True
    """
    spec, file, profile = load_cluster(cluster), load_serving_load(load), load_engine(engine)
    if file.concurrency is None and file.offline is None and not file.is_open:
        raise InputError(
            "an estimate needs concurrency, offline or arrivals in the load file", path=str(load)
        )
    group, served = spec.node_groups[0], load_model(model)
    degrees = ServingDegrees(
        tensor=tensor, pipeline=pipeline, attention_data=attention_data, expert=expert
    )
    _check_degrees(spec, served, degrees)
    scenario = ServingScenario(
        model=served,
        device=group.device,
        engine=profile.on(group.device),
        weights=word("--weights", weights, tuple(WEIGHT_BYTES)) or DEFAULT_WEIGHTS,
        kv=word("--kv-format", kv_format, tuple(KV_BYTES)) or profile.kv_format,
        degrees=degrees,
        stated_link_bytes_per_s=fast_domain(group).bytes_per_s,
        drafting=stated_drafting(file, served),
        routing=routing_of(file.counts, served, profile),
    )
    closed, (_, memory) = closed_load(file, profile), prices(scenario)
    told = assumptions_of(spec, scenario, file, closed, weights=weights, kv_format=kv_format)
    priced = PricedServing(
        cluster=spec.name,
        scenario=scenario,
        load=file,
        memory=memory,
        estimate=None,
        assumptions=tuple(told),
    )
    if not holds_a_request(memory, closed):
        changes = tuple(changes_with_room(scenario, closed, group.devices_per_node))
        return replace(priced, changes=changes)
    come = None
    if file.is_open:
        stream = stream_of(file, profile)
        requests = stream.dealt(stream.rate_per_s, 1, stream.rate_per_s)
        come = intensity_of(scenario, requests)
        if not come.keeps_up:
            return replace(priced, intensity=come)
        found = estimate_open(scenario, requests)
    else:
        found = estimate(scenario, closed)
    missed = missed_limits(file.slo, found.ttft, found.tpot)
    return replace(priced, estimate=found, intensity=come, missed=missed)


def stated_drafting(load: LoadFile, model: ModelSpec) -> Drafting | None:
    """Drafts as the load states them. Raises: InputError; RuleError where the model has no layer
    for them."""
    named = None if load.drafts is None else load.drafts.model
    return drafting_of(load.drafts, model, None if named is None else load_model(named))


def _check_degrees(cluster: ClusterSpec, model: ModelSpec, degrees: ServingDegrees) -> None:
    """Raises: InputError for a replica that the cluster or the model has no room for."""
    group = cluster.node_groups[0]
    domain = fast_domain(group).devices
    if degrees.stage_devices > domain:
        place = "a node" if domain == group.devices_per_node else "a scale-up domain"
        raise InputError(
            f"--tensor {degrees.tensor} x --attention-data {degrees.attention_data} is more than "
            f"the {domain} devices of {place}; a stage is priced inside one"
        )
    if group.count is not None and degrees.devices > group.count * group.devices_per_node:
        raise InputError(
            f"--pipeline {degrees.pipeline}: the replica has {degrees.devices:,} devices, group "
            f"{group.name} has {group.count * group.devices_per_node:,}"
        )
    if degrees.pipeline > model.num_layers:
        raise InputError(
            f"--pipeline {degrees.pipeline} is more than the {model.num_layers} layers of the model"
        )
    experts = 0 if model.moe is None else model.moe.num_experts
    if degrees.expert > max(1, experts):
        has = f"has {experts}" if experts else "is no mixture of experts"
        raise InputError(f"--expert {degrees.expert}: {model.name} {has}")
