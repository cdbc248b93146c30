"""Files of every kind that a parser reads, whole, to be damaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from planner.specs.files.catalog import resolve
from tests.fuzz.mutate import PlainDumper

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "importers" / "data"
EXPORTED = ROOT / "tests" / "golden"
SMALL_MODEL = "small-model.yaml"
SMALL_CLUSTER = "small-cluster.yaml"
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


def surroundings() -> dict[str, str]:
    """Files that the commands name beside the mutant."""
    return {
        SMALL_MODEL: as_yaml(_MODEL),
        SMALL_CLUSTER: as_yaml({"node_groups": [GROUP]}),
        "bandwidth.csv": "MB/s,a,b\na,0,20000\nb,21000,0\n",
    }


def as_yaml(tree: Any) -> str:
    return yaml.dump(tree, Dumper=PlainDumper, sort_keys=False, width=200)


GROUP: dict[str, Any] = {
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


def cluster_trees() -> list[Any]:
    device = yaml.safe_load(resolve("device", "h100-sxm-80gb").read_text())
    other = {
        **GROUP,
        "name": "h",
        "device": device,
        "scale_up": {"nodes": 2, "bandwidth": "900 GB/s"},
    }
    tiers = [
        {"name": "leaf", "nodes": 2, "oversubscription": 2},
        {"name": "spine", "bandwidth": "3 GB/s", "latency": "1 ms"},
    ]
    override = {"between": ["g", "n4"], "bandwidth": "5 GB/s", "latency": "9 us"}
    listed = {**GROUP, "hosts": ["a", "b"]}
    return [
        {"name": "c", "node_groups": [GROUP]},
        {
            "name": "c",
            "node_groups": [GROUP, {**other, "hosts": "n[3-4]"}],
            "fabric": {"tiers": tiers},
            "links": {"overrides": [override]},
        },
        {
            "name": "c",
            "node_groups": [listed],
            "links": {"matrix": {"file": "bandwidth.csv", "unit": "MB/s", "per": "card"}},
        },
    ]


def model_trees() -> list[Any]:
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


def of_trees(suffix: str, trees: Callable[[], list[Any]]) -> Callable[[], tuple[Sample, ...]]:
    write = as_yaml if suffix == "yaml" else json.dumps

    @cache
    def samples() -> tuple[Sample, ...]:
        return tuple(Sample(name=f"file.{suffix}", text=write(tree), tree=tree) for tree in trees())

    return samples


def of_files(*paths: Path) -> Callable[[], tuple[Sample, ...]]:
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


def shipped(kind: Any, *names: str) -> Callable[[], list[Any]]:
    return lambda: [yaml.safe_load(resolve(kind, name).read_text()) for name in names]


def configs() -> list[Any]:
    published: Mapping[str, Any] = json.loads((DATA / "published_configs.json").read_text())
    return [one["config"] for one in published.values()]


def plans() -> list[Any]:
    return [json.loads((ROOT / "examples" / "mixtral-8x7b-on-dgx-h100-16.json").read_text())]


def baselines() -> list[Any]:
    figures = {"step_s": 1.5, "devices": 16, "tokens_per_step": 4096}
    figures_of = [{"plan": f"plans/{name}.json#1", **figures} for name in "ab"]
    document = {"schema": "planner/baselines/1", "planner_version": "0.2.0", "plans": figures_of}
    return [document, *plans()]


def deepspeed() -> list[Any]:
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


def logs() -> tuple[Sample, ...]:
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


def hosts() -> tuple[Sample, ...]:
    text = "# rank order\n" + "\n".join(f"node-{i:03d}  # rack {i // 4}" for i in range(8)) + "\n"
    return (Sample(name="hosts.txt", text=text),)


def matrices() -> tuple[Sample, ...]:
    text = 'MB/s,a,b,"c"\na,,20000,1.5e4\nb,21000,0,20000.5\nc,1000,20000,-\n'
    return (Sample(name="matrix.csv", text=text), _sample(DATA / "matrix.csv"))


def flavors() -> tuple[Sample, ...]:
    return tuple(
        Sample(name="name", text=text)
        for text in ("llama3 8B", "deepseek_v3 671B", "llama3 405B", "qwen3 0.6B")
    )
