"""Activations, weights and states kept elsewhere than on the device, in a software profile."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from planner.specs.files.fields import (
    BytesPerSecond,
    Constant,
    Count,
    Input,
    Number,
)
from planner.specs.files.general import general
from planner.specs.software_words import (
    DataSharding,
    Granularity,
    OffloadModule,
    OffloadPlace,
    UpdateStride,
)

OFFLOADED_WITH: dict[str, tuple[str, ...]] = {"attn_proj": ("core_attn",)}
"""Modules that may be offloaded only with others: the same tensor is kept for both (Megatron-LM
`transformer_config.py`, `offload_modules`)."""


def offloaded_alone(modules: Collection[str]) -> tuple[str, str] | None:
    """The first module that is offloaded without one it needs beside it, and that one."""
    lacking = (
        (name, other)
        for name in modules
        for other in OFFLOADED_WITH.get(name, ())
        if other not in modules
    )
    return next(lacking, None)


NOTHING_LEFT: dict[str, tuple[str, ...]] = {"moe": ("expert_fc1", "moe_act")}
"""Modules that keep nothing to offload where another, which holds them, is computed again."""


class Resume(Input):
    """What lives on a device beside the states while they are loaded from a checkpoint."""

    counts: bool = True
    """The job is to fit when it is resumed."""
    zero_gradients: bool = False
    """The optimizer first takes a step with gradients of 0, so that it has states to load into."""
    copies_moments: bool = False
    """The moments that were made for a new job are there until those of the checkpoint are."""


class Offload(Input):
    """What may live in the memory of the host instead of the device's."""

    optimizer: tuple[DataSharding, ...] = ()
    """With which data sharding the optimizer may: its states are updated there."""
    optimizer_share: tuple[DataSharding, ...] = ()
    """With which of these a part of it may."""
    eight_bit_weights: bool = True
    """The optimizer may where weights are kept in 8 bits between steps."""
    weights: tuple[DataSharding, ...] = ()
    """With which data sharding sharded weights may; a copy goes to the device for every pass."""
    activations: tuple[Granularity, ...] = ()
    """With which recomputation activations may: they leave in the forward pass, and are back when
    the backward pass needs them."""
    activations_in_pipelines: bool = True
    """They may in a plan with several stages."""
    modules: tuple[OffloadModule, ...] = ()
    """The modules whose activations those are. Default: all of a layer."""
    module_choices: tuple[OffloadModule, ...] = ()
    """Modules that the framework can name."""
    tried_modules: tuple[OffloadModule, ...] = ()
    """Those that searches try."""
    beside_modules: tuple[Granularity, ...] = ("none", "selective")
    """With which recomputation activations of named modules may be offloaded, in pipelines too."""
    activation_window: Constant[Count] = general(
        "software", "offload.activation_window", Constant[Count]
    )
    """Layers, or chunks, whose activations are on the device at a time all the same."""
    moves: Literal["layer", "chunk"] = "layer"
    """What leaves, and comes back, at a time: the activations of a layer, or of a chunk."""
    smallest_tensor: Constant[Number] = general(
        "software", "offload.smallest_tensor", Constant[Number]
    )
    """Elements of the smallest tensor that leaves with a named module."""
    nvme: tuple[DataSharding, ...] = ()
    """With which data sharding the optimizer may be kept on drives of the node instead."""
    to: OffloadPlace = "host"
    """Where an offloaded optimizer is kept: in host memory, or on drives."""
    together: bool = False
    """Weights, gradients and optimizer go together or not at all."""
    gradients: bool = False
    """The gradients of an offloaded optimizer are kept on the host as well: they leave the device
    in the backward pass of every microbatch."""
    remainders: bool = False
    """The part of the optimizer that stays keeps master weights as remainders of bf16 weights."""
    overlap: bool = False
    """Gradients on their way to the host, the update there and weights on their way back overlap,
    bucket by bucket."""
    update_rate: Constant[Number] = general("software", "offload.update_rate", Constant[Number])
    """Parameters that the processors of a node update in a second."""
    interleaves: bool = False
    """Some sub-groups of the optimizer may be updated on the device (`stride`)."""
    stride: UpdateStride | None = None
    """Of so many sub-groups the states of one go to the device, are updated there and come back,
    while the processors update the others. Default: the processors update all."""
    staging_rate: Constant[BytesPerSecond] = general(
        "software", "offload.staging_rate", Constant[BytesPerSecond]
    )
    """Bytes of such states that a device fetches and returns in a second beside that."""
    sub_group: Constant[Number] = general("software", "offload.sub_group", Constant[Number])
    """Parameters of a sub-group, on one device; one tensor at least."""
    gradient_rate: Constant[Number] | None = None
    """Gradients that reach the host from one device in a second, while the backward pass waits.
    Default: as many as its link carries, beside the pass."""
    strided_gradient_rate: Constant[Number] | None = None
    """The same with a stride, of the gradients that do not wait on the device."""

    def of_modules(self, modules: tuple[str, ...]) -> Offload:
        """The same where the activations of these modules are what may be offloaded."""
        return self.model_copy(
            update={
                "modules": modules,
                "activations": self.beside_modules,
                "activations_in_pipelines": True,
            }
        )
