"""Megatron-LM commands: the model, every decision, and the place of every flag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from planner.errors import InputError
from planner.importers.megatron.launch import Launch
from planner.importers.megatron.script import launch_in, read_script
from planner.importers.source import source_of
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_software, parse_model
from planner.training.estimate import estimate
from planner.training.scenario import build_scenario
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.space.restrictions import Restrictions
from planner.workload.parameters import total_parameters

GPT = (
    "--num-layers 24 --hidden-size 1024 --num-attention-heads 16 --seq-length 2048 "
    "--max-position-embeddings 2048 --micro-batch-size 4 --global-batch-size 64 "
    "--vocab-size 51200 --bf16 "
)
MOE = GPT + "--num-experts 8 --swiglu --ffn-hidden-size 4096 "


def launch(text: str, **options: Any) -> Launch:
    return launch_in(source_of(text.encode(), "run.sh"), **options)


def parameters(found: Launch) -> int:
    return total_parameters(parse_model({"name": "model", **found.model}))


def test_gpt3_script(data: Path) -> None:
    found = read_script(data / "gpt3_175b.sh")
    assert parameters(found) == 174_604_259_328
    assert (found.tensor, found.pipeline, found.devices, found.data) == (8, 16, 1024, 8)
    assert (found.micro_batch_size, found.global_batch_size, found.precision) == (1, 1536, "fp16")
    assert (found.data_sharding, found.recompute, found.sequence_parallel) == (
        "none",
        "none",
        False,
    )
    assert found.training["seq_length"] == 2048
    assert "vocab_size 50257 (GPT2BPETokenizer: the GPT-2 vocabulary)" in found.notes.assumed
    assert any("rampup" in clause for clause in found.notes.left_out)
    place = found.place("tensor")
    assert (place.line, place.column) == (27, 31)


def test_deepseek_script_in_a_heredoc(data: Path) -> None:
    """The published 671,026,419,200 counts 58 · 256 routing corrections that are no parameters."""
    found = read_script(data / "deepseek_v3_sbatch.sh")
    assert parameters(found) == 671_026_419_200 - 58 * 256
    assert (found.expert, found.expert_tensor, found.devices) == (8, 1, 256)
    assert found.data_sharding == "full"
    assert (found.recompute, found.recompute_modules[:2]) == ("selective", ("mlp", "moe"))
    assert found.model["moe"]["first_dense_layers"] == 3
    assert found.model["mtp_num_layers"] == 1
    assert (found.place("data_sharding").line, found.place("num_layers").line) == (28, 15)


def test_script_of_conditions(data: Path) -> None:
    found = read_script(data / "llama3_conditions.sh")
    assert parameters(found) == 70_553_706_496
    assert (found.tensor, found.sequence_parallel, found.devices) == (8, True, None)
    assert found.model["num_query_groups"] == 8
    assert any("MODEL_SIZE, TP" in clause for clause in found.notes.assumed)
    small = read_script(
        data / "llama3_conditions.sh", given={"MODEL_SIZE": "8", "TP": "2", "RECOMPUTE": "1"}
    )
    assert (parameters(small), small.tensor) == (8_030_261_248, 2)
    assert (small.recompute, small.recompute_layers) == ("full", 32)


def test_pasted_command_line() -> None:
    text = (
        "--num-layers 96 --hidden-size 12288 \\\n  --num-attention-heads 96 "
        "--seq-length 2048 --vocab-size 51200 --tensor-model-parallel-size=8"
    )
    found = launch(text)
    assert (found.model["num_layers"], found.tensor, found.script) == (96, 8, "")
    assert (found.place("tensor").line, found.place("tensor").column) == (2, 94)


def test_defaults_of_megatron() -> None:
    model = launch(GPT).model
    assert (model["ffn_hidden_size"], model["norm"], model["activation"]) == (
        4096,
        "layernorm",
        "gelu",
    )
    assert model["tie_embeddings"]
    assert model["dropout"]
    assert not launch(GPT + "--hidden-dropout 0.0 --attention-dropout 0").model["dropout"]
    assert (model["position_embedding"], model["head_dim"], model["num_query_groups"]) == (
        "learned",
        64,
        16,
    )
    assert launch(GPT + "--swiglu").model["ffn_hidden_size"] == 2688
    moe = launch(MOE + "--tensor-model-parallel-size 2 --expert-model-parallel-size 4")
    assert (moe.model["moe"]["top_k"], moe.expert_tensor) == (2, 2)
    assert launch(GPT + "--tensor-model-parallel-size 2").expert_tensor == 1


def test_query_groups_need_their_switch() -> None:
    found = launch(GPT + "--num-query-groups 4")
    assert found.model["num_query_groups"] == 16
    assert any("ignores --num-query-groups 4" in clause for clause in found.notes.assumed)
    grouped = launch(GPT + "--num-query-groups 4 --group-query-attention")
    assert grouped.model["num_query_groups"] == 4
    assert launch(GPT + "--group-query-attention").model["num_query_groups"] == 1


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        ("--use-distributed-optimizer", "data_sharding", "optimizer"),
        ("--use-torch-fsdp2", "data_sharding", "full"),
        ("--use-megatron-fsdp --data-parallel-sharding-strategy optim_grads", "data_sharding",
         "optimizer+gradients"),
        ("--deepspeed --zero-stage 1", "data_sharding", "optimizer"),
        ("--deepspeed", "software", "megatron-deepspeed-2022"),
        ("--recompute-activations", "recompute", "selective"),
        ("--recompute-granularity full --recompute-method uniform --recompute-num-layers 1",
         "recompute_layers", None),
        ("--recompute-granularity full --recompute-method block --recompute-num-layers 3",
         "recompute_layers", 3),
        ("--checkpoint-activations", "recompute", "full"),
        ("--activations-checkpoint-method uniform", "recompute", "full"),
        ("--fp8-format hybrid", "precision", "fp8"),
        ("--fp8-format e4m3 --fp8-recipe mxfp8", "precision", "mxfp8"),
        ("--fp4-format e2m1", "precision", "nvfp4"),
        ("--sequence-parallel", "sequence_parallel", False),
        ("--overlap-grad-reduce --tp-comm-overlap", "overlap", ("tensor", "gradient_reduce")),
        ("--attention-backend unfused", "attention", "unfused"),
        ("--use-flash-attn", "attention", "flash"),
        ("--grad-reduce-in-bf16", "gradient_reduce_dtype", "bf16"),
        ("--use-tp-pp-dp-mapping", "rank_order", "tp-cp-ep-pp-dp"),
        ("--context-parallel-size 4", "context", 4),
        ("--num-distributed-optimizer-instances 2", "optimizer_shards", 2),
    ],
)  # fmt: skip
def test_decisions(flags: str, field: str, value: object) -> None:
    assert getattr(launch(GPT + flags), field) == value


def test_interleaved_schedule_overlaps_its_sends() -> None:
    pipelined = GPT + "--pipeline-model-parallel-size 4 --num-layers-per-virtual-pipeline-stage 2 "
    found = launch(pipelined)
    assert (found.schedule, found.virtual_stages, found.overlap) == (
        "interleaved",
        3,
        ("pipeline",),
    )
    assert launch(pipelined + "--no-overlap-p2p-communication").overlap == ()


def test_decisions_are_restrictions() -> None:
    """What a command decides is one value for each axis of the search space."""
    found = launch(f"torchrun --nnodes 2 --nproc-per-node 8 x.py {GPT} "
                   "--tensor-model-parallel-size 4 --sequence-parallel")  # fmt: skip
    restrictions = Restrictions(**found.decisions())  # type: ignore[arg-type]
    assert (restrictions.tensor, restrictions.data) == ((4,), (4,))
    assert (restrictions.sequence_parallel, restrictions.schedule) == ((True,), ("1f1b",))


def test_a_launch_can_be_planned(data: Path) -> None:
    """What is read is all that an estimate needs besides the cluster."""
    found = read_script(data / "gpt3_175b.sh")
    model = parse_model({"name": "gpt3", **found.model, "training": dict(found.training)})
    devices = found.devices or 0
    job = build_job(model, load_software(found.software), devices=devices)
    scenario = build_scenario(load_cluster("dgx-a100-128"), model, job)
    plan = plan_from_flags(
        scenario,
        Restrictions(**found.decisions()),  # type: ignore[arg-type]
        stage_layers=found.stage_layers,
        recompute_layers=found.recompute_layers,
    )
    assert (plan.degrees.data, plan.num_microbatches) == (8, 192)
    assert estimate(scenario, plan).step_s > 0


@pytest.mark.parametrize(
    ("prefix", "devices"),
    [
        ("torchrun --nnodes 4 --nproc_per_node 8 pretrain_gpt.py", 32),
        ("torchrun --nnodes=2:4 --nproc-per-node=8 pretrain_gpt.py", 32),
        ("python -m torch.distributed.launch --nproc_per_node 4 pretrain_gpt.py", 4),
        ("deepspeed --num_nodes 2 --num_gpus 8 pretrain_gpt.py", 16),
        ("srun -N 4 --ntasks-per-node=8 python pretrain_gpt.py", 32),
        ("srun -n 64 python pretrain_gpt.py", 64),
        ("mpirun -np 16 python pretrain_gpt.py", 16),
        ("#SBATCH --nodes=8 --ntasks-per-node=4\nsrun python pretrain_gpt.py", 32),
        ("#SBATCH -N 8\n#SBATCH --gpus-per-node=8\nsrun python pretrain_gpt.py", 64),
        ("WORLD_SIZE=$((8*3))\npython pretrain_gpt.py", 24),
        ("WORLD_SIZE=16 python pretrain_gpt.py", 16),
        ("python pretrain_gpt.py", 1),
        ("env NCCL_DEBUG=INFO python3 pretrain_gpt.py --tensor-model-parallel-size 2", None),
        ("pretrain_gpt.py", None),
    ],
)
def test_devices(prefix: str, devices: int | None) -> None:
    assert launch(f"{prefix} {GPT}").devices == devices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ls", r"run.sh: no Megatron-LM command found"),
        ("--num-layers 24", r"run.sh:1:1: --hidden-size is missing"),
        ("--num-layers 24 --hidden_size 1024", r"is missing; did you mean --hidden_size"),
        (GPT + "--num-layers many", r"run.sh:1:\d+: --num-layers: 'many' is not a whole number"),
        (GPT + "--num-layers 0", r"--num-layers: '0' is not a whole number from 1"),
        (GPT + "--num-layers", r"--num-layers without a value"),
        (GPT + "--hidden-size 10 20", r"--hidden-size takes one value, found 10 20"),
        (GPT + "--swiglu true", r"--swiglu takes no value, found true"),
        (GPT + "--normalization Batch", r"'Batch' is not one of LayerNorm, RMSNorm"),
        (GPT + "--num-layers $LAYERS", r"value of --num-layers is unknown: \$LAYERS is not set"),
        ("N=$(cat n)\n" + GPT + "--num-layers $N", r"run.sh:1:3: the value of --num-layers comes"),
        ("N=$1\n" + GPT + "--num-layers $N", r"argument 1 of the script is not set"),
        (GPT + "--hybrid-override-pattern M-M*", r"layers that are not transformer layers"),
        (MOE + "--moe-layer-freq 2", r"a model file describes dense layers at the start"),
        (MOE + "--moe-layer-freq [0]*3+[1]*20", r"is not 24 zeros and ones"),
        (GPT + "--window-size all", r"'all' does not start with keys"),
        (GPT.replace("--vocab-size 51200", "--tokenizer-type HuggingFaceTokenizer"),
         r"HuggingFaceTokenizer takes it from a file; give it with --vocab-size N"),
        (GPT.replace("--num-attention-heads 16", "--num-attention-heads 15"), r"15 heads do not"),
        ("if [ -f x ]; then A=--use-distributed-optimizer; fi\n" + GPT + "$A",
         r"run.sh:\d:\d+: --use-distributed-optimizer depends on the condition on line 1"),
    ],
)  # fmt: skip
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        launch(text)


def test_several_commands() -> None:
    other = GPT.replace("--num-layers 24", "--num-layers 12")
    text = f"torchrun a.py {GPT}\ntorchrun a.py {other}\n"
    with pytest.raises(InputError, match=r"2 different .*: 1 on line 1, 2 on line 2; choose one"):
        launch(text)
    assert launch(text, command=2).model["num_layers"] == 12
    with pytest.raises(InputError, match="no command 3"):
        launch(text, command=3)
    assert launch(f"python a.py {GPT}\npython a.py {GPT} --seed 7\n").model["num_layers"] == 24


def test_other_programs_are_no_commands() -> None:
    text = f"python preprocess.py --workers 8\necho 'run --num-layers 99'\ntorchrun a.py {GPT}"
    assert launch(text).model["num_layers"] == 24


def test_flags_given_twice() -> None:
    found = launch(GPT + "--num-layers 12")
    assert found.model["num_layers"] == 12
    assert "--num-layers is given several times; the last counts" in found.notes.assumed


def test_everything_not_read_is_said() -> None:
    flags = "--lr 1e-4 --save /x --min-offloaded-tensor-size 9 --my-own-flag 3 --num-layer 7"
    said = "\n".join(launch(f"torchrun x.py {GPT}{flags}").notes.left_out)
    assert "change neither the model nor memory or time: --lr, --save" in said
    assert "a plan has no field for them: --min-offloaded-tensor-size" in said
    assert "--my-own-flag on line 1" in said
    assert "--num-layer on line 1 (did you mean --num-layers?)" in said


def test_vocabulary_of_known_tokenizers() -> None:
    text = GPT.replace("--vocab-size 51200", "--tokenizer-type HuggingFaceTokenizer ")
    assert launch(text + "--tokenizer-model meta-llama/Llama-3.1-8B").model["vocab_size"] == 128256
    assert launch(text, vocabulary=32000).model["vocab_size"] == 32000
    llama2 = GPT.replace("--vocab-size 51200", "--tokenizer-type Llama2Tokenizer")
    assert launch(llama2).model["vocab_size"] == 32000
    padded = GPT.replace("--vocab-size 51200", "--pad-vocab-size-to 250880")
    assert launch(padded).model["vocab_size"] == 250880


@pytest.mark.parametrize(
    ("flags", "rows"),
    [
        ("--patch-tokenizer-type Qwen2Tokenizer --extra-vocab-size 421", 152064),
        ("--patch-tokenizer-type Qwen3Tokenizer --extra-vocab-size 293", 151936),
        ("--patch-tokenizer-type LLama3Tokenizer --extra-vocab-size 256", 128256),
        ("--patch-tokenizer-type LLamaTokenizer --extra-vocab-size 0", 32000),
        ("--patch-tokenizer-type LLamaTokenizer --extra-vocab-size 293", 151936),
        ("--patch-tokenizer-type DeepSeekV2Tokenizer --extra-vocab-size 2400", 102400),
        ("--patch-tokenizer-type DeepSeekV2Tokenizer --extra-vocab-size 467", 129280),
        ("--patch-tokenizer-type BloomTokenizerFromHF", 250880),
        ("--tokenizer-type PretrainedFromHF --tokenizer-name-or-path t5-small", 32100),
        ("--tokenizer-type Llama2Tokenizer --tokenizer-model $WHERE/tokenizer.model", 32000),
        ("--tokenizer-type PretrainedFromHF --tokenizer-name-or-path ./hf/qwen3.5_hf/", 248320),
        ("--tokenizer-type PretrainedFromHF --tokenizer-name-or-path ./hf/qwen3_hf/", 151936),
        ("--tokenizer-type PretrainedFromHF --tokenizer-name-or-path ./gpt2-large", 50257),
    ],
)
def test_vocabularies_of_forks(flags: str, rows: int) -> None:
    """Pai-Megatron-Patch adds rows to the tokens of a tokenizer; the sums are those of the models'
    config.json files. An unknown path does not matter where the tokenizer's class says enough."""
    found = launch(GPT.replace("--vocab-size 51200", flags))
    assert found.model["vocab_size"] == rows
    assert any(clause.startswith(f"vocab_size {rows} (") for clause in found.notes.assumed)


