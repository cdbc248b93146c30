"""`planner improve`: changes of a launch script, and what they promise."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome
    from tests.conftest import Golden

    Run = Callable[..., Outcome]

CLUSTER = ("--cluster", "dgx-a100-8")
MODEL = (
    "--num-layers 16 --hidden-size 4096 --ffn-hidden-size 11008 --num-attention-heads 32 "
    "--seq-length 4096 --max-position-embeddings 4096 --swiglu --disable-bias-linear "
    "--normalization RMSNorm --position-embedding-type rope --use-flash-attn "
    "--untie-embeddings-and-output-weights --vocab-size 32000"
)
REST = "--use-distributed-optimizer --overlap-grad-reduce --overlap-param-gather --bf16 --lr 1e-4"
LAUNCH = "torchrun --nproc-per-node 8 --nnodes 2 pretrain_gpt.py"

CONTINUED = f"""\
#!/bin/bash
# how we train
{LAUNCH} \\
  {MODEL} \\
  --tensor-model-parallel-size 8 \\
  --pipeline-model-parallel-size 2 \\
  --micro-batch-size 1 --global-batch-size 64 \\
  --recompute-granularity full \\
  --recompute-method uniform \\
  --recompute-num-layers 1 \\
  {REST} \\
  --sequence-parallel
echo done
"""
ARRAYS = f"""\
GPUS=8
TP=8
PP=${{PP:-1}}
MICRO=2
NAME=ours-tp${{TP}}-pp$PP
MODEL=(
    {MODEL}
)
PARALLEL=(
    --tensor-model-parallel-size $TP  # inside a node
    --pipeline-model-parallel-size ${{PP}}
    --context-parallel-size 1
    --recompute-granularity selective --recompute-modules core_attn mlp
)
torchrun --nproc-per-node $GPUS --nnodes 2 pretrain_gpt.py "${{MODEL[@]}}" "${{PARALLEL[@]}}" \\
    --micro-batch-size $MICRO --global-batch-size 64 {REST} --save /ckpt/$NAME
"""
QUOTED = f"""\
model_args="{MODEL}"
run="--tensor-model-parallel-size=4 \\
 --pipeline-model-parallel-size 4 --num-layers-per-virtual-pipeline-stage 4 \\
 --micro-batch-size 1 --global-batch-size 64 --sequence-parallel"
run="$run {REST} --recompute-activations"
srun bash -c "{LAUNCH} $model_args $run"
"""
ONE_LINE = (
    f"{LAUNCH} {MODEL} --tensor-model-parallel-size 2 --micro-batch-size 1 "
    f"--global-batch-size 64 --recompute-granularity full --recompute-method block "
    f"--recompute-num-layers 4 {REST}\n"
)
MIXTURE = f"""\
EP=1
{LAUNCH} --num-layers 8 --hidden-size 2048 --ffn-hidden-size 8192 --num-attention-heads 16 \\
    --seq-length 4096 --max-position-embeddings 4096 --swiglu --disable-bias-linear \\
    --normalization RMSNorm --position-embedding-type rope --use-flash-attn --vocab-size 32000 \\
    --num-experts 16 --moe-router-topk 2 --moe-ffn-hidden-size 4096 --moe-grouped-gemm \\
    --tensor-model-parallel-size 4 \\
    --expert-model-parallel-size $EP \\
    --sequence-parallel \\
    --micro-batch-size 1 --global-batch-size 128 {REST}
