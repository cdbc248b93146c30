"""Clusters of several device types through the commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from planner.training.search.best_first.mixed import AROUND
from planner.training.search.best_first.run import RIVALLED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

MODEL = {
    "name": "small",
    "architecture": "llama",
    "num_layers": 12,
    "hidden_size": 2048,
    "ffn_hidden_size": 8192,
    "num_attention_heads": 16,
    "vocab_size": 32000,
    "seq_length": 2048,
}
A100, H100 = "a100-sxm-80gb", "h100-sxm-80gb"


def group(name: str, device: str, count: int, *, devices: int = 4) -> dict[str, Any]:
    return {
        "name": name,
        "count": count,
        "device": device,
        "devices_per_node": devices,
        "intra_node": {"bandwidth": "300 GB/s"},
        "network": {"cards": devices, "bandwidth": "25 GB/s"},
    }


@pytest.fixture(scope="module")
def outputs() -> dict[tuple[str, ...], str]:
    """What searches printed that wrote no file, by cluster and options."""
    return {}


@pytest.fixture
def found(
    tmp_path: Path, planner: Callable[..., Outcome], outputs: dict[tuple[str, ...], str]
) -> Callable[..., Any]:
    """What `planner search` finds on node groups; the same search runs once."""

    def search(groups: list[dict[str, Any]], *options: str, report: bool = False) -> Any:
        cluster = json.dumps({"name": "mixed", "node_groups": groups})
        (tmp_path / "c.yaml").write_text(cluster, encoding="utf-8")
        (tmp_path / "m.yaml").write_text(json.dumps(MODEL), encoding="utf-8")
        asked = (*options, *(() if report else ("--json",)))
        if (cluster, *asked) not in outputs or any("--output" in one for one in asked):
            outcome = planner(
                *("search", "--cluster", str(tmp_path / "c.yaml")),
                *("--model", str(tmp_path / "m.yaml"), "--global-batch-size", "32"),
                *("--recompute", "none", "--sequence-parallel", "on"),
                *("--micro-batch-size", "1,2", *asked),
            )
            assert outcome.code == 0, outcome.stderr
            outputs[cluster, *asked] = outcome.stdout
        text = outputs[cluster, *asked]
        return text if report else json.loads(text)

    return search


def steps_of(document: dict[str, Any]) -> list[float]:
    return [plan["estimate"]["step_s"] for plan in document["plans"]]


def test_groups_in_another_order_change_nothing(found: Callable[..., Any]) -> None:
    groups = [group("a", A100, 2), group("h", H100, 2)]
    one, two = (found(order, "--top", "3") for order in (groups, groups[::-1]))
    assert steps_of(one) == pytest.approx(steps_of(two), rel=1e-9)
    for name in ("proven", "gap", "candidates", "fitting"):
        assert one["search"][name] == pytest.approx(two["search"][name], abs=1e-9)


def test_nodes_of_two_sizes_are_found_in_either_order(found: Callable[..., Any]) -> None:
    groups = [group("a", A100, 2), group("h", H100, 2, devices=2)]
    one, two = (found(order, "--top", "2") for order in (groups, groups[::-1]))
    assert steps_of(one) == pytest.approx(steps_of(two), rel=1e-9)
    assert not one["search"]["proven"] or one["search"]["gap"] == 0


def assert_read_again(
    planner: Callable[..., Outcome], path: Path, best: dict[str, Any], form: str
) -> tuple[str, str]:
    """The plan of a file takes as long as when it was found, passes its check and is exported.
    Returns the options of its inputs, which lie beside it."""
    files = (f"--cluster={path.parent / 'c.yaml'}", f"--model={path.parent / 'm.yaml'}")
    again = planner("estimate", *files, f"--plan={path}", "--json")
    assert again.code == 0, again.stderr
    step_s = json.loads(again.stdout)["plans"][0]["estimate"]["step_s"]
    assert step_s == pytest.approx(best["estimate"]["step_s"], rel=1e-9)
    assert planner("check", *files, str(path)).code == 0
    assert planner("export", str(path), *files, f"--format={form}").code == 0
    return files


def test_a_plan_on_fewer_larger_nodes_is_read_again(
    found: Callable[..., Any], planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Sixteen devices are three nodes in the order of the file, and two of the faster ones."""
    groups = [group("a", A100, 2), group("h", H100, 2, devices=8)]
    path = tmp_path / "plans.json"
    best = found(groups, "--devices=16", "--top=1", f"--output={path}")["plans"][0]
    assert best["placement"]["hosts"] == ["h-0", "h-1"]
    assert_read_again(planner, path, best, "megatron-lm")


