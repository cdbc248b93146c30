"""`planner import model` on files and names of other frameworks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from planner.importers.published.names import all_published, published_name
from planner.specs.load import parse_model
from planner.workload.parameters import parameter_counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]
    Import = Callable[..., Outcome]

LLAMA_8B = 8_030_261_248


@pytest.fixture
def imported(planner: Run, tmp_path: Path) -> Import:
    """The import of a file of a name and a text, or of a tree as YAML."""

    def run(name: str, content: Any, *options: str) -> Outcome:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return planner("import", "model", str(path), *options)

    return run


def total(done: Outcome) -> int:
    assert done.code == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if "parameters: " in line)
    return int(line.split("parameters: ")[1].split(" in all")[0].replace(",", ""))


COUNTED = {name: one["parameters"] for name, one in all_published().items() if "parameters" in one}


@pytest.mark.parametrize("name", COUNTED)
def test_published_models_have_the_parameters_the_hub_states(planner: Run, name: str) -> None:
    assert total(planner("import", "model", name)) == COUNTED[name]


def test_every_published_model_loads(planner: Run) -> None:
    for name in all_published():
        assert total(planner("import", "model", name)) > 10**8


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("llama31_8b_pretrain_config", "meta-llama/Llama-3.1-8B"),
        ("llama3_8b", "meta-llama/Meta-Llama-3-8B"),
        ("llama3.1_405B.yaml", "meta-llama/Llama-3.1-405B"),
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
        ("qwen25_7b_sft_config", "Qwen/Qwen2.5-7B"),
        ("qwen3_30b_a3b_pretrain_config", "Qwen/Qwen3-30B-A3B"),
        ("deepseek_v3_pretrain_config_32nodes", "deepseek-ai/DeepSeek-V3"),
        ("mixtral_8x7B_v0.1.yaml", "mistralai/Mixtral-8x7B-v0.1"),
        ("gemma2_9b_peft_config", "google/gemma-2-9b"),
        ("google/gemma-3-27b-it", "google/gemma-3-27b-pt"),
        ("glm45_air_106b_pretrain_config", "zai-org/GLM-4.5-Air"),
        ("gpt_oss_120b_pretrain_config", "openai/gpt-oss-120b"),
        ("nemotron4_340b", "nvidia/Nemotron-4-340B"),
    ],
)
def test_names_of_recipes(written: str, meant: str) -> None:
    assert published_name(written) == meant


@pytest.mark.parametrize("name", ["", "gpt", "llama", "llama99_8b", "/", "x" * 5000, "config"])
def test_names_that_mean_nothing(name: str) -> None:
    assert published_name(name) is None


def test_a_recipe_by_its_name(planner: Run) -> None:
    done = planner("import", "model", "llama31_8b_pretrain_config")
    assert total(done) == LLAMA_8B
    assert "the sizes of meta-llama/Llama-3.1-8B as published" in done.stderr


def test_an_unknown_recipe_is_told_the_nearest(planner: Run) -> None:
    refused = planner("import", "model", "qwen25_71b_pretrain_config")
    assert refused.code == 2
    assert "did you mean Qwen/Qwen2.5-7" in refused.stderr


RECIPE = """#!/bin/bash
#SBATCH --nodes=2
MODEL_NAME=${MODEL_NAME:-llama31_8b}
CMD="uv run python scripts/training/run_recipe.py"
CMD="$CMD --recipe ${MODEL_NAME}_pretrain_config"
srun bash -c "$CMD model.num_layers=16 train.global_batch_size=96 dataset.sequence_length=4096 \\
  model.tensor_model_parallel_size=2 train.train_iters=10"
