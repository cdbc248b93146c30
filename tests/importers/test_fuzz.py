"""Whatever a file holds, importing it gives a cluster or model that loads, or an InputError."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planner.errors import InputError, PlannerError
from planner.importers.clusters.detect import FORMATS
from planner.importers.clusters.groups import NodeOptions
from planner.importers.clusters.importer import import_cluster
from planner.importers.models import import_model
from planner.specs.load import parse_model
from planner.workload.parameters import total_parameters

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parent / "data"
CLUSTER_FILES = (
    "nccl_two_nodes.txt", "nccl_report.json", "all_reduce_bench.txt", "sniff_test.txt",
    "mpigraph_log.txt", "mpigraph.json", "matrix.csv", "regions.csv", "topo_h100.txt",
    "system.xml", "topology.conf", "topology.yaml", "topograph.json",
)  # fmt: skip
MODEL_FILES = (
    "gpt3_175b.sh", "deepseek_v3_sbatch.sh", "llama3_conditions.sh", "bridge_llama3_8b.txt",
)  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = json.loads((DATA / "published_configs.json").read_text())
EVERYTHING = NodeOptions(
    device="h100-sxm-80gb",
    devices_per_node=8,
    intra_node_bandwidth="450 GB/s",
    network_bandwidth="50 GB/s",
    cards=8,
)

SCRAPS = st.sampled_from(
    [
        "", " ", "\n", "\t", "\\\n", ",", ":", "=", "-", "#", "*", "/", "%", "|", "||", "&", "&&",
        ";", ";;", "(", ")", "((", "))", "$((", "[", "]", "[[", "]]", "{", "}", "${", "$", "`", "'",
        '"',
        "<", ">", "<<EOF\n", "EOF", "if ", "fi", "case x in", "esac", "do", "done", "function f",
        "eval ", "export ", "unset ", "exit", "${A[@]}", "${A//a/b}", "${#A}", "$1", "[0]*99999999",
        "--num-layers", "--hidden-size=", "model.num_layers=", "SwitchName=", "node[1-99999999]",
        "GPU0", "NV999", "X", "<!DOCTYPE a [<!ENTITY b 'c'>]>", "&b;", "<system>", "</gpu>", "null",
        "true", "NaN", "Infinity", "1e999", "-1", "0", "99999999999999999999999999", "1.5.2",
        "\x00", "\x1b[4m", "\x07", "\u2028", "é", "\U0001f600", "MB/s", "&anchor",
    ]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[str, str]:
    """A sample, and its text cut, garbled and grown in a few places."""
    name = draw(st.sampled_from(names))
    text = (DATA / name).read_text()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 30)))
        change = draw(st.sampled_from(["cut", "delete", "insert", "repeat", "replace"]))
        if change == "cut":
            text = text[:start]
        elif change == "delete":
            text = text[:start] + text[end:]
        elif change == "repeat":
            text = text[:end] + text[start:]
        else:
            scrap = draw(SCRAPS)
            text = text[:start] + scrap + text[end if change == "replace" else start :]
    return name, text


def on_disk(name: str, text: str, use: Callable[[str], object]) -> None:
    """Calls with the path of a file of that content; only errors meant for the user may come."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8", newline="")
        message = "ok"
        try:
            use(str(path))
        except PlannerError as error:
            message = str(error)
    assert 0 < len(message) < 20_000


SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(damaged(CLUSTER_FILES), st.sampled_from([None, None, *FORMATS]))
def test_damaged_clusters(sample: tuple[str, str], format_name: str | None) -> None:
    """What is imported was read by the strict loader, so that it can be planned for."""

    def use(path: str) -> None:
        found = import_cluster([path], EVERYTHING, format_name=format_name, unit=None)
        assert all(group.devices_per_node == 8 for group in found.spec.node_groups)

    on_disk(*sample, use)


@SLOW
@given(damaged(MODEL_FILES))
def test_damaged_launches(sample: tuple[str, str]) -> None:
    def use(path: str) -> None:
        spec = import_model(path, vocabulary=32000).spec
        assert total_parameters(spec, seq_length=2048) > 0

    on_disk(*sample, use)


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("aA1_ \n\t$(){}[]<>|&;'\"`\\=-+*/%!?#@:,.~^"), max_size=120))
@example("${a:-${a:-${a:-")
@example("for((;;));do a;done")
@example("a=([x]=1 [)")
def test_anything_as_a_script(text: str) -> None:
    line = "\ntorchrun x.py --num-layers 2 --hidden-size 64 --num-attention-heads 4 --seq-length 8"
    on_disk("run.sh", text + line, lambda path: import_model(path, vocabulary=100))


HOSTILE: Any = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.sampled_from(["silu", "full_attention", 4096, 1, 0]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(sorted(CONFIGS)), st.data())
def test_hostile_values_in_configs(name: str, data: st.DataObject) -> None:
    config = dict(CONFIGS[name]["config"])
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from([*config, "text_config", "layer_types", "architectures"]))
        config[key] = data.draw(HOSTILE)
    assume = data.draw(st.sampled_from([None, "llama", "falcon", "deepseek_v3"]))
    on_disk(
        "config.json",
        json.dumps(config),
        lambda path: total_parameters(import_model(path, assume=assume).spec, seq_length=1),
    )


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["nccl_report.json", "mpigraph.json", "topograph.json"]), st.data())
def test_hostile_values_in_reports(name: str, data: st.DataObject) -> None:
    tree = json.loads((DATA / name).read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        holder: Any = tree
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(holder[key], (dict, list)) and data.draw(st.booleans()):
                holder = holder[key]
                continue
            holder[key] = data.draw(HOSTILE)
            break
    on_disk(name, json.dumps(tree), lambda path: import_cluster([path], EVERYTHING))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size"]),
    st.integers(1, 40),
)
def test_no_silent_wrong_number(key: str, factor: int) -> None:
    """A changed size changes the count by exactly what it should."""
    config = dict(CONFIGS["meta-llama/Llama-2-7b-hf"]["config"]) | {"head_dim": 128}
    config[key] *= factor
    layers, hidden, ffn, vocab = (
        config[name]
        for name in ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")
    )
    attention = 4 * hidden * 32 * 128
    expected = layers * (attention + 3 * hidden * ffn + 2 * hidden) + (2 * vocab + 1) * hidden
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config))
        found = import_model(str(path))
    assert total_parameters(found.spec) == expected
    assert total_parameters(parse_model(found.mapping)) == expected


@pytest.mark.parametrize("name", [*CLUSTER_FILES, *MODEL_FILES])
def test_every_prefix_of_a_sample(name: str) -> None:
    """A file that was cut anywhere imports what it holds, or says what is missing."""
    text = (DATA / name).read_text()
    step = max(1, len(text) // 40)
    for end in range(0, len(text), step):
        if name in MODEL_FILES:
            on_disk(name, text[:end], lambda path: import_model(path, vocabulary=32000))
        else:
            on_disk(name, text[:end], lambda path: import_cluster([path], EVERYTHING))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\x89PNG\r\n", b"{" * 200_000])
@pytest.mark.parametrize("suffix", ["json", "sh", "csv", "xml", "conf"])
def test_bytes_that_are_no_text(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError):
        import_cluster([str(path)], EVERYTHING)
    with pytest.raises(InputError):
        import_model(str(path))