"""
SCRIPTS = {
    "continued": CONTINUED,
    "arrays": ARRAYS,
    "quoted": QUOTED,
    "one-line": ONE_LINE,
    "mixture": MIXTURE,
}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        Path("train.sh").write_text(text)
        return tmp_path / "train.sh"

    return write


def improved(planner: Run, *more: str) -> dict[str, Any]:
    told = planner("improve", "train.sh", *CLUSTER, "--json", *more)
    assert told.code == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def estimated(planner: Run, *more: str) -> dict[str, Any]:
    told = planner("estimate", *CLUSTER, "--plan", "train.sh", "--json", *more)
    assert told.code == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
@pytest.mark.parametrize("style", list(SCRIPTS))
def test_the_changes_applied_are_the_plan_promised(
    planner: Run, script: Callable[[str], Path], style: str
) -> None:
    """By `patch` as by --write; the job and all that is no decision of the plan stay."""
    path = script(SCRIPTS[style])
    before = estimated(planner)
    promise = improved(planner)
    assert promise["better"], style
    assert path.read_text() == SCRIPTS[style]
    now, then = promise["comparison"]["plans"]
    assert now["step_s"] == before["plans"][0]["estimate"]["step_s"]
    subprocess.run(["patch", "-p0"], input=promise["diff"], text=True, check=True)
    patched = path.read_text()
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    after = estimated(planner)
    estimate = after["plans"][0]["estimate"]
    assert estimate["step_s"] == then["step_s"] < now["step_s"]
    assert estimate["memory"]["fits"]
    assert promise["gain"] == pytest.approx(1 - then["step_s"] / now["step_s"])
    assert promise["gain_low"] < promise["gain"] < promise["gain_high"]
    for key in ("devices", "global_batch_size", "seq_length", "precision", "software"):
        assert after["inputs"]["job"][key] == before["inputs"]["job"][key]

    path.write_text(SCRIPTS[style])
    assert planner("improve", "train.sh", *CLUSTER, "--write").code == 0
    assert path.read_text() == patched


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize(
    "last",
    [
        "--recompute-granularity full --recompute-method uniform --recompute-num-layers 1",
        "--recompute-granularity full \\\n  --recompute-method uniform --recompute-num-layers 1",
        "--recompute-granularity full \\\n --recompute-method uniform \\\n --lr 1 "
        "--recompute-num-layers 1",
    ],
)
def test_a_command_ends_where_its_last_flags_go(
    planner: Run, script: Callable[[str], Path], last: str, end: str
) -> None:
    """What follows the command is not drawn into it."""
    follows = "echo --tensor-model-parallel-size 3\n" if end else ""
    path = script(
        f"{LAUNCH} {MODEL} {REST} \\\n  --tensor-model-parallel-size 8 \\\n"
        f"  --micro-batch-size 1 --global-batch-size 64 \\\n  {last}{end}{follows}"
    )
    promise = improved(planner)
    subprocess.run(["patch", "-p0"], input=promise["diff"], text=True, check=True)
    text = path.read_text()
    assert "--recompute" not in text
    assert text.endswith(follows)
    ran = subprocess.run(
        ["bash", "-c", f"torchrun() {{ echo ran; }}; . {path}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == ["ran", *(["--tensor-model-parallel-size 3"] if end else [])]
    then = promise["comparison"]["plans"][1]
    assert estimated(planner)["plans"][0]["estimate"]["step_s"] == then["step_s"]


SMALL = (
    "--num-layers 24 --hidden-size 2048 --num-attention-heads 16 --vocab-size 51200 "
    "--seq-length 2048 --max-position-embeddings 2048 --bf16 --global-batch-size 64"
)
ONE_NODE = f"torchrun --nproc-per-node 8 pretrain_gpt.py {SMALL}"
SEVERAL = {
    "train.sh": "export TP=8\nbash inner.sh 1\n",
    "inner.sh": 'HERE="$(cd "$(dirname "$0")" && pwd)"\n[ -f "$HERE/conf/sizes.sh" ] && '
    f'. "$HERE/conf/sizes.sh"\n{ONE_NODE} --tensor-model-parallel-size $TP \\\n'
    "  --micro-batch-size ${MICRO} $(cat flags.txt)\n",
    "conf/sizes.sh": "# sizes\nexport MICRO=1\n",
    "flags.txt": "--recompute-granularity full\n--recompute-method uniform\n"
    "--recompute-num-layers 1\n--sequence-parallel\n",
}
"""A script that runs another, which sources a file and takes flags from a third."""


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch")
def test_changes_reach_the_files_that_a_script_reads(
    planner: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The diff names each file; what it promises is the estimate once all of them are changed."""
    monkeypatch.chdir(tmp_path)

    def laid_out() -> None:
        for name, text in SEVERAL.items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(text)

    laid_out()
    promise = improved(planner)
    assert promise["files"] == ["train.sh", "conf/sizes.sh", "flags.txt"]
    assert [line[4:] for line in promise["diff"].splitlines() if line.startswith("+++ ")] == (
        promise["files"]
    )
    assert "flags.txt changes for every script that reads it" in promise["look_at"]
    subprocess.run(["patch", "-p0"], input=promise["diff"], text=True, check=True)
    step_s = estimated(planner)["plans"][0]["estimate"]["step_s"]
    assert step_s == promise["comparison"]["plans"][1]["step_s"]
    patched = {name: Path(name).read_text() for name in SEVERAL}
    laid_out()
    assert planner("improve", "train.sh", *CLUSTER, "--write").code == 0
    assert {name: Path(name).read_text() for name in SEVERAL} == patched


