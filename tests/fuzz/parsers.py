"""Every parser, with the files it reads: what a mutant of one of them is given to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from planner import api
from planner.calibration.logs import StepSize, read_log
from planner.checks.baseline import read_baseline
from planner.importers.clusters.groups import NodeOptions
from planner.importers.clusters.importer import import_cluster
from planner.importers.models import import_model
from planner.plan_document import read_plan
from planner.specs.cluster.matrix import load_matrix
from planner.specs.files.catalog import resolve
from planner.specs.load import load_cluster, load_device, load_model, load_software
from planner.specs.runs.build import load_runs
from planner.workload.parameters import total_parameters
from tests.fuzz.mutate import PlainDumper

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "importers" / "data"
EXPORTED = ROOT / "tests" / "golden"
SMALL_MODEL = "small-model.yaml"
SMALL_CLUSTER = "small-cluster.yaml"
JOB = ("--global-batch-size", "5040", "--seq-length", "512", "--precision", "fp16", "--json")
NODE = NodeOptions(
    device="h100-sxm-80gb",
    devices_per_node=8,
    intra_node_bandwidth="450 GB/s",
    network_bandwidth="50 GB/s",
    cards=8,
)
CLUSTER_FILES = (
    "nccl_two_nodes.txt", "nccl_report.json", "all_reduce_bench.txt", "sniff_test.txt",
    "mpigraph_log.txt", "mpigraph.json", "matrix.csv", "regions.csv", "topo_h100.txt",
    "system.xml", "topology.conf", "topology.yaml", "topograph.json",
)  # fmt: skip
SCRIPTS = ("gpt3_175b.sh", "deepseek_v3_sbatch.sh", "llama3_conditions.sh", "bloom_exported.slurm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`tree` is the content of a YAML or JSON file, for changes that keep the file well formed."""

    name: str
    text: str
    tree: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """`read` is the parser itself. `command` is one that goes on with what it read, for the share
    `followed` of the mutants that it took. `placed`: errors begin with the file."""

    name: str
    samples: Callable[[], tuple[Sample, ...]]
    read: Callable[[str], Any]
    command: Callable[[str], tuple[str, ...]] | None = None
    followed: float = 0.0
    placed: bool = True


def surroundings() -> dict[str, str]:
    """Files that the commands name beside the mutant."""
    return {
        SMALL_MODEL: _yaml(_MODEL),
        SMALL_CLUSTER: _yaml({"node_groups": [_GROUP]}),
        "bandwidth.csv": "MB/s,a,b\na,0,20000\nb,21000,0\n",
    }


def _yaml(tree: Any) -> str:
    return yaml.dump(tree, Dumper=PlainDumper, sort_keys=False, width=200)


_GROUP: dict[str, Any] = {
    "name": "g",
    "count": 2,
    "device": "a100-sxm-80gb",
    "devices_per_node": 4,
    "intra_node": {"bandwidth": "300 GB/s", "latency": "3 us"},
    "network": {"cards": 4, "bandwidth": "25 GB/s", "latency": "5 us"},
}
_MODEL: dict[str, Any] = {
    "architecture": "llama",
    "num_layers": 4,
    "hidden_size": 512,
    "ffn_hidden_size": 1024,
    "num_attention_heads": 8,
    "num_query_groups": 4,
    "vocab_size": 1000,
}


def _cluster_trees() -> list[Any]:
    device = yaml.safe_load(resolve("device", "h100-sxm-80gb").read_text())
    other = {
        **_GROUP,
        "name": "h",
        "device": device,
        "scale_up": {"nodes": 2, "bandwidth": "900 GB/s"},
    }
    tiers = [
        {"name": "leaf", "nodes": 2, "oversubscription": 2},
        {"name": "spine", "bandwidth": "3 GB/s", "latency": "1 ms"},
    ]
    override = {"between": ["g", "n4"], "bandwidth": "5 GB/s", "latency": "9 us"}
    listed = {**_GROUP, "hosts": ["a", "b"]}
    return [
        {"name": "c", "node_groups": [_GROUP]},
        {
            "name": "c",
            "node_groups": [_GROUP, {**other, "hosts": "n[3-4]"}],
            "fabric": {"tiers": tiers},
            "links": {"overrides": [override]},
        },
        {
            "name": "c",
            "node_groups": [listed],
            "links": {"matrix": {"file": "bandwidth.csv", "unit": "MB/s", "per": "card"}},
        },
    ]


