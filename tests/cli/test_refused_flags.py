"""What frameworks refuse, `planner check` refuses too: flags of Megatron-LM, pipelines of PyTorch,
mixtures in plain PyTorch. Defaults are the same by options and by script."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from planner.importers.deepspeed.refusals import Refusal, refusals, setting_problems
from planner.importers.megatron.flag_rules import FlagRule, flag_rules
from planner.importers.megatron.table import SWITCHES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

BASE = (
    "torchrun --nproc_per_node 8 pretrain_gpt.py --num-layers 8 --hidden-size 1024 "
    "--num-attention-heads 16 --seq-length 1024 --max-position-embeddings 1024 "
    "--micro-batch-size 1 --global-batch-size 64 --vocab-size 32000 --tokenizer-type NullTokenizer"
)
VALUES = {
    "--num-experts": "8",
    "--fp8-format": "hybrid",
    "--fp4-format": "e2m1",
    "--recompute-granularity": "selective",
    "--moe-router-num-groups": "2",
    "--moe-expert-capacity-factor": "1.0",
    "--num-layers-per-virtual-pipeline-stage": "1 --pipeline-model-parallel-size 4",
    "--decoder-first-pipeline-num-layers": "2 --pipeline-model-parallel-size 4",
    "--decoder-last-pipeline-num-layers": "2 --pipeline-model-parallel-size 4",
    "--account-for-embedding-in-pipeline-split": "--pipeline-model-parallel-size 4",
    "--account-for-loss-in-pipeline-split": "--pipeline-model-parallel-size 4",
    "--pipeline-model-parallel-layout": "'Ett|tt|tt|ttL' --pipeline-model-parallel-size 4",
    "--moe-ffn-hidden-size": "1024",
    "--moe-layer-freq": "1",
    "--moe-shared-expert-intermediate-size": "1024 --num-experts 8",
    "--recompute-method": "uniform",
    "--recompute-num-layers": "1",
    "--offload-modules": "core_attn",
    "--activation-func-clamp-value": "7.0",
    "--moe-router-group-topk": "1",
}


def words(flag: str) -> str:
    name, equals, value = flag.partition("=")
    return f"{name} {value}" if equals else f"{name} {VALUES.get(name, '')}".strip()


def messages(planner: Run, tmp_path: Path, flags: str) -> list[str]:
    path = tmp_path / "train.sh"
    path.write_text(f"{BASE} {flags}\n")
    done = planner("check", "--cluster=dgx-a100-8", str(path), "--json")
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)["plans"][0]["findings"]
    return [one["message"] for one in found if one["code"] == "PL121"]


def given(rule: FlagRule) -> str:
    name = rule.flag
    value = rule.values[0] if rule.values else "" if name in SWITCHES else VALUES.get(name, "")
    return " ".join([f"{name} {value}".strip(), *map(words, rule.where)])


@pytest.mark.parametrize("rule", flag_rules(), ids=lambda rule: rule.flag)
def test_a_flag_that_needs_or_excludes_others(planner: Run, tmp_path: Path, rule: FlagRule) -> None:
    alone = messages(planner, tmp_path, given(rule))
    for alternatives in rule.needs:
        wanted = f"needs {' or '.join(alternatives)}"
        assert any(rule.flag in one and wanted in one for one in alone)
        for alternative in alternatives:
            with_it = messages(planner, tmp_path, f"{given(rule)} {words(alternative)}")
            assert not any(rule.flag in one and wanted in one for one in with_it)
    for other in rule.excludes:
        name, _, value = other.partition("=")
        together = given(rule).replace(f"{name} ", f"{name} {value} ")
        if name != rule.flag:
            together = f"{given(rule)} {words(other)}"
        both = messages(planner, tmp_path, together)
        assert any(f"{rule.flag} is given too" in one for one in both)
        assert not any(f"{rule.flag} is given too" in one for one in alone)


EXPERTS = (
    "--bf16 --num-experts 8 --moe-ffn-hidden-size 1024 --moe-router-topk 2 --swiglu "
    "--disable-bias-linear --moe-grouped-gemm --moe-token-dispatcher-type alltoall"
)


@pytest.mark.parametrize(
    ("flags", "mended", "message"),
    [
        (
            f"{EXPERTS} --overlap-moe-expert-parallel-comm",
            "--expert-model-parallel-size 4",
            "needs an expert degree above 1",
        ),
        (
            f"{EXPERTS} --overlap-moe-expert-parallel-comm --expert-model-parallel-size 2 "
            "--pipeline-model-parallel-size 2",
            "--num-virtual-stages-per-pipeline-rank 2",
            "needs virtual stages where there is a pipeline",
        ),
        (
            f"{EXPERTS} --overlap-moe-expert-parallel-comm --expert-model-parallel-size 2 "
            "--mtp-num-layers 2",
            "--mtp-num-layers 1",
            "takes one layer of --mtp-num-layers at most",
        ),
        (
            "--bf16 --cpu-offloading --cpu-offloading-num-layers 2 "
            "--pipeline-model-parallel-size 2",
            "--pipeline-model-parallel-size 1",
            "and a pipeline exclude each other",
        ),
        (
            "--bf16 --cpu-offloading --cpu-offloading-num-layers 8",
            "--cpu-offloading-num-layers 7",
            "8 is not below the 8 layers of the model",
        ),
        (
            "--bf16 --cpu-offloading-num-layers 2 --recompute-granularity selective",
            "--cpu-offloading-num-layers 0",
            "and recomputation exclude each other",
        ),
    ],
)
def test_flags_that_hang_on_degrees_and_sizes(
    planner: Run, tmp_path: Path, flags: str, mended: str, message: str
) -> None:
    """The last flag of a name counts, so that a right one mends the command."""
    assert any(message in one for one in messages(planner, tmp_path, flags))
    assert not any(message in one for one in messages(planner, tmp_path, f"{flags} {mended}"))


def test_tensor_overlap_needs_sequence_parallelism(planner: Run, tmp_path: Path) -> None:
    overlap = "--bf16 --tp-comm-overlap --tensor-model-parallel-size"
    wanted = "needs --sequence-parallel"
    assert any(wanted in one for one in messages(planner, tmp_path, f"{overlap} 2"))
    assert any(
        wanted in one for one in messages(planner, tmp_path, f"{overlap} 1 --sequence-parallel")
    )
    assert messages(planner, tmp_path, f"{overlap} 2 --sequence-parallel") == []


@pytest.mark.parametrize("expert", ["1", "2"])
def test_experts_under_tensor_parallelism_need_sequence_parallelism(
    planner: Run, expert: str
) -> None:
    job = ("--cluster=dgx-h100-16", "--nodes=2", "--model=mixtral-8x7b", "--tensor=2",
           f"--expert={expert}", "--global-batch-size=64", "--sequence-parallel=off")  # fmt: skip
    for command in ("estimate", "search"):
        done = planner(command, *job)
        assert (done.code, done.stdout) == (2, "")
        assert "mixture of experts under tensor parallelism with sequence parallelism only" in (
            done.stderr
        )


@pytest.mark.parametrize(("batch", "code"), [(2, 2), (4, 0)])
def test_pytorch_wants_a_microbatch_for_every_stage(planner: Run, batch: int, code: int) -> None:
    done = planner(
        "estimate", "--cluster=dgx-h100-16", "--devices=32", "--model=llama-3-70b",
        "--software=torchtitan", "--tensor=8", "--pipeline=4", "--data=1", "--micro-batch-size=1",
        f"--global-batch-size={batch}", "--seq-length=8192",
    )  # fmt: skip
    assert done.code == code
    assert ("torchtitan needs at least as many microbatches as stages" in done.stderr) == (
        code == 2
    )


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (
            ("--model=gpt-1.7b", "--pipeline=2"),
            "torchtitan has no pipeline parallelism with tied embeddings",
        ),
        (
            ("--model=llama-3-70b", "--tensor=16"),
            "the tensor degree must divide the 8 key-value groups; found",
        ),
        (
            ("--model=deepseek-v3", "--pipeline=2", "--expert=16"),
            "torchtitan has no pipeline parallelism with layers that predict further tokens",
        ),
    ],
)
def test_what_torchtitan_does_not_combine(planner: Run, job: tuple[str, ...], message: str) -> None:
    """Megatron-LM does."""
    given = ("estimate", "--cluster=dgx-h100-16", "--nodes=4", "--micro-batch-size=1", *job)
    refused = planner(*given, "--software=torchtitan")
    assert refused.code == 2
    assert message in refused.stderr
    assert planner(*given, "--software=megatron-core").code in (0, 1)


def test_experts_in_a_loop_are_not_priced(planner: Run, tmp_path: Path) -> None:
    job = ("--cluster=dgx-a100-16", "--model=qwen3-30b-a3b", "--global-batch-size=16",
           "--software=deepspeed", "--data-sharding=full")  # fmt: skip
    for command in (("estimate",), ("search",), ("search", "--nodes=3")):
        done = planner(*command, *job)
        assert (done.code, done.stdout) == (2, "")
        assert "experts run in a loop of Python, whose time is not known" in done.stderr
    dense = planner("estimate", *job[:1], "--model=llama-3-8b", *job[2:])
    assert "loop" not in dense.stderr


@pytest.mark.parametrize(("flag", "option", "degree"), [("", "", 4),
                         ("--expert-tensor-parallel-size 2", "--expert-tensor=2", 2)])  # fmt: skip
def test_expert_tensor_is_the_same_by_options_and_by_script(
    planner: Run, tmp_path: Path, flag: str, option: str, degree: int
) -> None:
    """Megatron-LM splits experts over the tensor degree unless it is told otherwise."""
    path = tmp_path / "train.sh"
    path.write_text(
        f"{BASE} --bf16 --num-experts 8 --moe-ffn-hidden-size 1024 --moe-router-topk 2 --swiglu "
        f"--disable-bias-linear --tensor-model-parallel-size 4 --sequence-parallel {flag}\n"
    )
    by_script = json.loads(
        planner("estimate", "--cluster=dgx-a100-8", "--nodes=1", f"--plan={path}", "--json").stdout
    )
    model = tmp_path / "model.yaml"
    assert planner("import", "model", str(path), f"--output={model}").code == 0
    options = [one for one in (option,) if one]
    by_options = json.loads(
        planner("estimate", "--cluster=dgx-a100-8", "--nodes=1", f"--model={model}", "--tensor=4",
                "--sequence-parallel=on", *options, "--json").stdout
    )  # fmt: skip
    for document in (by_script, by_options):
        assert document["plans"][0]["degrees"]["expert_tensor"] == degree


def test_frameworks_without_that_default_keep_experts_whole(planner: Run) -> None:
    done = planner("estimate", "--cluster=dgx-h100-16", "--nodes=1", "--model=qwen3-30b-a3b",
                   "--software=torchtitan", "--tensor=2", "--global-batch-size=64",
                   "--json")  # fmt: skip
    assert json.loads(done.stdout)["plans"][0]["degrees"]["expert_tensor"] == 1


DEEPSPEED = {"train_batch_size": 64, "train_micro_batch_size_per_gpu": 1}


def of_deepspeed(planner: Run, tmp_path: Path, tree: dict[str, Any]) -> list[dict[str, Any]]:
    path = tmp_path / "ds.json"
    path.write_text(json.dumps({**DEEPSPEED, **tree}, indent=1))
    done = planner("check", "--cluster=dgx-a100-8", "--model=llama-2-7b", str(path), "--json")
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)["plans"][0]["findings"]
    return [one for one in found if one["code"] == "PL121"]


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} as {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        at = tree
        *path, last = key.split(".")
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return tree


def breaking(rule: Refusal) -> dict[str, Any]:
    """Settings that break a rule of DeepSpeed."""
    values = {"on": True, "off": False}
    found: dict[str, Any] = {}
    for key, wanted in rule.when.items():
        if not isinstance(wanted, str):
            found[key] = wanted[0]
        elif wanted in values:
            found[key] = values[wanted]
        elif wanted.startswith("none of "):
            found[key] = "another"
        else:
            word, _, limit = wanted.partition(" ")
            found[key] = int(limit) + 1 if word == "above" else float(limit) - 0.5
    return {key: value for key, value in found.items() if value is not False or key in MANAGED}


MANAGED = "managed_gradient_accumulation"


def test_settings_that_deepspeed_refuses(planner: Run, tmp_path: Path) -> None:
    """Each rule is broken by what it names, at the line of its key, and not without one of them."""
    rules, defaults = refusals()
    for index in (0, 5, 14, 20, len(rules) - 1):
        rule, settings = rules[index], breaking(rules[index])
        found = of_deepspeed(planner, tmp_path, nested(settings))
        assert [one["message"] for one in found] == [f"{rule.at}: {rule.says}"], rule
        line = found[0]["line"]
        key = rule.at.rpartition(".")[2]
        assert key in (tmp_path / "ds.json").read_text().splitlines()[line - 1]
    for rule in rules:
        settings = breaking(rule)
        for key in settings:
            rest = nested({one: value for one, value in settings.items() if one != key})
            still = [one for one in setting_problems(rest) if one.field == rule.at]
            assert not still or settings[key] == defaults.get(key), (rule, key)
        assert rule.at in [one.field for one in setting_problems(nested(settings))], rule


def test_what_deepspeed_keeps_in_16_bits_is_said(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "ds.json"
    low = {"enabled": True, "bf16_master_weights_and_grads": True}
    path.write_text(json.dumps({**DEEPSPEED, "bf16": low, "zero_optimization": {"stage": 1}}))
    done = planner("estimate", "--cluster=dgx-a100-8", "--model=llama-2-7b", f"--plan={path}")
    assert "bf16.bf16_master_weights_and_grads: the optimizer is planned for with" in done.stderr
