"""Devices as a training step finds them, from devices as benchmarks of single kernels find them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.specs.cluster.spec import ClusterSpec, NodeGroup
    from planner.specs.device import DeviceSpec
    from planner.specs.files.fields import Constant


def in_training(cluster: ClusterSpec) -> ClusterSpec:
    """The cluster with every device slowed to the rates it sustains (`planner.specs.device`)."""
    groups = tuple(replace(group, device=_on_network(group)) for group in cluster.node_groups)
    return replace(cluster, node_groups=groups)


def _on_network(group: NodeGroup) -> DeviceSpec:
    """The device of a group, with the efficiency that all-to-alls between nodes reach on the
    group's network."""
    device = sustained_device(group.device)
    if group.network is None:
        return device
    kept = device.library.sustained_all_to_all.of(group.network.kind)
    scaled = _scaled(device.links.all_to_all_network, kept)
    links = device.links.model_copy(update={"all_to_all_network": scaled})
    return device.model_copy(update={"links": links})


def sustained_device(device: DeviceSpec) -> DeviceSpec:
    """Multiply efficiencies by the share that a training step reaches of them. Those of 8- and
    4-bit products already come from training runs; where a file gives none, they follow the 16-bit
    one."""
    sustained, attention = device.sustained, device.attention
    return device.model_copy(
        update={
            "matmul": device.matmul.model_copy(
                update={"efficiency": _scaled(device.matmul.efficiency, sustained.matmul)}
            ),
            "attention": attention.model_copy(
                update={
                    name: _scaled(getattr(attention, name), sustained.attention)
                    for name in ("forward_efficiency", "backward_efficiency")
                }
            ),
            "links": device.links.model_copy(
                update={
                    "intra_node_efficiency": _scaled(
                        device.links.intra_node_efficiency, sustained.links
                    ),
                    "inter_node_efficiency": _scaled(
                        device.links.inter_node_efficiency, sustained.network
                    ),
                }
            ),
        }
    )


def _scaled(constant: Constant[float], factor: Constant[float]) -> Constant[float]:
    return constant.model_copy(update={"value": constant.value * factor.value})
