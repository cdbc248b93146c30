"""The best serving plans for a load on a cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from planner.alarm import enforced
from planner.api.inputs import load_cluster, load_model
from planner.api.serving import DEFAULT_ENGINE, DEFAULT_WEIGHTS, stated_drafting
from planner.budget import Budget, OutOfTime
from planner.errors import InputError, TimeRanOut
from planner.plan_document.serving.inputs import record_serving_inputs
from planner.plan_document.serving.write import to_serving_document
from planner.serving.accuracy import tightened
from planner.serving.assumptions import assumptions_of_search, told_of_experts
from planner.serving.load.stated import bounding_load, stream_of
from planner.serving.placement import routing_of
from planner.serving.scenario import KV_BYTES, WEIGHT_BYTES
from planner.serving.search import search as engine_search
from planner.serving.search.goal import goal_of
from planner.serving.search.job import ServingJob
from planner.serving.search.result import OBJECTIVES
from planner.serving.search.space import Allowed
from planner.specs import ranges
from planner.specs.engine import load_engine
from planner.specs.serving_load import load_serving_load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.serving.forecast import Offer
    from planner.serving.search.job import ServingProgress
    from planner.serving.search.result import Objective, ServingSearch
    from planner.specs.serving_load import LoadFile

_DEGREES = ("tensor", "pipeline", "attention_data", "expert")
_LIMITS = ("max_running", "max_step_tokens")
_SWITCH = {"on": True, "off": False}
DECISIONS = (*_DEGREES, *_LIMITS, "weights", "kv_format", "disaggregated")
"""What narrows a search, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundServing:
    """Serving plans, the best first, with what they were made from."""

    job: ServingJob
    load: LoadFile
    search: ServingSearch
    assumptions: tuple[str, ...]

    @property
    def plans(self) -> tuple[Offer, ...]:
        return self.search.offers

    @property
    def best(self) -> Offer:
        """Raises: InputError where no plan keeps the limits of the load."""
        if not self.plans:
            raise InputError("no plan keeps the limits of the load")
        return self.plans[0]

    @property
    def document(self) -> dict[str, Any]:
        """The document of serving plans."""
        job = self.job
        inputs = record_serving_inputs(
            job.cluster, job.model, job.engine, self.load, self.assumptions
        )
        mixture = job.model.moe is not None
        return to_serving_document(
            inputs, self.plans, mixture=mixture, search=self.search, routing=job.allowed.routing
        )


def search_serving(
    cluster: ClusterLike,
    model: ModelLike,
    load: str | Path,
    *,
    engine: str | Path = DEFAULT_ENGINE,
    objective: str | None = None,
    top: int = 10,
    time_limit_s: float | None = None,
    nodes: int | None = None,
    devices: int | None = None,
    tensor: int | Iterable[int] | None = None,
    pipeline: int | Iterable[int] | None = None,
    attention_data: int | Iterable[int] | None = None,
    expert: int | Iterable[int] | None = None,
    max_running: int | Iterable[int] | None = None,
    max_step_tokens: int | Iterable[int] | None = None,
    weights: str | None = None,
    kv_format: str | None = None,
    disaggregated: bool | None = None,
    confidence: float | None = None,
    progress: Callable[[ServingProgress], None] | None = None,
) -> FoundServing:
    """The `top` best serving plans for the requests of a load file, and how far the first may be
    from the best: pools of aggregated replicas, or of replicas that read prompts and others that
    write answers.

    `objective`: "throughput" (output tokens per second), "cost" (price of a token), "devices" or
    "energy" (joules of a token); where nothing is said, throughput, and the fewest devices for
    requests that come at times of their own. Degrees and limits narrow the search to one value or
    to several, `weights` and `kv_format` to formats, separated by commas. `disaggregated`: prompts
    are read in pools of their own always, never, or (None) where that is better. `confidence`: the
    chance with which measurements keep the limits of the load, by how far published runs are off;
    None: the estimate keeps them. Without clients in the load file there are as many as are best.

    Raises: InputError for anything wrong in what is given; RuleError where the engine refuses every
    kind of replica; TimeRanOut when the time limit passes before the search begins.

    >>> from pathlib import Path
    >>> from planner import api
    >>> load = Path("load.yaml")
    >>> _ = load.write_text("requests: {input: 1024, output: 256}\\nconcurrency: 16\\n")
    >>> found = api.search_serving(
    ...     "dgx-h100-16", "llama-3-8b", load, nodes=1, pipeline=1, disaggregated=False
    ... )
    >>> found.best.plan.devices
    8
    """
    count = ranges.whole("--top", top, most=ranges.MOST_PLANS) or 1
    effort = Budget.lasting(ranges.duration_s("--time-limit", time_limit_s))
    goal_word = ranges.word("--objective", objective, OBJECTIVES)
    narrowed = {
        "tensor": tensor,
        "pipeline": pipeline,
        "attention_data": attention_data,
        "expert": expert,
        "max_running": max_running,
        "max_step_tokens": max_step_tokens,
    }
    try:
        with enforced(effort):
            job, file = _job(
                cluster,
                model,
                load,
                engine=engine,
                objective=next((one for one in OBJECTIVES if one == goal_word), None),
                nodes=ranges.whole("--nodes", nodes, most=ranges.MOST_NODES),
                devices=ranges.whole("--devices", devices, most=ranges.MOST_DEVICES),
                narrowed=narrowed,
                formats=(weights, kv_format),
                disaggregated=disaggregated,
                confidence=ranges.share("--confidence", confidence, below=1.0),
            )
    except OutOfTime:
        raise TimeRanOut(
            "--time-limit: time ran out while the inputs were read; nothing was searched"
        ) from None
    result = engine_search.search_serving(job, top=count, budget=effort, progress=progress)
    told = [
        *assumptions_of_search(
            job.cluster,
            job.model,
            job.engine,
            file,
            job.load,
            weights=weights,
            kv_format=kv_format,
            default_weights=DEFAULT_WEIGHTS,
        )
    ]
    if confidence:
        told.append(
            f"estimates keep tighter limits, so that measurements keep each stated one with a "
            f"chance of {confidence:.0%}, by how far published runs are off"
        )
    if result.offers and job.allowed.routing is not None:
        degrees = sorted({pool.expert for pool in result.offers[0].plan.pools})
        told += [told_of_experts(job.allowed.routing, one, job.engine) for one in degrees]
    return FoundServing(job=job, load=file, search=result, assumptions=tuple(told))


