"""What a serving replica does with a load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.api.inputs import load_cluster, load_model
from planner.errors import InputError
from planner.serving.estimate import ServingEstimate, estimate
from planner.serving.load.lengths import ClosedLoad
from planner.serving.scenario import KV_BYTES, WEIGHT_BYTES, ServingDegrees, ServingScenario
from planner.specs.engine import load_engine
from planner.specs.ranges import word
from planner.specs.serving_load import LoadFile, load_serving_load

if TYPE_CHECKING:
    from pathlib import Path

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.serving.estimate import Latency

DEFAULT_ENGINE = "vllm"
ROUNDS = 10
"""Requests of each client in a closed loop: as published benchmarks have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedServing:
    """One replica under a load. `missed` are the limits of the load that it does not keep."""

    cluster: str
    scenario: ServingScenario
    load: LoadFile
    estimate: ServingEstimate
    missed: tuple[str, ...]

    @property
    def document(self) -> dict[str, Any]:
        """Seconds, bytes, tokens per second."""
        scenario, found = self.scenario, self.estimate
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
                    "kv_tokens": found.memory.kv_tokens,
                }
            ],
            "estimate": {
                "ttft": _latency(found.ttft),
                "tpot": None if found.tpot is None else _latency(found.tpot),
                "output_tokens_per_s_per_device": found.output_tokens_per_s_per_device,
                "memory": {
                    "weight_bytes": round(found.memory.weight_bytes),
                    "activation_bytes": round(found.memory.activation_bytes),
                    "kv_bytes": round(found.memory.kv_bytes),
                },
                "missed": list(self.missed),
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
    weights: str = "bf16",
    kv_format: str | None = None,
) -> PricedServing:
    """Latencies and throughput of one replica of an engine under the load of a file, on devices of
    the cluster's first group.

    Raises: InputError; RuleError for degrees, formats or memory that the engine cannot run.

    >>> from pathlib import Path
    >>> from planner import api
    >>> load = Path("load.yaml")
    >>> _ = load.write_text("requests: {input: 1024, output: 256}\\nconcurrency: 8\\n")
    >>> priced = api.estimate_serving("dgx-h100-16", "llama-3-70b", load, tensor=8)
    >>> 0.005 < priced.estimate.tpot.mean_s < 0.03
    True
    """
    spec = load_cluster(cluster)
    group = spec.node_groups[0]
    file = load_serving_load(load)
    degrees = ServingDegrees(
        tensor=tensor, pipeline=pipeline, attention_data=attention_data, expert=expert
    )
    if degrees.stage_devices > group.devices_per_node:
        raise InputError(
            f"tensor {tensor} x attention data {attention_data} is more than the "
            f"{group.devices_per_node} devices of a node; a stage is priced inside one node"
        )
    profile = load_engine(engine)
    chosen = word("--kv-format", kv_format, tuple(KV_BYTES)) if kv_format else profile.kv_format
    scenario = ServingScenario(
        model=load_model(model),
        device=group.device,
        engine=profile,
        weights=word("--weights", weights, tuple(WEIGHT_BYTES)) or weights,
        kv=chosen or profile.kv_format,
        degrees=degrees,
        stated_link_bytes_per_s=group.intra_node.bandwidth_bytes_per_s,
    )
    found = estimate(scenario, _closed(file))
    return PricedServing(
        cluster=spec.name, scenario=scenario, load=file, estimate=found, missed=_missed(file, found)
    )


def _closed(file: LoadFile) -> ClosedLoad:
    requests = file.requests
    most, least = 1 + requests.spread, 1 - requests.spread
    return ClosedLoad(
        concurrency=file.concurrency or file.offline or 1,
        input_tokens=round(requests.input * most),
        output_tokens=round(requests.output * most),
        least=least / most,
        rounds=ROUNDS if file.concurrency else 1,
    )


def _latency(found: Latency) -> dict[str, float]:
    return {"mean_s": found.mean_s, "p50_s": found.median_s, "p99_s": found.p99_s}


def _missed(file: LoadFile, found: ServingEstimate) -> tuple[str, ...]:
    if file.slo is None:
        return ()
    missed = []
    for name, limits, latency in (
        ("ttft", file.slo.ttft, found.ttft),
        ("tpot", file.slo.tpot, found.tpot),
    ):
        if limits is None or latency is None:
            continue
        for statistic, seconds in _latency(latency).items():
            limit_s = getattr(limits, statistic.removesuffix("_s"))
            if limit_s is not None and seconds > limit_s:
                missed.append(
                    f"{name} {statistic.removesuffix('_s')}: {1e3 * seconds:.1f} ms, "
                    f"the limit is {1e3 * limit_s:g} ms"
                )
    return tuple(missed)