"""


def test_a_script_that_runs_a_recipe(imported: Import) -> None:
    done = imported("run.sh", RECIPE)
    whole = parse_model(yaml.safe_load(imported("w.sh", RECIPE.replace("=16", "=32")).stdout))
    layer = (parameter_counts(whole).total - 2 * 128256 * 4096 - 4096) // 32
    assert total(done) == LLAMA_8B - 16 * layer
    mapping = yaml.safe_load(done.stdout)
    assert mapping["training"] == {"global_batch_size": 96, "seq_length": 4096}
    assert "changed in the file: num_layers 16" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "python scripts/performance/run_script.py --model_name llama31 --model_size 8b --gpu h100",
        "python setup_experiment.py --model_family_name llama --model_recipe_name llama31_8b",
        "nemo llm pretrain --factory llama31_8b",
        "torchrun run_recipe.py --recipe=llama31_8b_pretrain_config",
        "from nemo.collections import llm\nrecipe = llm.llama31_8b.pretrain_recipe(dir='x')\n",
        "cfg = llama31_8b_pretrain_config()\n",
    ],
)
def test_ways_to_name_a_recipe(imported: Import, text: str) -> None:
    assert total(imported("launch.sh", text)) == LLAMA_8B


def test_a_recipe_the_file_leaves_open(imported: Import) -> None:
    text = "torchrun run_recipe.py --recipe ${RECIPE}\n"
    refused = imported("run.sh", text)
    assert refused.code == 2
    assert "--set RECIPE=" in refused.stderr
    assert total(imported("run.sh", text, "--set", "RECIPE=llama31_8b")) == LLAMA_8B


def test_a_script_that_ends_before_its_recipe(imported: Import) -> None:
    """As shipped, such scripts leave the container open and stop there."""
    text = (
        "MODEL_NAME=llama31_8b\nRECIPE_NAME=${MODEL_NAME}_pretrain_config\nCONTAINER=\n"
        'if [ -z "$CONTAINER" ]; then echo "ERROR: set CONTAINER"; exit 1; fi\n'
        "srun run_recipe.py --recipe $RECIPE_NAME\n"
    )
    done = imported("run.sh", text)
    assert total(done) == LLAMA_8B
    assert "the recipe llama31_8b_pretrain_config on line 1" in done.stderr
    assert "the script ends before it" in done.stderr


def test_a_recipe_of_a_hybrid_is_refused_by_name(planner: Run, imported: Import) -> None:
    for refused in (
        planner("import", "model", "nemotron_3_nano_pretrain_config"),
        imported("run.sh", "torchrun run_recipe.py --recipe nemotron_3_nano_pretrain_config\n"),
    ):
        assert refused.code == 2
        assert "Nemotron-3-Nano-30B-A3B-BF16: nemotron_h has layers of linear" in refused.stderr


def test_a_recipe_of_a_model_nobody_knows(imported: Import) -> None:
    refused = imported("run.sh", "torchrun run_recipe.py --recipe quux_1t_pretrain_config\n")
    assert refused.code == 2
    assert "run.sh:1:" in refused.stderr
    assert (
        "'quux_1t_pretrain_config' is not a recipe of a model whose sizes are known"
        in refused.stderr
    )


PRIMUS: dict[str, Any] = {
    "work_group": "${TEAM:amd}",
    "modules": {
        "pre_trainer": {
            "framework": "megatron",
            "config": "pre_trainer.yaml",
            "model": "${MODEL:llama3.1_8B}.yaml",
            "overrides": {
                "micro_batch_size": 2,
                "global_batch_size": "${GBS:128}",
                "seq_length": 8192,
                "max_position_embeddings": 8192,
            },
        }
    },
}


def with_overrides(**overrides: Any) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(json.dumps(PRIMUS))
    tree["modules"]["pre_trainer"]["overrides"] |= overrides
    return tree


def test_primus(imported: Import) -> None:
    done = imported("exp.yaml", PRIMUS)
    assert total(done) == LLAMA_8B
    mapping = yaml.safe_load(done.stdout)
    assert mapping["seq_length"] == 8192
    assert mapping["training"] == {
        "global_batch_size": 128,
        "seq_length": 8192,
        "software": "megatron-core",
    }


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_layers": "many"}, "num_layers: expected a whole number, found 'many'"),
        ({"num_experts": 8}, "num_experts: the published model has no moe"),
        ({"window_size": 1024}, "window_size: has no place in a published model"),
    ],
)
def test_primus_settings_that_cannot_be(
    imported: Import, overrides: dict[str, Any], message: str
) -> None:
    refused = imported("exp.yaml", with_overrides(**overrides))
    assert refused.code == 2
    assert message in refused.stderr
    assert "exp.yaml:" in refused.stderr


def test_layers_of_experts_of_a_smaller_copy(imported: Import) -> None:
    text = yaml.safe_dump(with_overrides(num_layers=4, moe_layer_freq="[0]*1+[1]*3"))
    done = imported("exp.yaml", text.replace("llama3.1_8B", "deepseek_v3"))
    assert done.code == 0, done.stderr
    mapping = yaml.safe_load(done.stdout)
    assert (mapping["num_layers"], mapping["moe"]["first_dense_layers"]) == (4, 1)
    wrong = yaml.safe_dump(with_overrides(num_layers=4, moe_layer_freq="[0]*1+[1]*4"))
    refused = imported("exp.yaml", wrong.replace("llama3.1_8B", "deepseek_v3"))
    assert "'[0]*1+[1]*4' is not 4 zeros and ones" in refused.stderr


def test_primus_with_a_model_nobody_knows(imported: Import) -> None:
    text = yaml.safe_dump(PRIMUS).replace("llama3.1_8B", "llama3.1_9B")
    refused = imported("exp.yaml", text)
    assert refused.code == 2
    assert "modules.pre_trainer.model: 'llama3.1_9B.yaml' is not a model whose" in refused.stderr
    assert "did you mean meta-llama/Llama-3." in refused.stderr


def test_nemo_rl(imported: Import) -> None:
    policy = {
        "model_name": "Qwen/Qwen2.5-1.5B-Instruct",
        "train_global_batch_size": 512,
        "max_total_sequence_length": 4096,
        "precision": "bfloat16",
    }
    done = imported("grpo.yaml", {"policy": policy, "grpo": {"num_prompts_per_step": 32}})
    assert total(done) == 1_543_714_304
    assert yaml.safe_load(done.stdout)["training"] == {
        "global_batch_size": 512,
        "seq_length": 4096,
        "precision": "bf16",
    }
    refused = imported("grpo.yaml", {"policy": {"model_name": "my/model"}})
    assert "policy.model_name: 'my/model' is not a model whose sizes are known" in refused.stderr


def test_nemo_rl_extends_the_file_beside_it(imported: Import, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        yaml.safe_dump(
            {"policy": {"model_name": "Qwen/Qwen2.5-7B", "max_total_sequence_length": 512}}
        )
    )
    tree = {"defaults": "base.yaml", "policy": {"max_total_sequence_length": 1024}, "grpo": {}}
    done = imported("grpo.yaml", tree)
    assert total(done) == 7_615_616_512
    assert yaml.safe_load(done.stdout)["training"]["seq_length"] == 1024
    refused = imported("grpo.yaml", {**tree, "defaults": "nowhere.yaml"})
    assert "defaults: the file it extends, 'nowhere.yaml', is not in its folder" in refused.stderr
    assert imported("grpo.yaml", {**tree, "defaults": "grpo.yaml"}).code == 2
    named = {"defaults": "nowhere.yaml", "policy": {"model_name": "Qwen/Qwen2.5-7B"}}
    absent = "nowhere.yaml, which is not in the folder of the file"
    assert absent in imported("grpo.yaml", named).stderr


NEOX = """# The sizes of GPT-NeoX-20B
{
  "vocab_file": "./20B_checkpoints/20B_tokenizer.json",
  "pipe_parallel_size": 4,
  "model-parallel-size": 2,
  "num_layers": 44,
  "hidden-size": 6144,
  "num_attention_heads": 64,
  "seq_length": 2048,
  "max_position_embeddings": 2048,
  "norm": "layernorm",
  "pos_emb": "rotary",
  "no_weight_tying": true,
  "gpt_j_residual": true,
  "fp16": {"enabled": true},
}
"""


def test_gpt_neox(imported: Import) -> None:
    """The Hub counts 50,432 rows of the embedding, 50,277 of which the tokenizer has."""
    done = imported("20B.yml", NEOX)
    assert total(done) == 20_554_567_680 - 2 * (50_432 - 50_277) * 6144
    assert total(imported("20B.yml", NEOX, "--vocab-size", "50432")) == 20_554_567_680
    mapping = yaml.safe_load(done.stdout)
    assert mapping["training"] == {"seq_length": 2048, "precision": "fp16"}
    assert mapping["parallel_attention"] is True


def test_a_gate_of_gpt_neox_takes_two_thirds(imported: Import) -> None:
    """Llama 7B in GPT-NeoX's own configuration."""
    text = """{"pipe_parallel_size": 1, "num_layers": 32, "hidden_size": 4096,
    "num_attention_heads": 32, "intermediate_size": 32768, "pos_emb": "rotary",
    "max_position_embeddings": 2048,
    "no_weight_tying": true, "norm": "rmsnorm", "use_bias_in_mlp": False, "activation": "swiglu",
    "use_bias_in_norms": false, "use_bias_in_attn_linear": false, "mlp_multiple_of": 256}"""
    assert total(imported("7B.yml", text, "--vocab-size", "32000")) == 6_738_415_616


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"num_layers": 44', '"num_layers": "many"', "num_layers: expected a whole number"),
        ('"hidden-size": 6144', '"hidden-size": 6145', "64 heads do not divide the hidden size"),
        ('"hidden-size": 6144,', "", "hidden_size is missing"),
        ('"layernorm"', '"scalenorm"', "'scalenorm' is not one of layernorm, te_layernorm"),
        ('"fp16"', '"moe_num_experts": 8, "fp16"', "mixtures of GPT-NeoX are not read"),
        ('"fp16"', '"attention_config": [[["mamba"], 44]], "fp16"', "layers of mamba"),
        (
            '"vocab_file": "./20B_checkpoints/20B_tokenizer.json"',
            '"tokenizer_type": "SPMTokenizer"',
            "the vocabulary's size is not stated: SPMTokenizer",
        ),
    ],
)
def test_gpt_neox_refusals(imported: Import, before: str, after: str, message: str) -> None:
    refused = imported("20B.yml", NEOX.replace(before, after))
    assert refused.code == 2
    assert message in refused.stderr
    assert "20B.yml:" in refused.stderr


