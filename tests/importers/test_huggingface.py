"""Hugging Face configs: counts as published, names old and new, refusals with their place."""

from __future__ import annotations

import json
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner.errors import InputError
from planner.importers.huggingface.config import config_model
from planner.specs.files.json_file import parse_json
from planner.specs.load import parse_model
from planner.workload.parameters import total_parameters

if TYPE_CHECKING:
    from planner.importers.notes import Notes
    from planner.specs.model.spec import ModelSpec

PUBLISHED: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "published_configs.json").read_text()
)

LLAMA: dict[str, Any] = PUBLISHED["meta-llama/Meta-Llama-3-8B"]["config"]
QWEN_MOE: dict[str, Any] = PUBLISHED["Qwen/Qwen3-30B-A3B"]["config"]
DEEPSEEK: dict[str, Any] = PUBLISHED["deepseek-ai/DeepSeek-V3"]["config"]
OPT: dict[str, Any] = PUBLISHED["facebook/opt-6.7b"]["config"]


def read(config: dict[str, Any], *, assume: str | None = None) -> tuple[ModelSpec, Notes]:
    text = json.dumps(config, indent=2)
    model, notes = config_model(parse_json(text, "config.json"), assume=assume)
    return parse_model({"name": "model", **model}), notes


def agrees(count: int, printed: str) -> bool:
    """Exactly, or to the last digit of a figure in billions, rounded or cut off."""
    if not printed.endswith("B"):
        return count == int(printed)
    figure = Decimal(printed.removesuffix("B"))
    billions = Decimal(count) / 10**9
    return figure in {billions.quantize(figure, rounding=r) for r in (ROUND_HALF_UP, ROUND_DOWN)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name: str) -> None:
    entry = PUBLISHED[name]
    count = total_parameters(read(entry["config"])[0])
    assert agrees(count, entry["parameters"]), f"{name}: {count:,}, published {entry['parameters']}"


def test_nothing_is_left_to_the_architecture() -> None:
    for entry in PUBLISHED.values():
        assert read(entry["config"])[0].assumptions == ()


def test_text_part_of_a_multimodal_config() -> None:
    """Gemma 3's own configs leave out what their class takes by default."""
    text = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    }
    spec, notes = read({"model_type": "gemma3", "text_config": text, "vision_config": {"a": 1}})
    assert (spec.num_attention_heads, spec.num_query_groups, spec.vocab_size) == (8, 4, 262208)
    assert (spec.attention_window, spec.full_attention_frequency) == (1024, 6)
    assert total_parameters(spec) == 3_880_263_168
    assert "num_attention_heads 8 (Gemma3TextConfig's default)" in notes.assumed
    assert any("vision_config" in clause for clause in notes.left_out)


def test_tying_may_be_said_outside_of_the_text_part() -> None:
    inner = {key: value for key, value in LLAMA.items() if key != "tie_word_embeddings"}
    outer = {"model_type": "llava", "text_config": inner, "tie_word_embeddings": True}
    assert read(outer)[0].tie_embeddings


def test_old_and_new_names_mean_the_same() -> None:
    old = PUBLISHED["bigscience/bloom-560m"]["config"]
    new = {
        "model_type": "bloom",
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "n_head": 16,
        "vocab_size": 250880,
    }
    assert read(old)[0] == read(new)[0]
    renamed = {key: value for key, value in QWEN_MOE.items() if key != "num_experts"}
    assert read(renamed | {"num_local_experts": 128})[0] == read(QWEN_MOE)[0]
    newer = {key: value for key, value in DEEPSEEK.items() if key != "num_nextn_predict_layers"}
    assert read(newer | {"num_mtp_layers": 1, "dtype": "bfloat16"})[0] == read(DEEPSEEK)[0]
    assert read(newer)[0].mtp_num_layers == 0


def test_names_that_disagree_are_an_error() -> None:
    with pytest.raises(InputError, match=r"says 32 and n_layer says 31"):
        read(LLAMA | {"n_layer": 31})


