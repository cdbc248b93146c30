"""What is shipped under a name, with the few figures that tell one from another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from planner.reports.layout import narrowing, numbers_table
from planner.wording.units import capacity, count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import JustifyMethod, RenderableType
    from rich.table import Table

    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.device import DeviceSpec
    from planner.specs.engine import EngineProfile
    from planner.specs.library import CollectiveLibrary
    from planner.specs.model.spec import ModelSpec
    from planner.specs.software import SoftwareProfile

TERA, GIGA = 1e12, 1e9


def shipped_report(
    clusters: Sequence[ClusterSpec],
    models: Sequence[tuple[ModelSpec, int]],
    devices: Sequence[DeviceSpec],
    libraries: Sequence[CollectiveLibrary],
    software: Sequence[SoftwareProfile],
    engines: Sequence[EngineProfile],
) -> RenderableType:
    """`models` come with their number of parameters. Kinds of which there are none are left out."""
    sections = {
        "Clusters, for --cluster": _clusters(clusters) if clusters else None,
        "Models, for --model": _models(models) if models else None,
        "Devices, for `device:` in a cluster file": _devices(devices) if devices else None,
        "Collective libraries, for `collectives:` in a device file": _described(
            {one.name: one.description for one in libraries}
        ),
        "Software profiles, for --software": _described(
            {one.name: _with_version(one) for one in software}
        ),
        "Serving engines, for --engine": _described(
            {one.name: _with_version(one) for one in engines}
        ),
    }
    parts: list[RenderableType] = []
    for title, table in sections.items():
        if table is not None:
            parts += [Text(""), Text(title, style="bold"), table]
    return Group(*parts[1:])


def _clusters(clusters: Sequence[ClusterSpec]) -> RenderableType:
    rows = []
    for cluster in sorted(clusters, key=lambda one: one.name):
        groups = cluster.node_groups
        rows.append(
            (
                cluster.name,
                "any" if cluster.num_nodes is None else count(cluster.num_nodes),
                "any" if cluster.num_devices is None else count(cluster.num_devices),
                ", ".join(dict.fromkeys(str(group.devices_per_node) for group in groups)),
                ", ".join(dict.fromkeys(group.device.name for group in groups)),
            )
        )
    headers = _columns("name", "nodes", "devices", "a node") | _columns("device")
    return narrowing(headers, rows, ("a node", "nodes", "device"))


def _models(models: Sequence[tuple[ModelSpec, int]]) -> RenderableType:
    rows = [
        (
            model.name,
            f"{parameters / GIGA:,.1f} B",
            str(model.num_layers),
            count(model.hidden_size),
            str(model.num_attention_heads),
            count(model.vocab_size),
            "" if model.moe is None else str(model.moe.num_experts),
        )
        for model, parameters in sorted(models, key=lambda one: one[1])
    ]
    names = ("name", "parameters", "layers", "hidden", "heads", "vocabulary", "experts")
    return narrowing(_columns(*names), rows, ("vocabulary", "heads", "hidden", "experts"))


def _devices(devices: Sequence[DeviceSpec]) -> RenderableType:
    rows = []
    for device in sorted(devices, key=lambda one: one.name):
        peak = device.peak.by_format()
        rates = (max(peak.get("bf16", 0.0), peak.get("fp16", 0.0)), peak.get("fp8", 0.0))
        rows.append(
            (
                device.name,
                capacity(device.memory.capacity.value),
                count(device.memory.bandwidth.value / GIGA),
                *(count(rate / TERA) if rate else "" for rate in rates),
            )
        )
    names = ("name", "GiB", "GB/s", "16-bit TFLOP/s", "8-bit TFLOP/s")
    return narrowing(_columns(*names), rows, ("8-bit TFLOP/s", "GB/s"))


def _columns(*names: str) -> dict[str, JustifyMethod]:
    """The first holds names, the others numbers."""
    return {name: "right" if place else "left" for place, name in enumerate(names)}


def _with_version(one: SoftwareProfile | EngineProfile) -> str:
    return f"{one.description} Versions: {one.version}."


def _described(descriptions: Mapping[str, str]) -> Table | None:
    """`descriptions` by name; None without any."""
    if not descriptions:
        return None
    table = numbers_table(2)
    table.add_column("name", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for name in sorted(descriptions):
        table.add_row(name, Text(descriptions[name]))
    return table
