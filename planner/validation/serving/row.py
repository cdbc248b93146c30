"""A row of a table as a scenario and a load, in the words of the files shipped here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.serving.load.lengths import ClosedLoad
from planner.serving.scenario import ServingDegrees, ServingScenario
from planner.specs import ranges
from planner.validation.serving.as_launched import (
    arrivals_of,
    degrees_as_launched,
    with_kernels,
)
from planner.validation.serving.decode_limits import decode_limit
from planner.validation.serving.launch_settings import AS_STATED, LaunchSettings
from planner.validation.serving.launches import (
    is_data_parallel,
    launched_with,
    offline_requests,
    starts_cold,
)
from planner.validation.serving.named import launch_of, scenario_of
from planner.validation.serving.table import RowError

if TYPE_CHECKING:
    from planner.serving.load.arrivals import OpenLoad
    from planner.validation.serving.named import OwnEngine
    from planner.validation.serving.table import ServingRow

CREDIBLE_PEAK_SHARE = 0.6
"""Runs that imply more of the peak rate had a prefix cached, or another format than stated."""
USUAL_ROUNDS = 10
"""Requests of a client where a table does not say how many: those of most benchmarks' clients."""
_DRAFTS = "decodes with drafts, and how many are accepted is not stated"
_SPREAD = re.compile(r"uniform in \[(0?\.[0-9]+|[01](?:\.0*)?), 1\]")
_COUNTS = re.compile(r"[0-9]+")
_ROUNDS = re.compile(r"([0-9]+) requests per unit of concurrency")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCase:
    """One run to estimate. `prefill` and the replicas are of disaggregated runs, whose
    `scenario` is a decoding replica."""

    scenario: ServingScenario
    load: ClosedLoad
    prefill: ServingScenario | None = None
    prefill_replicas: int = 1
    decode_replicas: int = 1
    settings: LaunchSettings = AS_STATED
    prefill_settings: LaunchSettings = AS_STATED
    """How the replicas of the scenario, and of `prefill`, were launched."""
    starts_cold: bool = False
    """The first requests waited for kernels to be compiled."""
    arrivals: OpenLoad | None = None
    """Requests that come at times of their own, as those of a trace; None for a closed loop."""


def why_implausible(row: ServingRow) -> str | None:
    """What in a row's figures says that they are of another run than it states. Raises:
    RowError."""
    share = row.number("implied_peak_share")
    if share is None or share <= CREDIBLE_PEAK_SHARE:
        return None
    return (
        f"more than {CREDIBLE_PEAK_SHARE:.0%} of the peak rate is implied: something is cached or "
        "not stated"
    )


def case_of(row: ServingRow, own: OwnEngine | None = None) -> ServingCase:
    """The run of a row. `own` stands in for the engine of its name. Raises: RowError where the row
    lacks what an estimate needs, or states what is not estimated; PlannerError for a scenario that
    breaks a rule."""
    if row.text("speculative") not in ("", "none"):
        raise RowError(_DRAFTS)
    mode = row.text("mode")
    if mode == "agg":
        load, degrees = _load(row), _aggregated(row)
        launched = launch_of(row, degrees, load)
        degrees = degrees_as_launched(degrees, launched)
        settings = with_kernels(launched_with(launched), launched, degrees)
        if settings.drafts and not row.text("speculative"):
            raise RowError(_DRAFTS)
        rounds = settings.rounds or load.rounds
        least = load.least if settings.least is None else settings.least
        requests = offline_requests(launched) or load.concurrency
        return ServingCase(
            scenario=scenario_of(row, degrees, settings, own),
            settings=settings,
            load=replace(load, concurrency=requests, rounds=rounds, least=least),
            starts_cold=starts_cold(launched),
            arrivals=arrivals_of(row, launched, load),
        )
    if mode == "disagg":
        return _disaggregated(row, own)
    raise RowError(f"mode is {mode[:40]!r}; agg and disagg are known")