@pytest.mark.parametrize("name", ["gpt2-chinese", "chinese-llama-2-7b", "DeepSeek-R1-Distill"])
def test_a_tokenizer_of_a_like_name_is_another_tokenizer(name: str) -> None:
    flags = f"--tokenizer-type HuggingFaceTokenizer --tokenizer-model /models/{name}"
    with pytest.raises(InputError, match="HuggingFaceTokenizer takes it from a file"):
        launch(GPT.replace("--vocab-size 51200", flags))


def test_a_missing_vocabulary_names_those_of_models_alike() -> None:
    """DeepSeek-V2-Lite and Moonlight differ in their vocabulary only."""
    text = (
        "--num-layers 27 --hidden-size 2048 --num-attention-heads 16 --ffn-hidden-size 11264 "
        "--num-experts 64 --moe-ffn-hidden-size 1408 --seq-length 1024 --micro-batch-size 1 "
        "--patch-tokenizer-type DeepSeekV2Tokenizer --extra-vocab-size 0 "
    )
    with pytest.raises(InputError, match="vocabulary's size is not stated") as caught:
        launch(text)
    assert caught.value.hint == (
        "give it with --vocab-size N, such as 102400 of deepseek-ai/DeepSeek-V2-Lite or 163840 of "
        "moonshotai/Moonlight-16B-A3B (the same layers and widths)"
    )