@pytest.mark.parametrize("around", ["the current folder", "a repository", "neither"])
@pytest.mark.parametrize(
    "read", ["source ../env.sh", '. "$(cd "$(dirname "$0")/.." && pwd)/env.sh"']
)
def test_files_above_a_script_are_read_within_its_project(
    planner: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, around: str, read: str
) -> None:
    """And changed there: in the git repository of the script, and below the current folder."""
    small = "--num-layers 4 --hidden-size 1024 --num-attention-heads 16 --vocab-size 32000"
    (tmp_path / "jobs").mkdir()
    (tmp_path / "env.sh").write_text("MICRO=1\n")
    (tmp_path / "jobs" / "train.sh").write_text(
        f"{read}\ntorchrun --nproc-per-node 8 pretrain_gpt.py {small} --seq-length 2048 --bf16 "
        "--max-position-embeddings 2048 --global-batch-size 64 --use-flash-attn "
        "--use-distributed-optimizer --micro-batch-size ${MICRO}\n"
    )
    inside = around == "the current folder"
    monkeypatch.chdir(tmp_path if inside else tmp_path / "jobs")
    if around == "a repository":
        (tmp_path / ".git").mkdir()
    told = planner("improve", "jobs/train.sh" if inside else "train.sh", *CLUSTER, "--write")
    if around == "neither":
        assert (told.code, told.stdout) == (2, "")
        assert "--micro-batch-size is unknown" in told.stderr
        return
    assert told.code == 0, told.stderr
    assert ("+++ env.sh" if inside else "+++ ../env.sh") in told.stdout
    assert (tmp_path / "env.sh").read_text() != "MICRO=1\n"


def test_the_report(planner: Run, script: Callable[[str], Path], golden: Golden) -> None:
    script(ARRAYS)
    told = planner("improve", "train.sh", *CLUSTER)
    assert told.code == 0, told.stderr
    golden.check("improve.txt", told.stdout)
    assert "TP changes and is also used on line 5" in told.stdout
    script(CONTINUED)
    golden.check("improve-continued.txt", planner("improve", "train.sh", *CLUSTER).stdout)


@pytest.mark.parametrize("style", ["one-line", "mixture"])
def test_the_best_script_stays(planner: Run, script: Callable[[str], Path], style: str) -> None:
    path = script(SCRIPTS[style])
    assert planner("improve", "train.sh", *CLUSTER, "--write").code == 0
    best = path.read_text()
    told = planner("improve", "train.sh", *CLUSTER, "--write")
    assert (told.code, path.read_text()) == (0, best)
    assert told.stdout.startswith("train.sh stays: no better plan was found for its job.")


def test_what_does_not_fit_is_made_to_fit(planner: Run, script: Callable[[str], Path]) -> None:
    script(ONE_LINE.replace("parallel-size 2", "parallel-size 1").replace("layers 16", "layers 64"))
    assert planner("estimate", *CLUSTER, "--plan", "train.sh").code == 1
    told = planner("improve", "train.sh", *CLUSTER, "--write")
    assert told.code == 0, told.stderr
    assert told.stdout.startswith("train.sh, as changed, fits: ")
    assert planner("estimate", *CLUSTER, "--plan", "train.sh").code == 0


def test_no_plan_fits(planner: Run, script: Callable[[str], Path]) -> None:
    script(ONE_LINE.replace("hidden-size 4096", "hidden-size 32768"))
    told = planner("improve", "train.sh", *CLUSTER)
    assert told.code == 1
    assert "no plan that fits was found for the job of train.sh" in told.stderr


BASE = f"""\
{{settings}}
{LAUNCH} {MODEL} \\
  --tensor-model-parallel-size {{tensor}} --pipeline-model-parallel-size 1 \\
  --micro-batch-size 1 --global-batch-size {{batch}} --sequence-parallel \\
  --recompute-granularity full --recompute-method uniform --recompute-num-layers 1 \\
  {REST}
"""


def sized(settings: str, tensor: str, batch: str = "64") -> str:
    return BASE.format(settings=settings, tensor=tensor, batch=batch)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            sized("HALF=4", "$((HALF*2))"),
            (),
            "error: train.sh:3:32: the value of --tensor-model-parallel-size is made of other "
            "values here",
        ),
        (
            sized("TP=8", "$TP", "$((TP*8))"),
            (),
            "error: train.sh:4:",
        ),
        (
            sized("", "$TP"),
            ("--set", "TP=8"),
            "error: train.sh:3:",
        ),
        (
            sized("", "4 --tensor-model-parallel-size 8"),
            (),
            "error: train.sh:3:34: --tensor-model-parallel-size is given a second time here",
        ),
        (
            sized(". ./computed.sh", "$TP"),
            (),
            "error: computed.sh:1:4: the value of --tensor-model-parallel-size is made of other "
            "values here",
        ),
        (
            sized(". ./windows.sh", "$TP"),
            (),
            "error: windows.sh: holds carriage returns",
        ),
        (
            sized("", "8").replace("\n", "\r\n"),
            (),
            "error: train.sh: holds carriage returns or control codes, which a change would lose",
        ),
        (
            '{"train_batch_size": 64, "zero_optimization": {"stage": 1},\n'
            ' "train_micro_batch_size_per_gpu": "auto", "bf16": {"enabled": true},\n'
            ' "gradient_accumulation_steps": 4}',
            ("--model", "gpt-1.7b", "--devices", "16"),
            "error: train.sh:2:36: train_micro_batch_size_per_gpu: would become",
        ),
    ],
)
def test_what_cannot_be_changed_safely_is_refused_with_its_place(
    planner: Run, script: Callable[[str], Path], text: str, options: tuple[str, ...], message: str
) -> None:
    path = script(text)
    Path("computed.sh").write_text("TP=$((4*2))\n")
    Path("windows.sh").write_bytes(b"TP=8\r\n")
    before = path.read_bytes()
    told = planner("improve", "train.sh", *CLUSTER, "--write", *options)
    assert (told.code, told.stdout) == (2, ""), told.stdout
    assert message in told.stderr
    assert path.read_bytes() == before


