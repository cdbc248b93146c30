"""Random clusters as a user could write them: mixed, tiered, measured, spread over sites, odd."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from planner.specs.device import PRECISIONS
from planner.specs.files.catalog import list_shipped, resolve

if TYPE_CHECKING:
    from random import Random

KINDS = {
    "uniform": 40,
    "tiers": 14,
    "mixed": 14,
    "matrix": 12,
    "scale-up": 8,
    "sites": 8,
    "shipped": 4,
}
DEVICES_PER_NODE = (1, 2, 3, 4, 4, 5, 6, 8, 8, 8, 8, 10, 12, 16)
MATRIX = "bandwidth.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCluster:
    """`content` is the cluster file, `matrix` the text of the CSV file beside it. `nodes` holds
    the devices of every node in order; `precisions` what all devices run."""

    kind: str
    content: dict[str, Any]
    matrix: str | None
    nodes: tuple[int, ...]
    precisions: tuple[str, ...]

    @property
    def unequal(self) -> bool:
        """Whether it matters which node takes which place, which takes long to search."""
        return self.kind not in ("uniform", "scale-up") or "links" in self.content


def draw_cluster(rng: Random) -> DrawnCluster:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    if kind == "shipped":
        return _shipped(rng)
    content: dict[str, Any] = {"name": f"fuzz-{kind}"}
    groups = [_group(rng, index) for index in range(_num_groups(rng, kind))]
    content["node_groups"] = groups
    matrix = None
    if kind == "tiers":
        content["fabric"] = {"tiers": _tiers(rng)}
    elif kind == "sites":
        content["fabric"] = {"tiers": _sites(rng, groups)}
    elif kind == "scale-up":
        spans = rng.choice([n for n in (2, 3, 4, 8, 18) if n <= max(groups[0]["count"], 2)])
        groups[0]["scale_up"] = {
            "nodes": spans,
            "bandwidth": groups[0]["intra_node"]["bandwidth"],
        }
    elif kind == "matrix":
        matrix = _matrix(rng, groups)
        content["links"] = {"matrix": _matrix_reference(rng)}
    total = sum(group["count"] for group in groups)
    if total > 1 and rng.random() < 0.12:
        content.setdefault("links", {})["overrides"] = _overrides(rng, total)
    return DrawnCluster(
        kind=kind,
        content=content,
        matrix=matrix,
        nodes=_nodes(groups),
        precisions=_precisions([_spec(group["device"]) for group in groups]),
    )


def _num_groups(rng: Random, kind: str) -> int:
    if kind == "mixed":
        return rng.randint(2, 4)
    if kind == "sites":
        return rng.choice([1, 2, 2, 3])
    return 2 if kind == "matrix" and rng.random() < 0.3 else 1


def _group(rng: Random, index: int) -> dict[str, Any]:
    count = rng.choice([1, 1, 2, 2, 2, 3, 4, 4, 5, 6, 8, 16])
    card = rng.choice([1.25, 6.25, 12.5, 25, 25, 50, 50, 100])
    group: dict[str, Any] = {
        "name": f"g{index}",
        "count": count,
        "device": _device(rng),
        "devices_per_node": rng.choice(DEVICES_PER_NODE),
        "intra_node": {"bandwidth": f"{rng.choice([16, 32, 64, 150, 300, 450, 900])} GB/s"},
        "network": {"cards": rng.choice([1, 2, 4, 8, 8]), "bandwidth": f"{card} GB/s"},
    }
    if rng.random() < 0.3:
        group["intra_node"]["latency"] = f"{rng.choice([1, 3, 10])} us"
    if rng.random() < 0.3:
        group["network"]["latency"] = f"{rng.choice([2, 5, 50, 1000])} us"
    if rng.random() < 0.2:
        group["hosts"] = f"h{index}-[01-{count:02d}]"
    return group


def _device(rng: Random) -> str | dict[str, Any]:
    name = rng.choice(list_shipped("device"))
    if rng.random() < 0.75:
        return name
    device: dict[str, Any] = yaml.safe_load(yaml.safe_dump(_spec(name)))
    device["name"] = "own-device"
    memory = device["memory"]["capacity"]
    memory["value"] = f"{rng.choice([4, 11, 24, 80, 192])} GiB"
    for rate in device["peak"].values():
        amount, unit = rate["value"].split()
        rate["value"] = f"{float(amount) * rng.choice([0.3, 1, 2.5]):g} {unit}"
    return device


@cache
def _file(name: str) -> Any:
    return yaml.safe_load(resolve("device", name).read_text())


def _spec(device: str | dict[str, Any]) -> Any:
    return _file(device) if isinstance(device, str) else device


def _precisions(devices: list[Any]) -> tuple[str, ...]:
    return tuple(one for one in PRECISIONS if all(one in device["peak"] for device in devices))


def _nodes(groups: list[dict[str, Any]]) -> tuple[int, ...]:
    return tuple(group["devices_per_node"] for group in groups for _ in range(group["count"]))


def _tiers(rng: Random) -> list[dict[str, Any]]:
    tiers: list[dict[str, Any]] = []
    below = 1
    for name in ("rail", "leaf", "spine")[: rng.randint(1, 3)]:
        below *= rng.choice([2, 2, 3, 4])
        tier: dict[str, Any] = {"name": name, "nodes": below}
        if rng.random() < 0.6:
            tier["oversubscription"] = rng.choice([1, 1.5, 2, 4, 16])
        if rng.random() < 0.2:
            tier["bandwidth"] = f"{rng.choice([3, 20, 200])} GB/s"
        if rng.random() < 0.3:
            tier["latency"] = f"{rng.choice([5, 20])} us"
        tiers.append(tier)
    if rng.random() < 0.6:
        del tiers[-1]["nodes"]
    return tiers


def _sites(rng: Random, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sites of as many nodes as the first group has, a wide-area link between them."""
    nodes = groups[0]["count"]
    wide = {
        "name": "wide-area",
        "bandwidth": f"{rng.choice([0.1, 1, 3.125, 12])} GB/s",
        "latency": f"{rng.choice([0.5, 3, 40])} ms",
    }
    site = {"name": "site", "nodes": nodes if nodes > 1 else 2}
    return [site, wide]