def test_rows_that_no_published_model_has_are_refused() -> None:
    flags = "--patch-tokenizer-type LLamaTokenizer --extra-vocab-size 7"
    with pytest.raises(InputError, match="LLamaTokenizer takes it from a file"):
        launch(GPT.replace("--vocab-size 51200", flags))


QWEN3 = (
    "--num-layers 36 --hidden-size 4096 --num-attention-heads 32 --ffn-hidden-size 12288 "
    "--group-query-attention --num-query-groups 8 --seq-length 4096 --micro-batch-size 1 "
    "--max-position-embeddings 4096 --tokenizer-type HuggingFaceTokenizer "
)


def test_vocabulary_by_the_sizes_of_a_published_model() -> None:
    """Qwen3-8B has sizes of its own. Llama 3 8B and Mistral 7B share theirs; so do many models of
    as many key-value heads as heads."""
    found = launch(QWEN3)
    assert found.model["vocab_size"] == 151936
    assert any("Qwen/Qwen3-8B, which has the same layers" in one for one in found.notes.assumed)
    for shared in (
        QWEN3.replace("36", "32").replace("12288", "14336"),
        QWEN3.replace("--group-query-attention --num-query-groups 8 ", "").replace(
            "12288", "11008"
        ),
    ):
        with pytest.raises(InputError, match="HuggingFaceTokenizer takes it from a file"):
            launch(shared)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("pretrain_llama3_8b.sh", 128256),
        ("tune-mistral-7b.sh", None),
        ("pretrain_llama2_13b.sh", None),
        ("train.sh", None),
    ],
)
def test_vocabulary_by_sizes_and_the_name_of_the_script(name: str, rows: int | None) -> None:
    """Llama 3 8B and Mistral 7B have the same layers and widths; Llama 2 13B has others.
    Releases of Mistral 7B differ in their vocabulary."""
    text = QWEN3.replace("36", "32").replace("12288", "14336")
    source = source_of(text.encode(), f"/scripts/{name}")
    if rows is None:
        with pytest.raises(InputError, match="vocabulary's size is not stated"):
            launch_in(source)
        return
    found = launch_in(source)
    assert found.model["vocab_size"] == rows
    assert any(f"after which {name} is named" in one for one in found.notes.assumed)


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        ("--attention-output-gate", "a gate on the output of attention"),
        ("--linear-attention-freq 4", "attention of another kind"),
        ("--enable-mhc-connections", "several residual streams"),
        ("--spec megatron.core.models.mamba.mamba_layer_specs mamba_stack_spec", "not transformer"),
        ("--spec plugins.models.qwen3_next get_qwen3_next_spec", "layers that are not transformer"),
    ],
)
def test_layers_that_flags_do_not_describe(flags: str, what: str) -> None:
    with pytest.raises(InputError, match=f"the model has .*{what}.*a model file cannot describe"):
        launch(GPT + flags)