def test_a_plan_on_a_node_that_is_not_among_the_first_is_read_again(
    found: Callable[..., Any], planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """The devices of the larger node are three smaller ones and part of it in the file's order."""
    groups = [group("a", A100, 3), group("h", H100, 2, devices=8)]
    path = tmp_path / "plans.json"
    best = found(groups, "--nodes=1", "--top=1", f"--output={path}")["plans"][0]
    assert best["placement"]["hosts"] == ["h-0"]
    files = assert_read_again(planner, path, best, "ranks")
    moved = planner("replan", str(path), "--lost=h-0", *files, "--json")
    assert moved.code == 0, moved.stderr


@pytest.mark.parametrize("counts", [(3, 5), (1, 7)])
def test_a_group_split_in_two_is_the_same(
    found: Callable[..., Any], counts: tuple[int, int]
) -> None:
    whole = [group("a", A100, 8, devices=5)]
    split = [group(name, A100, count, devices=5) for name, count in zip("ab", counts, strict=True)]
    one, two = (found(groups, "--data", "8", "--top", "4") for groups in (whole, split))
    assert steps_of(one) == steps_of(two)
    for name in ("proven", "gap", "layout_gap", "placement_gap"):
        assert one["search"][name] == two["search"][name]


@pytest.mark.parametrize("option", [("--pipeline", "2"), ("--pipeline", "4"), ("--tensor", "4")])
def test_a_smaller_space_has_no_better_plan(
    found: Callable[..., Any], option: tuple[str, ...]
) -> None:
    groups = [group("a", A100, 2), group("h", H100, 2)]
    free, restricted = (found(groups, "--top", "1", *more) for more in ((), option))
    assert steps_of(free)[0] <= steps_of(restricted)[0] * (1 + 1e-9)


def test_fewer_nodes_are_the_best_of_any_type(found: Callable[..., Any]) -> None:
    groups = [group("a", A100, 3), group("h", H100, 3)]
    best = found(groups, "--nodes", "4", "--top", "1")["plans"][0]
    for fast in (1, 2, 3):
        by_hand = [group("a", A100, 4 - fast), group("h", H100, fast)]
        assert best["estimate"]["step_s"] <= steps_of(found(by_hand, "--top", "1"))[0] * (1 + 1e-9)
    assert sum(host.startswith("h-") for host in best["placement"]["hosts"]) == 3


def test_fewer_nodes_of_several_sizes_are_the_fastest_ones(found: Callable[..., Any]) -> None:
    """Wherever the file lists them."""
    groups = [group("a", A100, 3), group("h", H100, 2, devices=8)]
    one, two = (found(order, "--nodes=3", "--top=1") for order in (groups, groups[::-1]))
    assert steps_of(one) == pytest.approx(steps_of(two), rel=1e-9)
    hosts = one["plans"][0]["placement"]["hosts"]
    assert sorted(host.split("-")[0] for host in hosts) == ["a", "h", "h"]


def test_device_groups_say_who_holds_what(found: Callable[..., Any]) -> None:
    groups = [group("a", A100, 2), group("h", H100, 2)]
    plan = found(groups, "--top", "1", "--pipeline", "4")["plans"][0]
    told = plan["estimate"]["device_groups"]
    stages = [stage for one in told for stage in range(one["stages"][0], one["stages"][1] + 1)]
    assert stages == [0, 1, 2, 3]
    assert [host for one in told for host in one["hosts"]] == plan["placement"]["hosts"]
    for one in told:
        assert one["devices"] == [A100 if one["hosts"][0].startswith("a-") else H100]
    report = found(groups, "--top", "1", "--pipeline", "4", report=True)
    assert "Device types: stage" in report
    alone = found([group("a", A100, 4)], "--top", "1", "--pipeline", "4")
    assert "device_groups" not in alone["plans"][0]["estimate"]


SMALL = {
    "name": "opt-350m",
    "architecture": "gpt",
    "num_layers": 24,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "vocab_size": 50272,
    "seq_length": 2048,
}


def test_what_is_faster_without_the_slow_devices_is_said(
    tmp_path: Path, planner: Callable[..., Outcome]
) -> None:
    """Half of the devices are worth less than what they cost, fused kernels of the others among
    that; the advice holds when it is taken."""
    slow = {"intra_node": {"bandwidth": "8 GB/s"}, "network": {"cards": 1, "bandwidth": "6 GB/s"}}
    fast = {"intra_node": {"bandwidth": "300 GB/s"}, "network": slow["network"]}
    nodes = {"count": 2, "devices_per_node": 4}
    groups = [
        {"name": "a", "device": "a100-sxm-40gb", **nodes, **fast},
        {"name": "t", "device": "t4", **nodes, **slow},
    ]
    (tmp_path / "m.yaml").write_text(json.dumps(SMALL), encoding="utf-8")

    def searched(groups: list[dict[str, Any]], *options: str) -> str:
        cluster = {"name": "unequal", "node_groups": groups}
        (tmp_path / "c.yaml").write_text(json.dumps(cluster), encoding="utf-8")
        outcome = planner(
            *("search", "--cluster", str(tmp_path / "c.yaml"), "--model", str(tmp_path / "m.yaml")),
            *("--precision", "fp16", "--global-batch-size", "256", "--tensor", "1", "--top", "1"),
            *("--context", "1", "--recompute", "none", "--schedule", "1f1b"),
            *("--micro-batch-size", "1,2", *options),
        )
        assert outcome.code == 0, outcome.stderr
        return outcome.stdout

    everything = json.loads(searched(groups, "--json"))
    fewer = everything["search"]["fewer_devices"][0]
    assert fewer["without"] == ["t4"]
    assert fewer["devices"] == 8
    assert fewer["step_s"] < steps_of(everything)[0]
    alone = json.loads(searched(groups[:1], "--json"))
    assert steps_of(alone)[0] == pytest.approx(fewer["step_s"], rel=1e-9)
    report = searched(groups)
    assert report.startswith("Faster without the t4: ")
    assert "\nBest on all devices t1 " in report
    reasons = report.partition("Why plan 1 wins\n")[2]
    assert reasons.startswith(" • Without the t4 the step takes")


def searches_on(
    planner: Callable[..., Outcome], folder: Path, groups: list[dict[str, Any]], *options: str
) -> Callable[..., Any]:
    """Searches for a small model on these node groups, with further options."""
    cluster = {"name": "slow", "node_groups": groups}
    (folder / "c.yaml").write_text(json.dumps(cluster), encoding="utf-8")

    def searched(*more: str) -> Any:
        outcome = planner(
            *("search", "--cluster", str(folder / "c.yaml"), "--model", "gpt-1.7b"),
            *("--top", "1", "--context", "1", "--recompute", "none", "--sequence-parallel", "off"),
            *("--json", *options, *more),
        )
        assert outcome.code == 0, outcome.stderr
        return json.loads(outcome.stdout)

    return searched


def test_behind_slow_links_a_schedule_asked_for_gives_no_faster_plan(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Bounds of interleaved combinations are a fraction of their steps where links are slow, and
    do not tell which are good."""
    slow = {"network": {"cards": 1, "bandwidth": "1.25 GB/s"}}
    slow["intra_node"] = {"bandwidth": "150 GB/s"}
    groups = [group("a", "a100-sxm-40gb", 2), group("v", "v100-sxm-32gb", 2) | slow]
    searched = searches_on(planner, tmp_path, groups, "--precision", "fp16")
    free, asked = searched(), searched("--schedule", "1f1b")
    assert asked["search"]["gap"] < 0.01
    assert steps_of(free)[0] <= steps_of(asked)[0]


def test_stages_beside_slow_links_get_fewer_layers(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """They wait for their messages, so what others do meanwhile makes a deep pipeline fast. Bounds
    on it do not tell, nor do layers in proportion to the speed of stages."""
    slow = {"network": {"cards": 1, "bandwidth": "1.25 GB/s"}}
    groups = [group("a", "a100-sxm-40gb", 1), group("b", A100, 3) | slow]
    searched = searches_on(
        planner, tmp_path, groups, "--schedule", "1f1b", "--micro-batch-size", "1,2,4,8"
    )
    free, asked = searched(), searched("--pipeline", "16")
    assert asked["search"]["gap"] < 0.06
    assert steps_of(free)[0] <= steps_of(asked)[0]


def test_what_promises_to_be_faster_without_slow_links_is_searched_first(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    """The search on all devices, which cannot beat the answer of the faster type, ends early. On
    mixed devices no modules are chosen, which the assumptions say."""
    slow = {"network": {"cards": 1, "bandwidth": "0.3 GB/s"}}
    groups = [group("a", "a100-sxm-40gb", 2), group("v", "v100-sxm-32gb", 2) | slow]
    (tmp_path / "m.yaml").write_text(json.dumps(SMALL), encoding="utf-8")

    def searched(groups: list[dict[str, Any]]) -> Any:
        cluster = {"name": "slow", "node_groups": groups}
        (tmp_path / "c.yaml").write_text(json.dumps(cluster), encoding="utf-8")
        outcome = planner(
            *("search", "--cluster", str(tmp_path / "c.yaml"), "--model", str(tmp_path / "m.yaml")),
            *("--precision", "fp16", "--global-batch-size", "256", "--top", "1", "--json"),
            *("--software", "megatron-core-mlperf", "--tensor", "1", "--context", "1"),
            *("--schedule", "1f1b", "--micro-batch-size", "1,2"),
        )
        assert outcome.code == 0, outcome.stderr
        return json.loads(outcome.stdout)

    every = searched(groups)
    fewer = every["search"]["fewer_devices"][0]
    alone = searched(groups[:1])
    assert fewer["without"] == ["v100-sxm-32gb"]
    assert fewer["step_s"] == pytest.approx(steps_of(alone)[0], rel=1e-9)
    assert fewer["step_s"] < steps_of(every)[0]
    assert fewer["step_s"] < every["search"]["bound_s"]
    assert every["search"]["refined"] <= RIVALLED + AROUND
    said = every["plans"][0]["estimate"]["assumptions"]
    assert any("on mixed devices no such choice is searched" in one for one in said)


@pytest.mark.parametrize("kept", [(2, 1), (1, 2), (2, 0), (0, 2)])
def test_no_subset_of_the_devices_is_faster(
    found: Callable[..., Any], kept: tuple[int, int]
) -> None:
    """Or the search says so."""
    groups = [group("a", A100, 2), group("h", H100, 2)]
    every = found(groups, "--top", "1")
    fastest_s = min(
        [*steps_of(every), *(one["step_s"] for one in every["search"].get("fewer_devices") or ())]
    )
    named = zip("ah", (A100, H100), kept, strict=True)
    subset = [group(name, device, count) for name, device, count in named if count]
    if sum(kept) == 3:
        subset = [one | {"devices_per_node": 4} for one in subset]
    assert fastest_s <= steps_of(found(subset, "--top", "1"))[0] * (1 + 1e-9)


def test_ranks_of_measured_plans_on_two_types(planner: Callable[..., Outcome]) -> None:
    """Nothing of these runs was used to fit a device: the best of 20 plans is found within 5 %, and
    most pairs are in order."""
    outcome = planner("validate", "runs/amp-v100-t4.yaml", "--json")
    summary = json.loads(outcome.stdout)["summary"]
    assert summary["rank_correlation"]["min_tau"] > 0.6
    assert summary["regret"]["max"] < 0.05
