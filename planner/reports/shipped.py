"""What is shipped under a name, with the few figures that tell one from another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from planner.reports.layout import heading, numbers_table
from planner.wording.units import capacity, count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType
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
    """`models` come with their number of parameters."""
    return Group(
        Text(
            "Names that --cluster, --model, --software, --engine, `device:` and `collectives:` "
            "take",
            style="bold",
        ),
        heading("Clusters"),
        _clusters(clusters),
        heading("Models"),
        _models(models),
        heading("Devices"),
        _devices(devices),
        heading("Collective libraries"),
        _described({one.name: one.description for one in libraries}),
        heading("Software profiles"),
        _described({one.name: one.description for one in software}),
        heading("Serving engines"),
        _described({one.name: one.description for one in engines}),
    )


def _table(*headers: str) -> Table:
    table = numbers_table(len(headers))
    for index, header in enumerate(headers):
        table.add_column(header, justify="right" if index else "left", no_wrap=True)
    return table


def _clusters(clusters: Sequence[ClusterSpec]) -> Table:
    table = _table("name", "nodes", "devices", "a node")
    table.add_column("device", no_wrap=True)
    for cluster in sorted(clusters, key=lambda one: one.name):
        groups = cluster.node_groups
        table.add_row(
            cluster.name,
            "any" if cluster.num_nodes is None else count(cluster.num_nodes),
            "any" if cluster.num_devices is None else count(cluster.num_devices),
            ", ".join(dict.fromkeys(str(group.devices_per_node) for group in groups)),
            ", ".join(dict.fromkeys(group.device.name for group in groups)),
        )
    return table


def _models(models: Sequence[tuple[ModelSpec, int]]) -> Table:
    table = _table("name", "parameters", "layers", "hidden", "heads", "vocabulary", "experts")
    for model, parameters in sorted(models, key=lambda one: one[1]):
        table.add_row(
            model.name,
            f"{parameters / GIGA:,.1f} B",
            str(model.num_layers),
            count(model.hidden_size),
            str(model.num_attention_heads),
            count(model.vocab_size),
            "" if model.moe is None else str(model.moe.num_experts),
        )
    return table


def _devices(devices: Sequence[DeviceSpec]) -> Table:
    table = _table("name", "GiB", "GB/s", "16-bit TFLOP/s", "8-bit TFLOP/s")
    for device in sorted(devices, key=lambda one: one.name):
        peak = device.peak.by_format()
        rates = (max(peak.get("bf16", 0.0), peak.get("fp16", 0.0)), peak.get("fp8", 0.0))
        table.add_row(
            device.name,
            capacity(device.memory.capacity.value),
            count(device.memory.bandwidth.value / GIGA),
            *(count(rate / TERA) if rate else "" for rate in rates),
        )
    return table


def _described(descriptions: Mapping[str, str]) -> Table:
    """`descriptions` by name."""
    table = _table("name")
    table.add_column("what it is", overflow="fold")
    for name in sorted(descriptions):
        table.add_row(name, Text(descriptions[name]))
    return table
