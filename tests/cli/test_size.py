"""The smallest cluster for a job, as a user meets it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

JOB = ("--model", "llama-2-7b", "--global-batch-size", "32", "--seq-length", "2048",
       "--software", "megatron-lm-2022")  # fmt: skip
GROUP = {
    "name": "a100",
    "count": 4,
    "device": "a100-sxm-40gb",
    "devices_per_node": 2,
    "intra_node": {"bandwidth": "300 GB/s"},
    "network": {"cards": 2, "bandwidth": "25 GB/s"},
}


def cluster(tmp_path: Path, **blocks: Any) -> str:
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump({"node_groups": [GROUP], **blocks}), encoding="utf-8")
    return str(file)


def sized(planner: Run, *options: str) -> dict[str, Any]:
    done = planner("size", *JOB, *options, "--json")
    assert done.code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_no_smaller_cluster_does(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path)
    best: dict[int, dict[str, Any]] = {}
    for nodes in range(1, 5):
        options = ("--cluster", file, *JOB, "--nodes", str(nodes), "--idle", "off", "--top", "1",
                   "--optimizer-offload", "0")  # fmt: skip
        done = planner("search", *options, "--tokens", "10B", "--json")
        plans = json.loads(done.stdout)["plans"] if done.code == 0 else []
        if plans:
            best[nodes] = plans[0]["estimate"]
    least = min(best)
    days = {nodes: found["whole_job"]["wall_s"] / 86400 for nodes, found in best.items()}
    wanted = sorted(days.values())[1] * 1.01
    enough = min(nodes for nodes, day in days.items() if day <= wanted)
    written = tmp_path / "plan.json"
    found = sized(
        planner, "--cluster", file, "--tokens", "10B", "--within", f"{wanted:.4f}d",
        "--output", str(written)
    )  # fmt: skip
    assert found["fit"]["nodes"] == least
    assert found["fit"]["estimate"]["step_s"] == pytest.approx(best[least]["step_s"])
    assert found["target"]["nodes"] == enough
    assert found["target"]["estimate"]["step_s"] == pytest.approx(best[enough]["step_s"])
    again = planner("estimate", "--cluster", file, *JOB[:2], "--plan", str(written), "--json")
    step_s = json.loads(again.stdout)["plans"][0]["estimate"]["step_s"]
    assert step_s == pytest.approx(best[enough]["step_s"])


def test_parts_of_a_node_count(planner: Run) -> None:
    done = planner("size", "--model", "gpt-1.7b", "--device", "h100-sxm-80gb",
                   "--global-batch-size", "16")  # fmt: skip
    assert done.code == 0
    assert "It fits on 1 device (1 node), without offloading." in " ".join(done.stdout.split())


def test_what_cannot_be_is_said(planner: Run, tmp_path: Path) -> None:
    file = cluster(tmp_path)
    late = planner("size", *JOB, "--cluster", file, "--tokens", "10T", "--within", "1h")
    assert late.code == 1
    assert "No number of nodes up to 4 ends it within 60 min." in " ".join(late.stdout.split())
    none = planner("size", *JOB, "--cluster", file, "--nodes", "1")
    assert none.code == 1
    assert "fits on no number of nodes up to 1" in none.stderr
    told = json.loads(planner("size", *JOB, "--cluster", file, "--nodes", "1", "--json").stdout)
    assert (told["fit"], told["target"], told["most_nodes"]) == (None, None, 1)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ((), "give --device or --cluster"),
        (("--device", "h100-sxm-80gb", "--cluster", "dgx-h100-16"), "give --device or --cluster"),
        (("--device", "h100-sxm-80gb", "--within", "30d"), "give --tokens"),
        (("--device", "h100-sxm-80gb", "--within", "30"), "--within: duration needs a unit"),
        (("--device", "h100-sxm-80gb", "--devices", "8"), "is the question"),
        (("--device", "h10-sxm-80gb"), "did you mean"),
        (
            ("--cluster", "dgx-h100-16", "--nodes", "99"),
            "has 16 nodes, fewer than the 99 asked for",
        ),
        (("--cluster", "mixed-a100-h100-16"), "several groups of nodes"),
    ],
)
def test_what_makes_no_sense_is_refused(planner: Run, options: tuple[str, ...], wrong: str) -> None:
    done = planner("size", *JOB, *options)
    assert done.code == 2
    assert wrong in " ".join(done.stderr.split())
