"""The rank table against Megatron-LM's groups, built up one group after the other."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.exporters.errors import Inexpressible
from planner.exporters.ranks import COLUMNS, ranks_csv

if TYPE_CHECKING:
    from tests.conftest import Golden
    from tests.exporters.conftest import Jobs

KINDS: tuple[tuple[Any, ...], ...] = (
    ("dgx-h100-16", "llama-3-8b", "megatron-core", 4, ()),
    ("dgx-h100-16", "mixtral-8x7b", "megatron-core", 4, ()),
    ("dgx-h100-16", "mixtral-8x7b", "megatron-core", 4, (("rank_order", "tp-cp-ep-pp-dp"),)),
    ("mixed-a100-h100-16", "llama-3-8b", "megatron-core", 16, ()),
)


def walk(axes: list[tuple[str, int]]) -> list[dict[str, int]]:
    """Coordinates of rank 0, 1, 2 …, counted up like an odometer whose first wheel is fastest."""
    at = {axis: 0 for axis, _ in axes}
    found = []
    for _ in range(_product(size for _, size in axes)):
        found.append(dict(at))
        for axis, size in axes:
            at[axis] += 1
            if at[axis] < size:
                break
            at[axis] = 0
    return found


def _product(sizes: Any) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_rank_has_its_coordinates_on_both_grids(jobs: Jobs, data: st.DataObject) -> None:
    job = jobs.draw(data, KINDS)
    degrees = job.plan.degrees
    dense = {"tp": degrees.tensor, "cp": degrees.context, "dp": degrees.data}
    expert = {"tp": degrees.expert_tensor, "ep": degrees.expert, "dp": degrees.expert_data}
    dense["pp"] = expert["pp"] = degrees.pipeline
    order = job.plan.placement.order.split("-")
    among_all = walk([(axis, dense[axis]) for axis in order if axis in dense])
    among_experts = walk([(axis, expert[axis]) for axis in order if axis in expert])
    try:
        rows = list(csv.DictReader(io.StringIO(ranks_csv(job))))
    except Inexpressible:
        assert job.model.moe
        assert any(a["pp"] != e["pp"] for a, e in zip(among_all, among_experts, strict=True))
        return
    assert len(rows) == degrees.devices
    places = [(host.name, device) for host in job.hosts for device in range(host.devices)]
    for rank, row in enumerate(rows):
        at, experts = among_all[rank], among_experts[rank]
        assert tuple(row) == COLUMNS
        assert (row["host"], int(row["device"])) == places[rank]
        assert {name: int(row[name]) for name in COLUMNS if name not in ("host", "device")} == {
            "rank": rank,
            "tensor": at["tp"],
            "context": at["cp"],
            "data": at["dp"],
            "pipeline": at["pp"],
            "expert_tensor": experts["tp"],
            "expert": experts["ep"],
            "expert_data": experts["dp"],
        }


def test_the_formulas_of_the_default_order(jobs: Jobs) -> None:
    job = jobs.make(
        "dgx-h100-16",
        "mixtral-8x7b",
        nodes=4,
        tensor=2,
        context=2,
        pipeline=2,
        expert=8,
        expert_tensor=1,
    )
    for row in csv.DictReader(io.StringIO(ranks_csv(job))):
        at = {name: int(value) for name, value in row.items() if name != "host"}
        dense = at["tensor"] + 2 * (at["context"] + 2 * (at["data"] + 4 * at["pipeline"]))
        experts = at["expert"] + 8 * (at["expert_data"] + 2 * at["pipeline"])
        assert at["rank"] == dense == experts


def test_hosts_in_the_order_of_the_plan(jobs: Jobs, golden: Golden) -> None:
    job = jobs.make(
        "dgx-h100-16",
        "mixtral-8x7b",
        nodes=2,
        tensor=2,
        pipeline=2,
        expert=4,
        expert_tensor=1,
        hosts=("h100-1", "h100-0"),
    )
    golden.check("export-ranks.csv", ranks_csv(job))


def test_an_unknown_order_is_refused(jobs: Jobs) -> None:
    job = jobs.make("dgx-h100-16", "llama-3-8b", nodes=1)
    placement = replace(job.plan.placement, order="pp-dp-tp")
    job = replace(job, plan=replace(job.plan, placement=placement))
    with pytest.raises(Inexpressible, match=r"placement\.order: 'pp-dp-tp' is no rank order"):
        ranks_csv(job)
