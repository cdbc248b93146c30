"""Every parser, with the files it reads and the command that goes on with what it read."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner import api
from planner.calibration.logs import StepSize, read_log
from planner.checks.baseline import read_baseline
from planner.importers.clusters.importer import import_cluster
from planner.importers.clusters.node_options import NodeOptions
from planner.importers.models import import_model
from planner.plan_document import read_plan
from planner.reports.checks.formats import FORMATS
from planner.specs.cluster.matrix import load_matrix
from planner.specs.load import load_cluster, load_device, load_model, load_software
from planner.specs.runs.build import load_runs
from planner.workload.parameters import total_parameters
from tests.fuzz.long_samples import (
    long_cluster_files,
    long_clusters,
    long_hosts,
    long_logs,
    long_scripts,
)
from tests.fuzz.samples import (
    CLUSTER_FILES,
    DATA,
    EXPORTED,
    GROUP,
    SCRIPTS,
    SMALL_CLUSTER,
    SMALL_MODEL,
    Sample,
    as_yaml,
    baselines,
    cluster_trees,
    configs,
    deepspeed,
    flavors,
    hosts,
    logs,
    matrices,
    model_trees,
    of_files,
    of_trees,
    plans,
    shipped,
)

JOB = ("--global-batch-size", "5040", "--seq-length", "512", "--precision", "fp16", "--json")
NODE = NodeOptions(
    device="h100-sxm-80gb",
    devices_per_node=8,
    intra_node_bandwidth="450 GB/s",
    network_bandwidth="50 GB/s",
    cards=8,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """`read` is the parser itself. `command` is one that goes on with what it read, for the share
    `followed` of the mutants that it took. `placed`: errors begin with the file. Only each
    `every`-th number has a mutant. `cpu_s`: processor time that the parser may take."""

    name: str
    samples: Callable[[], tuple[Sample, ...]]
    read: Callable[[str], Any]
    command: Callable[[str], tuple[str, ...]] | None = None
    followed: float = 0.0
    placed: bool = True
    every: int = 1
    cpu_s: float = 4.0


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


def _checked(path: str) -> tuple[str, ...]:
    """A check whose report has any of the formats, the same one for the same file."""
    at = zlib.crc32(Path(path).read_bytes()) % len(FORMATS)
    return ("check", path, "--format", FORMATS[at])


def _device_cluster(path: str) -> tuple[str, ...]:
    group = {**GROUP, "device": path}
    Path("device-cluster.yaml").write_text(as_yaml({"node_groups": [group]}))
    return _estimate(cluster="device-cluster.yaml")(path)


def _imported_model(path: str) -> Any:
    spec = import_model(path, vocabulary=32000).spec
    return spec, total_parameters(spec, seq_length=1024)


def _flavor(path: str) -> Any:
    name = Path(path).read_text(encoding="utf-8", errors="replace")
    return import_model(name[:200]).spec


def _long(
    name: str, samples: Callable[[], tuple[Sample, ...]], read: Callable[[str], Any]
) -> Family:
    """Of files of megabytes: few of them, for they take a while to damage too."""
    return Family(name=f"long-{name}", samples=samples, read=read, every=EVERY_LONG, cpu_s=10.0)


EVERY_LONG = 200
STEP = StepSize(sequences=128, tokens=128 * 2048, devices=16)
FAMILIES = (
    Family(
        name="cluster",
        samples=of_trees("yaml", cluster_trees),
        read=load_cluster,
        command=_estimate(cluster=""),
        followed=1.0,
    ),
    Family(
        name="model",
        samples=of_trees("yaml", model_trees),
        read=load_model,
        command=_estimate(model=""),
        followed=1.0,
    ),
    Family(
        name="device",
        samples=of_trees("yaml", shipped("device", "a100-sxm-80gb", "mi300x", "gb200")),
        read=load_device,
        command=_device_cluster,
        followed=1.0,
    ),
    Family(
        name="software",
        samples=of_trees("yaml", shipped("software", "megatron-core", "torchtitan", "deepspeed")),
        read=load_software,
        command=_estimate(software=""),
        followed=1.0,
    ),
    Family(
        name="runs",
        samples=of_trees("yaml", shipped("runs", "amp-t4", "bridge-h100", "megatron-recompute")),
        read=load_runs,
        command=lambda path: ("validate", path, "--json"),
        followed=0.05,
    ),
    Family(
        name="plan",
        samples=of_trees("json", plans),
        read=read_plan,
        command=_checked,
        followed=0.5,
    ),
    Family(name="baseline", samples=of_trees("json", baselines), read=read_baseline),
    Family(
        name="script",
        samples=of_files(
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
        samples=of_files(EXPORTED / "export-megatron-lm.yaml"),
        read=_imported_model,
        command=_launched,
        followed=0.5,
    ),
    Family(
        name="bridge",
        samples=of_files(DATA / "bridge_llama3_8b.txt", EXPORTED / "export-megatron-bridge.txt"),
        read=_imported_model,
    ),
    Family(
        name="deepspeed",
        samples=of_trees("json", deepspeed),
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
    Family(name="config", samples=of_trees("json", configs), read=_imported_model),
    Family(name="torchtitan", samples=flavors, read=_flavor, placed=False),
    Family(
        name="cluster-import",
        samples=of_files(*(DATA / name for name in CLUSTER_FILES)),
        read=lambda path: import_cluster([path], NODE).spec,
    ),
    Family(name="matrix", samples=matrices, read=lambda path: load_matrix(Path(path))),
    Family(name="hosts", samples=hosts, read=api.load_hosts),
    Family(name="log", samples=logs, read=lambda path: read_log(Path(path), STEP)),
    _long("cluster-import", long_cluster_files, lambda path: import_cluster([path], NODE).spec),
    _long("cluster", long_clusters, load_cluster),
    _long("hosts", long_hosts, api.load_hosts),
    _long("log", long_logs, lambda path: read_log(Path(path), STEP)),
    _long("script", long_scripts, _imported_model),
)
