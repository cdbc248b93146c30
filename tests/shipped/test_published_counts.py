"""Every shipped model has the number of parameters that its publication prints.

A printed figure such as 46.7B agrees when the count rounds to it, or is cut off to it: both are
found in publications. A figure without a letter is exact.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

import pytest

from planner.specs.files.catalog import list_shipped
from planner.specs.load import load_model
from planner.specs.model.spec import ModelSpec
from planner.workload.parameters import (
    active_parameters,
    embedding_parameters,
    head_parameters,
    layer_parameters,
    mtp_parameters,
    total_parameters,
)

SC21 = "Narayanan et al. 2021 (arXiv 2104.04473), table 1"
SP22 = "Korthikanti et al. 2022 (arXiv 2205.05198), table 3"

TOTAL = [
    ("gpt-1.7b", "1.7B", SC21),
    ("gpt-3.6b", "3.6B", SC21),
    ("gpt-7.5b", "7.5B", SC21),
    ("gpt-18b", "18.4B", SC21),
    ("gpt-39b", "39.1B", SC21),
    ("gpt-76b", "76.1B", SC21),
    ("gpt-145b", "145.6B", SC21),
    ("gpt-310b", "310.1B", SC21),
    ("gpt-530b", "529.6B", SC21),
    ("gpt-1t", "1008.0B", SC21),
    ("megatron-22b", "22B", SP22),
    ("megatron-530b", "530B", SP22),
    ("gpt3-175b", "175B", "Brown et al. 2020 (arXiv 2005.14165), table 2.1"),
    ("bloom-176b", "176247271424", "bigscience/bloom model card"),
    ("gpt-neox-20b", "20554567680", "EleutherAI/gpt-neox-20b model card"),
    ("llama-2-7b", "6.74B", "meta-llama/Llama-2-7b-hf, parameters of the safetensors files"),
    ("llama-2-13b", "13.0B", "meta-llama/Llama-2-13b-hf, parameters of the safetensors files"),
    ("llama-2-70b", "69.0B", "meta-llama/Llama-2-70b-hf, parameters of the safetensors files"),
    ("llama-3-8b", "8.03B", "meta-llama/Meta-Llama-3-8B, parameters of the safetensors files"),
    ("llama-3-70b", "70.6B", "meta-llama/Meta-Llama-3-70B, parameters of the safetensors files"),
    ("llama-3.1-405b", "405B", "Grattafiori et al. 2024 (arXiv 2407.21783), table 3"),
    ("mistral-7b", "7.24B", "mistralai/Mistral-7B-v0.1, parameters of the safetensors files"),
    ("mixtral-8x7b", "46.7B", "Mistral AI, Mixtral of experts, December 2023"),
    ("mixtral-8x22b", "141B", "Mistral AI, Cheaper, better, faster, stronger, April 2024"),
    ("qwen3-30b-a3b", "30.5B", "Qwen/Qwen3-30B-A3B model card"),
    ("qwen3-235b-a22b", "235B", "Qwen/Qwen3-235B-A22B model card"),
    ("deepseek-v2", "236B", "DeepSeek-AI 2024 (arXiv 2405.04434), abstract"),
    ("deepseek-v3", "671B", "DeepSeek-AI 2024 (arXiv 2412.19437), abstract"),
    ("gpt-oss-120b", "116.83B", "gpt-oss model card (arXiv 2508.10925), table 1"),
]

ACTIVE = [
    ("mixtral-8x7b", "12.9B", "Mistral AI, Mixtral of experts, December 2023"),
    ("mixtral-8x22b", "39B", "Mistral AI, Cheaper, better, faster, stronger, April 2024"),
    ("qwen3-30b-a3b", "3.3B", "Qwen/Qwen3-30B-A3B model card"),
    ("qwen3-235b-a22b", "22B", "Qwen/Qwen3-235B-A22B model card"),
    ("deepseek-v2", "21B", "DeepSeek-AI 2024 (arXiv 2405.04434), abstract"),
    ("deepseek-v3", "37B", "DeepSeek-AI 2024 (arXiv 2412.19437), abstract"),
]

ACTIVE_WITHOUT_EMBEDDING = [
    ("deepseek-v3", "36.6B", "deepseek-ai/DeepSeek-V3 README_WEIGHTS.md"),
    ("gpt-oss-120b", "5.13B", "gpt-oss model card (arXiv 2508.10925), table 1"),
]

WITHOUT_EMBEDDING_AND_HEAD = [
    ("qwen3-30b-a3b", "29.9B", "Qwen/Qwen3-30B-A3B model card"),
    ("qwen3-235b-a22b", "234B", "Qwen/Qwen3-235B-A22B model card"),
]


def agrees(count: int, printed: str) -> bool:
    if not printed.endswith("B"):
        return count == int(printed)
    figure = Decimal(printed.removesuffix("B"))
    billions = Decimal(count) / 10**9
    return figure in {billions.quantize(figure, rounding=r) for r in (ROUND_HALF_UP, ROUND_DOWN)}


def test_agreement_is_to_the_printed_digit() -> None:
    assert agrees(46_702_792_704, "46.7B")
    assert agrees(405_853_388_800, "405B")
    assert agrees(405_853_388_800, "406B")
    assert not agrees(46_802_792_704, "46.7B")
    assert not agrees(46_602_792_704, "46.7B")
    assert not agrees(176_247_271_425, "176247271424")


def test_every_shipped_model_is_in_the_table() -> None:
    assert sorted(name for name, _, _ in TOTAL) == list(list_shipped("model"))


def test_every_mixture_is_in_a_table_of_active_parameters() -> None:
    mixtures = {name for name in list_shipped("model") if load_model(name).moe is not None}
    assert mixtures == {name for name, _, _ in ACTIVE + ACTIVE_WITHOUT_EMBEDDING}


@pytest.mark.parametrize(("name", "printed", "source"), TOTAL)
def test_total(name: str, printed: str, source: str) -> None:
    count = total_parameters(load_model(name))
    assert agrees(count, printed), f"{count:,} is not the {printed} of {source}"


@pytest.mark.parametrize(("name", "printed", "source"), ACTIVE)
def test_active(name: str, printed: str, source: str) -> None:
    count = active_parameters(load_model(name))
    assert agrees(count, printed), f"{count:,} is not the {printed} of {source}"


@pytest.mark.parametrize(("name", "printed", "source"), ACTIVE_WITHOUT_EMBEDDING)
def test_active_without_the_embedding(name: str, printed: str, source: str) -> None:
    model = load_model(name)
    count = active_parameters(model) - embedding_parameters(model)
    assert agrees(count, printed), f"{count:,} is not the {printed} of {source}"


@pytest.mark.parametrize(("name", "printed", "source"), WITHOUT_EMBEDDING_AND_HEAD)
def test_total_without_embedding_and_head(name: str, printed: str, source: str) -> None:
    model = load_model(name)
    count = total_parameters(model) - embedding_parameters(model) - head_parameters(model)
    assert agrees(count, printed), f"{count:,} is not the {printed} of {source}"


@pytest.fixture
def gpt_oss() -> ModelSpec:
    return load_model("gpt-oss-120b")


def test_parts_of_gpt_oss(gpt_oss: ModelSpec) -> None:
    """The model card's table 1: 114.71B in MLPs, 0.96B in attention, 1.16B at both ends."""
    layer = layer_parameters(gpt_oss, "moe")
    assert agrees(36 * (layer.router + layer.experts), "114.71B")
    assert agrees(36 * (layer.attention + layer.norms), "0.96B")
    assert agrees(embedding_parameters(gpt_oss) + head_parameters(gpt_oss), "1.16B")


def test_embedding_of_bloom() -> None:
    """The model card states 3,596,615,680 parameters in the token table."""
    model = load_model("bloom-176b")
    assert embedding_parameters(model) - 2 * model.hidden_size == 3_596_615_680


def test_prediction_module_of_deepseek_v3() -> None:
    """README_WEIGHTS.md states 11.5B unique parameters: the module without its projection."""
    module = mtp_parameters(load_model("deepseek-v3"))
    assert agrees(module.total - module.projection, "11.5B")
