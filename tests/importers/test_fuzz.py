"""Whatever a file holds, importing it gives a cluster or model that loads, or an InputError.
Damaged files of every kind are in `tests/fuzz/`."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from planner.errors import InputError, PlannerError
from planner.importers.clusters.importer import import_cluster
from planner.importers.clusters.node_options import NodeOptions
from planner.importers.models import import_model
from planner.specs.load import parse_model
from planner.workload.parameters import total_parameters
from tests.every_instance import instances

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


@settings(max_examples=instances(50, 150), deadline=None)
@given(st.text(st.sampled_from("aA1_ \n\t$(){}[]<>|&;'\"`\\=-+*/%!?#@:,.~^"), max_size=120))
@example("${a:-${a:-${a:-")
@example("for((;;));do a;done")
@example("a=([x]=1 [)")
def test_anything_as_a_script(text: str) -> None:
    line = "\ntorchrun x.py --num-layers 2 --hidden-size 64 --num-attention-heads 4 --seq-length 8"
    on_disk("run.sh", text + line, lambda path: import_model(path, vocabulary=100))


@settings(max_examples=instances(50, 150), deadline=None)
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
