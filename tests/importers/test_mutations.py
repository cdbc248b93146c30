"""Every importer, given its own samples with any one part missing, repeated or replaced, imports
what it can or says what is wrong and where; it never takes a key for granted."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner.cli.app import run
from planner.errors import InputError, PlannerError
from planner.importers.clusters.importer import import_cluster
from planner.importers.clusters.node_options import NodeOptions
from planner.importers.huggingface.types import TYPES
from planner.importers.launch import read_launch
from planner.importers.launch_options import LaunchOptions
from planner.importers.models import import_model
from planner.specs.load import load_cluster, load_model
from planner.workload.parameters import total_parameters
from tests.every_instance import instances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

DATA = Path(__file__).parent / "data"
CLUSTER_TEXTS = (
    "nccl_two_nodes.txt", "nccl_p4de_cut.txt", "all_reduce_bench.txt", "sniff_test.txt",
    "mpigraph_log.txt", "matrix.csv", "regions.csv", "topo_h100.txt", "system.xml",
    "topology.conf", "topology.yaml",
)  # fmt: skip
CLUSTER_TREES = ("nccl_report.json", "mpigraph.json", "topograph.json")
SCRIPTS = (
    "gpt3_175b.sh", "deepseek_v3_sbatch.sh", "llama3_conditions.sh", "bridge_llama3_8b.txt",
    "bloom_exported.slurm",
)  # fmt: skip
NODES = NodeOptions(
    device="h100-sxm-80gb",
    devices_per_node=8,
    intra_node_bandwidth="450 GB/s",
    network_bandwidth="50 GB/s",
    cards=8,
)
MOST = instances(60, 120)
"""Mutations of one sample, evenly spread over all there are."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 1.5, 1e308, 10**30, "", "x", "auto", "1", "\0", [], {}, [None],
    [1], ["x"], [[1]], {"a": 1}, {"": None},
)  # fmt: skip
WORDS = ("", "-1", "0", "x", "1e99", "999999999999999999999", "NaN", "$X", "'", "é")
WHOLE_FILE = (
    "is none of: ", "is JSON, but ", "holds no ", "is empty", "names no nodes", "needs two nodes",
    "does not say over how many devices", "the overrides do not say", "devices of different kinds",
    "is not a topology", "no Megatron-LM command found",
    "is a command without flags of Megatron-LM",
    "2 different Megatron-LM commands: 1 on line",
)  # fmt: skip
"""What is wrong with a file as a whole, and so at no place in it."""


