"""Counts of routed tokens in load files: what they cost, and where the experts then lie."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LAYERS, EXPERTS = 32, 8
SKEWED = [9, 8, 7, 6, 2, 2, 1, 1]
WHAT = ("--cluster", "dgx-h100-16", "--model", "mixtral-8x7b")
REPLICA = ("--tensor", "4", "--expert", "4")


def written(folder: Path, counts: Any, name: str = "load.yaml") -> str:
    (folder / "routing.json").write_text(json.dumps({"logical_count": counts}))
    load = folder / name
    load.write_text("requests: {input: 256, output: 32}\nconcurrency: 8\nrouting: routing.json\n")
    return str(load)


def priced(planner: Callable[..., Any], load: str, engine: str) -> tuple[float, str]:
    """Seconds of a token, and what is said about the experts."""
    asked = ("estimate", *WHAT, *REPLICA, "--serving", load, "--engine", engine, "--json")
    answer = json.loads(planner(*asked).stdout)
    said = [one for one in answer["inputs"]["assumptions"] if "experts are chosen" in one]
    return answer["estimate"]["tpot"]["mean_s"], "".join(said)


def test_even_counts_cost_what_no_counts_cost(planner: Callable[..., Any], tmp_path: Path) -> None:
    load = written(tmp_path, [[5] * EXPERTS] * LAYERS)
    plain = tmp_path / "plain.yaml"
    plain.write_text("requests: {input: 256, output: 32}\nconcurrency: 8\n")
    even_s, said = priced(planner, load, "sglang")
    assert even_s == pytest.approx(priced(planner, str(plain), "sglang")[0])
    assert "1.000 times the mean (1.000 in their order)" in said


def test_experts_that_may_move_balance_the_devices(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    load = written(tmp_path, [SKEWED] * LAYERS)
    said = priced(planner, load, "sglang")[1]
    assert "1.111 times the mean (1.889 in their order), at most 0.00% above the best" in said
    assert (
        "in their order on 4 groups of devices, since vllm takes no other"
        in (priced(planner, load, "vllm")[1])
    )


def test_a_plan_keeps_its_placement(planner: Callable[..., Any], tmp_path: Path) -> None:
    load, out = written(tmp_path, [SKEWED] * LAYERS), str(tmp_path / "plan.json")
    narrowed = (*REPLICA, "--nodes", "1", "--pipeline", "1", "--attention-data", "1", "--top", "1")
    asked = ("--serving", load, "--engine", "sglang", "--disaggregated", "off", "-o", out)
    assert planner("search", *WHAT, *narrowed, *asked).code == 0
    plan = json.loads((tmp_path / "plan.json").read_text())
    [placement] = plan["expert_placement"]
    assert placement["expert"] == 4
    pairs = [placement["layers"][0][at : at + 2] for at in range(0, EXPERTS, 2)]
    assert max(sum(SKEWED[e] for e in pair) for pair in pairs) == 10
    script = planner("export", out, "--format", "sglang").stdout
    located = re.search(r"--init-expert-location=(\{.*?\})", script)
    assert located is not None
    assert json.loads(located[1])["physical_to_logical_map"] == placement["layers"]
    again = planner("estimate", "--cluster", "dgx-h100-16", "--plan", out, "--json")
    [first] = json.loads(again.stdout)["plans"]
    assert first["estimate"]["tpot"] == plan["plans"][0]["estimate"]["tpot"]
    plan["expert_placement"][0]["layers"][3][0] = placement["layers"][3][1]
    (tmp_path / "plan.json").write_text(json.dumps(plan, indent=1))
    broken = planner("estimate", "--cluster", "dgx-h100-16", "--plan", out)
    assert broken.code == 2
    assert "every expert from 0 to 7 is needed once" in broken.stderr


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([[1] * 8] * 31 + [[1] * 7], "logical_count[31]: 7 experts, where the first layer has 8"),
        ([[1] * 8] * 3, "3 layers of 8 experts, but mixtral-8x7b has 32 mixtures of 8"),
        ([[1, -1]], "a count from 0 to 1e+18 is needed, found the number -1"),
        ([[9, 1, 1, 1, 1, 1, 1, 1]] * 32, "expert 0 has 9 of 16 choices, but a token chooses 2"),
        ([], "a list for each layer is needed, found none"),
    ],
)  # fmt: skip
def test_counts_of_no_routing_are_refused(
    planner: Callable[..., Any], tmp_path: Path, counts: Any, said: str
) -> None:
    load = written(tmp_path, counts)
    answer = planner("estimate", *WHAT, *REPLICA, "--serving", load)
    assert answer.code == 2
    assert said in " ".join(answer.stderr.split())