@pytest.mark.parametrize(
    ("name", "tree", "what", "instead"),
    [
        (
            "ds.json",
            {"zero_optimization": {"stage": 3}},
            "a DeepSpeed configuration",
            "config.json",
        ),
        ("x.json", {"weight_map": {}, "metadata": {}}, "an index of weights", "config.json"),
        (
            "adapter_config.json",
            {"peft_type": "LORA", "base_model_name_or_path": "Qwen/Qwen2.5-7B-Instruct"},
            "an adapter's configuration",
            "`planner import model Qwen/Qwen2.5-7B-Instruct`",
        ),
        ("params.json", {"dim": 4096, "n_layers": 32}, "Meta's params.json", "config.json"),
        (
            "sft.yaml",
            {"model_name_or_path": "meta-llama/Llama-3.1-8B", "finetuning_type": "full"},
            "a LLaMA-Factory configuration",
            "`planner import model meta-llama/Llama-3.1-8B`",
        ),
        ("axolotl.yml", {"base_model": "some/model"}, "an Axolotl configuration", "config.json"),
        ("ppo.yaml", {"actor_rollout_ref": {}}, "a verl configuration", "config.json"),
        ("nemo.yaml", {"trainer": {}, "exp_manager": {}}, "a NeMo 1 configuration", "config.json"),
        (
            "tune.yaml",
            {"model": {"_component_": "torchtune.models.llama3.llama3_8b"}},
            "a torchtune configuration",
            "config.json",
        ),
        (
            "accel.yaml",
            {"distributed_type": "FSDP", "compute_environment": "x"},
            "Accelerate",
            "json",
        ),
    ],
)
def test_files_without_a_model_are_named(
    imported: Import, name: str, tree: dict[str, Any], what: str, instead: str
) -> None:
    content = json.dumps(tree) if name.endswith(".json") else tree
    refused = imported(name, content)
    assert refused.code == 2
    assert f"is {what}" in refused.stderr or what in refused.stderr
    assert instead in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


