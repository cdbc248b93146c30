"""`planner export` from a plan file to files, with everything that can be wrong with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner.specs.files.catalog import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.exporters.conftest import Outcome

    Run = Callable[..., Outcome]

EVERYTHING = {
    "megatron-lm.txt",
    "megatron-lm.sh",
    "megatron-lm.yaml",
    "megatron-bridge.txt",
    "nemo.py",
    "slurm.sh",
    "torchrun.sh",
    "mpi.rankfile",
    "kubernetes-trainjob.yaml",
    "kubernetes-pytorchjob.yaml",
    "kubernetes-jobset.yaml",
    "ranks.csv",
    "verify_placement.py",
}


@pytest.fixture
def plan(planner: Run, tmp_path: Path) -> str:
    """A plan file of `planner estimate`, with one plan of two uneven stages."""
    written = planner(
        *("estimate", "--cluster", "dgx-h100-16", "--model", "llama-3-8b", "--nodes", "2"),
        *("--tensor", "4", "--pipeline", "2", "--data", "2", "--stage-layers", "17,15", "--json"),
    )
    assert written.code == 0
    path = tmp_path / "plan.json"
    path.write_text(written.stdout)
    return str(path)


UNSTATED = (
    "note: not exported, as model files do not state them: rotary base (--rotary-base); rope "
    "scaling (--use-rope-scaling); norm epsilon (--norm-epsilon); initialisation "
    "(--init-method-std); give those of llama-3-8b\n"
)
"""What a model file of a Llama lacks and Megatron-LM needs."""


def test_to_stdout_or_to_a_file(planner: Run, plan: str, tmp_path: Path) -> None:
    printed = planner("export", plan, "--format", "megatron-lm")
    assert (printed.code, printed.stderr) == (0, UNSTATED)
    assert "--pipeline-model-parallel-layout 'Et*17|t*15L' \\\n" in printed.stdout
    path = tmp_path / "arguments.txt"
    written = planner("export", f"{plan}#1", "--format", "megatron-lm", "-o", str(path))
    assert (written.code, written.stdout, written.stderr) == (0, "", UNSTATED)
    assert path.read_text() == printed.stdout


def test_all_writes_what_can_be_expressed_and_names_the_rest(
    planner: Run, plan: str, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "launch"
    first = planner("export", plan, "--format", "all", "-o", str(folder))
    assert (first.code, first.stdout) == (0, "")
    assert {path.name for path in folder.iterdir()} == EVERYTHING
    said, *notes = first.stderr.splitlines(keepends=True)
    assert said == UNSTATED
    assert len(notes) == 6
    assert notes[0].startswith("note: no deepspeed.json: DeepSpeed cannot express stages: ")
    assert notes[1].startswith("note: no torchtitan.py: torchtitan cannot express job.software: ")
    assert notes[2].startswith(
        "note: no automodel.yaml: NeMo AutoModel cannot express job.software"
    )
    assert notes[3].startswith("note: no accelerate.yaml: Accelerate cannot express job.software")
    assert notes[4].startswith("note: no torch-pipelining.csv: torch-pipelining cannot express job")
    assert notes[5].startswith("note: cluster dgx-h100-16 names no hosts; h100-0 and so on are ")
    bytes_before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert planner("export", plan, "--format", "all", "-o", str(folder)).code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == bytes_before


def test_styles(planner: Run, plan: str) -> None:
    shell = planner("export", plan, "--format", "megatron-lm", "--style", "shell")
    assert "MEGATRON_ARGS=(" in shell.stdout
    jobset = planner("export", plan, "--format", "kubernetes", "--style", "jobset")
    assert "kind: JobSet" in jobset.stdout


def test_hosts_get_the_names_of_a_file(planner: Run, plan: str, tmp_path: Path) -> None:
    names = tmp_path / "hosts"
    names.write_text("gpu-a  # rack 1\ngpu-b\n")
    named = planner("export", plan, "--format", "ranks", "--hosts", str(names))
    assert (named.code, named.stderr) == (0, "")
    assert named.stdout.splitlines()[9].startswith("8,gpu-b,0,")
    names.write_text("gpu-a\n")
    short = planner("export", plan, "--format", "ranks", "--hosts", str(names))
    assert (short.code, short.stderr) == (
        2,
        "error: --hosts: 1 host names for the 2 hosts of the plan\n",
    )
    names.write_text("gpu-a\n$(reboot)\n")
    hostile = planner("export", plan, "--format", "slurm", "--hosts", str(names))
    assert (hostile.code, hostile.stderr) == (
        2,
        f"error: {names}:2:1: '$(reboot)' is not a host name: a host name is 1 to 253 letters, "
        "digits and . - _, and begins with a letter or digit\n",
    )


def test_a_changed_model_is_no_longer_the_plans(planner: Run, plan: str, tmp_path: Path) -> None:
    changed = tmp_path / "llama-3-8b.yaml"
    shutil.copy(resolve("model", "llama-3-8b"), changed)
    same = planner("export", plan, "--format", "ranks", "--model", str(changed))
    assert same.code == 0
    changed.write_text(changed.read_text() + "# one more line\n")
    other = planner("export", plan, "--format", "ranks", "--model", str(changed))
    assert other.code == 2
    assert other.stderr.startswith(f"error: {plan}#1 was made for model llama-3-8b (sha256 ")
    assert ", found llama-3-8b (sha256 " in other.stderr
    assert other.stdout == ""


def test_a_plan_of_a_file_needs_the_file(planner: Run, plan: str, tmp_path: Path) -> None:
    document = json.loads(Path(plan).read_text())
    document["inputs"]["cluster"]["name"] = "our-cluster"
    path = tmp_path / "ours.json"
    path.write_text(json.dumps(document))
    found = planner("export", str(path), "--format", "ranks")
    assert (found.code, found.stderr) == (
        2,
        f"error: {path}: the plan was made for cluster our-cluster, which is not shipped; say "
        "where its file is with --cluster\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "megatron"), "did you mean megatron-lm?"),
        (("--format", "ranks", "--style", "yaml"), "--style: ranks is written in one way only"),
        (("--format", "megatron-lm", "--style", "jobset"), "--style: 'jobset' is not one of"),
        (("--format", "all"), "--format all writes files; name their folder with --output"),
        (("--format", "all", "--style", "yaml", "-o", "x"), "--format all writes every style"),
        (("--format", "deepspeed"), "DeepSpeed cannot express stages: "),
        (("--format", "ranks", "-o", "/no/such/folder/x"), "there is no folder"),
        ((), "option '--format'"),
    ],
)
def test_wrong_options(planner: Run, plan: str, arguments: tuple[str, ...], message: str) -> None:
    found = planner("export", plan, *arguments)
    assert found.code == 2
    assert found.stdout == ""
    assert message in found.stderr
    assert found.stderr.startswith("error: ")


def test_a_folder_that_is_a_file(planner: Run, plan: str) -> None:
    found = planner("export", plan, "--format", "all", "-o", plan)
    assert found.code == 2
    assert found.stderr == f"error: --output: {plan!r} is no folder: file exists\n"


def test_a_plan_that_breaks_a_rule_is_not_exported(planner: Run, plan: str, tmp_path: Path) -> None:
    document = json.loads(Path(plan).read_text())
    document["plans"][0]["num_microbatches"] *= 2
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(document))
    found = planner("export", str(path), "--format", "megatron-lm")
    assert found.code == 2
    assert "the global batch has" in found.stderr


ALL_DENSE = """
architecture: mixtral
num_layers: 2
hidden_size: 1024
ffn_hidden_size: 4096
num_attention_heads: 8
vocab_size: 32000
moe: {num_experts: 8, top_k: 2, first_dense_layers: 2}
training: {global_batch_size: 64, seq_length: 1024, precision: bf16}
"""


def test_a_mixture_without_a_mixture_layer_reads_back(planner: Run, tmp_path: Path) -> None:
    model, plan, script = (str(tmp_path / name) for name in ("m.yaml", "plan.json", "run.txt"))
    Path(model).write_text(ALL_DENSE)
    cluster = ("--cluster", "dgx-h100-16")
    given = planner("estimate", *cluster, "--model", model, "--nodes", "1", "--json")
    Path(plan).write_text(given.stdout)
    assert (
        planner("export", plan, "--model", model, "--format", "megatron-lm", "-o", script).code == 0
    )
    read = planner("estimate", *cluster, "--plan", script, "--devices", "8", "--json")
    assert read.code == 0, read.stderr
    steps = [json.loads(one.stdout)["plans"][0]["estimate"]["step_s"] for one in (given, read)]
    assert steps[0] == pytest.approx(steps[1], rel=1e-6)


def test_a_script_runs_on_any_hosts_of_the_cluster(planner: Run, plan: str, tmp_path: Path) -> None:
    """As the plan does that it was exported from, which takes the best of more nodes."""
    script, hosts = str(tmp_path / "run.txt"), tmp_path / "hosts.txt"
    assert planner("export", plan, "--format", "megatron-lm", "-o", script).code == 0
    hosts.write_text("h100-14\nh100-3\n")
    read = planner(
        *("estimate", "--cluster", "dgx-h100-16", "--plan", script, "--devices", "16"),
        *("--hosts", str(hosts), "--json"),
    )
    assert read.code == 0, read.stderr
    assert json.loads(read.stdout)["plans"][0]["placement"]["hosts"] == ["h100-14", "h100-3"]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_gradient_types_of_a_job_read_back(
    planner: Run, tmp_path: Path, precision: str
) -> None:
    """In 32 bits whatever a profile does with 16-bit ones, in fp16 as fp16 jobs do unasked; a
    bucket holds as many of them."""
    plan, script = (str(tmp_path / name) for name in ("plan.json", "run.txt"))
    software = ("--software", "megatron-core-perf")
    given = planner(
        *("estimate", "--cluster", "dgx-h100-16", "--model", "llama-3-8b", "--nodes", "2"),
        *(*software, "--precision", precision, "--json"),
    )
    Path(plan).write_text(given.stdout)
    assert planner("export", plan, "--format", "megatron-lm", "-o", script).code == 0
    read = planner(
        *("estimate", "--cluster", "dgx-h100-16", "--plan", script, "--devices", "16"),
        *(*software, "--json"),
    )
    costs = [json.loads(one.stdout)["plans"][0]["estimate"] for one in (given, read)]
    assert costs[0]["time"] == costs[1]["time"]
    assert costs[0]["memory"] == costs[1]["memory"]


def test_extended_positions_read_back(planner: Run, tmp_path: Path) -> None:
    """A job with longer sequences than the model has learned positions gets rows for them."""
    plan, script = (str(tmp_path / name) for name in ("plan.json", "run.txt"))
    cluster = ("--cluster", "dgx-a100-8")
    job = ("--model", "gpt-7.5b", "--nodes", "2", "--tensor", "8", "--seq-length", "8192")
    given = planner("estimate", *cluster, *job, "--json")
    Path(plan).write_text(given.stdout)
    assert planner("export", plan, "--format", "megatron-lm", "-o", script).code == 0
    read = planner("estimate", *cluster, "--plan", script, "--devices", "16", "--json")
    costs = [json.loads(one.stdout)["plans"][0]["estimate"] for one in (given, read)]
    assert costs[0]["memory"] == costs[1]["memory"]
    assert costs[0]["time"] == costs[1]["time"]


def test_squared_relu_with_biases_reads_back(planner: Run, tmp_path: Path) -> None:
    """Megatron-LM fuses biases with GELU alone, and refuses the flag otherwise."""
    model = tmp_path / "persimmon.yaml"
    model.write_text(
        "{name: small, architecture: persimmon, num_layers: 4, hidden_size: 64, vocab_size: 999,"
        " num_attention_heads: 4, ffn_hidden_size: 256, seq_length: 512}"
    )
    job = ("--cluster", "dgx-a100-8", "--nodes", "1", "--software", "megatron-core")
    plans = tmp_path / "plans.json"
    asked = ("--model", str(model), "--micro-batch-size", "1", "--global-batch-size", "8")
    made = planner("estimate", *job, *asked, "--json")
    plans.write_text(made.stdout)
    flags = tmp_path / "megatron-lm.txt"
    assert planner("export", str(plans), "--format", "megatron-lm", "-o", str(flags)).code == 0
    again = planner("estimate", *job, "--plan", str(flags), "--json")
    assert again.code == 0, again.stderr
    steps = [json.loads(one.stdout)["plans"][0]["estimate"]["step_s"] for one in (made, again)]
    assert steps[1] == pytest.approx(steps[0], rel=1e-6)
