"""The document of serving plans: its schema, and plans read back as they were written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from planner import api
from planner.budget import Stopped
from planner.errors import InputError
from planner.plan.serving import ServingPlan, ServingPool
from planner.plan_document.serving.inputs import record_serving_inputs
from planner.plan_document.serving.read import read_serving_plan
from planner.plan_document.serving.schema import serving_schema
from planner.plan_document.serving.write import to_serving_document
from planner.serving.forecast import Forecast, Offer
from planner.serving.latency import Latency
from planner.serving.search.result import LeftOut, ServingSearch
from planner.specs.engine import load_engine
from planner.specs.serving_load import load_serving_load

DECODE = ServingPool(
    role="decode",
    group="h100",
    device="h100-sxm-80gb",
    replicas=3,
    tensor=4,
    pipeline=1,
    attention_data=2,
    expert=8,
    weights="fp8",
    kv_format="bf16",
    max_running=1024,
    max_step_tokens=8192,
    kv_tokens=412_000,
    memory_share=0.9,
    clients=20.25,
    hosts=("h100-1", "h100-2", "h100-3"),
)
PREFILL = replace(DECODE, role="prefill", replicas=1, clients=1.5, hosts=("h100-0",))
LATENCY = Latency(mean_s=0.02, median_s=0.019, p90_s=0.03, p95_s=0.04, p99_s=0.05)


def offer(*pools: ServingPool) -> Offer:
    plan = ServingPlan(engine="vllm", pools=pools)
    forecast = Forecast(
        ttft=LATENCY,
        tpot=LATENCY,
        output_tokens_per_s=3000.0,
        requests_per_s=12.0,
        clients=62.25,
        devices=plan.devices,
        bound_by="decode",
        transfer_s=0.001,
        price_per_hour=96.0,
    )
    return Offer(plan=plan, forecast=forecast)


def document(folder: Path) -> dict[str, Any]:
    load = folder / "load.yaml"
    load.write_text("requests: {input: 1024, output: 256}\nconcurrency: 62\n")
    inputs = record_serving_inputs(
        api.load_cluster("dgx-h100-16"),
        api.load_model("deepseek-v3"),
        load_engine("vllm"),
        load_serving_load(load),
        ("prompts are read by first come, first served",),
    )
    offers = (offer(PREFILL, DECODE), offer(replace(DECODE, role="aggregated")))
    search = ServingSearch(
        objective="cost",
        offers=offers,
        kinds=10,
        candidates=80,
        priced=12,
        bound=8.0,
        gap=0.01,
        stopped=Stopped.WORK_LIMIT,
        front=offers,
        excluded=(LeftOut(reason="no room for a request", replicas=3),),
    )
    return to_serving_document(inputs, offers, mixture=True, search=search)


def test_documents_fit_their_schema(tmp_path: Path) -> None:
    Draft202012Validator.check_schema(serving_schema())
    written = json.loads(api.to_text(document(tmp_path)))
    assert not list(Draft202012Validator(serving_schema()).iter_errors(written))
    found = written["plans"][0]["estimate"]
    assert found["price_per_million_tokens"] == pytest.approx(96 / 3600 / 3000 * 1e6)
    assert found["output_tokens_per_s_per_device"] == pytest.approx(3000 / 32)


def test_plans_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    path.write_text(api.to_text(document(tmp_path)))
    first, second = read_serving_plan(str(path)), read_serving_plan(f"{path}#2")
    assert first.plan == offer(PREFILL, DECODE).plan
    assert first.plan.disaggregated
    assert not second.plan.disaggregated
    assert first.inputs.load.concurrency == 62
    assert first.inputs.cluster == second.inputs.cluster
    assert first.inputs.model.name == "deepseek-v3"


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (("schema",), "planner/plans/1", '"planner/serving-plans/1" is needed'),
        (("plans",), [], "none kept the limits of the load"),
        (("plans", 0, "pools", 0, "role"), "decoder", "one of aggregated, prefill, decode"),
        (("plans", 0, "pools", 0, "role"), "decode", "prefill and decode pools come together"),
        (("plans", 0, "pools", 0, "tensor"), 0, "a whole number from 1"),
        (("plans", 0, "pools", 0, "weights"), "fp7", "one of bf16"),
        (("inputs", "load", "concurrency"), -1, "concurrency"),
    ],
)
def test_documents_that_are_wrong_say_where(
    tmp_path: Path, at: tuple[str | int, ...], value: object, message: str
) -> None:
    broken = document(tmp_path)
    part: Any = broken
    for key in at[:-1]:
        part = part[key]
    part[at[-1]] = value
    path = tmp_path / "plans.json"
    path.write_text(api.to_text(broken))
    with pytest.raises(InputError, match=message):
        read_serving_plan(str(path))