ODD: tuple[Any, ...] = (None, -1, 1.5, 10**30, "", "x", [], [1, "a"], {}, {"a": None}, True)


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("name", ["exp.yaml", "grpo.yaml", "neox.yml"])
def test_odd_values_are_taken_or_refused_in_place(imported: Import, name: str, odd: Any) -> None:
    """Every value of a file in turn replaced by one that nobody expects there."""
    policy = {"model_name": "Qwen/Qwen2.5-7B", "train_global_batch_size": 8, "precision": "x"}
    trees = {
        "exp.yaml": with_overrides(num_layers=4, kv_channels=64),
        "grpo.yaml": {"policy": policy},
        "neox.yml": yaml.safe_load(NEOX),
    }
    for path in _places(trees[name]):
        tree = json.loads(json.dumps(trees[name]))
        parent = tree
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = odd
        done = imported(name, tree)
        assert done.code in (0, 2), (path, done.stderr)
        assert done.code == 0 or name in done.stderr


def _places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key of nested mappings, those of mappings themselves too."""
    below = tree.items() if isinstance(tree, dict) else ()
    return [*([at] if at else []), *(one for k, v in below for one in _places(v, (*at, k)))]


def test_yaml_of_nobody(imported: Import) -> None:
    refused = imported("x.yaml", {"a": 1})
    assert refused.code == 2
    assert "is none of: a Hugging Face config.json" in refused.stderr


NEMO = """
run: {name: llama, results_dir: "${base_results_dir}/${.name}"}
trainer:
  num_nodes: 4
  devices: 8
  precision: bf16
