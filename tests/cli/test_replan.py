"""Going on after nodes were lost or became slow, as a user meets it."""

from __future__ import annotations

import json
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from planner import api
from planner.hardware.described import topology_from_spec
from planner.hardware.links import hops_between
from planner.replan import replan as engine
from planner.replan.clusters import without
from planner.replan.option import NoWay

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

RESTART_S, REPAIR_S, READ, WRITE = 1200.0, 12 * 3600.0, 40e9, 20e9
RELIABILITY = {
    "device_mtbf": "10000 h",
    "restart": "20 min",
    "repair": "12 h",
    "checkpoint": {"write_bandwidth": "20 GB/s", "read_bandwidth": "40 GB/s"},
}
MODEL = "llama-3-8b"
CHECKPOINT_BYTES = 8_030_261_248 * 14


def cluster(tmp_path: Path, nodes: int = 8, **blocks: Any) -> Path:
    group = {
        "name": "h100",
        "hosts": f"node-[0-{nodes - 1}]",
        "device": "h100-sxm-80gb",
        "devices_per_node": 2,
        "intra_node": {"bandwidth": "450 GB/s"},
        "network": {"cards": 2, "bandwidth": "50 GB/s"},
    }
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump({"node_groups": [group], **blocks}), encoding="utf-8")
    return file


def plan_on(folder: Path, file: Path, *, nodes: int, batch: int, seq_length: int = 2048) -> str:
    """The file of a plan with 2 stages, of 2 devices each in every replica."""
    priced = api.estimate(
        file,
        MODEL,
        nodes=nodes,
        seq_length=seq_length,
        global_batch_size=batch,
        tensor=2,
        pipeline=2,
        micro_batch_size=1,
    )
    plan = folder / "plan.json"
    api.write_plans(priced, plan)
    return str(plan)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A plan on all 8 nodes of a cluster."""
    folder = tmp_path_factory.mktemp("eight")
    return plan_on(folder, cluster(folder), nodes=8, batch=64)


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A plan on 6 of 8 nodes."""
    folder = tmp_path_factory.mktemp("six")
    return plan_on(folder, cluster(folder), nodes=6, batch=60)