def test_layers_of_another_program_are_assumed_to_be_as_the_flags_say() -> None:
    said = launch(GPT + "--spec plugins.models.glm4 get_glm_spec").notes.assumed
    assert any("--spec plugins.models.glm4 get_glm_spec may differ" in one for one in said)
    assert not any("--spec" in one for one in launch(GPT + "--spec local").notes.assumed)


def test_parts_of_one_command_in_several_variables() -> None:
    """Files that another script sources: it joins the parts and names the tokenizer."""
    text = (
        "TOKENIZER_MODEL=deepseek-ai/DeepSeek-V2-Lite\n"
        'BATCH="--micro-batch-size ${MBS:-2} --global-batch-size 32"\n'
        'MODEL_ARGS="--num-layers 4 --hidden-size 2048 --num-attention-heads 16 --seq-length 1024 '
        '--max-position-embeddings 1024 --tokenizer-type HuggingFaceTokenizer"\n'
    )
    found = launch(text)
    assert (found.model["num_layers"], found.model["vocab_size"]) == (4, 102400)
    assert (found.micro_batch_size, found.global_batch_size) == (2, 32)
    with pytest.raises(InputError, match="2 different Megatron-LM commands: 1 on line 2, 2 on li"):
        launch(text.replace("--num-layers 4", "--num-layers 4 --global-batch-size 8"))


