"""`planner estimate`: one plan by flags or from a file, priced by the real estimator."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from planner.plan_document import plan_schema
from planner.specs.files.catalog import resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

SMALL = ("estimate", "--cluster", "dgx-a100-8", "--model", "gpt-7.5b", "--nodes", "2")
JOB = ("--software", "megatron-core", "--precision", "bf16", "--global-batch-size", "64")


def only_plan(outcome: Outcome) -> dict[str, Any]:
    document = json.loads(outcome.stdout)
    jsonschema.Draft202012Validator(plan_schema()).validate(document)
    assert "search" not in document
    (plan,) = document["plans"]
    assert isinstance(plan, dict)
    return plan


def test_flags_become_a_plan(planner: Run) -> None:
    outcome = planner(
        *SMALL, *JOB, "--tensor", "2", "--pipeline", "4", "--micro-batch-size", "2", "--json"
    )
    assert (outcome.code, outcome.stderr) == (0, "")
    plan = only_plan(outcome)
    assert plan["degrees"] == {
        "tensor": 2,
        "pipeline": 4,
        "data": 2,
        "context": 1,
        "expert": 1,
        "expert_tensor": 1,
    }
    assert (plan["micro_batch_size"], plan["num_microbatches"]) == (2, 16)
    assert plan["placement"]["hosts"] == ["a100-0", "a100-1"]
    estimate = plan["estimate"]
    assert sum(estimate["time"].values()) == pytest.approx(estimate["step_s"], rel=1e-6)
    assert min(estimate["time"].values()) >= 0
    for stage in estimate["memory"]["per_stage"]:
        assert sum(stage["components"].values()) == stage["peak_bytes"]


def test_sequences_longer_than_the_model_is_made_for_are_told(planner: Run) -> None:
    plan = ("--cluster", "dgx-a100-8", "--model", "llama-3-8b", "--tensor", "8", "--json")
    for length, told in (("8192", False), ("16384", True)):
        document = json.loads(planner("estimate", *plan, "--seq-length", length).stdout)
        said = "job: sequences of 16,384 tokens, although llama-3-8b is made for 8,192 (seq_length)"
        assert (said in document["inputs"]["assumptions"]) == told


def test_the_report_says_what_the_document_says(planner: Run) -> None:
    arguments = (*SMALL, *JOB, "--tensor", "4")
    estimate = only_plan(planner(*arguments, "--json"))["estimate"]
    report = planner(*arguments)
    assert report.code == 0
    first, *lines = report.stdout.splitlines()
    assert first.startswith("Fits, t4 p1 d4: ")
    assert f"MFU {100 * estimate['mfu']:.1f}%" in first
    assert f"{estimate['tokens_per_s']:,.0f} tokens/s" in first
    assert max(map(len, [first, *lines])) <= 80
    for heading in ("Time of one step", "Memory of one device, GiB of 79.2", "Assumptions"):
        assert heading in lines


def test_naming_the_replicas_names_the_devices(planner: Run) -> None:
    plan = only_plan(
        planner(*SMALL[:-2], *JOB, "--tensor", "2", "--pipeline", "2", "--data", "4", "--json")
    )
    assert len(plan["placement"]["hosts"]) == 2


def test_a_plan_of_a_file_costs_the_same(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    written = planner(*SMALL, *JOB, "--tensor", "2", "--pipeline", "4", "--json")
    path.write_text(written.stdout)
    alone = planner("estimate", "--plan", str(path), "--json")
    assert alone == planner(*SMALL[:-2], "--plan", str(path), "--json")
    missing = planner("estimate", "--model", "gpt-7.5b")
    assert missing.code == 2
    assert missing.stderr == "error: --cluster is missing; a plan file alone records its own\n"
    again = planner(*SMALL[:-2], "--plan", f"{path}#1", "--json")
    assert (again.code, again.stderr) == (0, "")
    assert again.stdout == written.stdout


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (("degrees", "tensor"), 3, "12 devices leave a node of group a100 partly used"),
        (("degrees", "data"), 64, "cluster dgx-a100-8 has 8 nodes with 64 devices, fewer than"),
        (("micro_batch_size",), 3, "batch: "),
        (("data_sharding",), "full", "data sharding: software profile megatron-core has no 'full'"),
        (("placement", "hosts"), ["a100-0", "x"], "placement: cluster dgx-a100-8 has no host 'x'"),
    ],
)
def test_what_is_wrong_with_a_plan_of_a_file_has_a_place(
    planner: Run, tmp_path: Path, field: tuple[str, ...], value: object, message: str
) -> None:
    path = tmp_path / "plans.json"
    document = json.loads(planner(*SMALL, *JOB, "--tensor", "4", "--json").stdout)
    part = document["plans"][0]
    for key in field[:-1]:
        part = part[key]
    part[field[-1]] = value
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    outcome = planner(*SMALL[:5], "--plan", str(path))
    assert (outcome.code, outcome.stdout) == (2, "")
    place, _, text = outcome.stderr.removeprefix(f"error: {path}:").partition(": ")
    line, column = map(int, place.split(":"))
    assert text.startswith(message)
    lines = path.read_text(encoding="utf-8").splitlines()
    key = "degrees" if message.startswith(("12 devices", "cluster")) else field[-1]
    assert key in lines[line - 1] or field[-1] in lines[line - 1]
    assert 1 <= column <= len(lines[line - 1])


def test_other_inputs_than_those_of_the_file_are_noted(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    path.write_text(planner(*SMALL, *JOB, "--tensor", "8", "--json").stdout)
    outcome = planner(
        *SMALL[:-4], "--model", "gpt-3.6b", "--seq-length", "1024", "--plan", str(path)
    )
    assert outcome.code == 2, "the other model has other layers"
    outcome = planner(*SMALL[:-2], "--seq-length", "1024", "--plan", str(path))
    assert outcome.code == 0
    assert outcome.stderr == f"note: {path}#1 was made for seq length 2048, not 1024\n"


def test_stage_layers_and_hosts(planner: Run, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("# the faster one first\na100-1\n\na100-0  # here\n")
    plan = only_plan(
        planner(
            *SMALL, *JOB, "--pipeline", "4", "--stage-layers", "8,9,10,9", "--hosts", str(hosts),
            "--json",
        )
    )  # fmt: skip
    assert [stage["chunks"] for stage in plan["stages"]] == [
        [[0, 8]],
        [[8, 17]],
        [[17, 27]],
        [[27, 36]],
    ]
    assert plan["placement"]["hosts"] == ["a100-1", "a100-0"]


def test_recomputed_layers_count_per_chunk(planner: Run) -> None:
    """Each of them moves its forward pass from memory to time."""
    full = (*SMALL, *JOB, "--tensor", "4", "--pipeline", "2", "--recompute", "full", "--resumes",
            "off", "--json")  # fmt: skip
    plans = [only_plan(planner(*full, "--recompute-layers", n)) for n in ("1", "6", "18")]
    plans.append(only_plan(planner(*full)))
    counts = [plan["recompute"]["layers_per_stage"] for plan in plans]
    assert counts == [[1, 1], [6, 6], [18, 18], [18, 18]]
    spent = [plan["estimate"]["time"]["recompute_s"] for plan in plans]
    assert spent[1] == pytest.approx(6 * spent[0], rel=1e-6)
    assert plans[2]["estimate"] == plans[3]["estimate"]
    peaks = [plan["estimate"]["memory"]["peak_bytes"] for plan in plans]
    assert peaks[0] > peaks[1] > peaks[2]


def test_help_shows_one_value_where_one_is_taken(planner: Run) -> None:
    listed = {
        line.split()[0]
        for line in planner("estimate", "--help").stdout.splitlines()
        if ",..." in line
    }
    lists = {"--stage-layers", "--packed-lengths", "--set"}
    assert listed == lists | {"--offload-modules", "--recompute-modules"}
    assert "--tensor N,..." in planner("search", "--help").stdout


def test_a_plan_that_does_not_fit_is_still_described(planner: Run) -> None:
    arguments = (*SMALL[:-2], *JOB, "--nodes", "1", "--micro-batch-size", "8")
    report = planner(*arguments)
    assert (report.code, report.stderr) == (1, "")
    assert report.stdout.startswith("Does not fit: stage 0 needs ")
    outcome = planner(*arguments, "--json")
    assert outcome.code == 1
    assert only_plan(outcome)["estimate"]["memory"]["fit_class"] == "does not fit"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--tensor 2,4", "--tensor takes one value here, found 2"),
        ("--recompute-layers 2", "2 recomputed layers need --recompute full, not none"),
        ("--recompute full --recompute-layers 0", "--recompute-layers: '0' is not a whole number"),
        ("--precision fp8", "precision: a100-sxm-80gb has no fp8; it has fp32, tf32, fp16, bf16"),
        ("--tensor 3,3x", "--tensor: '3x' is not a whole number from 1 to 1,000,000; write one or"),
        ("--tensor 3", "world: tensor 3 · pipeline 1 · context 1 = 3 does not divide the 16 "),
        ("--micro-batch-size 3", "batch: "),
        ("--global-batch-size 65", "batch: "),
        ("--stage-layers 18,17 --pipeline 2", "the stage layout holds 35 layers, the model has 36"),
        ("--stage-layers 18,x", "--stage-layers: 'x' is not a whole number; write the layers of"),
        ("--schedule 1f2b", "--schedule: software profile megatron-core has no '1f2b'; it has"),
        ("--virtual-stages 2", "vpp: "),
        ("--expert 2", "experts: "),
        ("--plan none.json", "none.json: no such file"),
        (
            "--plan none.json --data 2",
            "none.json: --data is given, and the plan file decides it already",
        ),
        ("--hosts none.txt", "none.txt: no such file"),
        ("--seq-length 0", "--seq-length: '0' is not a whole number from 1 to"),
    ],
)
def test_bad_plans(planner: Run, options: str, message: str) -> None:
    outcome = planner(*SMALL, "--software", "megatron-core", *options.split())
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"error: {message}")
    assert outcome.stderr.count("\n") == 1


def test_hosts_must_be_named(planner: Run, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("# none\n")
    outcome = planner(*SMALL, *JOB, "--hosts", str(hosts))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr == (
        f"error: {hosts}: the file names no host; one host name per line is needed\n"
    )


def test_the_timeline_is_a_trace(planner: Run, tmp_path: Path) -> None:
    target = tmp_path / "trace.json"
    arguments = (*SMALL, *JOB, "--tensor", "2", "--pipeline", "4", "--timeline", str(target))
    outcome = planner(*arguments, "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    step_s = only_plan(outcome)["estimate"]["step_s"]
    trace = json.loads(target.read_text(encoding="utf-8"))
    assert trace["otherData"]["step_s"] == pytest.approx(step_s, rel=1e-8)
    assert {event["ph"] for event in trace["traceEvents"]} == {"M", "X", "C", "s", "f"}


def test_a_timeline_that_cannot_be_written_is_said_before_anything_else(planner: Run) -> None:
    outcome = planner(*SMALL, "--timeline", "/nowhere/trace.json")
    assert outcome.code == 2
    assert "--timeline: '/nowhere/trace.json' cannot be written: there is no folder" in (
        outcome.stderr
    )


SCRIPT = """\
#!/bin/bash
#SBATCH --nodes=2
#SBATCH --gpus-per-node=8
TP=${TP:-2}
ARGS=(
  --num-layers 24 --hidden-size 1024 --num-attention-heads 16
  --seq-length 2048 --max-position-embeddings 2048 --vocab-size 51200
  --micro-batch-size 4 --global-batch-size 64 --bf16
  --tensor-model-parallel-size $TP
)
srun torchrun --nnodes $SLURM_NNODES --nproc-per-node 8 pretrain_gpt.py "${ARGS[@]}" --made-up 1
"""


def test_a_launch_script_is_a_plan(planner: Run, tmp_path: Path) -> None:
    script = tmp_path / "train.sh"
    script.write_text(SCRIPT)
    outcome = planner("estimate", "--cluster", "dgx-a100-8", "--plan", str(script), "--json")
    assert outcome.code == 0
    plan = only_plan(outcome)
    assert (plan["degrees"]["tensor"], plan["degrees"]["data"]) == (2, 8)
    inputs = json.loads(outcome.stdout)["inputs"]
    assert (inputs["model"]["name"], inputs["job"]["devices"]) == ("train", 16)
    assert (
        "note: train.sh: left out: flags that are not known here: --made-up on line 11"
        in outcome.stderr
    )
    assert outcome.stderr.count("note: ") == 2, "one of what was read, one of what was left out"
    other = planner(
        "estimate", "--cluster", "dgx-a100-8", "--plan", str(script), "--set", "TP=4", "--json"
    )
    assert only_plan(other)["degrees"]["tensor"] == 4
    refused = planner(
        "estimate", "--cluster", "dgx-a100-8", "--plan", str(script), "--set", "TP=32"
    )
    assert refused.code == 2
    assert f"\nerror: {script}:4:4: world: tensor 32 · pipeline 1" in refused.stderr


def test_a_deepspeed_configuration_is_a_plan(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "ds_config.json"
    path.write_text('{"train_batch_size": 64, "fp16": {"enabled": true},\n'
                    ' "zero_optimization": {"stage": 2}}')  # fmt: skip
    given = ("estimate", "--cluster", "dgx-a100-8", "--plan", str(path), "--nodes", "1")
    outcome = planner(*given, "--model", "gpt-1.7b", "--json")
    assert outcome.code == 0
    assert only_plan(outcome)["data_sharding"] == "optimizer+gradients"
    missing = planner(*given)
    assert (missing.code, missing.stdout) == (2, "")
    assert missing.stderr.endswith("does not say which model; give --model\n")


def test_script_options_need_a_script(planner: Run) -> None:
    outcome = planner(*SMALL, *JOB, "--set", "TP=4")
    assert outcome.code == 2
    assert outcome.stderr == "error: --set is for a launch script, which --plan gives\n"
    nothing = planner("estimate", "--cluster", "dgx-a100-8", "--tensor", "2")
    assert nothing.stderr.startswith("error: --model is missing")


@pytest.mark.parametrize("software", ["megatron-core", "megatron-core-perf"])
def test_gradients_of_32_bit_weights_have_32_bits(planner: Run, software: str) -> None:
    """Whatever type 16-bit jobs of the profile keep and reduce them in."""
    outcome = planner(
        *SMALL, "--software", software, "--precision", "fp32", "--global-batch-size", "64", "--json"
    )
    for stage in only_plan(outcome)["estimate"]["memory"]["per_stage"]:
        assert stage["components"]["gradients"] == stage["components"]["weights"]


@pytest.mark.parametrize(
    "flags",
    [
        3_000 * " --num-queruery-attention 64",
        " ".join(f"--num-query-gruops-{index} 8" for index in range(3_000)),
    ],
)
def test_unknown_flags_are_said_at_once_however_many(
    planner: Run, tmp_path: Path, flags: str
) -> None:
    """Hints are looked for only among those that are said."""
    script = tmp_path / "run.sh"
    script.write_text(f"torchrun pretrain_gpt.py --num-layers 2 {flags}\n")
    started = time.process_time()
    outcome = planner("estimate", "--cluster", "dgx-a100-8", "--plan", str(script))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("memory", "efficiency"),
        ("matmul", "efficiency"),
        ("matmul", "gradient_efficiency"),
        ("grouped_matmul", "efficiency"),
        ("attention", "backward_efficiency"),
        ("attention", "flash_1"),
        ("links", "send_efficiency"),
        ("sustained", "network"),
    ],
)
def test_an_efficiency_of_nothing_is_refused(
    planner: Run, tmp_path: Path, section: str, name: str
) -> None:
    """Times are divided by it."""
    device = yaml.safe_load(resolve("device", "a100-sxm-80gb").read_text())
    constant = {"value": 0, "basis": "measured", "source": "a typing error"}
    device.setdefault(section, {})[name] = constant
    cluster = yaml.safe_load(resolve("cluster", "dgx-a100-8").read_text())
    cluster["node_groups"][0]["device"] = "device.yaml"
    (tmp_path / "device.yaml").write_text(yaml.safe_dump(device))
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(cluster))
    outcome = planner(
        *("estimate", "--cluster", str(tmp_path / "cluster.yaml"), "--model", "gpt-7.5b"), *JOB
    )
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f"{section}.{name}.value: an efficiency is at least 0.1%, found 0" in outcome.stderr
    assert re.match(rf"error: {tmp_path}/device.yaml:[0-9]+:[0-9]+: ", outcome.stderr)


def test_every_phase_that_the_schema_names_is_some_stage_s_fullest(planner: Run) -> None:
    long = planner(*SMALL, *JOB, "--tensor", "2", "--json")
    short = planner(
        *("estimate", "--cluster", "dgx-a100-8", "--model", "gpt-7.5b", "--nodes", "1"),
        *("--software", "megatron-core-perf", "--precision", "bf16", "--tensor", "8"),
        *("--seq-length", "128", "--global-batch-size", "8", "--json"),
    )
    whole = planner(
        *("estimate", "--cluster", "dgx-a100-128", "--model", "gpt-7.5b", "--nodes", "4"),
        *("--software", "torchtitan", "--data-sharding", "full", "--recompute", "full"),
        *("--start-whole", "on", "--seq-length", "512", "--global-batch-size", "32", "--json"),
    )
    resumed = planner(
        *("estimate", "--cluster", "dgx-a100-8", "--model", "llama-3-8b", "--nodes", "1"),
        *("--software", "deepspeed", "--data-sharding", "full", "--recompute", "full"),
        *("--seq-length", "512", "--global-batch-size", "16", "--json"),
    )
    stages = [
        stage
        for outcome in (long, short, whole, resumed)
        for stage in only_plan(outcome)["estimate"]["memory"]["per_stage"]
    ]
    schema = json.loads(planner("schema", "plan").stdout)
    phases = re.search(r"'peak_phase': {'type': 'string', 'enum': (\[[^]]*\])", str(schema))
    assert phases is not None
    named = json.loads(phases[1].replace("'", '"'))
    assert sorted({stage["peak_phase"] for stage in stages}) == named
