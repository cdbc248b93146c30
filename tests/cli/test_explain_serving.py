"""`planner explain` of serving plans: what times hang on, what would change them, why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner import api

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

LOAD = """
requests: {input: 1024, output: 64}
concurrency: 32
slo: {tpot: {mean: 12 ms}}
"""


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two plans of equal replicas, tensor 1 and 2."""
    folder = tmp_path_factory.mktemp("explained")
    load = folder / "load.yaml"
    load.write_text(LOAD, encoding="utf-8")
    found = api.search_serving(
        *("dgx-h100-16", "llama-3-8b", load),
        nodes=1, tensor=(1, 2), pipeline=1, max_step_tokens=8192, disaggregated=False, top=2,
    )  # fmt: skip
    path = folder / "plans.json"
    path.write_text(api.to_text(found), encoding="utf-8")
    return str(path)


def test_what_the_times_hang_on_and_what_would_change_them(planner: Run, plans: str) -> None:
    told = planner("explain", f"{plans}#1", "--json")
    assert (told.code, told.stderr) == (0, "")
    found = json.loads(told.stdout)
    shares = found["tpot_hangs_on"]
    assert next(iter(shares)) == "bandwidth of device memory"
    assert 0.3 < shares["bandwidth of device memory"] < 1
    hardware = {one["name"]: one for one in found["hardware"]}
    assert hardware["bandwidth of device memory +10%"]["tpot"] < -0.02
    assert hardware["peak rate of the devices +10%"]["ttft"] < 0
    gains = [one["tokens_per_s"] for one in found["hardware"]]
    assert gains == sorted(gains, reverse=True)
    decisions = {one["name"]: one for one in found["decisions"]}
    assert decisions["weights fp8"]["tokens_per_s"] > 0.1
    assert "attention data 2" not in " ".join(decisions), "the model has no experts"
    report = planner("explain", f"{plans}#1").stdout.splitlines()
    assert report[0].startswith("The plan: ")
    assert "TPOT" in report[3] or "TTFT" in report[3]
    assert "Hardware that is 10% better" in report
    assert max(map(len, report)) <= 80


def test_a_decision_is_priced_as_estimate_prices_it(planner: Run, plans: str) -> None:
    document = json.loads(Path(plans).read_text(encoding="utf-8"))
    explained = json.loads(planner("explain", f"{plans}#1", "--json").stdout)
    lever = next(one for one in explained["decisions"] if one["name"] == "weights fp8")
    for pool in document["plans"][0]["pools"]:
        pool["weights"] = "fp8"
    path = Path(plans).with_name("fp8.json")
    path.write_text(json.dumps(document), encoding="utf-8")
    told = planner("estimate", "--cluster", "dgx-h100-16", "--plan", f"{path}#1", "--json")
    estimate = json.loads(told.stdout)["plans"][0]["estimate"]
    assert estimate["output_tokens_per_s"] == pytest.approx(
        explained["output_tokens_per_s"] * (1 + lever["tokens_per_s"])
    )


def test_why_not_another_way(planner: Run, plans: str) -> None:
    told = planner("explain", f"{plans}#1", "--why-not", "tp=8,disaggregated=off")
    assert told.code == 0
    said = " ".join(told.stdout.split())
    assert said.startswith("Why not tensor 8, disaggregated off? At its best it is 1 aggregated ")
    assert "fewer output tokens per second than the plan, on as many devices." in said
    other = planner("explain", f"{plans}#1", "--why-not", f"{plans}#2", "--json")
    compared = json.loads(other.stdout)["why_not"]["comparison"]
    assert [one["name"] for one in compared["plans"]] == ["the plan", f"{plans}#2"]
    none = planner("explain", f"{plans}#1", "--why-not", "tensor=3")
    said = " ".join(none.stdout.split())
    assert said.startswith("Why not tensor 3? There is no such plan: heads: ")
    assert "must divide the 32 attention heads" in said
    assert "valid with --tensor 1,2,4,8." in said


@pytest.mark.parametrize(
    ("why_not", "message"),
    [
        ("tensro=4", "'tensro' is no decision of a serving plan"),
        ("tensor=four", "--tensor: 'four' is not a whole number"),
        ("tensor=0", "--tensor"),
        ("weights=fp9", "--weights"),
        ("tensor", "'tensor' is neither a serving plan nor NAME=VALUE"),
        ("tensor=4,tensor=2", "is not NAME=VALUE, once for each name"),
    ],
)
def test_bad_why_not(planner: Run, plans: str, why_not: str, message: str) -> None:
    told = planner("explain", f"{plans}#1", "--why-not", why_not)
    assert (told.code, told.stdout) == (2, "")
    assert message in told.stderr
    assert len(told.stderr.splitlines()) <= 2