def test_layers_of_experts() -> None:
    spec, _ = read(QWEN_MOE | {"num_hidden_layers": 4, "mlp_only_layers": [0]})
    assert spec.layer_kinds == ("dense", "moe", "moe", "moe")
    spec, _ = read(QWEN_MOE | {"num_hidden_layers": 4, "decoder_sparse_step": 2})
    assert spec.layer_kinds == ("dense", "moe", "dense", "moe")
    with pytest.raises(InputError, match="experts in 3 of 4 layers"):
        read(QWEN_MOE | {"num_hidden_layers": 4, "mlp_only_layers": [2]})


def test_windows() -> None:
    mistral = PUBLISHED["mistralai/Mistral-7B-v0.1"]["config"]
    assert set(read(mistral)[0].attention_windows) == {4096}
    assert set(read(mistral | {"sliding_window": None})[0].attention_windows) == {None}
    gpt_oss = read(PUBLISHED["openai/gpt-oss-20b"]["config"])[0]
    assert gpt_oss.attention_windows[:2] == (128, None)
    qwen = PUBLISHED["Qwen/Qwen2.5-7B"]["config"] | {"use_sliding_window": True}
    spec, notes = read(qwen | {"max_window_layers": 20})
    assert spec.attention_window is None
    assert any("8 of 28 layers" in clause for clause in notes.left_out)
    with pytest.raises(InputError, match="'linear_attention' cannot be described"):
        read(LLAMA | {"model_type": "qwen3", "layer_types": ["linear_attention"] * 32})


def test_dropout_is_what_the_config_says() -> None:
    assert read(PUBLISHED["openai-community/gpt2"]["config"])[0].dropout
    assert not read(LLAMA)[0].dropout
    assert read(LLAMA | {"attention_dropout": 0.1})[0].dropout
    with pytest.raises(InputError, match="expected a probability"):
        read(LLAMA | {"attention_dropout": 10})


def test_falcon_variants() -> None:
    old = {
        "model_type": "RefinedWeb",
        "n_layer": 60,
        "hidden_size": 8192,
        "n_head": 128,
        "n_head_kv": 8,
        "vocab_size": 65024,
    }
    spec, _ = read(old)
    assert (spec.num_query_groups, spec.norms_per_layer, spec.parallel_attention) == (8, 2, True)
    rw = {
        "model_type": "falcon",
        "alibi": True,
        "bias": True,
        "hidden_size": 2048,
        "multi_query": False,
        "num_attention_heads": 32,
        "num_hidden_layers": 24,
        "parallel_attn": False,
        "vocab_size": 50304,
    }
    spec, _ = read(rw)
    assert (spec.num_query_groups, spec.norms_per_layer, spec.position_embedding) == (
        32,
        2,
        "alibi",
    )
    assert total_parameters(spec) == 1_311_625_216


def test_positions_of_opt() -> None:
    spec, notes = read(OPT)
    assert (spec.seq_length, spec.training.seq_length) == (2050, 2048)
    assert any("two rows more" in clause for clause in notes.assumed)
    with pytest.raises(
        InputError, match=r"config.json:\d+:\d+: word_embed_proj_dim: embeddings of"
    ):
        read(OPT | {"word_embed_proj_dim": 512})


def test_unknown_type_needs_a_decision() -> None:
    unknown = LLAMA | {"model_type": "lama"}
    with pytest.raises(InputError, match=r"config.json:2:17: model_type: unknown .*--assume llama"):
        read(unknown)
    spec, notes = read(unknown, assume="llama")
    assert total_parameters(spec) == 8_030_261_248
    assert "the model is built like llama (model_type lama)" in notes.assumed
    with pytest.raises(InputError, match="--assume 'lama' is not one of"):
        read(unknown, assume="lama")


def test_an_assumed_type_lends_no_sizes() -> None:
    """What LlamaConfig takes for a missing size says nothing of another class."""
    short = {key: value for key, value in LLAMA.items() if key != "intermediate_size"}
    with pytest.raises(InputError, match="intermediate_size or ffn_dim or n_inner"):
        read(short | {"model_type": "other"}, assume="llama")