def _model_trees() -> list[Any]:
    mixture = {
        **_MODEL,
        "architecture": "deepseek",
        "moe": {"num_experts": 8, "top_k": 2, "ffn_hidden_size": 256, "first_dense_layers": 1,
                "shared_expert_ffn_hidden_size": 256, "layer_frequency": 2},
        "mla": {"q_lora_rank": 64, "kv_lora_rank": 32, "qk_head_dim": 64, "qk_rope_head_dim": 32,
                "v_head_dim": 64},
        "mtp_num_layers": 1,
        "attention_window": 128,
        "full_attention_frequency": 2,
        "make_vocab_size_divisible_by": 64,
        "training": {"global_batch_size": 64, "seq_length": 1024, "precision": "bf16",
                     "optimizer": "adam", "software": "megatron-core"},
    }  # fmt: skip
    return [_MODEL, mixture, yaml.safe_load(resolve("model", "gpt-oss-120b").read_text())]


def _of_trees(suffix: str, trees: Callable[[], list[Any]]) -> Callable[[], tuple[Sample, ...]]:
    write = _yaml if suffix == "yaml" else json.dumps

    @cache
    def samples() -> tuple[Sample, ...]:
        return tuple(Sample(name=f"file.{suffix}", text=write(tree), tree=tree) for tree in trees())

    return samples


def _of_files(*paths: Path) -> Callable[[], tuple[Sample, ...]]:
    @cache
    def samples() -> tuple[Sample, ...]:
        return tuple(_sample(path) for path in paths)

    return samples


def _sample(path: Path) -> Sample:
    text = path.read_text()
    tree = None
    if path.suffix == ".json":
        tree = json.loads(text)
    elif path.suffix == ".yaml":
        tree = yaml.safe_load(text)
    return Sample(name=path.name, text=text, tree=tree)


def _shipped(kind: Any, *names: str) -> Callable[[], list[Any]]:
    return lambda: [yaml.safe_load(resolve(kind, name).read_text()) for name in names]


def _configs() -> list[Any]:
    configs: Mapping[str, Any] = json.loads((DATA / "published_configs.json").read_text())
    return [one["config"] for one in configs.values()]


def _plans() -> list[Any]:
    return [json.loads((ROOT / "examples" / "mixtral-8x7b-on-dgx-h100-16.json").read_text())]


def _baselines() -> list[Any]:
    figures = {"step_s": 1.5, "devices": 16, "tokens_per_step": 4096}
    plans = [{"plan": f"plans/{name}.json#1", **figures} for name in "ab"]
    document = {"schema": "planner/baselines/1", "planner_version": "0.1.0", "plans": plans}
    return [document, *_plans()]


def _deepspeed() -> list[Any]:
    zero = {
        "stage": 2,
        "overlap_comm": True,
        "reduce_bucket_size": 5e8,
        "contiguous_gradients": True,
    }
    return [
        {
            "train_batch_size": 64,
            "train_micro_batch_size_per_gpu": 2,
            "gradient_accumulation_steps": 4,
            "bf16": {"enabled": True},
            "zero_optimization": zero,
            "activation_checkpointing": {"partition_activations": False},
            "optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "betas": [0.9, 0.95]}},
        },
        json.loads((EXPORTED / "export-deepspeed.json").read_text()),
    ]


def _logs() -> tuple[Sample, ...]:
    memory = "memory (MB) | allocated: 10770.3 | max allocated: 15754.8 | max reserved: 16384.0"
    megatron = [
        f" [2025-08-01 07:19:37] iteration {i:8d}/ 5000 | consumed samples: 128 | elapsed time per "
        f"iteration (ms): {2000 + i} | learning rate: 6.97E-08 | global batch size:   128 |"
        for i in range(1, 13)
    ]
    titan = [
        f"[rank0]:[titan] - INFO - \x1b[31mstep: {i:2}  loss: 7.1  memory: {40 + i:5.2f}GiB(59.77%)"
        f"  tps: 6,5{i:02}  tflops: 387.12  mfu: 39.13%\x1b[39m"
        for i in range(1, 13)
    ]
    deepspeed = [
        f"[timer.py:260:stop] epoch=0/micro_step={i}/global_step={i}, RunningAvgSamplesPerSec=9.9, "
        f"CurrSamplesPerSec={12 + i / 10}, MemAllocated=6.01GB, MaxMemAllocated=36.25GB\n"
        f"steps: {i} loss: 5.55 lm loss: 5.51 iter time (s): {12 + i / 10} samples/sec: 136.706"
        for i in range(1, 13)
    ]
    texts = ["\n".join([f"[Rank 0] {memory}", *megatron]), "\n".join(titan), "\n".join(deepspeed)]
    return tuple(Sample(name="train.log", text=text) for text in texts)


def _hosts() -> tuple[Sample, ...]:
    text = "# rank order\n" + "\n".join(f"node-{i:03d}  # rack {i // 4}" for i in range(8)) + "\n"
    return (Sample(name="hosts.txt", text=text),)