def locations(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree; of a list the first entries, which are alike."""
    if above:
        yield above
    below = tree.items() if isinstance(tree, dict) else enumerate(tree[:3])
    for key, value in below if isinstance(tree, (dict, list)) else ():
        if isinstance(value, (dict, list)):
            yield from locations(value, (*above, key))
        else:
            yield (*above, key)


def changed_trees(tree: Any) -> Iterator[Any]:
    """The tree without each part, with each given twice, and with other values in its place."""
    for at in locations(tree):
        for value in ("delete", "repeat", *VALUES):
            copy = json.loads(json.dumps(tree))
            holder = copy
            for key in at[:-1]:
                holder = holder[key]
            if value == "delete":
                del holder[at[-1]]
            elif value == "repeat" and isinstance(holder, list):
                holder.insert(at[-1], holder[at[-1]])
            elif value == "repeat":
                holder[f"{at[-1]}_2"] = holder[at[-1]]
            else:
                holder[at[-1]] = value
            yield copy


def changed_texts(text: str) -> Iterator[str]:
    """The text without each line, with each given twice, cut there, and with other words."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        before, after = lines[:index], lines[index + 1 :]
        for new in ([], [line, line], ["garbage % here"], [line[: len(line) // 2]]):
            yield "\n".join([*before, *new, *after])
        yield "\n".join(before)
        for word in list(re.finditer(r"[^\s,=:\"]+", line))[:10]:
            for other in (*WORDS, word[0] * 2, f"{word[0]} {word[0]}"):
                changed = line[: word.start()] + other + line[word.end() :]
                yield "\n".join([*before, changed, *after])


def spread(cases: Iterator[Any], most: int = MOST) -> Sequence[Any]:
    found = list(cases)
    return found[:: max(1, len(found) // most)]


def assert_placed(error: PlannerError, path: Path) -> None:
    """An error names the file and the line that is wrong, or the option that is missing."""
    for line in error.lines:
        place = re.match(rf"{re.escape(str(path))}((?::\d+){{0,2}}): (.*)", line, re.DOTALL)
        assert place or "--" in line, line
        assert not place or place[1] or place[2].startswith(WHOLE_FILE), line


def import_all(path: Path, texts: Iterable[str], use: Callable[[str], object]) -> None:
    """Each text is imported, or its error says where it is wrong; anything else is a crash."""
    for text in texts:
        path.write_text(text, encoding="utf-8")
        try:
            use(str(path))
        except PlannerError as error:
            assert_placed(error, path)


@pytest.mark.parametrize("name", CLUSTER_TREES)
def test_cluster_trees(name: str, tmp_path: Path) -> None:
    tree = json.loads((DATA / name).read_text())
    texts = (json.dumps(one, indent=1) for one in spread(changed_trees(tree)))
    import_all(tmp_path / name, texts, lambda path: import_cluster([path], NODES))


@pytest.mark.parametrize("name", CLUSTER_TEXTS)
def test_cluster_texts(name: str, tmp_path: Path) -> None:
    texts = spread(changed_texts((DATA / name).read_text()))
    import_all(tmp_path / name, texts, lambda path: import_cluster([path], NODES))


@pytest.mark.parametrize("name", SCRIPTS)
def test_launch_scripts(name: str, tmp_path: Path) -> None:
    texts = spread(changed_texts((DATA / name).read_text()))
    import_all(tmp_path / name, texts, lambda path: import_model(path, vocabulary=32000))


@pytest.mark.parametrize("name", [*CLUSTER_TREES, *CLUSTER_TEXTS, *SCRIPTS])
def test_through_the_command_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANNER_DEBUG", "1")
    kind = "model" if name in SCRIPTS else "cluster"
    path, target = tmp_path / name, tmp_path / "imported.yaml"
    for text in spread(changed_texts((DATA / name).read_text()), most=12):
        path.write_text(text, encoding="utf-8")
        target.unlink(missing_ok=True)
        code = run(["import", kind, str(path), "-o", str(target)])
        printed = capsys.readouterr()
        assert code in (0, 2)
        assert (code == 0) == target.exists()
        errors = [line for line in printed.err.splitlines() if not line.startswith("note: ")]
        assert (code == 2) == bool(errors)
        assert all(str(path) in line or "--" in line for line in errors), errors


CONFIGS: dict[str, dict[str, Any]] = {
    entry["config"]["model_type"]: entry["config"]
    for entry in json.loads((DATA / "published_configs.json").read_text()).values()
    if "model_type" in entry["config"]
}


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_model_configs(kind: str, tmp_path: Path) -> None:
    """Of every type: the published config, or what the class takes, key by key and in pairs."""
    config = CONFIGS.get(kind, {"model_type": kind, **TYPES[kind].defaults})
    names = [key for key in config if key != "model_type"]
    pairs = (
        {key: value for key, value in config.items() if key not in (one, other)} | nothing
        for one in names
        for other in names
        for nothing in ({}, {one: None, other: None})
        if one < other
    )
    trees = [*spread(changed_trees(config)), *spread(pairs)]
    texts = (json.dumps(tree, indent=1) for tree in trees)
    import_all(tmp_path / "config.json", texts, import_model)


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_what_is_imported_can_be_counted(kind: str, tmp_path: Path) -> None:
    """The defaults of a class are a model that can be counted, or are refused at their place."""
    config = {"model_type": kind, **TYPES[kind].defaults}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    refused = None
    try:
        imported = import_model(str(path))
    except InputError as error:
        refused = error
    if refused is None:
        assert total_parameters(imported.spec, seq_length=2048) > 0
    else:
        assert refused.line == 1


DEEPSPEED = {
    "train_batch_size": 1536,
    "train_micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 12,
    "bf16": {"enabled": True},
    "fp16": {"enabled": False},
    "zero_optimization": {
        "stage": 1,
        "overlap_comm": True,
        "reduce_bucket_size": 5e8,
        "offload_optimizer": {"device": "none"},
    },
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-4}},
    "data_types": {"grad_accum_dtype": "fp32"},
    "communication_data_type": "bf16",
}


def test_deepspeed_configurations(tmp_path: Path) -> None:
    cluster, model = load_cluster("dgx-a100-16"), load_model("gpt-7.5b")
    asked = LaunchOptions(global_batch_size=1536)
    texts = (json.dumps(tree, indent=1) for tree in spread(changed_trees(DEEPSPEED)))
    import_all(
        tmp_path / "ds.json", texts, lambda path: read_launch(path, cluster, model, asked).check()
    )


@pytest.mark.parametrize("name", ["llama3 8B", "qwen3 0.6B", "deepseek_v3 671B"])
def test_names_of_torchtitan(name: str) -> None:
    for text in spread(changed_texts(name)):
        with suppress(PlannerError):
            import_model(text)