def _job(
    cluster: ClusterLike,
    model: ModelLike,
    load: str | Path,
    *,
    engine: str | Path,
    objective: Objective | None,
    nodes: int | None,
    devices: int | None,
    narrowed: Mapping[str, int | Iterable[int] | None],
    formats: tuple[str | None, str | None],
    disaggregated: bool | None,
    confidence: float | None,
) -> tuple[ServingJob, LoadFile]:
    """Raises: InputError."""
    file, profile = load_serving_load(load), load_engine(engine)
    spec = load_cluster(cluster).sized(nodes=nodes, devices=devices)
    stated = file.concurrency or file.offline
    objective = objective or ("devices" if file.is_open else "throughput")
    if objective == "devices" and stated is None and not file.is_open:
        raise InputError(
            "--objective devices needs concurrency, offline or arrivals in the load file",
            path=str(load),
        )
    closed = bounding_load(file, profile)
    if disaggregated and (file.offline or closed.output_tokens == 1):
        raise InputError(
            "pools that read prompts need clients that send one request after the other, and "
            "answers of several tokens",
            path=str(load),
        )
    served = load_model(model)
    allowed = Allowed(
        weights=_formats("--weights", formats[0], tuple(WEIGHT_BYTES)) or (DEFAULT_WEIGHTS,),
        kv_formats=_formats("--kv-format", formats[1], tuple(KV_BYTES)) or (profile.kv_format,),
        disaggregated=disaggregated,
        drafting=stated_drafting(file, served),
        routing=routing_of(file.counts, served, profile),
        **{name: _whole(name, narrowed[name]) for name in (*_DEGREES, *_LIMITS)},
    )
    if confidence is not None and file.slo is None:
        raise InputError("--confidence needs limits of latencies (slo)", path=str(load))
    slo = file.slo
    if confidence and slo is not None:
        slo = tightened(slo, confidence, mixture=served.moe is not None)
    job = ServingJob(
        cluster=spec,
        model=served,
        engine=profile,
        load=replace(closed, concurrency=float(closed.concurrency)),
        clients=None if stated is None else float(stated),
        goal=goal_of(objective, slo, spec),
        allowed=allowed,
        devices=devices,
        stream=stream_of(file, profile) if file.is_open else None,
    )
    return job, file


def narrowed_to(allowed: Allowed, decisions: Mapping[str, Any]) -> Allowed:
    """Replicas with these decisions, named as in `DECISIONS`: numbers, words, or text of them.
    Raises: InputError."""
    update: dict[str, Any] = {}
    for name, value in decisions.items():
        if name in (*_DEGREES, *_LIMITS):
            text = str(value)
            if not text.isdecimal():
                raise InputError(f"--{name.replace('_', '-')}: {text!r} is not a whole number")
            update[name] = _whole(name, int(text))
        elif name == "disaggregated":
            word = {True: "on", False: "off"}.get(value, value)
            update[name] = _SWITCH[str(ranges.word("--disaggregated", word, tuple(_SWITCH)))]
        elif name == "weights":
            update[name] = _formats("--weights", value, tuple(WEIGHT_BYTES))
        else:
            update["kv_formats"] = _formats("--kv-format", value, tuple(KV_BYTES))
    return replace(allowed, **update)


def _whole(name: str, given: int | Iterable[int] | None) -> tuple[int, ...] | None:
    """Raises: InputError."""
    if given is None:
        return None
    values = (given,) if isinstance(given, int) else tuple(given)
    option = f"--{name.replace('_', '-')}"
    found = (ranges.whole(option, one, most=ranges.MOST_DEVICES) for one in values)
    return tuple(sorted({one for one in found if one is not None}))


def _formats(option: str, text: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """Raises: InputError."""
    words = [] if text is None else [one.strip() for one in text.split(",")]
    found = (ranges.word(option, one, known) for one in words)
    return tuple(dict.fromkeys(one for one in found if one is not None))
