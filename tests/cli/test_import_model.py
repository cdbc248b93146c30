"""`planner import model` on configs as strangers have them: read whole, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 128,
}
LLAMA_PARAMETERS = 2 * 1000 * 64 + 64 + 2 * (64 * 64 * 2 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    def write(config: dict[str, Any], name: str = "config.json") -> str:
        path = tmp_path / name
        path.write_text(json.dumps(config, indent=1))
        return str(path)

    return write


def test_every_import_ends_with_counts(planner: Run, written: Callable[..., str]) -> None:
    done = planner("import", "model", written(LLAMA))
    count = f"{LLAMA_PARAMETERS:,}"
    assert done.code == 0
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"note: parameters: {count} in all, {count} active for a token"
    assert f"# Parameters: {count} in all, {count} active for a token." in done.stdout


def test_counts_of_a_mixture(planner: Run, written: Callable[..., str]) -> None:
    mixture = LLAMA | {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
    done = planner("import", "model", written(mixture), "--json")
    counts = json.loads(done.stdout)["parameters"]
    assert counts["total"] == LLAMA_PARAMETERS + 2 * (7 * 3 * 64 * 128 + 8 * 64)
    assert counts["total"] - counts["active"] == 2 * 6 * 3 * 64 * 128


def test_counts_of_json_are_checked(
    planner: Run, written: Callable[..., str], tmp_path: Path
) -> None:
    target = tmp_path / "model.json"
    planner("import", "model", written(LLAMA), "--json", "-o", str(target))
    estimate = ("estimate", "--cluster", "dgx-a100-8", "--nodes", "1", "--model", str(target))
    assert planner(*estimate, "--global-batch-size", "8").code == 0
    target.write_text(target.read_text().replace('"num_layers": 2', '"num_layers": 3'))
    refused = planner(*estimate, "--global-batch-size", "8")
    assert refused.code == 2
    assert f"parameters.total: {LLAMA_PARAMETERS:,} is stated, the sizes come to" in refused.stderr


SIZES: list[tuple[str, Any]] = [
    ("num_local_experts", 40),
    ("n_routed_experts", 64),
    ("num_experts", 8),
    ("moe_intermediate_size", 512),
    ("q_lora_rank", 96),
    ("kv_lora_rank", 64),
    ("mamba_d_state", 16),
    ("linear_num_value_heads", 8),
    ("hybrid_override_pattern", "M-M*-"),
    ("block_configs", [{"ffn": 1}, {"ffn": 2}]),
    ("encoder_layers", 6),
    ("num_kv_shared_layers", 10),
    ("layer_types", ["full_attention", "linear_attention"]),
]
MORE_SIZES: list[tuple[str, Any]] = [
    ("multi_query_group_num", 2),
    ("ffn_config", {"moe_num_experts": 16}),
    ("mlp_hidden_size", 512),
    ("state_size", 16),
    ("num_dense_layers", 4),
    ("dim_model_base", 256),
    ("attn_layer_indices", [0, 3]),
    ("first_k_dense_replace", 3),
]
HARMLESS: dict[str, Any] = {
    "bos_token_id": 1,
    "eos_token_id": [2, 7],
    "pretraining_tp": 4,
    "rope_scaling": {"factor": 8.0, "original_max_position_embeddings": 8192},
    "max_window_layers": 28,
    "sliding_window": 4096,
    "num_experts": 0,
    "num_local_experts": 1,
    "n_group": 8,
    "topk_group": 4,
    "max_sequence_length": 2048,
    "original_max_position_embeddings": 4096,
    "num_beams": 4,
    "seed": 1234,
    "type_vocab_size": 2,
    "chunk_size_feed_forward": 0,
    "id2label": {"0": "a", "1": "b"},
    "quantization_config": {"group_size": 128, "bits": 4},
    "time_step_limit": "x",
    "router_aux_loss_coef": 0.001,
    "output_router_logits": True,
    "layer_types": ["full_attention", "full_attention"],
    "logits_to_keep": 16,
    "query_pre_attn_scalar": 256,
    "cross_attention_hidden_size": None,
}


@pytest.mark.parametrize(("key", "value"), SIZES)
def test_a_known_type_with_sizes_it_does_not_read(
    planner: Run, written: Callable[..., str], key: str, value: object
) -> None:
    path = written(LLAMA | {key: value})
    refused = planner("import", "model", path)
    assert refused.code == 2
    lines = Path(path).read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if f'"{key}"' in text)
    assert f"{path}:{line}:" in refused.stderr
    assert f"{key}: " in refused.stderr
    assert "is not read by LlamaConfig" in refused.stderr


@pytest.mark.parametrize(("key", "value"), SIZES + MORE_SIZES)
def test_an_assumed_type_reads_all_sizes_or_none(
    planner: Run, written: Callable[..., str], key: str, value: object
) -> None:
    path = written({**LLAMA, "model_type": "other", key: value})
    refused = planner("import", "model", path, "--assume", "llama")
    assert refused.code == 2
    assert f"{key}: " in refused.stderr


@pytest.mark.parametrize("assume", [(), ("--assume", "llama")])
@pytest.mark.parametrize("key", HARMLESS)
def test_what_has_no_size_is_no_obstacle(
    planner: Run, written: Callable[..., str], key: str, assume: tuple[str, ...]
) -> None:
    kind = "other" if assume else "llama"
    done = planner(
        "import", "model", written({**LLAMA, "model_type": kind, key: HARMLESS[key]}), *assume
    )
    assert done.code == 0, done.stderr
    assert f"{LLAMA_PARAMETERS:,} in all" in done.stderr


def test_the_type_that_reads_all_sizes_is_named(planner: Run, written: Callable[..., str]) -> None:
    mine = {**LLAMA, "model_type": "custom", "num_local_experts": 8, "num_experts_per_tok": 2}
    refused = planner("import", "model", written(mine), "--assume", "llama")
    assert "num_local_experts: the number 8 is not read by LlamaConfig, nor is" in refused.stderr
    offered = refused.stderr.partition("--assume ")[2].split()[0]
    done = planner("import", "model", written(mine), "--assume", offered)
    assert done.code == 0
    assert f"{LLAMA_PARAMETERS + 2 * (7 * 3 * 64 * 128 + 8 * 64):,} in all" in done.stderr


def test_an_unknown_type_is_told_the_nearest(planner: Run, written: Callable[..., str]) -> None:
    refused = planner("import", "model", written(LLAMA | {"model_type": "llama5"}))
    assert refused.code == 2
    assert "unknown model_type 'llama5'" in refused.stderr
    assert (
        "--assume llama, the nearest known type, has all of its sizes; the layers may differ"
        in refused.stderr
    )


@pytest.mark.parametrize("lacking", ["hidden_size", "num_hidden_layers", "intermediate_size"])
def test_no_size_comes_from_a_class_unasked(
    planner: Run, written: Callable[..., str], lacking: str
) -> None:
    config = {key: value for key, value in LLAMA.items() if key != lacking}
    path = written(config | {"hidden_dim": 64, "n_blocks": 2, "ffn_embed_dim": 128})
    refused = planner("import", "model", path)
    assert refused.code == 2
    assert f"{lacking} or " in refused.stderr
    assert "is missing; the file has " in refused.stderr
    assert "hidden_dim" in refused.stderr


WRAPPED = {key: value for key, value in LLAMA.items() if key not in ("model_type", "architectures")}


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ({"model_type": "llava", "text_config": WRAPPED}, "text_config"),
        ({"model_type": "mistral3", "text_config": WRAPPED}, "text_config"),
        ({"model_type": "internvl", "text_config": WRAPPED}, "text_config"),
        (
            {"model_type": "my_vl", "llm_config": {**WRAPPED, "model_type": "llama"}},
            "llm_config",
        ),
        (
            {"model_type": "my_omni", "thinker_config": {"text_config": LLAMA}},
            "thinker_config.text_config",
        ),
    ],
)
def test_the_language_model_of_a_larger_one(
    planner: Run, written: Callable[..., str], outer: dict[str, Any], inner: str
) -> None:
    done = planner("import", "model", written({**outer, "vision_config": {"hidden_size": 1024}}))
    assert done.code == 0, done.stderr
    assert f"note: read: {inner}, the language model of a larger one" in done.stderr
    assert "vision_config: only the language model is planned for" in done.stderr


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("bert", "is an encoder"),
        ("modernbert", "is an encoder"),
        ("deberta-v2", "is an encoder"),
        ("t5", "has an encoder and a decoder"),
        ("bart", "has an encoder and a decoder"),
        ("whisper", "has an encoder and a decoder"),
        ("mamba2", "linear attention or state spaces"),
        ("qwen3_next", "linear attention or state spaces"),
        ("nemotron_h", "linear attention or state spaces"),
        ("gemma3n", "layers of different widths"),
        ("mllama", "cross attention"),
    ],
)
def test_other_kinds_of_models_are_refused_by_name(
    planner: Run, written: Callable[..., str], kind: str, why: str
) -> None:
    refused = planner("import", "model", written(LLAMA | {"model_type": kind}))
    assert refused.code == 2
    assert f"{kind} " in refused.stderr
    assert why in refused.stderr
    assert "describe one of the same size in a model file" in refused.stderr


def test_a_config_says_itself_that_it_has_an_encoder(
    planner: Run, written: Callable[..., str]
) -> None:
    config = LLAMA | {"model_type": "new_seq2seq", "is_encoder_decoder": True}
    assert "an encoder and a decoder" in planner("import", "model", written(config)).stderr


def test_infinity_of_python_is_no_obstacle(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**LLAMA, "time_step_limit": [0.0, float("inf")]}))
    assert planner("import", "model", str(path)).code == 0


@pytest.mark.parametrize("command", ["search", "estimate"])
@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("config.json", json.dumps(LLAMA), "is a Hugging Face config"),
        ("train.sh", "torchrun pretrain_gpt.py --num-layers 2 --hidden-size 64", "is a script"),
        ("neox.yml", "num-layers: 2\npipe-parallel-size: 1\n", "of another framework"),
    ],
)
def test_model_option_with_a_file_of_another_program(
    planner: Run, tmp_path: Path, command: str, name: str, text: str, what: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    refused = planner(command, "--cluster", "dgx-a100-8", "--model", str(path))
    assert refused.code == 2
    assert what in refused.stderr
    assert f"`planner import model {path} -o model.yaml`" in refused.stderr
