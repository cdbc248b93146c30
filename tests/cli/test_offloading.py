"""The optimizer and the weights in the memory of the hosts, through the commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from planner.plan_document import plan_schema
from tests.cli.answers import document, estimated, parts

if TYPE_CHECKING:
    from collections.abc import Callable

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
    assert "no value, as weights are kept in 8 bits between steps" in refused.stderr


def test_a_search_offloads_where_nothing_else_fits(planner: Command) -> None:
    options = ("--cluster", "dgx-h100-16", "--nodes", "8", "--model", "llama-3.1-405b", "--top",
               "1")  # fmt: skip
    found = document(planner("search", *options, "--json"))
    best = found["plans"][0]
    assert found["search"]["needs_offloading"]
    assert best["optimizer_offload"] > 0
    assert best["estimate"]["memory"]["fits"]
    said = planner("search", *options).stdout
    assert "nothing fits without offloading" in " ".join(said.split())


def test_shares_that_were_asked_for_are_in_the_plan_file_s_schema(planner: Command) -> None:
    asked = ("search", "--cluster", "dgx-a100-8", "--nodes", "1", *JOB, "--tensor", "2",
             "--optimizer-offload", "25%", "--top", "1", "--json")  # fmt: skip
    found = document(planner(*asked))
    jsonschema.Draft202012Validator(plan_schema()).validate(found)
    assert found["plans"][0]["optimizer_offload"] == 0.25
    dimensions = {one["name"]: one["values"] for one in found["search"]["space"]["dimensions"]}
    assert dimensions["optimizer_offload"] == [0.25]


def test_nothing_fits_names_what_to_offload(planner: Command) -> None:
    done = planner("search", "--cluster", "dgx-h100-16", "--nodes", "8", "--model",
                   "llama-3.1-405b", "--pipeline", "8,16", "--optimizer-offload", "0",
                   "--json")  # fmt: skip
    assert done.code == 1
    changes = document(done)["search"]["changes"]
    named = [one for one in changes if one["description"].startswith("--optimizer-offload ")]
    assert named
    assert named[0]["optimizer_offload"] > 0
    assert named[0]["estimate"]["memory"]["fits"]


def test_a_search_that_needs_none_tries_none(planner: Command) -> None:
    options = ("--cluster", "dgx-a100-8", "--nodes", "2", *JOB, "--top", "1", "--json")
    found = document(planner("search", *options))
    assert "offload" not in json.dumps(found)


@pytest.mark.parametrize(
    ("software", "options", "export", "words"),
    [
        ("deepspeed", ("--data-sharding", "full", "--weight-offload", "on"), "deepspeed",
         ('"ratio": 0.5', '"offload_param"')),
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
    model = () if export == "megatron-lm" else ("--model", "llama-3-8b", "--seq-length", "8192")
    back, first = (
        estimated(planner, *where, "--plan", str(launch), *model),
        estimated(planner, *asked),
    )
    for decision in ("degrees", "optimizer_offload", "data_sharding", "micro_batch_size"):
        assert back[decision] == first[decision]
    assert back.get("weight_offload") == first.get("weight_offload")


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
        ((*MEGATRON, "--weight-offload", "on"), "weights may be offloaded with data sharding no"),
        ((*FULLY["torchtitan"], "--optimizer-offload", "1", "--weight-offload", "off"),
         "torchtitan offloads weights and the optimizer together"),
        ((*FULLY["torchtitan"], "--optimizer-offload", "0.5"), "otherwise all of it or nothing"),
    ],
)  # fmt: skip
def test_what_a_framework_cannot_offload(
    planner: Command, options: tuple[str, ...], message: str
) -> None:
    done = planner("estimate", *options)
    assert done.code == 2
    assert message in " ".join(done.stderr.split())


KWAI = """
software: kwai
cluster:
  name: kwai-h800
  node_groups:
    - device: h800
      devices_per_node: 8
      intra_node: {bandwidth: 200 GB/s}
      network: {cards: 8, bandwidth: 12.5 GB/s}
      host: {memory: 2 TB, link: {bandwidth: 63 GB/s}}
source: "kwai/Megatron-Kwai, examples/atc24/README.md (artifact of Yuan et al., ATC 2024), figure 9"
model: {architecture: llama, num_layers: 96, hidden_size: 12288, num_attention_heads: 96,
  ffn_hidden_size: 32768, vocab_size: 32004, seq_length: 4096, tie_embeddings: false}
defaults: {recompute: none, schedule: interleaved, sequence_parallel: true, micro_batch_size: 1,
  seq_length: 4096, overlap: [tensor, gradient_reduce, parameter_gather, pipeline]}