exp_manager: {}
model:
  micro_batch_size: ${oc.env:MBS,2}
  global_batch_size: 128
  tensor_model_parallel_size: 2
  pipeline_model_parallel_size: 4
  virtual_pipeline_model_parallel_size: 4
  encoder_seq_length: 4096
  max_position_embeddings: ${.encoder_seq_length}
  num_layers: 32
  hidden_size: 4096
  ffn_hidden_size: ${multiply:2.6875, ${training.model.hidden_size}}
  num_attention_heads: 32
  num_query_groups: null
  bias: false
  activation: fast-swiglu
  normalization: rmsnorm
  position_embedding_type: rope
  share_embeddings_and_output_weights: false
  activations_checkpoint_granularity: null
  activations_checkpoint_method: block
  activations_checkpoint_num_layers: 0
  sequence_parallel: true
  megatron_amp_O2: true
  fp8: false
  fp8_hybrid: true
  fp8_params: true
  mcore_customization_config: {parallel_attention: false}
  tokenizer: {library: sentencepiece, type: null, model: "${data_dir}/llama2/tokenizer.model"}
  optim: {name: mcore_distributed_optim, overlap_grad_sync: true, overlap_param_sync: true}
"""


def test_a_nemo_1_configuration_is_a_model_and_a_plan(
    planner: Run, imported: Import, tmp_path: Path
) -> None:
    """Llama 2 7B: 6,738,415,616 parameters on the Hub. Switches of a feature that is off, and
    references to what the launcher knows, change nothing."""
    assert total(imported("nemo.yaml", NEMO, "--vocab-size", "32000")) == 6_738_415_616
    options = ("--plan", str(tmp_path / "nemo.yaml"), "--vocab-size", "32000", "--json")
    done = planner("estimate", "--cluster", "dgx-a100-16", *options)
    document = json.loads(done.stdout)
    plan, job = document["plans"][0], document["inputs"]["job"]
    wanted = {"tensor": 2, "pipeline": 4, "data": 4}
    assert {axis: plan["degrees"][axis] for axis in wanted} == wanted
    assert (plan["virtual_stages"], plan["data_sharding"]) == (4, "optimizer")
    assert plan["recompute"]["granularity"] == "none"
    assert (job["precision"], job["seq_length"], job["global_batch_size"]) == ("bf16", 4096, 128)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("parallel_attention: false", "parallel_attention: true", "layers of an own kind"),
        ("  fp8: false", "  mm_cfg: {llm: {}}", "images beside the text"),
        ("  fp8: false", "  peft: {peft_scheme: lora}", "low-rank adapters"),
        ("O2: true", "O2: false", "model.megatron_amp_O2: weights in fp32 beside layers"),
        ("fast-swiglu", "reglu", "model.activation: 'reglu' is not one of gelu, swiglu"),
        ("${.encoder_seq_length}", "${.longest}", "refers to .longest, which is not in this file"),
        ("hidden_size: 4096", "hidden_size: ${.hidden_size}", "refers to itself"),
        ("global_batch_size: 128", "global_batch_size: ${oc.env:GBS}", "left to the variable GBS"),
        ("num_layers: 32", "num_layers: ${divide_ceil:64,0}", "divide_ceil takes two numbers"),
        ("num_layers: 32", "num_layers: ${multiply:64}", "takes two numbers, found '64'"),
    ],
)
def test_what_nemo_1_states_and_is_not_read_is_named(
    imported: Import, before: str, after: str, said: str
) -> None:
    done = imported("nemo.yaml", NEMO.replace(before, after, 1), "--vocab-size", "32000")
    assert done.code == 2
    assert said in done.stderr


def test_a_tuned_model_may_have_another_vocabulary(planner: Run) -> None:
    """32,768 rows of 6,144 in place of 32,000, twice."""
    base = total(planner("import", "model", "mistralai/Mixtral-8x22B-v0.1"))
    for name in ("mistralai/Mixtral-8x22B-Instruct-v0.1", "mixtral-8x22b-instruct-v0.1"):
        assert total(planner("import", "model", name)) == base + 2 * 768 * 6144


ANCHORED = """
shared:
  data: &data {dataset_name: squad, max_total_sequence_length: 2048}
  batch: &batch {train_global_batch_size: 512, train_micro_batch_size: 4}
