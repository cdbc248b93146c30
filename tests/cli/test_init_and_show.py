"""`planner init` and `planner show`: files to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner import api
from planner.specs.cluster.nominal import above_nominal
from planner.specs.files.catalog import find_shipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome


@pytest.mark.parametrize("device", api.list_shipped("device"))
def test_every_device_has_a_cluster_to_start_from(
    planner: Callable[..., Outcome], tmp_path: Path, device: str
) -> None:
    target = tmp_path / "cluster.yaml"
    outcome = planner("init", device, "--nodes", "3", "-o", str(target))
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "")
    spec = api.load_cluster(target)
    assert spec.host_names() == ("node-0", "node-1", "node-2")
    group = spec.node_groups[0]
    assert group.device.name == device
    inside = group.intra_node.bandwidth_bytes_per_s
    assert above_nominal(device, group.device.intra_node, inside) is None


def test_what_the_comments_offer_may_be_said(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """The commented lines of YAML, without their sign, are read."""
    text = planner("init", "h100-sxm-80gb", "--nodes", "64").stdout
    lines = [line[1:] if re.match(r"#(?! \S)", line) else line for line in text.splitlines()]
    yaml = [line.rstrip() for line in lines if "matrix:" not in line]
    target = tmp_path / "all.yaml"
    said = "\n".join(line.replace("nodes: 18", "nodes: 16") for line in yaml)
    target.write_text(f"{said}\n", encoding="utf-8")
    spec = api.load_cluster(target)
    assert spec.host_names()[63] == "node064"
    assert [tier.name for tier in spec.tiers] == ["leaf", "site", "wide-area"]
    assert spec.node_groups[0].scale_up is not None
    assert len(spec.overrides) == 1


def test_a_started_cluster_can_be_searched(
    planner: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert planner("init", "rtx-4090", "--nodes", "2", "-o", "mine.yaml").code == 0
    model = ("--model", "gpt-1.7b", "--global-batch-size", "64", "--seq-length", "1024")
    outcome = planner("search", "--cluster", "mine.yaml", *model, "--top", "1")
    assert outcome.code == 0, outcome.stderr
    assert "doubtful" not in outcome.stderr
    assert "on my-cluster: 2 nodes" in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["h100"], "h100"),
        (["nowhere.yaml"], "nowhere.yaml"),
        (["h100-sxm-80gb", "--nodes", "0"], "--nodes"),
        (["h100-sxm-80gb", "--name", "a b"], "--name: 'a b' cannot be a name"),
        (["h100-sxm-80gb", "-o", "no/such/folder/x.yaml"], "no/such/folder"),
    ],
)
def test_init_refuses(planner: Callable[..., Outcome], arguments: list[str], message: str) -> None:
    outcome = planner("init", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr


def test_show_prints_the_file_itself(planner: Callable[..., Outcome]) -> None:
    path = find_shipped("cluster", "dgx-h100-16")
    assert path is not None
    outcome = planner("show", "dgx-h100-16")
    assert (outcome.code, outcome.stdout) == (0, path.read_text(encoding="utf-8"))
    assert planner("show", "nccl", "--kind", "library").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dgx-h100-17"], "nothing is shipped as 'dgx-h100-17'; did you mean dgx-h100-16?"),
        (["dgx-h100-16", "--kind", "model"], "nothing is shipped as 'dgx-h100-16'"),
        (["dgx-h100-16", "--kind", "modl"], "--kind: 'modl' is not one of cluster, model"),
        (["../etc/passwd"], "nothing is shipped as '../etc/passwd'"),
    ],
)
def test_show_refuses(planner: Callable[..., Outcome], arguments: list[str], message: str) -> None:
    outcome = planner("show", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
