"""Clusters whose links were measured, from the benchmark's output to plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

SPACE = ("--tensor", "8", "--recompute", "none", "--top", "3", "--idle", "off", "--json")
MODEL = {
    "architecture": "gpt",
    "num_layers": 4,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "vocab_size": 51200,
    "seq_length": 1024,
}

LOG = """START mpiGraph v1.5
Send\ta:0\tb:1\tc:2\t
a:0 to\t0.000\t14493.3\t12000.1\t
b:1 to\t11072.4\t0.000\t12100.0\t
c:2 to\t11500.0\t12345.6\t0.000\t
END mpiGraph
"""
MPIGRAPH_JSON = json.dumps(
    {
        "1": {
            "gpus": ["a", "b", "c"],
            "bandwidth": [[0, 14493, 12000], [11072, 0, 12100], [11500, 12345, 0]],
        }
    }
)
TABLE = "GB/s,a,b,c\na,0,14.5,12\nb,11,0,12.1\nc,11.5,12.3,0\n"
GAPS = "GB/s,a,b,c\na,,14.5,\nb,11,,12.1\nc,,12.3,\n"
PAIRS = "region_a,region_b,latency_ms,bandwidth_GiB_per_s\na,b,4,0.25\na,c,3,0.2\nb,c,6.6,0.18\n"
SITES = "region_a,region_b,latency_ms,bandwidth_GiB_per_s\na,b,4,0.25\n"


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("mpigraph.log", LOG, ()),
        ("mpigraph.json", MPIGRAPH_JSON, ()),
        ("table.csv", TABLE, ()),
        ("gaps.csv", GAPS, ()),
        ("pairs.csv", PAIRS, ()),
        ("sites.csv", SITES, ("--nodes-per-site", "2")),
    ],
)
def test_what_a_benchmark_wrote_is_searched_estimated_and_checked(
    planner: Run, tmp_path: Path, name: str, text: str, options: tuple[str, ...]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    cluster = str(tmp_path / "cluster.yaml")
    imported = planner(
        *("import", "cluster", str(tmp_path / name), "--device", "a100-sxm-80gb"),
        *(*options, "--output", cluster),
    )
    assert imported.code == 0, imported.stderr

    plans = str(tmp_path / "plans.json")
    few = ("--schedule", "1f1b", "--micro-batch-size", "1", "--data-sharding", "optimizer")
    found = searched(planner, cluster, "--output", plans, *few)
    assert found["search"]["gap"] >= 0

    given = ("--cluster", cluster, *job(cluster))
    estimated = planner("estimate", *given, "--plan", plans, "--json")
    assert (estimated.code, estimated.stderr) == (0, "")
    again = json.loads(estimated.stdout)["plans"][0]["estimate"]
    assert again["step_s"] == found["plans"][0]["estimate"]["step_s"]

    checked = planner("check", *given, plans, "--ignore", "tight-fit")
    assert checked.code == 0, checked.stdout + checked.stderr


def test_a_link_without_a_figure_has_that_of_the_network(planner: Run, tmp_path: Path) -> None:
    cluster = measured(tmp_path, GAPS)
    found = searched(planner, cluster)
    said = [one for one in found["inputs"]["assumptions"] if "measured" in one]
    assert said == ["cluster: 2 of 6 links were not measured; they have what network and tiers say"]
    filled = GAPS.replace("14.5,\n", "14.5,25\n").replace("c,,", "c,25,")
    whole = searched(planner, measured(tmp_path, filled, name="whole"))
    assert steps(found) == steps(whole)


def test_a_matrix_without_figures_is_none(planner: Run, tmp_path: Path) -> None:
    blank = searched(planner, measured(tmp_path, "GB/s,a,b\na,,\nb,,\n"))
    none = searched(planner, measured(tmp_path, None, name="none", count=2))
    assert steps(blank) == steps(none)


def test_one_host_needs_no_links(planner: Run, tmp_path: Path) -> None:
    one = searched(planner, measured(tmp_path, "GB/s,a\na,0\n"), batch="16")
    none = searched(planner, measured(tmp_path, None, name="none", count=1), batch="16")
    assert steps(one) == steps(none)


def test_one_host_without_a_network_may_stand_below_a_switch(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    group = {**GROUP, "count": 1}
    del group["network"]
    content = {"node_groups": [group], "fabric": {"tiers": [{"name": "leaf", "nodes": 4}]}}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert steps(searched(planner, str(path), batch="16"))


def test_hosts_in_another_order_than_the_matrix(planner: Run, tmp_path: Path) -> None:
    """One pair is far wider than the others, whatever order the files list it in."""
    text = "GB/s,a,b,c\na,0,1,24\nb,1,0,1\nc,24,1,0\n"
    shuffled = "GB/s,c,b,a\nb,1,0,1\na,24,1,0\nc,0,1,24\n"
    for name, table, hosts in (
        ("first", text, ["a", "b", "c"]),
        ("second", shuffled, ["a", "b", "c"]),
        ("third", text, ["b", "c", "a"]),
        ("fourth", shuffled, ["c", "b", "a"]),
    ):
        cluster = measured(tmp_path, table, name=name, hosts=hosts)
        found = searched(planner, cluster, "--nodes", "2", batch="16")
        assert sorted(found["plans"][0]["placement"]["hosts"]) == ["a", "c"]


def test_directions_are_kept_apart(planner: Run, tmp_path: Path) -> None:
    """Estimates of one plan on two orders of hosts differ where links differ by direction alone."""
    text = "GB/s,a,b,c\na,0,20,1\nb,1,0,20\nc,20,1,0\n"
    cluster = measured(tmp_path, text)
    flags = ("--tensor", "8", "--micro-batch-size", "1")
    took = []
    for order in ("a b c", "a c b"):
        (tmp_path / "hosts").write_text("\n".join(order.split()), encoding="utf-8")
        shown = planner(
            *("estimate", "--cluster", cluster, *job(cluster), *flags),
            *("--hosts", str(tmp_path / "hosts"), "--json"),
        )
        assert shown.code == 0, shown.stderr
        took.append(json.loads(shown.stdout)["plans"][0]["estimate"]["step_s"])
    assert took[0] < took[1]


def test_one_very_slow_node_is_left_out(planner: Run, tmp_path: Path) -> None:
    names = [f"n{index}" for index in range(9)]
    rows = [",".join(("GB/s", *names))]
    for one in names:
        cells = ["0.001" if "n4" in (one, other) else "25" for other in names]
        rows.append(",".join((one, *cells)))
    cluster = measured(tmp_path, "\n".join(rows))
    found = searched(planner, cluster, "--nodes", "8", batch="64")
    assert "n4" not in found["plans"][0]["placement"]["hosts"]


def test_a_cell_that_is_no_bandwidth_names_its_place(planner: Run, tmp_path: Path) -> None:
    for wrong in ("0", "nan", "inf", "-"):
        cluster = measured(tmp_path, TABLE.replace("12.1", wrong))
        refused = planner("search", "--cluster", cluster, *job(cluster))
        assert refused.code == 2
        assert "m.csv:3:8: " in refused.stderr
        assert "leave the cell empty where nothing was measured" in refused.stderr


GROUP: dict[str, Any] = {
    "device": "a100-sxm-80gb",
    "devices_per_node": 8,
    "intra_node": {"bandwidth": "300 GB/s"},
    "network": {"cards": 1, "bandwidth": "25 GB/s"},
}


def measured(
    folder: Path,
    table: str | None,
    *,
    name: str = "c",
    count: int | None = None,
    hosts: list[str] | None = None,
) -> str:
    """A cluster file beside its matrix; its path."""
    content: dict[str, Any] = {"node_groups": [{**GROUP}]}
    if count is not None:
        content["node_groups"][0]["count"] = count
    if hosts is not None:
        content["node_groups"][0]["hosts"] = hosts
    if table is not None:
        content["links"] = {"matrix": f"{name}-m.csv"}
        (folder / f"{name}-m.csv").write_text(table, encoding="utf-8")
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def searched(planner: Run, cluster: str, *options: str, batch: str = "24") -> dict[str, Any]:
    found = planner(
        *("search", "--cluster", cluster, *job(cluster, batch), *SPACE, *options),
    )
    assert found.code == 0, found.stderr
    document: dict[str, Any] = json.loads(found.stdout)
    return document


def job(cluster: str, batch: str = "24") -> tuple[str, ...]:
    """Options for a small model whose file is put beside the cluster's."""
    path = Path(cluster).parent / "model.yaml"
    path.write_text(json.dumps(MODEL), encoding="utf-8")
    return ("--model", str(path), "--global-batch-size", batch)


def steps(document: dict[str, Any]) -> list[float]:
    return [plan["estimate"]["step_s"] for plan in document["plans"]]