def test_type_from_the_class_name() -> None:
    untyped = {key: value for key, value in LLAMA.items() if key != "model_type"}
    assert read(untyped | {"architectures": ["LlamaForCausalLM"]})[0] == read(LLAMA)[0]
    with pytest.raises(InputError, match="model_type is missing"):
        read(untyped | {"architectures": ["StrangeForCausalLM"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": "4096"}, r"hidden_size: expected a whole number, found the text '4096'"),
        ({"num_hidden_layers": 0}, r"num_hidden_layers: 0 is not between 1 and 100,000"),
        ({"num_hidden_layers": True}, r"expected a whole number, found true"),
        ({"num_key_value_heads": 7}, r"not a multiple of 7 key and value heads"),
        ({"num_attention_heads": 33}, r"33 heads do not divide the hidden size"),
        ({"hidden_act": "tanh"}, r"activation the text 'tanh' is not one of"),
        ({"tie_word_embeddings": "no"}, r"expected true or false"),
        ({"vocab_size": 1.5}, r"expected a whole number, found the number 1.5"),
    ],
)
def test_wrong_values_have_a_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(LLAMA | change)
    assert caught.value.line is not None


def test_whole_numbers_written_as_decimals_are_taken() -> None:
    assert read(LLAMA | {"hidden_size": 4096.0})[0].hidden_size == 4096


def test_null_is_no_size() -> None:
    """Keys that a class cannot do without are not taken for granted."""
    for config in (OPT, LLAMA):
        for key in ("hidden_size", "num_attention_heads", "vocab_size"):
            with pytest.raises(InputError, match=rf"config.json:\d+:\d+: {key}: is null"):
                read(config | {key: None})
    with pytest.raises(InputError, match=r":\d+: max_position_embeddings: is null, where"):
        read(OPT | {"max_position_embeddings": None})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("do_layer_norm_before", False),
        ("layer_norm_elementwise_affine", False),
        ("_remove_final_layer_norm", True),
        ("word_embed_proj_dim", 512),
    ],
)
def test_variants_of_opt_that_no_model_file_describes(key: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"config.json:\d+:\d+: {key}: .*cannot be described"):
        read(OPT | {key: value})


def test_sizes_of_opt() -> None:
    """OPT-1.3B: 1,315,758,080 parameters in its checkpoint, tied embeddings counted once."""
    config = OPT | {
        "hidden_size": 2048,
        "ffn_dim": 8192,
        "num_attention_heads": 32,
        "num_hidden_layers": 24,
        "word_embed_proj_dim": 2048,
    }
    spec, _ = read(config)
    layer = 4 * 2048 * 2048 + 4 * 2048 + 2 * 2048 * 8192 + 8192 + 2048 + 2 * 2 * 2048
    assert total_parameters(spec) == 24 * layer + 50272 * 2048 + 2050 * 2048 + 2 * 2048
    assert total_parameters(spec) == 1_315_758_080
    assert (spec.ffn_hidden_size, spec.activation, spec.position_embedding) == (
        8192,
        "relu",
        "learned",
    )


def test_mpt_as_published() -> None:
    """mosaicml/mpt-7b on the Hub; read as llama it would have a third matrix in every MLP."""
    config = {"model_type": "mpt", "d_model": 4096, "n_heads": 32, "n_layers": 32,
              "vocab_size": 50432, "max_seq_len": 2048}  # fmt: skip
    model, _ = config_model(parse_json(json.dumps(config), "config.json"), assume=None)
    assert total_parameters(parse_model({"name": "model", **model})) == 6_649_286_656
    lists = {"model_type": "hunyuan_v1_moe", "hidden_size": 64, "num_hidden_layers": 2,
             "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 100,
             "num_experts": 4, "moe_topk": [2, 1]}  # fmt: skip
    with pytest.raises(InputError, match="moe_topk: differs from layer to layer"):
        config_model(parse_json(json.dumps(lists), "config.json"), assume=None)
    other = {**lists, "model_type": "qwen"}
    with pytest.raises(InputError, match="qwen has an MLP half as wide as intermediate_size says"):
        config_model(parse_json(json.dumps(other), "config.json"), assume=None)
