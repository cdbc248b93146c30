"""What every plan document promises, whatever it was made for: `planner schema plan` and the
sums, bounds and integers that a JSON Schema cannot say."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from planner.plan_document.schema import plan_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDING = 1e-6
BYTES_OF_COMPONENTS = (
    "weights", "gradients", "optimizer", "activations", "logits", "buffers", "fixed", "slack",
)  # fmt: skip
NO_DECISIONS = ("rank", "tied_with_best", "worst_step_s", "proofs", "why", "estimate")
"""What a plan says of itself; every other field decides something."""


def broken_contracts(text: str) -> Iterator[str]:
    """What is wrong with the JSON that a command printed; nothing when all is as promised."""
    try:
        document = json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        yield f"stdout is no JSON: {error}"
        return
    wrong = next(_validator().iter_errors(document), None)
    if wrong is not None:
        yield f"schema: {'/'.join(map(str, wrong.absolute_path))}: {wrong.message[:200]}"
        return
    job = document["inputs"]["job"]
    for index, plan in enumerate(document["plans"], start=1):
        if plan["rank"] != index:
            yield f"rank {plan['rank']} stands at position {index}"
        yield from _broken_plan(plan, job)
    search = document.get("search")
    if search is not None:
        for near in search["nearest"]:
            yield from _broken_plan(near, job)
        for change in search["changes"]:
            yield from _broken_times(change["estimate"])
            yield from _broken_memory(change["estimate"]["memory"])
        yield from _broken_search(search, document["plans"])


def decisions_of(plan: dict[str, Any]) -> dict[str, Any]:
    """The fields of a plan that say what runs, not what it costs."""
    return {name: value for name, value in plan.items() if name not in NO_DECISIONS}


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(plan_schema())


def _broken_search(search: dict[str, Any], plans: list[dict[str, Any]]) -> Iterator[str]:
    times = [plan.get("worst_step_s", plan["estimate"]["step_s"]) for plan in plans]
    if times != sorted(times):
        yield f"plans are not in order of their step: {times}"
    if not search["fitting"] <= search["candidates"]:
        yield f"{search['fitting']} of {search['candidates']} combinations fit"
    for name in ("gap", "best_gap", "combination_gap", "layout_gap", "placement_gap"):
        if not 0 <= search.get(name, 0) <= 1:
            yield f"{name} is {search[name]}"
    if search["proven"] and search["gap"]:
        yield f"proven with a gap of {search['gap']}"
    if search["best_gap"] > search["gap"]:
        yield f"the best plan has a gap of {search['best_gap']}, all {search['gap']}"
    decided = [json.dumps(decisions_of(plan)) for plan in plans]
    if len(set(decided)) < len(decided):
        yield "the same plan is listed twice"


def _broken_plan(plan: dict[str, Any], job: dict[str, Any]) -> Iterator[str]:
    degrees, devices = plan["degrees"], job["devices"]
    product = degrees["tensor"] * degrees["pipeline"] * degrees["data"] * degrees["context"]
    hosts = len(plan.get("placement", {}).get("hosts", ())) or 1
    if product > devices or (product < devices and product % hosts):
        yield f"degrees multiply to {product}, the job has {devices} devices"
    stage = product // degrees["pipeline"]
    if stage % (degrees["expert"] * degrees["expert_tensor"]):
        yield f"the expert degrees do not divide the {stage} devices of a stage"
    replicas = degrees["data"] * degrees["context"]
    if replicas % plan.get("shard_over", 1):
        yield f"states are sharded over {plan['shard_over']} of {replicas} replicas"
    batch = plan["micro_batch_size"] * plan["num_microbatches"] * degrees["data"]
    if batch != job["global_batch_size"]:
        yield f"the microbatches hold {batch} sequences of {job['global_batch_size']}"
    if len(plan["stages"]) != degrees["pipeline"]:
        yield f"{len(plan['stages'])} stages"
    hosts = plan["placement"]["hosts"]
    if len(set(hosts)) < len(hosts):
        yield "a host has two places"
    yield from _broken_estimate(plan["estimate"], job)


def _broken_estimate(estimate: dict[str, Any], job: dict[str, Any]) -> Iterator[str]:
    step_s = estimate["step_s"]
    yield from _broken_times(estimate)
    tokens = job["global_batch_size"] * job["seq_length"]
    if abs(estimate["tokens_per_s"] * step_s - tokens) > ROUNDING * tokens:
        yield f"{estimate['tokens_per_s']} tokens/s in {step_s} s are not {tokens} tokens"
    yield from _broken_memory(estimate["memory"])
    known = estimate["confidence"]
    if known is not None and not (
        known["step_s"]["low"] <= step_s * (1 + ROUNDING)
        and step_s <= known["step_s"]["high"] * (1 + ROUNDING)
    ):
        yield f"step_s {step_s} is outside of its range {known['step_s']}"


def _broken_times(estimate: dict[str, Any]) -> Iterator[str]:
    step_s, time = estimate["step_s"], estimate["time"]
    if not 0 < step_s < math.inf:
        yield f"step_s is {step_s}"
    for name, seconds in time.items():
        if not seconds >= 0:
            yield f"time.{name} is {seconds}"
    if abs(sum(time.values()) - step_s) > ROUNDING * step_s:
        yield f"times add up to {sum(time.values())}, the step takes {step_s}"
    if not 0 < estimate["mfu"] <= 1:
        yield f"mfu is {estimate['mfu']}"


def _broken_memory(memory: dict[str, Any]) -> Iterator[str]:
    for stage in memory["per_stage"]:
        parts = stage["components"]
        if tuple(parts) != BYTES_OF_COMPONENTS:
            yield f"components {list(parts)}"
        for name, size in parts.items():
            if not isinstance(size, int) or size < 0:
                yield f"stage {stage['stage']}: {name} is {size} bytes"
        if sum(parts.values()) != stage["peak_bytes"]:
            yield f"stage {stage['stage']}: components add up to {sum(parts.values())} bytes"
        peaks = [stage[f"{kind}_peak_bytes"] for kind in ("allocated", "reserved", "device")]
        if peaks != sorted(peaks) or peaks[-1] != stage["peak_bytes"]:
            yield f"stage {stage['stage']}: peaks {peaks}"
    binding = memory["per_stage"][memory["binding_stage"]]
    if binding["peak_bytes"] != memory["peak_bytes"]:
        yield "peak_bytes is not that of the binding stage"
