"""Files wider than any that people have are refused at once; their large files are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.process import planner_process

if TYPE_CHECKING:
    from pathlib import Path

KEYS = 100_000
GROUP = {
    "device": "a100-sxm-80gb",
    "devices_per_node": 8,
    "intra_node": {"bandwidth": "300 GB/s"},
    "network": {"cards": 1, "bandwidth": "25 GB/s"},
}
ESTIMATE = ("estimate", "--tensor", "1", "--pipeline", "1", "--micro-batch-size", "1")
ON_MODEL = (*ESTIMATE, "--cluster", "dgx-a100-8", "--nodes", "1", "--model")
ON_CLUSTER = (*ESTIMATE, "--model", "gpt-1.7b", "--nodes", "1", "--cluster")
WITH_SOFTWARE = (*ON_MODEL, "gpt-1.7b", "--software")
WITH_PLAN = ("estimate", "--cluster", "dgx-h100-16", "--model", "mixtral-8x7b", "--plan")
WITH_BASELINE = ("check", "--cluster", "dgx-a100-8", "--model", "gpt-1.7b", "p.json", "--baseline")
IMPORT_MODEL = ("import", "model")
IMPORT_CLUSTER = ("import", "cluster")

WIDE = "".join(f"k{index}: 1\n" for index in range(KEYS))
TOO_MANY = "w:10001:1: more than 10,000 keys in one mapping"


def listed(head: str, entry: str, count: int) -> str:
    return head + entry * count


def in_group(text: str) -> str:
    return "node_groups:\n  - device: a100-sxm-80gb\n" + text


REFUSED: dict[str, tuple[tuple[str, ...], str, str]] = {
    "keys of a model": (ON_MODEL, WIDE, TOO_MANY),
    "keys of a cluster": (ON_CLUSTER, WIDE, TOO_MANY),
    "keys of a software profile": (WITH_SOFTWARE, WIDE, TOO_MANY),
    "keys of a runs file": (("validate",), WIDE, TOO_MANY),
    "unknown keys below the limit": (
        ON_MODEL,
        "".join(f"k{index}: 1\n" for index in range(9_000)),
        "w:1:1: k0: unknown key, the first of more than 100; allowed: name, ",
    ),
    "unknown keys spread over groups": (
        ON_CLUSTER,
        listed("node_groups:\n", "  - {name: a, colour: red}\n", 1000),
        "w:2:15: node_groups[0].colour: unknown key, the first of more than 100; allowed: ",
    ),
    "groups": (
        ON_CLUSTER,
        listed("node_groups:\n", "  - {}\n", 50_000),
        "w:2:3: node_groups: takes at most 1000, found 50000",
    ),
    "overrides": (
        ON_CLUSTER,
        listed(in_group("links:\n  overrides:\n"), "  - 1\n", 100_001),
        "w:5:3: links.overrides: takes at most 100000, found 100001",
    ),
    "runs": (
        ("validate",),
        listed("source: a test\nruns:\n", "  - {}\n", 50_000),
        "w:3:3: runs: takes at most 10000, found 50000",
    ),
    "values": (
        ON_CLUSTER,
        in_group("    hosts: [" + "1," * 1_000_100 + "1]"),
        "hosts[999995]: more than 1,000,000 values in one file",
    ),
    "repeated keys of a config": (IMPORT_MODEL, "twice", "key 'k99999' is given twice"),
    "repeated keys of a benchmark": (IMPORT_CLUSTER, "twice", "key 'k99999' is given twice"),
    "repeated keys of a plan": (WITH_PLAN, "twice", "key 'k99999' is given twice"),
    "repeated keys of a baseline": (WITH_BASELINE, "twice", "key 'k99999' is given twice"),
    "keys of a plan": (WITH_PLAN, "wide plan", 'plans[0]: "k0" is not known here'),
    "keys of a baseline": (WITH_BASELINE, "wide", '"planner_version" is missing'),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_every_part_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    command, text, message = REFUSED[name]
    wide = {f"k{index}": 1 for index in range(KEYS)}
    if text == "twice":
        text = json.dumps(wide)[:-1] + f', "k{KEYS - 1}": 2}}'
    elif text == "wide":
        text = json.dumps(wide)
    elif text == "wide plan":
        document = {"schema": "planner/plans/1", "plans": [wide], "inputs": {}}
        text = json.dumps(document)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w").write_text(text, encoding="utf-8")
    (tmp_path / "p.json").write_text("{}", encoding="utf-8")

    spent = planner_process(*command, "w")

    assert spent.code == 2
    assert message in spent.stderr
    assert spent.stderr.count("\n") == 1
    assert len(spent.stderr) < 2000
    assert (spent.cpu_s < 10, spent.peak_mib < 500) == (True, True)


def test_device_files_are_held_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.yaml").write_text(WIDE, encoding="utf-8")
    cluster = {"node_groups": [{**GROUP, "device": "w.yaml"}]}
    (tmp_path / "c.yaml").write_text(json.dumps(cluster), encoding="utf-8")
    spent = planner_process(*ON_CLUSTER, "c.yaml")
    assert spent.code == 2
    assert "w.yaml:10001:1: more than 10,000 keys in one mapping" in spent.stderr
    assert (spent.cpu_s < 5, spent.peak_mib < 200) == (True, True)


@pytest.mark.parametrize("large", ["hosts", "matrix", "overrides"])
def test_large_files_that_people_have_are_read(tmp_path: Path, large: str) -> None:
    nodes = {"hosts": 10_000, "matrix": 1_000, "overrides": 1_000}[large]
    names = [f"n{index}" for index in range(nodes)]
    cluster: dict[str, Any] = {"node_groups": [{**GROUP, "hosts": names}]}
    if large == "matrix":
        rows = [",".join(("GB/s", *names)), *(f"{name}{',20' * nodes}" for name in names)]
        (tmp_path / "m.csv").write_text("\n".join(rows), encoding="utf-8")
        cluster["links"] = {"matrix": "m.csv"}
    if large == "overrides":
        pairs = [[one, other] for one in range(100) for other in range(100, 200)]
        cluster["links"] = {
            "overrides": [{"between": pair, "bandwidth": "1 GB/s"} for pair in pairs]
        }
    (tmp_path / "c.yaml").write_text(json.dumps(cluster), encoding="utf-8")
    spent = planner_process(*ON_CLUSTER, str(tmp_path / "c.yaml"), "--global-batch-size", "8")
    assert (spent.code, spent.stderr) == (0, "")
