"""What is given as a value, changed or not, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from planner import api

if TYPE_CHECKING:
    from pathlib import Path


TEXT: Any = "4"
NUMBER: Any = 36
HALF: Any = (36, 0.5)
"""What a type checker would refuse."""


def slower(cluster: api.ClusterSpec, factor: float) -> api.ClusterSpec:
    """The cluster with every network card slower."""
    groups = tuple(
        replace(
            group,
            network=replace(
                group.network, bandwidth_bytes_per_s=group.network.bandwidth_bytes_per_s / factor
            ),
        )
        for group in cluster.node_groups
        if group.network is not None
    )
    return replace(cluster, name="slower", node_groups=groups)


def test_a_plan_on_a_changed_cluster(found: api.FoundPlans) -> None:
    cluster = api.load_cluster("dgx-a100-8")
    across = api.estimate(cluster, "gpt-7.5b", nodes=2, tensor=8)
    changed = api.estimate(slower(cluster, 10), "gpt-7.5b", plan=across)
    assert changed.plan == across.plan
    assert changed.scenario.job == across.scenario.job
    assert changed.estimate.step_s > 1.01 * across.estimate.step_s


def test_a_changed_value_does_not_claim_its_file(tmp_path: Path) -> None:
    cluster, model = api.load_cluster("dgx-a100-8"), api.load_model("gpt-7.5b")
    decided: dict[str, Any] = {"nodes": 1, "tensor": 8}
    plain = api.estimate(cluster, model, **decided).inputs
    assert plain == api.estimate("dgx-a100-8", "gpt-7.5b", **decided).inputs
    assert plain.cluster.sha256
    assert plain.model.sha256
    changed = api.estimate(slower(cluster, 2), replace(model, vocab_size=60000), **decided)
    assert (changed.inputs.cluster.sha256, changed.inputs.model.sha256) == (None, None)
    assert {
        "cluster slower was changed after it was read from its file",
        "model gpt-7.5b was changed after it was read from its file",
    } <= set(changed.inputs.assumptions)
    overlapping = api.load_software(plain.job.software).model_copy(update={"overlap": ()})
    other = api.estimate(cluster, model, software=overlapping, **decided).inputs
    assert other.job.software == plain.job.software
    assert other.job.software_sha256 not in (None, plain.job.software_sha256)
    path = tmp_path / "cluster.yaml"
    path.write_text("node_groups: [{count: 1, device: a100-sxm-80gb, devices_per_node: 8, "
                    "intra_node: {bandwidth: 300 GB/s}}]")  # fmt: skip
    mine = api.load_cluster(path)
    path.unlink()
    assert api.estimate(mine, model, **decided).inputs.cluster.sha256, "read before, not again"
    assert api.load_cluster(mine) is mine


def test_a_mapping_is_a_file_without_a_file() -> None:
    group: dict[str, object] = {
        "count": 2,
        "device": "a100-sxm-80gb",
        "devices_per_node": 8,
        "intra_node": {"bandwidth": "300 GB/s"},
        "network": {"cards": 8, "bandwidth": "25 GB/s"},
    }
    cluster = api.load_cluster({"name": "ours", "node_groups": [group]})
    assert (cluster.name, cluster.num_devices) == ("ours", 16)
    assert api.estimate({"node_groups": [group]}, "gpt-1.7b", tensor=8).fits
    with pytest.raises(api.InputError, match=r"^cluster: node_groups\[0\]\.count"):
        api.load_cluster({"node_groups": [{**group, "count": -1}]})


def test_a_found_plan_brings_its_job(found: api.FoundPlans) -> None:
    again = api.estimate("dgx-a100-8", "gpt-7.5b", plan=found.best)
    assert again.scenario.job == found.scenario.job
    longer = api.estimate("dgx-a100-8", "gpt-7.5b", plan=found.best, seq_length=2048)
    assert longer.scenario.job == replace(found.scenario.job, seq_length=2048)
    text = api.export(found.best, "megatron-lm", cluster="dgx-a100-16")
    assert text.replace("dgx-a100-16", "dgx-a100-8") == api.export(found.best, "megatron-lm")


def test_a_plan_alone_states_its_batch_and_devices(found: api.FoundPlans) -> None:
    alone = api.estimate("dgx-a100-8", "gpt-7.5b", plan=found.best.plan)
    job = alone.scenario.job
    assert (job.global_batch_size, job.devices, job.seq_length) == (64, 16, 2048)
    with pytest.raises(api.InputError, match=r"^--cluster is missing; the plan by itself does not"):
        api.export(found.best.plan, "megatron-lm")
    text = api.export(found.best.plan, "megatron-lm", cluster="dgx-a100-8", model="gpt-7.5b")
    assert "--global-batch-size 64" in text


def test_plans_say_what_they_are(found: api.FoundPlans) -> None:
    line = str(found.best)
    assert line in str(found)
    assert " GiB" in line
    assert len(repr(found)) < 100, "a notebook shows it"
    assert len(repr(api.check(found.best))) < 10_000


def test_notes_tell_what_a_plan_was_made_for(found: api.FoundPlans, tmp_path: Path) -> None:
    api.write_plans(found, tmp_path / "plans.json")
    said: list[str] = []
    api.estimate(
        "dgx-a100-16", "gpt-7.5b", plan=tmp_path / "plans.json", seq_length=512, note=said.append
    )
    place = f"{tmp_path}/plans.json#1 was made for"
    assert said == [
        f"{place} another cluster file: dgx-a100-8",
        f"{place} seq length 1024, not 512",
    ]


def test_progress_is_reported_and_time_is_limited() -> None:
    seen: list[api.Progress] = []
    found = api.search(
        "dgx-a100-8", "gpt-7.5b", nodes=2, top=1, time_limit_s=1e-6, progress=seen.append
    )
    assert found.search.stopped == "time limit"
    with pytest.raises(api.NothingFits, match="no plan was found \\(time limit\\)"):
        _ = found.best
    api.search("dgx-a100-8", "gpt-7.5b", nodes=1, top=1, progress=seen.append)
    assert {one.phase for one in seen} >= {"bounding", "refining"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: api.search("dgx-a100-9", "gpt-7.5b"), "no cluster file is shipped as "),
        (lambda: api.search("dgx-a100-8", "gpt-7.5b", nodes=0), "--nodes: 0 is not a whole number"),
        (lambda: api.search("dgx-a100-8", "gpt-7.5b", headroom=5), "--headroom: 5 is not a share "),
        (
            lambda: api.search("dgx-a100-8", "gpt-7.5b", tensor=TEXT),
            "--tensor: '4' is not a whole ",
        ),
        (lambda: api.search("dgx-a100-8", "gpt-7.5b", top=0), "--top: 0 is not a whole number"),
        (lambda: api.search("dgx-a100-8", "gpt-7.5b", robust=1), "--robust: 1 is not a share"),
        (
            lambda: api.search("dgx-a100-8", "gpt-7.5b", nodes=1, devices=8),
            "--nodes and --devices are both given; one of them says how many to use",
        ),
        (
            lambda: api.search("dgx-a100-8", "gpt-7.5b", precision="fp9"),
            "unknown precision 'fp9'; allowed: ",
        ),
        (lambda: api.estimate("dgx-a100-8", tensor=8), "--model is missing; a Megatron-LM script"),
        (
            lambda: api.estimate("dgx-a100-8", "gpt-7.5b", tensor=(2, 4)),
            "--tensor takes one value here, found 2",
        ),
        (
            lambda: api.estimate("dgx-a100-8", "gpt-7.5b", pipeline=2, stage_layers=NUMBER),
            "--stage-layers: 36 is not the layers of every chunk in order",
        ),
        (
            lambda: api.estimate("dgx-a100-8", "gpt-7.5b", pipeline=2, stage_layers=HALF),
            "--stage-layers: 0.5 is not a whole number from 0 to ",
        ),
        (
            lambda: api.estimate("dgx-a100-8", "gpt-7.5b", command=1),
            "--command is for a launch script, which --plan gives",
        ),
        (lambda: api.check("none.json"), "none.json: no such file"),
        (lambda: api.check("none.json", tensor=2), "none.json: --tensor is given, and the plan "),
        (lambda: api.CheckLimits(within_of_best=-1), "--within-of-best: -1 is not a share from 0%"),
        (lambda: api.CheckLimits(time_limit_s=0), "--time-limit: 0 is not a number of seconds"),
        (lambda: api.select_rules("PL9999"), "--select: 'PL9999' is no rule"),
        (lambda: api.export("none.json", "megatron"), "--format: 'megatron' is not one of "),
        (
            lambda: api.export("none.json", "slurm", style="shell"),
            "--style: slurm is written in one way only",
        ),
        (
            lambda: api.import_cluster("none.csv", network_bandwidth="50"),
            "--network-bandwidth: ",
        ),
        (lambda: api.import_model("none.json"), "none.json: no such file"),
        (lambda: api.validate(["none"]), "no runs file is shipped as 'none'"),
        (lambda: api.schema("plans"), "schema: 'plans' is not one of cluster, model, plan, runs, "),
        (lambda: api.calibrate([]), "no run with a step time is given"),
    ],
)
def test_bad_input_is_one_error(call: Any, message: str) -> None:
    with pytest.raises(api.InputError) as error:
        call()
    assert str(error.value).startswith(message)


def test_a_found_plan_decides_already(found: api.FoundPlans) -> None:
    with pytest.raises(api.InputError) as error:
        api.estimate("dgx-a100-8", "gpt-7.5b", plan=found.best, tensor=2)
    assert str(error.value) == "--tensor is given, and the plan decides it already"
    with pytest.raises(api.InputError) as error:
        api.check(found.best, variables={"TP": "2"})
    assert str(error.value) == "--set is for a launch script; the plan given is none"


def test_errors_have_places(found: api.FoundPlans, tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    api.write_plans(found, path)
    with pytest.raises(api.InputError) as error:
        api.load_plan(f"{path}#9")
    assert (error.value.path, error.value.line is None) == (str(path), False)
    with pytest.raises(api.InputError) as error:
        api.estimate({"name": "one", **one_node()}, "gpt-7.5b", plan=f"{path}#1")
    assert error.value.line is not None
    with pytest.raises(api.InputError) as error:
        api.write_plans(found, tmp_path / "none" / "plans.json")
    assert error.value.path == str(tmp_path / "none" / "plans.json")
    script = tmp_path / "train.sh"
    script.write_text("torchrun --nproc-per-node 8 pretrain_gpt.py \\\n  --num-layers x\n")
    with pytest.raises(api.InputError) as error:
        api.read_launch(script, "dgx-a100-8")
    assert (error.value.line, error.value.column) == (2, 16)
    with pytest.raises(api.RuleError) as rule:
        api.estimate("dgx-a100-8", "gpt-7.5b", nodes=1, tensor=3)
    assert rule.value.rule == "world"


def one_node() -> dict[str, object]:
    inside = {"bandwidth": "300 GB/s"}
    group = {"count": 1, "device": "a100-sxm-80gb", "devices_per_node": 8, "intra_node": inside}
    return {"node_groups": [group]}