runs:
  - {id: a, devices: 256, degrees: {tensor: 2, pipeline: 16, context: 2}, virtual_stages: 6,
     global_batch_size: 256, activation_offload: 0.522, measured: {step_s: 10.746}}
  - {id: b, devices: 240, degrees: {tensor: 4, pipeline: 12}, virtual_stages: 8,
     global_batch_size: 240, activation_offload: 0.276, measured: {step_s: 11.441}}
  - {id: c, devices: 192, degrees: {tensor: 2, pipeline: 24, context: 2}, virtual_stages: 4,
     global_batch_size: 240, activation_offload: 0.41, measured: {step_s: 12.913}}
  - {id: d, devices: 128, degrees: {tensor: 2, pipeline: 16}, virtual_stages: 6,
     global_batch_size: 256, activation_offload: 0.751, measured: {step_s: 19.076}}
  - {id: e, devices: 64, degrees: {tensor: 4, pipeline: 8}, virtual_stages: 12,
     global_batch_size: 272, activation_offload: 0.979, measured: {step_s: 40.209}}
  - {id: f, devices: 48, degrees: {tensor: 4, pipeline: 12}, virtual_stages: 8,
     global_batch_size: 264, activation_offload: 0.999, measured: {step_s: 52.277}}
"""
"""The runs without recomputation, by share of the activations on the host."""


def test_published_steps_with_offloaded_activations(planner: Command, tmp_path: Path) -> None:
    """A 175B model on H800: what goes to the host beside the passes costs nothing, and the runs
    with more than half of their activations there would not fit without."""
    plain = Path("software/megatron-core-2024.yaml").read_text(encoding="utf-8")
    offload = "pipeline_layout: true\noffload: {activations: [none]}"
    text = plain.replace("\nname: megatron-core-2024\n", "\nname: kwai\n")
    (tmp_path / "kwai.yaml").write_text(
        text.replace("pipeline_layout: true", offload), encoding="utf-8"
    )
    runs = tmp_path / "runs.yaml"
    runs.write_text(KWAI.replace("software: kwai", "software: ./kwai.yaml"), encoding="utf-8")
    found = document(planner("validate", str(runs), "--json"))
    assert found["errors"] == []
    errors = [run["step_s"]["error"] for run in found["runs"]]
    assert len(errors) == 6
    assert max(map(abs, errors)) < 0.1
    without = tmp_path / "without.yaml"
    text = runs.read_text(encoding="utf-8").replace("step_s:", "oom: true, step_s:")
    without.write_text(re.sub("activation_offload: [0-9.]+, ", "", text), encoding="utf-8")
    found = document(planner("validate", str(without), "--json"))
    assert [run["fits"]["predicted"] for run in found["runs"]]


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


# DataStates/artifacts, MLP-Offload/README.md: DeepSpeed ZeRO-3 with optimizer states and gradients
# on the drives of a node with four H100, full recomputation, 2,048 tokens, seconds a step.
@pytest.mark.parametrize(
    ("layers", "hidden", "heads", "step_s"),
    [
        (128, 5120, 40, 242.3),
        (64, 8192, 64, 238.6),
        (80, 8192, 64, 370.6),
        (124, 8192, 64, 572.0),
        (96, 10240, 80, 550.4),
    ],
)
def test_states_on_drives_take_as_long_as_published(
    planner: Command, tmp_path: Path, layers: int, hidden: int, heads: int, step_s: float
) -> None:
    model = tmp_path / "model.yaml"
    model.write_text(
        f"{{name: m, architecture: gpt, num_layers: {layers}, hidden_size: {hidden}, "
        f"num_attention_heads: {heads}, vocab_size: 50304, seq_length: 2048}}\n",
        encoding="utf-8",
    )
    job = ("--cluster", "dgx-h100-16", "--devices", "4", "--model", str(model), "--software",
           "deepspeed", "--data-sharding", "full", "--recompute", "full", "--micro-batch-size", "1",
           "--global-batch-size", "4", "--optimizer-offload", "1")  # fmt: skip
    drives = estimated(planner, *job, "--offload-to", "nvme")["estimate"]
    assert drives["step_s"] == pytest.approx(step_s, rel=0.25)
    host = estimated(planner, *job)["estimate"]
    assert drives["memory"]["host"]["peak_bytes"] < host["memory"]["host"]["peak_bytes"]
    assert drives["step_s"] > host["step_s"]
    assert drives["memory"]["peak_bytes"] == host["memory"]["peak_bytes"]


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