def test_bloom_as_megatron_deepspeed(data: Path) -> None:
    """A command exported as a variable; the flags give the count of BLOOM's model card."""
    found = read_script(data / "bloom_exported.slurm")
    assert parameters(found) == 176_247_271_424
    assert (found.tensor, found.pipeline, found.devices, found.data) == (4, 12, 384, 8)
    assert (found.recompute, found.data_sharding) == ("full", "optimizer")
    assert any("BF16_Optimizer" in clause for clause in found.notes.assumed)
    assert found.software == "megatron-deepspeed-2022"
    assert (found.place("num_layers").line, found.place("tensor").line) == (21, 4 + 3)
    assert any("--pp-partition-method" in clause for clause in found.notes.left_out)


def test_names_of_megatron_deepspeed() -> None:
    """Norms in lower case, key-value heads without a switch, and kernels by their version."""
    found = launch(
        GPT + "--deepspeed --normalization rmsnorm --swiglu --num-key-value-heads 4 "
        "--use-flash-attn-v2"
    )
    assert (found.model["norm"], found.model["num_query_groups"]) == ("rmsnorm", 4)
    assert (found.attention, found.model["architecture"]) == ("flash", "llama")


def test_flags_in_an_array_that_nothing_runs() -> None:
    flags = GPT.replace(" --", "\n  --")
    found = launch(
        f"#!/bin/bash\nMEGATRON_ARGS=(\n  {flags}\n  --tensor-model-parallel-size 2\n)\n"
    )
    assert (found.model["num_layers"], found.tensor) == (24, 2)
    assert found.place("num_layers").line == 3