@pytest.fixture
def no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the ways that take a search, where a test is about others."""

    none = NoWay(way="search", reason="not asked for")
    monkeypatch.setattr(engine, "anew", lambda *_: (none,))
    monkeypatch.setattr(engine, "shifted", lambda *_: none)


def replanned(planner: Run, *options: str) -> dict[str, Any]:
    done = planner("replan", *options, "--json")
    assert done.code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ways(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["way"]: one for one in found["options"]}


def test_every_way_after_a_lost_node(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path, reliability=RELIABILITY)
    plan = plan_on(tmp_path, file, nodes=8, batch=64)
    options = (plan, "--lost", "node-7", "--hours-left", "300")
    found = replanned(planner, *options, "--output", str(tmp_path / "next.json"))
    one = ways(found)
    assert [way["way"] for way in found["not_possible"]] == ["swap", "search-batch"]
    drop, batch, shift = one["drop"], one["drop-batch"], one["shift"]
    assert drop["degrees"] == {**drop["degrees"], "tensor": 2, "pipeline": 2, "data": 2}
    assert drop["global_batch_size"] == 64
    assert batch["degrees"]["data"] == 3
    assert batch["global_batch_size"] in (63, 66)
    assert (shift["degrees"]["pipeline"], shift["degrees"]["data"]) == (1, 4)
    loads_s = CHECKPOINT_BYTES / READ
    before = found["before"]["tokens_per_s"]
    back_s = RESTART_S + loads_s
    for way in one.values():
        assert "node-7" not in way["placement"]["hosts"]
        assert way["nodes"] + len(way["idle_hosts"]) == 7
        assert way["share"] == pytest.approx(way["tokens_per_s"] / before)
        rewritten_s = loads_s + CHECKPOINT_BYTES / WRITE
        converted_s = rewritten_s if way["checkpoint"] == "prepared" else 0.0
        assert way["restart_s"] == pytest.approx(back_s + converted_s)
        even_s = way["restart_s"] + back_s * before / way["tokens_per_s"]
        assert way["break_even_s"] == pytest.approx(even_s)
        shrunk = way["tokens_per_s"] * (REPAIR_S - way["restart_s"])
        whole = before * (300 * 3600 - REPAIR_S - back_s)
        assert way["tokens"] == pytest.approx(shrunk + whole)
    assert drop["checkpoint"] == "loads"
    assert shift["checkpoint"] == "prepared"
    trained = [way["tokens"] for way in found["options"]]
    assert trained == sorted(trained, reverse=True)
    assert found["tokens_of_waiting"] < min(trained)
    kept_batch = next(way for way in found["options"] if not way["way"].endswith("-batch"))
    again = planner("estimate", "--cluster", str(file), "--model", MODEL, "--plan",
                    str(tmp_path / "next.json"), "--json")  # fmt: skip
    assert json.loads(again.stdout)["plans"][0]["estimate"]["step_s"] == pytest.approx(
        kept_batch["step_s"]
    )
    done = planner("replan", *options)
    said = " ".join(done.stdout.split())
    assert "Another batch is advice" in said
    assert "swap: not possible, no spare node for 1 node to replace" in said


def test_another_shape_with_a_close_batch_may_lose_least(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path)
    plan = plan_on(tmp_path, file, nodes=8, batch=64, seq_length=8192)
    written = str(tmp_path / "next.json")
    options = (plan, "--lost", "node-7", "--take", "search-batch", "--output", written)
    found = replanned(planner, *options)
    best = found["options"][0]
    assert best["way"] == "search-batch"
    assert best["global_batch_size"] == 63
    assert (best["degrees"]["tensor"], best["degrees"]["data"], best["nodes"]) == (2, 7, 7)
    assert best["share"] > 1.1 * max(one["share"] for one in found["options"][1:])
    again = planner(
        "estimate", "--cluster", str(file), "--model", MODEL, "--plan", written, "--json"
    )
    assert json.loads(again.stdout)["plans"][0]["estimate"]["step_s"] == best["step_s"]
    said = " ".join(planner("replan", *options).stdout.split())
    assert "exported with --take search-batch only" in said
    assert "1 stage and 7 replicas, a batch of 63 instead of 64" in said


@pytest.mark.usefixtures("no_search")
def test_spare_nodes_take_the_place_of_lost_ones(planner: Run, six: str) -> None:
    plan = six
    idle = ways(replanned(planner, plan, "--lost", "node-2"))["swap"]
    hosts = ["node-0", "node-1", "node-6", "node-3", "node-4", "node-5"]
    assert idle["placement"]["hosts"] == hosts
    assert idle["share"] == pytest.approx(1.0)
    assert idle["checkpoint"] == "loads"
    outside = replanned(planner, plan, "--lost", "node-[2-4]", "--spares", "1")
    assert "a spare node for node-4" in ways(outside)["swap"]["what"]
    few = replanned(planner, plan, "--lost", "node-[2-4]")
    assert few["not_possible"][0]["reason"] == "2 spare nodes for 3 nodes to replace"
    alone = replanned(planner, plan, "--lost", "node-7")
    assert [way["way"] for way in alone["options"]] == ["keep"]
    assert alone["options"][0]["what"] == "the same plan; no lost node is part of it"


@pytest.mark.usefixtures("no_search")
def test_a_slow_node_is_kept_or_taken_out(planner: Run, eight: str) -> None:
    def share(slow: str) -> float:
        found: float = ways(replanned(planner, eight, "--slow", slow))["keep"]["share"]
        return found

    assert share("node-3:0.2") < share("node-3:0.7") < 1.0
    found = replanned(planner, eight, "--slow", "node-3:0.2", "--spares", "1")
    one, before = ways(found), found["before"]["tokens_per_s"]
    for way, back in (("swap", 0.0), ("drop-batch", before)):
        rate, restart_s = one[way]["tokens_per_s"], one[way]["restart_s"]
        lost = restart_s * (rate + back)
        even_s = lost / (rate - one["keep"]["tokens_per_s"])
        assert one[way]["break_even_s"] == pytest.approx(even_s)
    mild = ways(replanned(planner, eight, "--slow", "node-3:0.99"))
    assert mild["drop"]["break_even_s"] is None
    assert share("node-3/*:0.05") < share("node-3/node-4:0.9") <= 1.0


SCONTROL = """NodeName=node-1 Arch=x86_64 CoresPerSocket=64
   State=MIXED ThreadsPerCore=1
NodeName=node-2 Arch=x86_64 CoresPerSocket=64
   State=IDLE+DRAIN ThreadsPerCore=1
   Reason=GPU fell off the bus [root@2026-11-30]
NodeName=other-9 Arch=x86_64
   State=DOWN*
