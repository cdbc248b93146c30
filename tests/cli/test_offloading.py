"""The optimizer and the weights in the memory of the hosts, through the commands."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from planner.plan_document import plan_schema
from tests.cli.answers import document, estimated, parts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Command = Callable[..., Outcome]

GIB = 2**30
PARAMETERS = 8_030_261_248
"""Of Llama 3 8B."""
JOB = ("--model", "llama-3-8b", "--global-batch-size", "64")
MEGATRON = ("--cluster", "dgx-a100-8", "--nodes", "1", *JOB, "--tensor", "2", "--recompute", "full")
FULLY = {
    "torchtitan": ("--cluster", "dgx-a100-8", "--nodes", "1", *JOB, "--software", "torchtitan"),
    "deepspeed": (
        "--cluster", "dgx-a100-8", "--nodes", "1", *JOB, "--software", "deepspeed",
        "--data-sharding", "full",
    ),
}  # fmt: skip


def cluster(tmp_path: Path, **host: Any) -> str:
    """One node of 8 A100 with such a host."""
    path = tmp_path / f"{'-'.join(map(str, host.values())).replace(' ', '').replace('/', '')}.yaml"
    given = ", ".join(f"{name}: {value}" for name, value in host.items())
    path.write_text(
        "node_groups:\n  - {device: a100-sxm-80gb, count: 1, devices_per_node: 8, "
        f"intra_node: {{bandwidth: 300 GB/s}}, host: {{{given}}}}}\n",
        encoding="utf-8",
    )
    return str(path)


def test_a_share_of_the_optimizer_leaves_the_device(planner: Command) -> None:
    """Megatron-LM: of 12 bytes a parameter 6 go, and the master weights that stay are remainders
    of 2 bytes. The host has 16 bytes: two moments, the weight, and the gradient that is read."""
    plain = estimated(planner, *MEGATRON)
    half = estimated(planner, *MEGATRON, "--optimizer-offload", "50%")
    whole = estimated(planner, *MEGATRON, "--optimizer-offload", "1")
    shard = parts(plain)["optimizer"] / 12
    assert parts(half)["optimizer"] == pytest.approx(shard * 10 / 2, rel=1e-6)
    assert parts(whole)["optimizer"] == 0
    for part in ("weights", "gradients", "activations", "logits"):
        assert parts(whole)[part] == parts(plain)[part]
    assert "host" not in plain["estimate"]["memory"]
    host = whole["estimate"]["memory"]["host"]
    assert host["peak_bytes"] == pytest.approx(16 * PARAMETERS, rel=0.01)
    assert host["capacity_bytes"] == 2 * 10**12


def test_a_launch_with_a_share_on_the_host_takes_as_long_as_its_plan(
    planner: Command, tmp_path: Path
) -> None:
    """The remainders that stay are what the update streams, with or without flags that say so."""
    plan, script = tmp_path / "plan.json", tmp_path / "flags.txt"
    done = planner("estimate", *MEGATRON, "--optimizer-offload", "25%", "--json")
    plan.write_text(done.stdout, encoding="utf-8")
    found = json.loads(done.stdout)["plans"][0]
    exported = planner("export", str(plan), "--format", "megatron-lm", "--output", str(script))
    assert exported.code == 0, exported.stderr
    launched = estimated(planner, *MEGATRON[:4], "--plan", str(script))
    assert launched["optimizer_offload"] == 0.25
    ours, theirs = (one["estimate"]["time"]["optimizer_s"] for one in (found, launched))
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_the_host_updates_at_the_rate_of_its_processors(planner: Command) -> None:
    """Published for Llama-2-7B on four A100: over 4 s (DeepSpeed, ZenFlow)."""
    options = ("--cluster", "dgx-a100-8", "--devices", "4", "--model", "llama-2-7b",
               "--software", "deepspeed", "--data-sharding", "optimizer", "--recompute", "full",
               "--global-batch-size", "4", "--optimizer-offload", "1")  # fmt: skip
    seconds = estimated(planner, *options)["estimate"]["time"]["offload_s"]
    assert 4.0 < seconds < 5.5


@pytest.mark.parametrize("software", FULLY)
def test_weights_and_gradients_leave_with_full_sharding(planner: Command, software: str) -> None:
    plain = estimated(planner, *FULLY[software])
    moved = estimated(
        planner, *FULLY[software], "--optimizer-offload", "1", "--weight-offload", "on"
    )
    assert [parts(moved)[part] for part in ("weights", "gradients", "optimizer")] == [0, 0, 0]
    for part in ("activations", "logits", "buffers"):
        assert parts(moved)[part] == parts(plain)[part]
    time = moved["estimate"]["time"]
    assert time["offload_s"] > 4
    assert moved["estimate"]["step_s"] == pytest.approx(sum(time.values()), rel=1e-6)


@pytest.mark.parametrize("options", [MEGATRON, *FULLY.values()])
def test_offloading_nothing_is_the_plan_without(planner: Command, options: tuple[str, ...]) -> None:
    plain = planner("estimate", *options, "--json").stdout
    none = planner("estimate", *options, "--optimizer-offload", "0", "--weight-offload", "off",
                   "--json").stdout  # fmt: skip
    assert none == plain
    assert "offload" not in plain


def test_more_of_the_optimizer_on_the_host_never_takes_more_of_the_device(
    planner: Command,
) -> None:
    shares = ("0", "0.001", "0.25", "0.5", "0.75", "1")
    found = [estimated(planner, *MEGATRON, "--optimizer-offload", one) for one in shares]
    peaks = [one["estimate"]["memory"]["peak_bytes"] for one in found]
    assert peaks == sorted(peaks, reverse=True)
    times = [one["estimate"]["step_s"] for one in found]
    assert times == sorted(times)


def test_a_faster_host_never_makes_a_step_longer(planner: Command, tmp_path: Path) -> None:
    steps = []
    for link, memory in ((8, 100), (16, 100), (64, 100), (64, 400), (450, 1000)):
        slow = cluster(
            tmp_path, link=f"{{bandwidth: {link} GB/s}}", memory_bandwidth=f"{memory} GB/s"
        )
        options = ("--cluster", slow, *FULLY["deepspeed"][4:], "--optimizer-offload", "1",
                   "--weight-offload", "on")  # fmt: skip
        steps.append(estimated(planner, *options)["estimate"]["step_s"])
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > steps[-1]


def test_host_memory_is_a_limit(planner: Command, tmp_path: Path) -> None:
    small = cluster(tmp_path, memory="64 GB")
    options = ("--cluster", small, *MEGATRON[4:], "--optimizer-offload", "1")
    done = planner("estimate", *options)
    assert done.code == 1
    assert done.stdout.startswith("Does not fit: the fullest host holds 120 GiB of 60")
    memory = estimated(planner, *options)["estimate"]["memory"]
    assert not memory["fits"]
    assert memory["fit_class"] == "does not fit"
    found = document(planner("search", "--cluster", small, *JOB, "--tensor", "2", "--pipeline", "1",
                             "--optimizer-offload", "0.25,1", "--top", "9", "--json"))  # fmt: skip
    assert {plan["optimizer_offload"] for plan in found["plans"]} == {0.25}


def test_the_optimizer_stays_where_weights_are_kept_in_8_bits(planner: Command) -> None:
    """Megatron-LM `arguments.py`: --optimizer-cpu-offload with --fp8-param-gather needs delayed
    scales."""
    options = ("--cluster", "dgx-h100-16", "--nodes", "1", *JOB, "--tensor", "2", "--software",
               "megatron-core-perf")  # fmt: skip
    offloaded = (*options, "--optimizer-offload", "1")
    assert planner("estimate", *offloaded, "--precision", "bf16").code == 0
    assert planner("estimate", *options, "--precision", "fp8").code == 0
    refused = planner("estimate", *offloaded, "--precision", "fp8")
    assert refused.code == 2
    assert "stays on the device, as weights are kept in 8 bits between steps" in refused.stderr


def test_a_search_offloads_where_nothing_else_fits(planner: Command, tmp_path: Path) -> None:
    """And computes modules again, or offloads them, in place of whole layers. The plan is estimated
    and launched with the same numbers."""
    where = ("--cluster", "dgx-h100-16", "--nodes", "8", "--model", "llama-3.1-405b")
    plan, launch = str(tmp_path / "plan.json"), str(tmp_path / "launch.sh")
    narrow = ("--tensor", "2,4", "--pipeline", "32", "--top", "1", "--output", plan)
    said = " ".join(planner("search", *where, *narrow).stdout.split())
    assert "nothing fits without offloading" in said
    found = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(plan_schema()).validate(found)
    assert found["search"]["needs_offloading"]
    best = found["plans"][0]
    assert best["optimizer_offload"] > 0
    assert best["estimate"]["memory"]["fits"]
    assert best["recompute"]["granularity"] == "selective"
    for name in ("recompute_modules", "offload_modules"):
        assert ", ".join(best[name]) in said
    degrees = [f"--{axis}={best['degrees'][axis]}" for axis in ("tensor", "pipeline")]
    whole = estimated(planner, *where, *degrees, f"--virtual-stages={best['virtual_stages']}",
                      f"--schedule={best['schedule']}", "--recompute", "full",
                      f"--optimizer-offload={best['optimizer_offload']}")  # fmt: skip
    assert best["estimate"]["step_s"] < 0.96 * whole["estimate"]["step_s"]
    again = estimated(planner, *where, "--plan", plan)
    assert again["estimate"]["time"] == best["estimate"]["time"]
    assert again["estimate"]["memory"] == best["estimate"]["memory"]
    assert planner("export", plan, "--format", "megatron-lm", "-o", launch).code == 0
    back = estimated(planner, *where, "--plan", launch)
    assert back["estimate"]["step_s"] == pytest.approx(best["estimate"]["step_s"], rel=1e-3)
    assert back["estimate"]["memory"]["peak_bytes"] == pytest.approx(
        best["estimate"]["memory"]["peak_bytes"], rel=2e-3
    )


def test_modules_of_a_plan_that_are_none_are_refused(planner: Command, tmp_path: Path) -> None:
    asked = ("estimate", "--cluster", "dgx-a100-8", "--nodes", "1", *JOB, "--tensor", "2")
    text = planner(*asked, "--json").stdout
    plan = tmp_path / "plan.json"
    for named, told in (
        ('["mlp", "mlp"]', "names each module once"),
        ("[]", "names each module once"),
        ('["nothing"]', "core_attn"),
        ('["mlp"]', "recompute_modules"),
    ):
        plan.write_text(text.replace('"stages"', f'"recompute_modules": {named}, "stages"', 1))
        done = planner("estimate", *asked[1:7], "--plan", str(plan))
        assert done.code == 2
        assert told in done.stderr


def test_shares_that_were_asked_for_are_in_the_plan_file_s_schema(planner: Command) -> None:
    asked = ("search", "--cluster", "dgx-a100-8", "--nodes", "1", *JOB, "--tensor", "2",
             "--optimizer-offload", "25%", "--recompute", "none", "--top", "1",
             "--json")  # fmt: skip
    found = document(planner(*asked))
    jsonschema.Draft202012Validator(plan_schema()).validate(found)
    assert found["plans"][0]["optimizer_offload"] == 0.25
    dimensions = {one["name"]: one["values"] for one in found["search"]["space"]["dimensions"]}
    assert dimensions["optimizer_offload"] == [0.25]


def test_nothing_fits_names_what_to_offload(planner: Command) -> None:
    done = planner("search", "--cluster", "dgx-h100-16", "--nodes", "8", "--model",
                   "llama-3.1-405b", "--pipeline", "8,16", "--tensor", "8",
                   "--optimizer-offload", "0", "--json")  # fmt: skip
    assert done.code == 1
    changes = document(done)["search"]["changes"]
    named = [one for one in changes if one["description"].startswith("--optimizer-offload ")]
    assert named
    assert named[0]["optimizer_offload"] > 0
    assert named[0]["estimate"]["memory"]["fits"]


def test_a_search_that_needs_none_tries_none(planner: Command) -> None:
    options = ("--cluster", "dgx-a100-8", "--nodes", "2", *JOB, "--tensor", "4", "--top", "1",
               "--json")  # fmt: skip
    found = document(planner("search", *options))
    assert "offload" not in json.dumps(found)


@pytest.mark.parametrize(
    ("software", "options", "export", "words"),
    [
        ("deepspeed", ("--data-sharding", "full", "--weight-offload", "on"), "deepspeed",
         ('"ratio": 0.5', '"offload_param"', '"overlap_comm": false')),
        ("deepspeed", ("--data-sharding", "full", "--update-stride", "3"), "deepspeed",
         ('"prefetch_optimizer_gap": 3', '"sub_group_size": 1000000000')),
        ("deepspeed", ("--data-sharding", "full", "--context", "4"), "deepspeed",
         ('"sequence_parallel_size": 4', '"ratio": 0.5')),
        ("deepspeed", ("--data-sharding", "full", "--recompute", "full", "--activation-offload",
                       "1"), "deepspeed", ('"cpu_checkpointing": true',)),
        ("megatron-core", ("--tensor", "2"), "megatron-lm",
         ("--optimizer-cpu-offload", "--optimizer-offload-fraction 0.5",
          "--use-precision-aware-optimizer", "--overlap-cpu-optimizer-d2h-h2d")),
    ],
)  # fmt: skip
def test_what_is_exported_reads_back(
    planner: Command,
    tmp_path: Path,
    software: str,
    options: tuple[str, ...],
    export: str,
    words: tuple[str, ...],
) -> None:
    where = ("--cluster", "dgx-a100-8", "--nodes", "1")
    asked = (*where, *JOB, "--software", software, *options, "--optimizer-offload", "0.5")
    plan, launch = tmp_path / "plan.json", tmp_path / "launch.sh"
    plan.write_text(planner("estimate", *asked, "--json").stdout, encoding="utf-8")
    done = planner("export", str(plan), "--format", export, "-o", str(launch))
    assert done.code == 0, done.stderr
    text = launch.read_text(encoding="utf-8")
    assert all(word in text for word in words)
    again = options[options.index("--recompute") :][:2] if "--recompute" in options else ()
    model = ("--model", "llama-3-8b", "--seq-length", "8192", *again)
    model = () if export == "megatron-lm" else model
    back, first = (
        estimated(planner, *where, "--plan", str(launch), *model),
        estimated(planner, *asked),
    )
    for decision in ("degrees", "optimizer_offload", "data_sharding", "micro_batch_size"):
        assert back[decision] == first[decision]
    assert back.get("weight_offload") == first.get("weight_offload")
    assert back.get("activation_offload") == first.get("activation_offload")
    for figure in (("step_s",), ("memory", "peak_bytes")):
        now, then = (plan["estimate"] for plan in (back, first))
        for key in figure:
            now, then = now[key], then[key]
        assert now == pytest.approx(then, rel=2e-3)


def test_bridge_and_torchtitan_get_their_switches(planner: Command, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    done = planner("estimate", *MEGATRON, "--optimizer-offload", "0.5", "--json")
    plan.write_text(done.stdout, encoding="utf-8")
    bridge = planner("export", str(plan), "--format", "megatron-bridge").stdout
    assert "optimizer.optimizer_offload_fraction=0.5" in bridge
    assert "optimizer.optimizer_cpu_offload=True" in bridge.replace("true", "True")
    done = planner("estimate", *FULLY["torchtitan"], "--optimizer-offload", "1", "--json")
    plan.write_text(done.stdout, encoding="utf-8")
    assert "enable_cpu_offload = True" in planner("export", str(plan), "--format",
                                                  "torchtitan").stdout  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*MEGATRON, "--optimizer-offload", "2"), "'2' is not a share from 0 to 1"),
        ((*MEGATRON, "--optimizer-offload", "1", "--data-sharding", "none"),
         "the optimizer may be offloaded with data sharding optimizer"),
        ((*MEGATRON, "--weight-offload", "on"), "weights cannot be offloaded"),
        ((*FULLY["torchtitan"], "--optimizer-offload", "1", "--weight-offload", "off"),
         "torchtitan offloads weights and the optimizer together"),
        ((*FULLY["torchtitan"], "--optimizer-offload", "0.5"),
         "cannot be offloaded: all of it or nothing"),
    ],
)  # fmt: skip
def test_what_a_framework_cannot_offload(
    planner: Command, options: tuple[str, ...], message: str
) -> None:
    done = planner("estimate", *options)
    assert done.code == 2
    assert message in " ".join(done.stderr.split())


def errors_of(found: dict[str, Any], kind: str) -> list[float]:
    """Relative errors of the runs that have such a figure: "step_s", or a kind of memory."""
    each = [run["step_s"] if kind == "step_s" else run["memory"][kind] for run in found["runs"]]
    return [abs(one["error"]) for one in each if one is not None]


def test_published_runs_with_offloaded_activations(planner: Command) -> None:
    """Steps of a model of 175B, and the peak of one of 65B by share, of the runs that are shipped;
    the peaks fall in a straight line that only chunks under way end."""
    found = document(planner("validate", "kwai-offload-h800", "--json"))
    assert found["errors"] == []
    steps, peaks = errors_of(found, "step_s"), errors_of(found, "allocated")
    assert (len(steps), len(peaks)) == (10, 19)
    assert max(steps) < 0.05
    assert max(peaks) < 0.03


def test_published_runs_with_states_on_drives(planner: Command) -> None:
    """DeepSpeed ZeRO-3 on four devices, the optimizer on the drives of the node, and on one with
    the optimizer in host memory, updated there or in part on the device."""
    found = document(planner("validate", "datastates-h100", "--json"))
    assert found["errors"] == []
    steps = errors_of(found, "step_s")
    assert max(steps[:-1]) < 0.1
    assert steps[-1] < 0.15
    assert max(errors_of(found, "allocated")) < 0.05


def test_activations_leave_in_proportion(planner: Command) -> None:
    """A straight line down to the layers under way, and the host holds what the device lost."""
    options = (*MEGATRON[:-1], "none", "--micro-batch-size", "2")
    found = [
        estimated(planner, *options, *(() if share == "0" else ("--activation-offload", share)))
        for share in ("0", "0.25", "0.5", "1")
    ]
    kept = [parts(plan)["activations"] for plan in found]
    host = [plan["estimate"]["memory"]["host"]["peak_bytes"] for plan in found[1:]]
    assert kept[0] - kept[2] == pytest.approx(2 * (kept[0] - kept[1]), rel=1e-6)
    assert kept[3] == pytest.approx(kept[0] * 2 / 32, rel=0.1)
    for left, there in zip(kept[1:], host, strict=True):
        assert there == pytest.approx(8 * (kept[0] - left), rel=1e-6)
    steps = [plan["estimate"]["step_s"] for plan in found]
    assert steps == sorted(steps)
    assert found[3]["estimate"]["time"]["offload_s"] > 0


@pytest.mark.parametrize(
    ("software", "options", "export", "words"),
    [
        ("deepspeed", ("--recompute", "full", "--activation-offload", "1"), "deepspeed",
         '"cpu_checkpointing": true'),
        ("megatron-core", ("--tensor", "2", "--activation-offload", "0.5"), "megatron-lm",
         "--cpu-offloading-num-layers 16"),
    ],
)  # fmt: skip
def test_exported_activations_read_back(
    planner: Command,
    tmp_path: Path,
    software: str,
    options: tuple[str, ...],
    export: str,
    words: str,
) -> None:
    where = ("--cluster", "dgx-a100-8", "--nodes", "1")
    asked = (*where, *JOB, "--software", software, *options)
    plan, launch = tmp_path / "plan.json", tmp_path / "launch.sh"
    plan.write_text(planner("estimate", *asked, "--json").stdout, encoding="utf-8")
    done = planner("export", str(plan), "--format", export, "-o", str(launch))
    assert done.code == 0, done.stderr
    assert words in launch.read_text(encoding="utf-8")
    model = ("--model", "llama-3-8b", "--seq-length", "8192", "--recompute", "full")
    more = () if export == "megatron-lm" else model
    back = estimated(planner, *where, "--plan", str(launch), *more)
    assert back["activation_offload"] == estimated(planner, *asked)["activation_offload"]


def test_the_page_shows_what_offloading_takes(planner: Command, tmp_path: Path) -> None:
    plan, page = tmp_path / "plan.json", tmp_path / "plan.html"
    done = planner("estimate", *MEGATRON, "--optimizer-offload", "0.5", "--json")
    plan.write_text(done.stdout, encoding="utf-8")
    assert planner("report", str(plan), "-o", str(page)).code == 0
    assert re.search(r"offloading: [0-9.]+ s, [0-9.]+% of the step", page.read_text("utf-8"))


def test_states_on_drives_leave_host_memory_and_take_longer(planner: Command) -> None:
    job = (*FULLY["deepspeed"], "--recompute", "full", "--optimizer-offload", "1")
    drives = estimated(planner, *job, "--offload-to", "nvme")["estimate"]
    host = estimated(planner, *job)["estimate"]
    assert drives["memory"]["host"]["peak_bytes"] < host["memory"]["host"]["peak_bytes"]
    assert drives["step_s"] > host["step_s"]
    assert drives["memory"]["peak_bytes"] == host["memory"]["peak_bytes"]


MODULES = ("--offload-modules", "core_attn,attn_proj", "--activation-offload")


def test_modules_leave_a_pipeline_that_recomputes_others(planner: Command) -> None:
    """Megatron-LM: what attention and its projection read, 10 of 34 bytes of the classic count with
    a kernel for attention, leaves in proportion, beside recomputation, on several stages."""
    options = (*MEGATRON[:-4], "--tensor", "2", "--pipeline", "2", "--recompute", "selective",
               "--recompute-modules", "mlp")  # fmt: skip
    plain, half, whole = (
        estimated(planner, *options, *more) for more in ((), (*MODULES, "0.5"), (*MODULES, "1"))
    )
    kept = [parts(plan)["activations"] for plan in (plain, half, whole)]
    assert kept[0] - kept[2] == pytest.approx(2 * (kept[0] - kept[1]), rel=1e-6)
    assert kept[2] > 0.2 * kept[0]
    for plan in (half, whole):
        assert plan["estimate"]["step_s"] >= plain["estimate"]["step_s"]
    refused = planner("estimate", *options, "--activation-offload", "1")
    assert refused.code == 2
    for text in ("--offload-modules core_attn", "--offload-modules nothing"):
        assert planner("estimate", *options, *text.split()).code == 2
    alone = planner("estimate", *options, "--offload-modules", "attn_proj", "--activation-offload",
                    "1")  # fmt: skip
    assert alone.code == 2
    assert "attn_proj is offloaded only with core_attn" in " ".join(alone.stderr.split())


def test_exported_modules_read_back(planner: Command, tmp_path: Path) -> None:
    where = ("--cluster", "dgx-a100-8", "--nodes", "1")
    asked = (*where, *JOB, "--tensor", "2", "--pipeline", "2", "--recompute", "selective",
             "--recompute-modules", "mlp", *MODULES, "0.5")  # fmt: skip
    plan, launch = tmp_path / "plan.json", tmp_path / "launch.sh"
    first = document(planner("estimate", *asked, "--json"))
    plan.write_text(json.dumps(first), encoding="utf-8")
    bridge = planner("export", str(plan), "--format", "megatron-bridge").stdout
    assert "model.offload_modules=[core_attn,attn_proj]" in bridge.replace('"', "").replace("'", "")
    done = planner("export", str(plan), "--format", "megatron-lm", "-o", str(launch))
    assert done.code == 0, done.stderr
    back = estimated(planner, *where, "--plan", str(launch))
    for decision in ("recompute", "activation_offload"):
        assert back[decision] == first["plans"][0][decision]
    memory = [one["estimate"]["memory"]["peak_bytes"] for one in (back, first["plans"][0])]
    assert memory[0] == pytest.approx(memory[1], rel=0.002)


def test_an_optimizer_on_drives_reads_back(planner: Command, tmp_path: Path) -> None:
    plan, launch = tmp_path / "plan.json", tmp_path / "ds.json"
    options = (*FULLY["deepspeed"], "--recompute", "full", "--optimizer-offload", "1",
               "--offload-to", "nvme")  # fmt: skip
    first = document(planner("estimate", *options, "--json"))
    plan.write_text(json.dumps(first), encoding="utf-8")
    assert planner("export", str(plan), "--format", "deepspeed", "-o", str(launch)).code == 0
    assert '"device": "nvme"' in launch.read_text(encoding="utf-8")
    read = planner("estimate", "--cluster", "dgx-a100-8", "--devices", "8", "--model", "llama-3-8b",
                   "--seq-length", "8192", "--recompute", "full", "--plan", str(launch),
                   "--json")  # fmt: skip
    assert "nvme" not in read.stderr
    time = [one["plans"][0]["estimate"]["time"] for one in (first, document(read))]
    assert time[1]["offload_s"] == pytest.approx(time[0]["offload_s"], rel=0.01)
    done = planner("estimate", *options[:-6], "--data-sharding", "optimizer", "--recompute", "full",
                   "--optimizer-offload", "1", "--offload-to", "nvme")  # fmt: skip
    assert done.code == 2


def test_a_stride_of_the_update_trades_memory_for_time(planner: Command) -> None:
    """Deep Optimizer States: where the devices of a node share its processors, they take over a
    part of the update; its gradients wait on them, and one sub-group is staged. DataStates' log of
    7B on one H100 has 16.05 GiB at most without, and 24.54 GiB with every second of sub-groups of
    206 million parameters."""
    options = (*FULLY["deepspeed"], "--optimizer-offload", "1")
    plain, second, third = (
        estimated(planner, *options, *more)["estimate"]
        for more in ((), ("--update-stride", "2"), ("--update-stride", "3"))
    )
    assert second["step_s"] < third["step_s"] < plain["step_s"]
    shard = PARAMETERS / 8
    for strided, share in ((second, 1 / 2), (third, 1 / 3)):
        waiting = [one["memory"]["per_stage"][0] for one in (strided, plain)]
        grown = waiting[0]["allocated_peak_bytes"] - waiting[1]["allocated_peak_bytes"]
        assert grown == pytest.approx(2 * share * shard + 16 * shard, rel=0.01)
    for refused, told in (
        ((*options[:-2], "--update-stride", "2"), "nothing of the optimizer is offloaded"),
        ((*options, "--offload-to", "nvme", "--update-stride", "2"), "processors alone"),
        ((*options, "--update-stride", "1"), "2 to 64"),
        ((*MEGATRON, "--optimizer-offload", "1", "--update-stride", "2"), "no such choice"),
    ):
        done = planner("estimate", *refused)
        assert done.code == 2
        assert told in " ".join(done.stderr.split())


def test_more_host_bandwidth_makes_no_step_slower(planner: Command, tmp_path: Path) -> None:
    """Of the plans that a search finds, with modules that leave the devices."""
    job = ("--model", "llama-3-8b", "--global-batch-size", "8", "--seq-length", "40960", "--tensor",
           "4", "--pipeline", "1,2", "--context", "1", "--top", "1", "--json")  # fmt: skip
    steps = [
        document(planner("search", "--cluster", cluster(tmp_path, link=link), *job))["plans"][0]
        for link in ("{bandwidth: 5 GB/s}", "{bandwidth: 25 GB/s}", "{bandwidth: 400 GB/s}")
    ]
    slow, usual, fast = (one["estimate"]["step_s"] for one in steps)
    assert slow >= usual >= fast
    assert any("offload_modules" in one for one in steps)


@pytest.mark.parametrize("modules", [["layernorm", "moe_act"], ["core_attn", "moe_act"]])
def test_a_plan_and_its_export_choose_the_same_modules(
    planner: Command, tmp_path: Path, modules: list[str]
) -> None:
    """The profile's own modules and others: nothing but the model's name differs."""
    cluster = ("--cluster", "dgx-h100-16", "--nodes", "1", "--software", "megatron-core-perf")
    job = ("--model", "qwen3-30b-a3b", "--seq-length", "1024", "--global-batch-size", "16")
    degrees = ("--expert", "8", "--expert-tensor", "1", "--recompute", "selective")
    found = json.loads(planner("estimate", *cluster, *job, *degrees, "--json").stdout)
    found["plans"][0]["recompute_modules"] = modules
    plan, priced, script = (tmp_path / name for name in ("asked.json", "plan.json", "train.sh"))
    plan.write_text(json.dumps(found), encoding="utf-8")
    done = planner("estimate", *cluster, *job[:2], "--plan", str(plan), "--json")
    priced.write_text(done.stdout, encoding="utf-8")
    exported = planner("export", str(priced), "--format", "megatron-lm", "--output", str(script))
    assert exported.code == 0, exported.stderr
    assert f"--recompute-modules {' '.join(modules)}" in script.read_text(encoding="utf-8")
    compared = planner("compare", str(priced), str(script), *cluster, "--json")
    assert compared.code == 0, compared.stderr
    assert list(json.loads(compared.stdout)["differences"]) == ["model"]
