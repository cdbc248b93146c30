"""`planner simulate`, as a user meets it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from planner.resilience import months
from planner.resilience.fewer import on_fewer_nodes
from tests.cli.test_goodput import BATCH, BLOCK, PLAN, cluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]


@pytest.fixture
def plan(planner: Run, tmp_path: Path) -> str:
    done = planner("estimate", "--cluster", cluster(tmp_path, BLOCK), *PLAN, *BATCH, "--json")
    path = tmp_path / "plan.json"
    path.write_text(done.stdout)
    return str(path)


def test_more_spares_give_more_and_the_best_number_is_said(
    planner: Run, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[Any] = []
    smaller = on_fewer_nodes

    def once(*given: Any) -> Any:
        known.append(known[0] if known else smaller(*given))
        return known[0]

    monkeypatch.setattr(months, "on_fewer_nodes", once)
    done = planner(
        "simulate", plan, "--spares", "1,2,4", "--days", "60", "--seeds", "500", "--json"
    )
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["nodes"] == 8
    assert found["node_mtbf_s"] == 3000 * 3600 / 8
    assert found["nodes_away"] == pytest.approx(8 * 8 * 12 / 3000)
    spares = found["spares"]
    assert [one["spares"] for one in spares] == [0, 1, 2, 4]
    goodputs = [one["goodput"] for one in spares]
    assert goodputs == sorted(goodputs)
    for one in spares:
        assert one["goodput"] == pytest.approx(one["lasting"], abs=0.01)
        assert one["for_each_node"] == pytest.approx(
            one["goodput"] / goodputs[0] / (1 + one["spares"] / 8), rel=1e-6
        )
    best = max(spares, key=lambda one: one["for_each_node"])
    assert found["best_spares"] == best["spares"]
    rates = {one["nodes"]: one["rate"] for one in found["rates"]}
    assert rates[8] == 1
    assert 0.3 < rates[7] < 1
    shown = planner("simulate", plan, "--spares", "1,2,4", "--days", "60", "--seeds", "500").stdout
    assert "each fails every 15.6 days" in shown.replace("\n", " ")
    monkeypatch.setenv("COLUMNS", "60")
    alone = planner("simulate", plan, "--spares", "0", "--days", "60", "--seeds", "1").stdout
    assert alone.startswith("Without spare nodes: goodput")
    assert "1 life was simulated" in " ".join(alone.split())
    assert "…" not in alone
    rows = [line.split() for line in shown.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows if row[1].endswith("%")] == ["0", "1", "2", "4"]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (None, "says nothing of failures; add a reliability: block to its file"),
        (
            {key: value for key, value in BLOCK.items() if key != "repair"},
            "does not say how long a node is away; add repair: 24 h",
        ),
    ],
)
def test_what_the_cluster_has_to_say_is_asked_for(
    planner: Run, plan: str, tmp_path: Path, block: dict[str, object] | None, said: str
) -> None:
    done = planner("simulate", plan, "--cluster", cluster(tmp_path, block))
    assert done.code == 2
    assert said in done.stderr