"""
SINFO = """PARTITION AVAIL  TIMELIMIT  NODES  STATE NODELIST
gpu*         up   infinite      1  drain node-2
gpu*         up   infinite      7  alloc node-[0-1,3-7]
"""
REASONS = """REASON               USER      TIMESTAMP           NODELIST
NVLink errors on 3   root      2026-11-30T08:00:00 node-2
"""


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize("text", [SCONTROL, SINFO, REASONS])
def test_states_of_slurm_say_what_is_lost(
    planner: Run, six: str, tmp_path: Path, text: str
) -> None:
    report = tmp_path / "nodes.txt"
    report.write_text(text, encoding="utf-8")
    found = replanned(planner, six, "--health", str(report))
    assert found["lost"] == ["node-2"]
    assert found["findings"][0].startswith("node-2 is ")


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize(
    ("bad", "said", "other"),
    [
        (lambda i, j: i == 2, "row node-2: it sends", "*"),
        (lambda i, j: 2 in (i, j), "row and column node-2: it sends and receives", "*"),
        (lambda i, j: (i, j) == (2, 5), "cell node-2, node-5", "node-5"),
    ],
)
def test_a_matrix_names_its_bad_row_column_or_cell(
    planner: Run, six: str, tmp_path: Path, bad: Callable[[int, int], bool], said: str, other: str
) -> None:
    names = [f"node-{i}" for i in range(6)]
    rows = [["GB/s", *names]]
    for i, name in enumerate(names):
        cells = [0 if i == j else 35 if bad(i, j) else 70 + i / 10 + j / 10 for j in range(6)]
        rows.append([name, *map(str, cells)])
    matrix = tmp_path / "again.csv"
    matrix.write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")
    found = replanned(planner, six, "--health", str(matrix))
    assert said in found["findings"][0]
    assert len(found["slow"]) == 1
    assert found["slow"][0]["other"] == other
    assert found["slow"][0]["factor"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize(
    ("options", "code", "wrong"),
    [
        ((), 2, "nothing is lost and nothing is slow"),
        (("--lost", "node-70"), 2, "has no host 'node-70'; did you mean node-7?"),
        (("--lost", "node-70", "--model", "nowhere.yaml"), 2, "has no host 'node-70'"),
        (("--lost", "node-["), 2, "--lost"),
        (("--lost", "node-[0-7]"), 2, "has no other node"),
        (("--slow", "node-3"), 2, "write HOST:0.6 for devices"),
        (("--slow", "node-3:1.5"), 2, "share of its speed between 0 and 1"),
        (("--slow", "node-3/node-4:0.5,node-4/node-3:0.2"), 2, "says again how slow a part is"),
        (("--health", ""), 2, "--health: '' leaves the name of a file out"),
        (("--slow", "node-3/node-3:0.5"), 2, "share of its speed"),
        (("--slow", "node-3/nod-4:0.5"), 2, "did you mean node-4?"),
        (("--lost", "node-1", "--spares", "-1"), 2, "not a whole number from 0 to 100,000"),
        (("--lost", "node-1", "--hours-left", "0"), 2, "not a number of hours above 0"),
        (("--lost", "node-1", "--hours-left", "-3h"), 2, "not a number of hours above 0"),
        (("--lost", "node-1", "--take", "wait"), 2, "'wait' is not one of keep, swap, drop"),
        (("--lost", "node-1", "--take", "swap"), 1, "swap is not possible: no spare node for 1"),
        (("--health", "elsewhere.txt"), 1, "in cluster cluster; other-9 is not part of it"),
        (("--health", "other.csv"), 2, "other.csv:1:13: cluster cluster has no host other-9"),
        (("--health", "cluster.yaml"), 2, "is not a health report"),
        (("--health", "missing.txt"), 2, "no such file"),
    ],
)
def test_what_makes_no_sense_is_refused(
    planner: Run,
    eight: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    code: int,
    wrong: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    cluster(tmp_path)
    (tmp_path / "elsewhere.txt").write_text("NODELIST STATE\nother-9 down*\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text("GB/s,node-1,other-9\nnode-1,,9\nother-9,9,\n")
    done = planner("replan", eight, *options)
    assert done.code == code
    assert wrong in " ".join(done.stderr.split())


@pytest.mark.parametrize("lost", [0, 5, 11])
def test_nodes_keep_their_switches_when_others_are_lost(tmp_path: Path, lost: int) -> None:
    tiers = [{"name": "leaf", "nodes": 4, "oversubscription": 1}]
    tiers += [{"name": "spine", "oversubscription": 3}]
    whole = api.load_cluster(cluster(tmp_path, nodes=12, fabric={"tiers": tiers}))

    def rates(spec: api.ClusterSpec) -> dict[tuple[str, str], float]:
        topology = topology_from_spec(spec, devices=spec.num_devices or 0)
        hosts, order = spec.host_names(), np.arange(spec.num_nodes or 0)
        found, _ = hops_between(topology.kinds, topology.fabric, order)
        pairs = combinations(range(len(hosts)), 2)
        ends = ((tuple(sorted((hosts[a], hosts[b]))), found[a, b]) for a, b in pairs)
        return {(one, other): float(rate) for (one, other), rate in ends}

    before, after = rates(whole), rates(without(whole, {f"node-{lost}"}))
    assert len(after) == 55
    assert after == {pair: before[pair] for pair in after}


@pytest.mark.usefixtures("no_search")
def test_the_report_is_whole_in_a_narrow_terminal(
    planner: Run, eight: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    done = planner("replan", eight, "--slow", "node-3:0.5", "--hours-left", "300")
    assert done.code == 0
    assert "…" not in done.stdout
    assert "break-even" in done.stdout
    nothing = planner("replan", eight, "--lost", "node-3", "--headroom", "99%")
    assert nothing.code == 1
    assert "Going on from the last checkpoint" not in nothing.stdout
    assert "Ways to go on" not in nothing.stdout