def _disaggregated(row: ServingRow, own: OwnEngine | None) -> ServingCase:
    replicas, decoding = row.count("decode_workers"), row.required("decode_devices")
    reading = row.count("prefill_workers")
    if replicas is None or reading is None:
        raise RowError("decode_workers and prefill_workers are not stated")
    if decoding % replicas:
        raise RowError(f"{decoding} decoding devices are no whole number for {replicas} workers")
    prompts = row.required("prefill_devices")
    if prompts % reading:
        raise RowError(f"{prompts} prefill devices are no whole number for {reading} workers")
    prefill = _pool_degrees(row, "prefill", prompts // reading)
    decode = _pool_degrees(row, "decode", decoding // replicas)
    load = _load(row)
    launched = launch_of(row, decode, load)
    if is_data_parallel(launched):
        decode = replace(decode, tensor=1, attention_data=decode.devices)
    most = decode_limit(launched, readers=reading, writers=replicas)
    writing = replace(with_kernels(launched_with(launched), launched, decode), max_running=most)
    launched = launch_of(row, prefill, load)
    reads = with_kernels(launched_with(launched), launched, prefill)
    return ServingCase(
        scenario=scenario_of(row, decode, writing, own),
        settings=writing,
        load=load,
        prefill=scenario_of(row, prefill, reads, own),
        prefill_settings=reads,
        prefill_replicas=reading,
        decode_replicas=replicas,
    )


def _pool_degrees(row: ServingRow, pool: str, devices: int) -> ServingDegrees:
    """Of one worker with so many devices; attention_data may be stated as true or false."""
    tensor = row.count(f"{pool}_tensor") or 1
    stated = row.text(f"{pool}_attention_data").lower()
    if stated in ("true", "false"):
        # Where the flag is on, ranks of attention data are counted in the tensor degree, too.
        tensor = 1 if stated == "true" and tensor == devices else tensor
        data = max(1, devices // tensor) if stated == "true" else 1
        tensor = devices if stated == "false" else tensor
    else:
        data = row.count(f"{pool}_attention_data") or 1
        tensor = max(1, devices // data)
    if tensor * data != devices:
        raise RowError(f"{pool} degrees {tensor} x {data} are not its {devices} devices")
    expert = min(row.count(f"{pool}_expert") or 1, devices)
    return ServingDegrees(tensor=tensor, attention_data=data, expert=expert)


def _aggregated(row: ServingRow) -> ServingDegrees:
    """Tensor degrees that leave devices over are of one replica, and there are several."""
    devices, pipeline = row.required("devices"), row.count("pipeline") or 1
    data, tensor = row.count("attention_data") or 1, row.count("tensor")
    expert, expert_tensor = row.count("expert") or 1, row.count("moe_tensor") or 1
    if tensor is None:
        raise RowError("tensor is not stated")
    if expert > 1 and expert == expert_tensor and devices == expert * expert_tensor:
        # Some tables state one degree of a mixture as expert and as tensor degree, and multiply it.
        devices = expert
        tensor, data = (expert, 1) if data == 1 else (1, expert)
    if tensor == data > 1 and expert == devices == tensor * data and expert_tensor == 1:
        # The same of attention: tensor ranks that are counted as attention ranks too.
        devices, expert, data = tensor, tensor, 1
    if tensor * data * pipeline != devices:
        raise RowError(
            f"degrees tensor {tensor} x attention_data {data} x pipeline {pipeline} are not the "
            f"{devices} devices"
        )
    return ServingDegrees(
        tensor=tensor, pipeline=pipeline, attention_data=data, expert=min(expert, tensor * data)
    )


def _load(row: ServingRow) -> ClosedLoad:
    kind, lengths = row.text("load_kind"), row.text("lengths")
    if kind not in ("concurrency", "batch", "offline", "trace"):
        raise RowError(f"load_kind {kind!r}: arrivals over time are not stated")
    spread, rounds = _SPREAD.search(lengths), _ROUNDS.search(lengths)
    many = 1 if kind in ("offline", "trace") else USUAL_ROUNDS
    return ClosedLoad(
        concurrency=_clients(row),
        input_tokens=_length(row, "input_length"),
        output_tokens=_length(row, "output_length"),
        least=float(spread[1]) if spread else 1.0,
        rounds=int(rounds[1]) if rounds else many,
    )


def _length(row: ServingRow, column: str) -> int:
    """Tokens; a mean is rounded."""
    tokens = row.number(column)
    if not tokens:
        raise RowError(f"{column} is not stated")
    if tokens > ranges.LONGEST_SEQUENCE:
        raise RowError(f"{column} is {tokens:,.0f}; at most {ranges.LONGEST_SEQUENCE:,} are priced")
    return max(1, round(tokens))


def _clients(row: ServingRow) -> float:
    """As many requests as a load has at a time. Raises: RowError."""
    clients = _stated_clients(row)
    if clients > ranges.MOST_CONCURRENT:
        raise RowError(f"load is {clients:,.0f}; at most {ranges.MOST_CONCURRENT:,} are priced")
    return clients


def _stated_clients(row: ServingRow) -> float:
    """Requests under way; of offline work all there are, the middle of a stated range."""
    counts = [int(count) for count in _COUNTS.findall(row.text("load"))]
    if row.text("load_kind") in ("offline", "trace"):
        if not counts:
            kind = row.text("load_kind")
            raise RowError(f"{kind}: how many requests there were is not stated")
        return sum(counts) / len(counts)
    clients = row.number("load")
    if not clients:
        raise RowError("load is not stated")
    return clients
