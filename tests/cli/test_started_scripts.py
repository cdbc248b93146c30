"""Launch scripts as they are started: with arguments, by a wrapper, with placeholders left in, with
variables that nobody set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

SIZES = (
    "--num-layers 8 --hidden-size 1024 --num-attention-heads 16 --seq-length 1024 "
    "--max-position-embeddings 1024 --micro-batch-size 1 --global-batch-size 64 --bf16"
)
VOCABULARY = "--vocab-size 32000 --tokenizer-type NullTokenizer"
TRAIN = f"torchrun --nproc_per_node 8 pretrain_gpt.py {SIZES} {VOCABULARY}"
DEGREES = "--tensor-model-parallel-size $TP --pipeline-model-parallel-size $PP"
BY_ARGUMENTS = f"TP=$1; PP=$2\n{TRAIN} {DEGREES}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def estimate(planner: Run, path: str, *options: str) -> Outcome:
    return planner("estimate", "--cluster=dgx-a100-8", "--nodes=1", f"--plan={path}", *options)


@pytest.mark.parametrize("options", [("--args=4 2",), ("--set=1=4,2=2",), ("--args=4 '2' x",)])
def test_arguments(planner: Run, folder: Path, options: tuple[str, ...]) -> None:
    (folder / "train.sh").write_text(BY_ARGUMENTS)
    done = estimate(planner, "train.sh", *options)
    assert (done.code, "Fits, t4 p2 d1" in done.stdout) == (0, True), done.stderr
    assert planner("check", "--cluster=dgx-a100-8", "train.sh", *options).code == 0
    assert planner("import", "model", "train.sh", *options).code == 0


def test_an_argument_that_is_not_given(planner: Run, folder: Path) -> None:
    (folder / "train.sh").write_text(BY_ARGUMENTS)
    done = estimate(planner, "train.sh", "--args=4")
    assert done.code == 2
    assert (
        "train.sh:1:11: the value of --pipeline-model-parallel-size is unknown: argument 2 of"
        in (done.stderr)
    )
    assert '--args "…"' in done.stderr
    assert "--args: no closing quotation" in estimate(planner, "train.sh", "--args='4").stderr


@pytest.mark.parametrize(
    ("condition", "decides", "hint"),
    [
        ("[ $1 = fp16 ]", "argument 1 of the script", 'give the arguments with --args "…"'),
        ("[ $PR = fp16 ]", "argument 2 of the script", 'give the arguments with --args "…"'),
        ("[ $MODE -gt 3 ]", "$MODE", "give --set MODE=…, or write it in the file"),
        ("[ $LATER = 1 ]", "$MODE", "give --set MODE=…, or write it in the file"),
        ("[ -f checkpoint ]", "only the run", "give the variable's value with --set NAME=VALUE"),
    ],
)
def test_what_decides_about_a_flag(
    planner: Run, folder: Path, condition: str, decides: str, hint: str
) -> None:
    """A flag in one branch only: the message names what to give, also by way of an earlier
    condition."""
    (folder / "train.sh").write_text(
        "PR=$2\nif [ $MODE -gt 3 ]; then LATER=1; else LATER=2; fi\n"
        f"if {condition}; then O=--use-distributed-optimizer; fi\n{TRAIN} $O\n"
    )
    done = estimate(planner, "train.sh")
    assert done.code == 2
    assert f"on line 3, which {decides} decides; {hint}" in done.stderr


@pytest.mark.parametrize(
    "wrapper",
    [
        "bash train.sh 4 2\n",
        "./train.sh 4 2\n",
        "export A=1\nsrun -N 1 --ntasks-per-node=1 bash -x train.sh 4 2\n",
        "sbatch --nodes 1 train.sh 4 2\n",
        "P=2\nsh train.sh 4 $P\n",
        f"set -- 4 2\n{BY_ARGUMENTS}",
        "source train.sh 4 2\n",
        "if [ $# -gt 0 ]; then bash wrapper.sh; fi\nbash train.sh 4 2\nbash wrapper.sh\n",
    ],
)
def test_the_call_of_a_wrapper_is_followed(planner: Run, folder: Path, wrapper: str) -> None:
    (folder / "train.sh").write_text(BY_ARGUMENTS)
    (folder / "wrapper.sh").write_text(wrapper)
    done = estimate(planner, "wrapper.sh")
    assert "Fits, t4 p2 d1" in done.stdout, done.stderr


def test_a_script_that_is_no_shell_is_only_a_note(planner: Run, folder: Path) -> None:
    (folder / "download.sh").write_text("if then (\n")
    (folder / "train.sh").write_text(f"bash download.sh x\nbash missing.sh\n{TRAIN}\n")
    done = planner("import", "model", "train.sh")
    assert done.code == 0
    assert "download.sh (run on line 1)" in done.stderr


@pytest.mark.parametrize(
    ("guard", "message"),
    [
        ('if [ -z "$WORK" ]; then exit 1; fi', "1:25: the script exits here before it trains as "
         "WORK is not set; give --set WORK=…"),
        ('[[ -z $WORK ]] && { echo no; exit 1; }', "as WORK is not set"),
        ("if [ $# -lt 2 ]; then exit 1; fi", 'as arguments of the script are not set; give --args'),
        ('if [ -z "$1" ]; then exit 1; fi', 'as arguments of the script are not set; give --args'),
        ("exit 0", "1:1: the script exits here before it trains\n"),
    ],
)  # fmt: skip
def test_a_guard_that_ends_the_script(planner: Run, folder: Path, guard: str, message: str) -> None:
    (folder / "train.sh").write_text(f"{guard}\n{TRAIN}\n")
    done = planner("import", "model", "train.sh")
    assert done.code == 2
    assert f"train.sh:{message}" in done.stderr or message in done.stderr
    if "WORK" in guard:
        assert planner("import", "model", "train.sh", "--set=WORK=/w").code == 0
    if "$#" in guard:
        assert planner("import", "model", "train.sh", "--args=a b").code == 0


@pytest.mark.parametrize(
    "line",
    [
        "LOAD=<Specify path>\n@ --load $LOAD",
        "LOAD=<Specify path to file>/vocab.json\n@ --load $LOAD",
        "@ --load <CHECKPOINT_PATH> --save <path to save>",
        "@ --data-path <data>/text_document",
        "export WANDB_API_KEY=<your key, please>; @",
    ],
)
def test_placeholders_are_unknown_values(planner: Run, folder: Path, line: str) -> None:
    (folder / "train.sh").write_text(line.replace("@", TRAIN) + "\n")
    assert planner("import", "model", "train.sh").code == 0


def test_a_placeholder_where_a_number_is_needed(planner: Run, folder: Path) -> None:
    (folder / "train.sh").write_text(f"TP=<tensor degree>\nPP=2\n{TRAIN} {DEGREES}\n")
    done = planner("import", "model", "train.sh")
    assert done.code == 2
    assert "the value of --tensor-model-parallel-size is the placeholder <tensor degree>" in (
        done.stderr
    )


def test_redirections_stay_redirections(planner: Run, folder: Path) -> None:
    script = f"read A <in >out\ncat <<EOF >x\n{TRAIN}\nEOF\n{TRAIN} < in > out 2>&1 <in>>x\n"
    (folder / "train.sh").write_text(script)
    assert planner("import", "model", "train.sh").code == 0


def test_a_tokenizer_nobody_knows_beside_a_vocabulary(planner: Run, folder: Path) -> None:
    (folder / "train.sh").write_text(
        f"torchrun pretrain_gpt.py {SIZES} --tokenizer-type $T --tokenizer-model $M\n"
    )
    assert planner("import", "model", "train.sh").code == 2
    assert planner("import", "model", "train.sh", "--vocab-size=32000").code == 0
    (folder / "train.sh").write_text(
        f"torchrun pretrain_gpt.py {SIZES} --tokenizer-type $T --vocab-size 32000\n"
    )
    assert planner("import", "model", "train.sh").code == 0


def test_eval_of_several_commands(planner: Run, folder: Path) -> None:
    (folder / "train.sh").write_text(f'CMD="cd /x && {TRAIN} 2>&1 | tee log"\neval $CMD\n')
    assert planner("import", "model", "train.sh").code == 0


def test_a_file_of_flags(planner: Run, folder: Path) -> None:
    """One a line, with a pattern of layers that a shell would want in quotes."""
    flags = f"{SIZES} {VOCABULARY} --num-experts 64 --moe-ffn-hidden-size 512 --moe-router-topk 6"
    lines = flags.replace(" --", "\n--") + "\n# dense first\n--moe-layer-freq ([0]+[1]*7)\n"
    (folder / "flags.txt").write_text(lines)
    (folder / "train.sh").write_text(f"torchrun pretrain_gpt.py {flags} --moe-layer-freq "
                                     "'([0]+[1]*7)'\n")  # fmt: skip
    one, other = (
        planner("import", "model", name, "--name=m") for name in ("flags.txt", "train.sh")
    )
    assert one.code == 0, one.stderr
    assert one.stdout.split("name: m")[1] == other.stdout.split("name: m")[1]
    assert "first_dense_layers: 1" in one.stdout


def test_expert_tensor_of_a_dense_model(planner: Run, folder: Path) -> None:
    (folder / "train.sh").write_text(
        f"{TRAIN} --tensor-model-parallel-size 2 --expert-tensor-parallel-size 4\n"
    )
    done = estimate(planner, "train.sh")
    assert done.code == 0, done.stderr
    assert "--expert-tensor-parallel-size has no effect in a dense model" in " ".join(
        done.stdout.split()
    )


def test_a_model_whose_flags_are_all_in_a_sourced_file(planner: Run, folder: Path) -> None:
    (folder / "args.sh").write_text(f'ARGS=({SIZES} {VOCABULARY} --moe-layer-freq "([0]+[1]*7)"\n'
                                    "  --num-experts 4 --moe-router-topk 2)\n")  # fmt: skip
    (folder / "train.sh").write_text(
        'source args.sh\nCMD="torchrun --nproc_per_node 8 pretrain_gpt.py ${ARGS[*]}"\n'
        "cd $HOME && eval $CMD\n"
    )
    done = planner("import", "model", "train.sh")
    assert done.code == 0, done.stderr
    assert "first_dense_layers: 1" in done.stdout
