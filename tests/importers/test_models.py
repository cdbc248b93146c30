"""Bridge overrides, torchtitan names, and `planner import model` as a user runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner.cli.app import run
from planner.errors import InputError
from planner.importers.megatron.bridge import bridge_launch
from planner.importers.models import import_model
from planner.importers.source import source_of
from planner.importers.torchtitan import FLAVORS
from planner.specs.load import load_model
from planner.workload.parameters import total_parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.importers.source import Source

# Models of the same shape on the Hugging Face Hub; the debug flavors have none.
PUBLISHED_FLAVORS = {
    "llama3 8B": 8_030_261_248,
    "llama3 70B": 70_553_706_496,
    "llama3 405B": 405_853_388_800,
    "qwen3 0.6B": 596_049_920,
    "qwen3 8B": 8_190_735_360,
    "qwen3 32B": 32_762_123_264,
    "qwen3 30B-A3B": 30_532_122_624,
    "qwen3 235B-A22B": 235_093_634_560,
    "deepseek_v3 16B": 15_706_484_224,
    "deepseek_v3 236B": 235_741_434_880,
    "deepseek_v3 671B": 671_026_404_352,
    "gpt_oss 20B": 20_914_757_184,
    "gpt_oss 120B": 116_829_156_672,
}


@pytest.mark.parametrize("name", PUBLISHED_FLAVORS)
def test_torchtitan_flavors(name: str) -> None:
    spec = import_model(name).spec
    assert total_parameters(spec) == PUBLISHED_FLAVORS[name]
    assert (spec.assumptions, spec.training.software) == ((), "torchtitan")


def test_every_flavor_loads() -> None:
    for model, flavors in FLAVORS.items():
        for flavor in flavors:
            assert import_model(f"{model} {flavor}").spec.num_layers > 0


@pytest.mark.parametrize(
    "name", ["llama3/8B", "llama3-8B", "LLAMA3 8b", "llama3:8b", "llama3.1 8B"]
)
def test_ways_to_write_a_flavor(name: str) -> None:
    assert total_parameters(import_model(name).spec) == 8_030_261_248


def test_unknown_flavors() -> None:
    with pytest.raises(
        InputError, match=r"no flavor '9B' of torchtitan's llama3; flavors: 8B, 70B"
    ):
        import_model("llama3 9B")
    with pytest.raises(InputError, match="which flavor of torchtitan's qwen3"):
        import_model("qwen3")
    with pytest.raises(InputError, match=r"'lama3' is neither a file nor .* did you mean llama3\?"):
        import_model("lama3")


def test_bridge_overrides(sample: Callable[[str], Source]) -> None:
    found = bridge_launch(sample("bridge_llama3_8b.txt"))
    assert found.model["num_query_groups"] == 8
    assert (found.tensor, found.pipeline, found.virtual_stages) == (2, 4, 2)
    assert (found.precision, found.data_sharding) == ("bf16", "optimizer")
    assert found.training["global_batch_size"] == 128
    assert found.notes.left_out[-1] == "overrides without a place here: optimizer.lr"
    place = found.place("tensor")
    assert (place.line, place.column) == (10, 34)


def test_bridge_command_and_unquoted_layout() -> None:
    text = (
        "python run_recipe.py model.num_layers=8 model.hidden_size=512 "
        "model.num_attention_heads=8 model.vocab_size=32000 model.seq_length=1024 "
        "model.pipeline_model_parallel_size=2 mixed_precision=bf16_with_mxfp8_mixed "
    )
    quoted = bridge_launch(
        source_of((text + "model.pipeline_model_parallel_layout='Ettt|tttttL'").encode(), "f")
    )
    loose = bridge_launch(
        source_of((text + "model.pipeline_model_parallel_layout=Et*3|(t)*5,L").encode(), "f")
    )
    assert quoted.stage_layers == loose.stage_layers == (3, 5)
    assert quoted.precision == loose.precision == "mxfp8"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.tensor_model_parallel_size=2", "do not say how large the model is"),
        (
            "model.num_layers=2\nmodel.hidden_size=x",
            r"f:2:19: model.hidden_size: 'x' is not a whole",
        ),
        ("model.num_layers=2 model.qk_layernorm=maybe", r"qk_layernorm: expected true or false"),
        (
            "model.num_layers=$N model.hidden_size=2",
            r"value of model.num_layers is not in this file",
        ),
    ],
)
def test_bridge_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bridge_launch(source_of(text.encode(), "f"))


def test_command_writes_a_file_that_loads(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "gpt3.yaml"
    assert run(["import", "model", str(data / "gpt3_175b.sh"), "-o", str(target)]) == 0
    assert total_parameters(load_model(str(target))) == 174_604_259_328
    assert load_model(str(target)).training.global_batch_size == 1536
    written = capsys.readouterr()
    assert written.out == ""
    assert "note: assumed: vocab_size 50257" in written.err
    assert "# Assumed: vocab_size 50257" in target.read_text()


def test_json_has_the_same_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "model.yaml"
    assert run(["import", "model", "llama3", "8B", "-o", str(target)]) == 0
    capsys.readouterr()
    assert run(["import", "model", "llama3", "8B", "--json", "--name", "model"]) == 0
    mapping = json.loads(capsys.readouterr().out)
    assert (mapping["name"], mapping["num_layers"]) == ("model", 32)
    assert "moe" not in mapping
    target.write_text(json.dumps(mapping))
    assert total_parameters(load_model(str(target))) == 8_030_261_248


def test_into_keeps_what_it_does_not_read(tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    target.write_text(
        "# Ours.\nname: ours\narchitecture: llama # kept\nnum_layers: 2\nhidden_size: 64\n"
        "ffn_hidden_size: 128\nnum_attention_heads: 4\nvocab_size: 100 # tokens\n"
        "training:\n  # tuned by hand\n  global_batch_size: 99\n"
    )
    assert run(["import", "model", "llama3", "8B", "--into", str(target)]) == 0
    text = target.read_text()
    assert text.startswith("# Ours.\nname: ours\narchitecture: llama # kept\nnum_layers: 32\n")
    assert "vocab_size: 128256 # tokens" in text
    assert "# tuned by hand\n  global_batch_size: 99\n  software: torchtitan" in text
    spec = load_model(str(target))
    assert (total_parameters(spec), spec.training.global_batch_size) == (8_030_261_248, 99)


def test_name_of_a_config_is_that_of_its_folder(tmp_path: Path, data: Path) -> None:
    configs = json.loads((data / "published_configs.json").read_text())
    folder = tmp_path / "Qwen3-8B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(configs["Qwen/Qwen3-8B"]["config"]))
    assert import_model(str(folder)).spec.name == "qwen3-8b"
    assert import_model(str(folder / "config.json"), name="other").spec.name == "other"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "error: nowhere.json: no such file"),
        (["{data}/topology.conf"], "is none of: a Hugging Face config.json"),
        (["{data}/nccl_report.json"], "is JSON, but no model's config"),
        (["{data}/gpt3_175b.sh", "--assume", "llama"], "--assume is for a Hugging Face config"),
        (["{data}/gpt3_175b.sh", "--set", "A"], "error: --set: 'A' is not NAME=VALUE"),
        (["{data}/gpt3_175b.sh", "--command", "0"], "--command: '0' is not a whole number"),
        (["llama3", "8B", "-o", "{data}/nowhere/x.yaml"], "there is no folder"),
        (["llama3", "8B", "-o", "a", "--into", "b"], "--into and --output are both given"),
        ([], "missing argument 'FILE|NAME'"),
    ],
)
def test_errors_of_the_command(
    arguments: list[str], message: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [argument.format(data=data) for argument in arguments]
    assert run(["import", "model", *filled]) == 2
    assert message in capsys.readouterr().err


def test_no_folder_of_the_user_is_written_down(data: Path) -> None:
    assert str(data) not in import_model(str(data / "gpt3_175b.sh")).text
    assert os.sep not in import_model(str(data / "gpt3_175b.sh")).text.split("name:")[0].replace(
        "torchrun/", ""
    )
