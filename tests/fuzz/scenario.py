"""A random scenario: a cluster, a model and the options of a search, valid as far as each file and
option goes. A combination that a rule of the framework forbids may still be among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import yaml

from planner.specs.load import load_software
from tests.fuzz.clusters import MATRIX, DrawnCluster, draw_cluster
from tests.fuzz.models import draw_model

if TYPE_CHECKING:
    from collections.abc import Iterator

CLUSTER, MODEL, PLANS = "cluster.yaml", "model.yaml", "plans.json"
Options = dict[str, str]

SOFTWARE = {
    "megatron-core": 30,
    "megatron-core-perf": 12,
    "megatron-core-mlperf": 6,
    "megatron-lm-2021": 8,
    "megatron-lm-2022": 6,
    "megatron-deepspeed-2022": 5,
    "torchtitan": 10,
    "deepspeed": 8,
    "deepspeed-3d-2021": 5,
    "composer-fsdp": 5,
    "internevo": 5,
}
MOST_NODES_UNLIMITED = 4
"""Unequal nodes up to which a search has no time limit."""
MOST_DEVICES_UNLIMITED = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`workload`, `restrict` and `options` hold option and text. `nodes` are those in use."""

    seed: int
    cluster: DrawnCluster
    model: dict[str, Any]
    workload: Options
    restrict: Options
    options: Options

    @property
    def time_limit_s(self) -> float | None:
        text = self.options.get("--time-limit")
        return None if text is None else float(text)

    @property
    def software(self) -> str:
        return self.workload["--software"]

    def write(self, folder: Path) -> None:
        """The files that the commands name."""
        (folder / CLUSTER).write_text(as_yaml(self.cluster.content))
        (folder / MODEL).write_text(as_yaml(self.model))
        if self.cluster.matrix is not None:
            (folder / MATRIX).write_text(self.cluster.matrix)

    def search(self, *more: str) -> tuple[str, ...]:
        """The arguments of the search."""
        return (
            "search",
            *self.files,
            *_flat(self.workload | self.restrict | self.options),
            *more,
        )

    @property
    def files(self) -> tuple[str, ...]:
        return ("--cluster", CLUSTER, "--model", MODEL)

    def with_cluster(self, content: dict[str, Any]) -> Scenario:
        return replace(self, cluster=replace(self.cluster, content=content))


def as_yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=200)


def _flat(options: Options) -> Iterator[str]:
    for name, text in options.items():
        yield from (name, text)


def draw_scenario(seed: int) -> Scenario:
    """The scenario of a seed."""
    rng = Random(seed)
    cluster, model = draw_cluster(rng), draw_model(rng)
    workload, devices = _workload(rng, cluster, model)
    return Scenario(
        seed=seed,
        cluster=cluster,
        model=model,
        workload=workload,
        restrict=_restrictions(rng, devices, workload["--software"]) if rng.random() < 0.25 else {},
        options=_options(rng, cluster, devices),
    )


def _workload(rng: Random, cluster: DrawnCluster, model: dict[str, Any]) -> tuple[Options, int]:
    """Options of the job, and the devices it runs on."""
    software = rng.choices(list(SOFTWARE), list(SOFTWARE.values()))[0]
    nodes = len(cluster.nodes)
    options: Options = {"--software": software}
    if nodes > 1 and rng.random() < 0.3:
        nodes = rng.randint(1, nodes)
        used = sum(cluster.nodes[:nodes])
        sized = {"--nodes": str(nodes)} if rng.random() < 0.5 else {"--devices": str(used)}
        options |= sized
    devices = sum(cluster.nodes[:nodes])
    batch = rng.choice([1, 2, 3, 4, 6, 8]) * rng.choice([devices, devices, devices, devices, 1, 32])
    options["--global-batch-size"] = str(min(batch, 1_000_000))
    options["--seq-length"] = str(_seq_length(rng))
    formats = [one for one in cluster.precisions if one != "fp32"] or ["fp32"]
    options["--precision"] = rng.choice([*formats, *cluster.precisions])
    if rng.random() < 0.3:
        options["--headroom"] = rng.choice(["0%", "1%", "10%", "0.2", "50%"])
    return options, devices


def _seq_length(rng: Random) -> int:
    usual = rng.choice([128, 512, 1024, 2048, 4096, 4096, 8192, 32768])
    return rng.choice([100, 1000, 1536, 3001, 131072]) if rng.random() < 0.12 else usual


def _restrictions(rng: Random, devices: int, software: str) -> Options:
    profile = load_software(software)
    degrees = [d for d in range(1, min(devices, 64) + 1) if devices % d == 0]
    choices: dict[str, list[str]] = {
        "--tensor": [str(d) for d in degrees if d <= 16],
        "--pipeline": [str(d) for d in degrees],
        "--data": [str(d) for d in degrees],
        "--context": [str(d) for d in degrees if d <= 8],
        "--micro-batch-size": ["1", "2", "3", "4"],
        "--virtual-stages": ["1", "2", "3", "4"],
        "--schedule": list(profile.schedules.choices),
        "--recompute": list(profile.recompute.choices),
        "--data-sharding": list(profile.data_sharding.choices),
        "--sequence-parallel": [("off", "on")[on] for on in profile.sequence_parallel_options],
    }
    found: Options = {}
    for name in rng.sample(list(choices), rng.choice([1, 1, 2, 3])):
        values = choices[name]
        most = 1 if name == "--sequence-parallel" else min(len(values), 3)
        found[name] = ",".join(rng.sample(values, rng.randint(1, most)))
    return found


def _options(rng: Random, cluster: DrawnCluster, devices: int) -> Options:
    options: Options = {"--top": str(rng.choice([1, 2, 3, 5, 10]))}
    if rng.random() < 0.08 and len(cluster.nodes) > 1:
        options["--robust"] = rng.choice(["10%", "0.5", "0%"])
    large = cluster.unequal and len(cluster.nodes) > MOST_NODES_UNLIMITED
    if large or devices > MOST_DEVICES_UNLIMITED or rng.random() < 0.03:
        options["--time-limit"] = rng.choice(["0.2", "0.5", "1"])
    return options