def test_standard_input_and_missing_files(planner: Run, script: Callable[[str], Path]) -> None:
    script("")
    assert "standard input cannot be changed" in planner("improve", "-", *CLUSTER).stderr
    assert planner("improve", "nowhere.sh", *CLUSTER).code == 2


def test_a_script_that_cannot_run_says_why(planner: Run, script: Callable[[str], Path]) -> None:
    script(sized("", "3"))
    told = planner("improve", "train.sh", *CLUSTER)
    assert told.code == 2
    assert told.stderr.splitlines()[-1].startswith("error: train.sh:3:")


def test_a_script_that_is_read_only(planner: Run, script: Callable[[str], Path]) -> None:
    path = script(ONE_LINE)
    Path("folder").mkdir()
    path.rename("folder/train.sh")
    told = planner("improve", "folder/train.sh", *CLUSTER, "--write")
    assert told.code == 0
    assert sorted(one.name for one in Path("folder").iterdir()) == ["train.sh"]


def test_plans_with_room_where_the_fastest_are_all_tight(planner: Run, tmp_path: Path) -> None:
    """A 13B model on 16 nodes: a dozen plans are faster than any that surely fits."""
    script = tmp_path / "train.sh"
    sizes = MODEL.replace("16 --hid", "40 --hid").replace("4096 --ffn-hidden-size 11008", "5120 "
        "--ffn-hidden-size 13824").replace("heads 32", "heads 40")  # fmt: skip
    degrees = "--tensor-model-parallel-size 8 --pipeline-model-parallel-size 2 --sequence-parallel"
    script.write_text(
        f"{LAUNCH.replace('--nnodes 2', '--nnodes 16')} {sizes} {degrees} {REST} "
        "--micro-batch-size 1 --global-batch-size 512\n"
    )
    done = planner("improve", str(script), "--cluster=dgx-a100-16", "--json")
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["better"]
    assert found["gain"] > 0.2
    assert 1 <= sum("fits tightly" in one for one in found["left_out"]) <= 3


@pytest.mark.parametrize(
    "text",
    [
        '{\n  "train_batch_size": 64,\n  "train_micro_batch_size_per_gpu": 1,\n'
        '  "gradient_accumulation_steps": 8,\n  "bf16": {"enabled": true},\n'
        '  "zero_optimization": {\n    "stage": 3\n  }\n}\n',
        '{"train_batch_size": 64, "gradient_accumulation_steps": 8, "bf16": {"enabled": true},\n'
        ' "zero_optimization": {"stage": 3}}',
    ],
)
def test_a_deepspeed_configuration_is_improved_where_its_values_stand(
    planner: Run, tmp_path: Path, text: str
) -> None:
    """A small model under ZeRO-3 has room for more; what the changed file promises is its estimate,
    and everything else in it stays."""
    path = tmp_path / "ds.json"
    path.write_text(text)
    job = ("--cluster=dgx-a100-8", "--devices=8", "--model=gpt-1.7b")
    done = planner("improve", str(path), *job, "--write", "--json")
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["better"]
    assert found["gain"] > 0.02
    changed = json.loads(path.read_text())
    before = json.loads(text)
    assert changed["zero_optimization"]["stage"] < 3 or (
        changed["train_micro_batch_size_per_gpu"] > 1
    )
    assert changed["bf16"] == before["bf16"]
    assert changed["train_batch_size"] == 64
    again = planner("estimate", f"--plan={path}", *job, "--json")
    assert again.code == 0, again.stderr
    step_s = json.loads(again.stdout)["plans"][0]["estimate"]["step_s"]
    assert found["comparison"]["plans"][1]["step_s"] == pytest.approx(step_s, rel=1e-6)
    assert path.read_text().count("\n") == text.count("\n")