def _overrides(rng: Random, total: int) -> list[dict[str, Any]]:
    pairs = {tuple(sorted(rng.sample(range(total), 2))) for _ in range(rng.randint(1, 3))}
    return [
        {"between": list(pair), "bandwidth": f"{rng.choice([0.5, 5, 40])} GB/s"}
        for pair in sorted(pairs)
    ]


def _matrix(rng: Random, groups: list[dict[str, Any]]) -> str:
    """Noise around the network's bandwidth, other in each direction, some links far slower."""
    for group in groups:
        group["count"] = min(group["count"], 6)
        group.pop("hosts", None)
    names = [f"n{index:02d}" for index in range(sum(group["count"] for group in groups))]
    rows = [f"MB/s,{','.join(names)}"]
    for one in names:
        cells = ["" if one == other and rng.random() < 0.5 else _cell(rng) for other in names]
        rows.append(f"{one},{','.join(cells)}")
    return "\n".join(rows) + "\n"


def _cell(rng: Random) -> str:
    slow = 10 if rng.random() < 0.1 else 1
    return f"{rng.uniform(15e3, 25e3) / slow:.1f}"


def _matrix_reference(rng: Random) -> str | dict[str, str]:
    if rng.random() < 0.5:
        return MATRIX
    return {"file": MATRIX, "unit": "MB/s", "per": rng.choice(["node", "card"])}


def _shipped(rng: Random) -> DrawnCluster:
    """A shipped file with other counts: large as they are, few nodes as often."""
    name = rng.choice(list_shipped("cluster"))
    content: dict[str, Any] = yaml.safe_load(resolve("cluster", name).read_text())
    matrix = None
    groups = content["node_groups"]
    if content.get("links", {}).get("matrix"):
        reference = content["links"]["matrix"]
        file = reference if isinstance(reference, str) else reference["file"]
        matrix = (resolve("cluster", name).parent / file).read_text()
        content["links"]["matrix"] = MATRIX
        names = matrix.splitlines()[0].split(",")[1:]
        groups[0].setdefault("count", len(names))
    elif rng.random() < 0.5:
        for group in groups:
            group["count"] = min(group["count"], rng.choice([2, 4, 9]))
    return DrawnCluster(
        kind="shipped",
        content=content,
        matrix=matrix,
        nodes=_nodes(groups),
        precisions=_precisions([_spec(group["device"]) for group in groups]),
    )