LITE = (
    "--num-layers 28 --noop-layers 27 --hidden-size 2048 --ffn-hidden-size 10944 "
    "--num-attention-heads 16 --seq-length 4096 --max-position-embeddings 4096 "
    "--multi-head-latent-attention --kv-lora-rank 512 --qk-nope-head-dim 128 --qk-rope-head-dim 64 "
    "--v-head-dim 128 --qk-layernorm --num-experts 64 --topk-group 1 --n-group 1 "
    "--moe-router-topk 6 --moe-intermediate-size 1408 --n-shared-experts 2 "
    "--first-k-dense-replace 1 --moe-layer-freq 1 --moe-token-dispatcher-type alltoall_seq "
    "--swiglu --normalization RMSNorm --disable-bias-linear --position-embedding-type rope "
    "--untie-embeddings-and-output-weights --bf16 --padded-vocab-size 102400 "
    "--make-vocab-size-divisible-by 1 --tokenizer-name-or-path your tokenizer path "
)


def test_mixture_in_the_flags_of_a_fork() -> None:
    """MindSpeed-LLM: the count is that of deepseek-ai/DeepSeek-V2-Lite on the Hugging Face Hub."""
    found = launch(LITE + "--pipeline-model-parallel-size 4")
    assert parameters(found) == 15_706_484_224
    assert found.stage_layers == (7, 7, 7, 6)
    assert launch(LITE.replace("--noop-layers 27", "--num-layer-list 7,6,8,7")
                  + "--pipeline-model-parallel-size 4").stage_layers == (7, 6, 8, 7)  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        ("--swiglu --multiple-of 4096 --hidden-dim-multiplier 1.3", "ffn_hidden_size", 4096),
        ("--swiglu --multiple-of 256", "ffn_hidden_size", 2816),
        ("--glu-activation geglu", "gated_mlp", True),
        ("--gelu-tanh", "activation", "gelu"),
        ("--attention-head-type multiquery", "num_query_groups", 1),
        ("--n-head-kv 4", "num_query_groups", 4),
        ("--post-norm", "norms_per_layer", 4),
        ("--post-mlp-layernorm", "norms_per_layer", 3),
    ],
)
def test_sizes_in_the_flags_of_forks(flags: str, key: str, value: object) -> None:
    assert launch(GPT + flags).model[key] == value


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--lora-r 16 --lora-target-modules linear_qkv", "low-rank adapters"),
        ("--num-layers-teacher 24", "a teacher beside it"),
        (
            "--tokenizer-type BertWordPieceLowerCase",
            "is the tokenizer of an encoder; planner plans",
        ),
        ("--stage dpo", "dpo keeps a second model beside the trained one"),
        ("--noop-layers 24", "'24' is not a layer from 0 to 23"),
        ("--pipeline-model-parallel-size 2 --num-layer-list 12,11", "not 24 layers on 2 stages"),
        ("--num-experts 8 --moe-router-num-groups", "--moe-router-num-groups without a value"),
    ],
)
def test_flags_of_forks_that_are_refused(flags: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        launch(GPT + flags)


def test_flags_with_underscores() -> None:
    found = launch(
        GPT.replace("--num-layers", "--num_layers")
        + "--tensor_model_parallel_size 2 --sequence_parallel true --bf16 false"
    )
    assert (found.model["num_layers"], found.tensor, found.precision) == (24, 2, "fp32")
    assert found.sequence_parallel


SWIFT = (
    "PYTORCH_CUDA_ALLOC_CONF='expandable_segments:True' NPROC_PER_NODE=8 megatron sft "
    "--model Qwen/Qwen3-30B-A3B-Instruct-2507 --expert_model_parallel_size 8 "
    "--moe_shared_expert_overlap true --max_length 4096 --sequence_parallel true "
)


def test_swift_trains_the_published_model() -> None:
    """30,532,122,624 parameters, on the Hub."""
    found = launch(SWIFT)
    assert parameters(found) == 30_532_122_624
    assert (found.devices, found.expert, found.seq_length, found.allocator) == (
        (8, 8, 4096, "expandable")
    )
    assert (found.micro_batch_size, found.global_batch_size, found.precision) == (1, 16, "bf16")
    assert (found.recompute, found.data_sharding) == ("selective", "optimizer")
    several = launch("NNODES=2 " + SWIFT + "--recompute_granularity none --bf16 false")
    assert (several.devices, several.recompute, several.precision) == (16, "none", "fp32")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SWIFT + "--tuner_type lora", "--tuner-type lora trains low-rank adapters alone"),
        ("NPROC_PER_NODE=8 megatron pt", "--model is missing, and nothing else says the model's"),
        (SWIFT.replace("megatron sft", "megatron rlhf"), "rlhf keeps further models"),
        (SWIFT.replace("30B-A3B", "31B-A3B"), "not a model that is known here; did you mean Qwen"),
    ],
)
def test_swift_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        launch(text)