def _matrices() -> tuple[Sample, ...]:
    text = 'MB/s,a,b,"c"\na,,20000,1.5e4\nb,21000,0,20000.5\nc,1000,20000,-\n'
    return (Sample(name="matrix.csv", text=text), _sample(DATA / "matrix.csv"))


def _flavors() -> tuple[Sample, ...]:
    return tuple(
        Sample(name="name", text=text)
        for text in ("llama3 8B", "deepseek_v3 671B", "llama3 405B", "qwen3 0.6B")
    )


def _estimate(**options: str) -> Callable[[str], tuple[str, ...]]:
    """An estimate with the mutant in place of one of the files."""

    def command(path: str) -> tuple[str, ...]:
        given = {"cluster": SMALL_CLUSTER, "model": SMALL_MODEL, **options}
        given = {name: text or path for name, text in given.items()}
        return ("estimate", *(part for n, t in given.items() for part in (f"--{n}", t)), *JOB)

    return command


def _launched(path: str) -> tuple[str, ...]:
    return ("estimate", "--cluster", "dgx-h100-2048", "--plan", path, "--vocab-size", "32000",
            "--json")  # fmt: skip


def _device_cluster(path: str) -> tuple[str, ...]:
    group = {**_GROUP, "device": path}
    Path("device-cluster.yaml").write_text(_yaml({"node_groups": [group]}))
    return _estimate(cluster="device-cluster.yaml")(path)


def _imported_model(path: str) -> Any:
    spec = import_model(path, vocabulary=32000).spec
    return spec, total_parameters(spec, seq_length=1024)


def _flavor(path: str) -> Any:
    name = Path(path).read_text(encoding="utf-8", errors="replace")
    return import_model(name[:200]).spec


STEP = StepSize(sequences=128, tokens=128 * 2048, devices=16)
FAMILIES = (
    Family(
        name="cluster",
        samples=_of_trees("yaml", _cluster_trees),
        read=load_cluster,
        command=_estimate(cluster=""),
        followed=1.0,
    ),
    Family(
        name="model",
        samples=_of_trees("yaml", _model_trees),
        read=load_model,
        command=_estimate(model=""),
        followed=1.0,
    ),
    Family(
        name="device",
        samples=_of_trees("yaml", _shipped("device", "a100-sxm-80gb", "mi300x", "gb200")),
        read=load_device,
        command=_device_cluster,
        followed=1.0,
    ),
    Family(
        name="software",
        samples=_of_trees("yaml", _shipped("software", "megatron-core", "torchtitan", "deepspeed")),
        read=load_software,
        command=_estimate(software=""),
        followed=1.0,
    ),
    Family(
        name="runs",
        samples=_of_trees("yaml", _shipped("runs", "amp-t4", "bridge-h100", "megatron-recompute")),
        read=load_runs,
        command=lambda path: ("validate", path, "--json"),
        followed=0.05,
    ),
    Family(
        name="plan",
        samples=_of_trees("json", _plans),
        read=read_plan,
        command=lambda path: ("check", path, "--json"),
        followed=0.5,
    ),
    Family(name="baseline", samples=_of_trees("json", _baselines), read=read_baseline),
    Family(
        name="script",
        samples=_of_files(
            *(DATA / name for name in SCRIPTS),
            EXPORTED / "export-megatron-lm.sh",
            EXPORTED / "export-megatron-lm.txt",
        ),
        read=_imported_model,
        command=_launched,
        followed=0.3,
    ),
    Family(
        name="megatron-yaml",
        samples=_of_files(EXPORTED / "export-megatron-lm.yaml"),
        read=_imported_model,
        command=_launched,
        followed=0.5,
    ),
    Family(
        name="bridge",
        samples=_of_files(DATA / "bridge_llama3_8b.txt", EXPORTED / "export-megatron-bridge.txt"),
        read=_imported_model,
    ),
    Family(
        name="deepspeed",
        samples=_of_trees("json", _deepspeed),
        read=lambda path: None,
        command=lambda path: (
            "estimate",
            "--cluster",
            "dgx-a100-8",
            "--nodes",
            "1",
            "--model",
            "gpt-3.6b",
            "--plan",
            path,
            "--seq-length",
            "512",
            "--json",
        ),
        followed=1.0,
        placed=False,
    ),
    Family(name="config", samples=_of_trees("json", _configs), read=_imported_model),
    Family(name="torchtitan", samples=_flavors, read=_flavor, placed=False),
    Family(
        name="cluster-import",
        samples=_of_files(*(DATA / name for name in CLUSTER_FILES)),
        read=lambda path: import_cluster([path], NODE).spec,
    ),
    Family(name="matrix", samples=_matrices, read=lambda path: load_matrix(Path(path))),
    Family(name="hosts", samples=_hosts, read=api.load_hosts),
    Family(name="log", samples=_logs, read=lambda path: read_log(Path(path), STEP)),
)