policy:
  <<: [*batch, *data]
  model_name: &name Qwen/Qwen3-8B
  max_total_sequence_length: 4096
  tokenizer: {name: *name}
grpo: {num_prompts_per_step: 32}
"""


def test_anchors_and_merge_keys_say_what_they_stand_for(imported: Import) -> None:
    """The mapping's own entries count before those of a merge key; what PyYAML makes of the file,
    written out, gives the same model."""
    short, long = imported("a.yaml", ANCHORED), imported("a.yaml", yaml.safe_load(ANCHORED))
    assert short.code == 0, short.stderr
    assert "global_batch_size: 512" in short.stdout
    assert "seq_length: 4096" in short.stdout
    assert short.stdout.split("name:")[1] == long.stdout.split("name:")[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a0: &a0 [x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)),
            "aliases repeat more than 100,000 parts of the file",
        ),
        ("grpo: &x {y: [*x]}\n", "1:15: grpo.y[0]: alias *x inside its own anchor &x"),
        ("grpo: {y: *x}\n", "1:11: grpo.y: alias *x, and no anchor &x above it"),
        ("grpo: {<<: [1]}\n", "1:13: grpo.<<[0]: a merge key takes mappings"),
    ],
)
def test_aliases_that_stand_for_nothing_or_too_much(
    imported: Import, text: str, message: str
) -> None:
    done = imported("a.yaml", text + "policy: {model_name: Qwen/Qwen3-8B}\n")
    assert done.code == 2
    assert message in done.stderr
