"""Parts of a device file: what belongs together under one key."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from planner.specs.files.fields import (
    Bytes,
    BytesPerSecond,
    Constant,
    Count,
    Efficiency,
    FlopPerSecond,
    Fraction,
    Input,
    Number,
    Seconds,
)
from planner.specs.files.general import general

T = TypeVar("T")
Tile = tuple[Count, Count]
Tiles = Annotated[tuple[Tile, ...], Field(min_length=1, max_length=64)]


def _general(at: str, constant: type[Constant[T]]) -> Constant[T]:
    return general("device", at, constant)


class DeviceMemory(Input):
    """The device's own memory."""

    capacity: Constant[Bytes]
    """Total memory as the runtime reports it."""
    bandwidth: Constant[BytesPerSecond]
    """Datasheet bandwidth, reads and writes together."""
    efficiency: Efficiency = _general("memory.efficiency", Constant[Fraction])
    """Share of the bandwidth that a long streaming kernel reaches."""
    context: Constant[Bytes] = _general("memory.context", Constant[Bytes])
    """Driver context and libraries of one process that loads kernels when it first uses them."""
    eager_context: Constant[Bytes] = _general("memory.eager_context", Constant[Bytes])
    """The same of a process that loads all kernels of its framework at the start."""
    workspace: Constant[Bytes] = _general("memory.workspace", Constant[Bytes])
    """What a tensor library allocates for each of its handles of the matrix library."""
    layer_workspace: Constant[Bytes] = _general("memory.layer_workspace", Constant[Bytes])
    """What a library of linear layers allocates for each stream of its matrix products."""


class Peak(Input):
    """Dense floating-point rate by number format. A format left out is not supported."""

    fp32: Constant[FlopPerSecond] | None = None
    tf32: Constant[FlopPerSecond] | None = None
    fp16: Constant[FlopPerSecond] | None = None
    bf16: Constant[FlopPerSecond] | None = None
    fp8: Constant[FlopPerSecond] | None = None
    mxfp8: Constant[FlopPerSecond] | None = None
    nvfp4: Constant[FlopPerSecond] | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> Peak:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            formats = ", ".join(type(self).model_fields)
            raise PydanticCustomError(
                "rule", "{text}", {"text": f"no number format given; at least one of {formats}"}
            )
        return self

    def by_format(self) -> dict[str, float]:
        """Supported formats and their flop/s."""
        rates = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: rate.value for name, rate in rates.items() if rate is not None}


class MatmulConstants(Input):
    """Matrix multiplication: how far from the peak a shape stays."""

    multiprocessors: Constant[Count]
    """Streaming multiprocessors (compute units) that run tiles."""
    tiles: Tiles = _general("matmul.tiles", Constant[Tiles]).value
    """Output tiles [m, n] the library chooses from."""
    efficiency: Efficiency = _general("matmul.efficiency", Constant[Fraction])
    """Share of the 16-bit peak of one filled wave of large tiles and a long reduction."""
    efficiency_8bit: Efficiency | None = None
    """The same for fp8 and mxfp8. Default: `efficiency`."""
    efficiency_4bit: Efficiency | None = None
    """The same for nvfp4. Default: `efficiency_8bit`."""
    efficiency_fp32: Efficiency | None = None
    """The same for fp32, without tensor cores. Default: `efficiency`."""
    efficiency_tf32: Efficiency | None = None
    """The same for tf32. Default: `efficiency`."""
    block_scaled: Efficiency = _general("matmul.block_scaled", Constant[Fraction])
    """An mxfp8 product relative to an fp8 one with one scale for each tensor: scales of blocks are
    swizzled before every product. Grouped products are as fast in both."""
    gradient_efficiency_tf32: Efficiency | None = None
    """Both gradient products in tf32 relative to the forward one. Default: 1 and, for the weight
    gradient, `gradient_efficiency`."""
    fp8_transposes: bool = True
    """8-bit products take operands in one orientation only, so that casts write both."""
    tile_half: Constant[Number] = _general("matmul.tile_half", Constant[Number])
    """Tile measure m·n/(m+n), in elements, at which half of the efficiency is reached."""
    reduction_half: Constant[Number] = _general("matmul.reduction_half", Constant[Number])
    """Reduction length, in 16-bit elements, at which half of the efficiency is reached."""
    wave_overlap: Constant[Fraction] = _general("matmul.wave_overlap", Constant[Fraction])
    """Share of the last partial wave's idle time that the library hides."""
    gradient_efficiency: Efficiency = _general("matmul.gradient_efficiency", Constant[Fraction])
    """The weight-gradient product relative to the others."""
    lane_efficiency: Efficiency = _general("matmul.lane_efficiency", Constant[Fraction])
    """Share of the fp32 peak that batched 16-bit products reach which the tensor cores cannot take:
    those whose rows are no multiples of `load_bytes`."""
    narrow_load: Constant[Fraction] = _general("matmul.narrow_load", Constant[Fraction])
    """Share of the product's time that every load more adds where rows do not start at multiples
    of `load_bytes` and are read in narrower loads."""
    load_bytes: Constant[Count] = _general("matmul.load_bytes", Constant[Count])
    """The widest load of one lane."""
    shortest_split: Constant[Count] = _general("matmul.shortest_split", Constant[Count])
    """Reduction length below which the library does not split a reduction any further."""


class GroupedMatmulConstants(Input):
    """Several experts' products in one call."""

    efficiency: Efficiency = _general("grouped_matmul.efficiency", Constant[Fraction])
    """Relative to one product of the same work (forward and input gradient)."""
    gradient_efficiency: Efficiency = _general(
        "grouped_matmul.gradient_efficiency", Constant[Fraction]
    )
    """The same for the weight gradient."""
    group_launch: Constant[Seconds] = _general("grouped_matmul.group_launch", Constant[Seconds])
    """Extra cost of each expert in the call."""


class Attention(Input):
    """Fused attention: share of the 16-bit peak, counting the FLOPs really done."""

    fused: bool = True
    """There are fused kernels. Without them attention is computed in parts whatever a profile says.
    """
    forward_efficiency: Efficiency = _general("attention.forward_efficiency", Constant[Fraction])
    backward_efficiency: Efficiency = _general("attention.backward_efficiency", Constant[Fraction])
    head_dim_half: Constant[Number] = _general("attention.head_dim_half", Constant[Number])
    """Head dimension at which half of the efficiency is reached."""
    head_dim_step: Constant[Count] = _general("attention.head_dim_step", Constant[Count])
    """There are kernels for head dimensions in such steps; what lies between runs in the next."""
    forward_block: Constant[Number] = _general("attention.forward_block", Constant[Number])
    """Queries that one multiprocessor works on at a time."""
    backward_block: Constant[Number] = _general("attention.backward_block", Constant[Number])
    """Keys that one multiprocessor works on at a time in the backward pass."""
    longest_block_share: Constant[Fraction] = _general(
        "attention.longest_block_share", Constant[Fraction]
    )
    """Share of the longest block's time that is left over when causal blocks of unequal length are
    handed out longest first."""
    wide_head_efficiency: Efficiency = _general(
        "attention.wide_head_efficiency", Constant[Fraction]
    )
    """Relative efficiency for head dimensions above 128."""
    dropout_operations: Constant[Number] = _general(
        "attention.dropout_operations", Constant[Number]
    )
    """Operations of one fp32 lane for the random number of one score. They take the issue slots
    that attention's exponentials need, so their time adds (Ma, Liu and Krashinsky 2024,
    arXiv:2410.07531)."""
    flash_2: Efficiency = _general("attention.flash_2", Constant[Fraction])
    """FlashAttention-2 forward relative to the newest kernels, whose the efficiencies above are."""
    flash_2_backward: Efficiency = _general("attention.flash_2_backward", Constant[Fraction])
    """The same backward, without a mask."""
    flash_2_causal_backward: Efficiency = _general(
        "attention.flash_2_causal_backward", Constant[Fraction]
    )
    """The same backward under a causal mask: its longest rows start last."""
    flash_1: Efficiency = _general("attention.flash_1", Constant[Fraction])
    """The first FlashAttention relative to FlashAttention-2."""
    cudnn_9_19_forward: Constant[Number] = _general(
        "attention.cudnn_9_19_forward", Constant[Number]
    )
    """The kernels of cuDNN 9.19 (containers of 2026), forward, relative to `forward_efficiency`."""
    cudnn_9_19_backward: Constant[Number] = _general(
        "attention.cudnn_9_19_backward", Constant[Number]
    )
    """The same backward, relative to `backward_efficiency`."""
    fp8_forward: Constant[Number] = _general("attention.fp8_forward", Constant[Number])
    """Attention in 8 bits relative to 16 bits, forward."""
    fp8_backward: Constant[Number] = _general("attention.fp8_backward", Constant[Number])
    """The same backward."""


class NodeLinks(Input):
    """How the device reaches the others of its node, by the data sheet. Cluster files state what a
    node really has; this is what they are compared with."""

    kind: Literal["nvlink", "xgmi", "nvlink-bridge", "pcie"]
    """`nvlink` and `xgmi`: wired on a board, so that no pair has only PCI Express.
    `nvlink-bridge`: between a few neighbours, the others over PCI Express."""
    bandwidth: Constant[BytesPerSecond]
    """All links of one device together, one direction."""

    @property
    def on_board(self) -> bool:
        """Whether all devices of a node are joined by more than PCI Express."""
        return self.kind in ("nvlink", "xgmi")


class CollectiveLinks(Input):
    """How the collective library uses the links of this device."""

    launch: Constant[Seconds] = _general("links.launch", Constant[Seconds])
    """Fixed cost of one collective call."""
    step: Constant[Seconds] = _general("links.step", Constant[Seconds])
    """One step inside the fast fabric where the cluster states no `intra_node.latency`."""
    network_step: Constant[Seconds] = _general("links.network_step", Constant[Seconds])
    """One step across the network where the cluster states no `network.latency`."""
    ramp: Constant[Seconds] = _general("links.ramp", Constant[Seconds])
    """Filling of the library's own pipeline: adds 2·√(transfer time · ramp)."""
    intra_node_efficiency: Efficiency = _general("links.intra_node_efficiency", Constant[Fraction])
    """Share of the link bandwidth that a very large ring collective reaches."""
    inter_node_efficiency: Efficiency = _general("links.inter_node_efficiency", Constant[Fraction])
    """The same over network cards."""
    all_to_all_efficiency: Efficiency = _general("links.all_to_all_efficiency", Constant[Fraction])
    """Relative to the ring."""
    all_to_all_network: Efficiency = _general("links.all_to_all_network", Constant[Fraction])
    """An all-to-all between nodes relative to the ring, alone on the network."""
    send_efficiency: Efficiency = _general("links.send_efficiency", Constant[Fraction])
    """One pair's send and receive relative to the ring."""
    reduction_efficiency: Efficiency | None = None
    """All-reduce inside the switch: buffer bytes per second as a share of the link bandwidth.
    Left out: the switches do not reduce."""
    reduction_launch: Constant[Seconds] = _general("links.reduction_launch", Constant[Seconds])
    """Extra start cost of such an all-reduce."""
    mesh: bool = False
    """Devices of a node are wired to each other directly, not through a switch: a group of n of
    P devices reaches (n - 1)/(P - 1) of the link bandwidth."""
    overlap_cost: Constant[Fraction] = _general("links.overlap_cost", Constant[Fraction])
    """Share of a hidden collective's time that the kernels which run at the same time lose: its
    copies take multiprocessors and memory bandwidth."""
    network_overlap_cost: Constant[Fraction] = _general(
        "links.network_overlap_cost", Constant[Fraction]
    )
    """The part of it that the multiprocessors take. They wait where the network sets the pace, and
    copies load the memory the less the slower it is."""
    network_send_cost: Constant[Fraction] = _general("links.network_send_cost", Constant[Fraction])
    """The same of sends between two ranks, which take fewer multiprocessors."""


class DeviceHost(Input):
    """The host that launches a node's kernels."""

    slowness: Constant[Number] = _general("host.slowness", Constant[Number])
    """Host time of the same launches relative to that of an x86 server of 2020 to 2025."""


class Sustained(Input):
    """What a training step reaches of what kernels and collectives reach alone: clocks under
    sustained power, caches shared with neighbours, ranks that arrive at different times."""

    matmul: Efficiency = _general("sustained.matmul", Constant[Fraction])
    """Matrix products in 16 bits."""
    attention: Efficiency = _general("sustained.attention", Constant[Fraction])
    links: Efficiency = _general("sustained.links", Constant[Fraction])
    """Bandwidth of collectives inside the fast fabric."""
    network: Efficiency = _general("sustained.network", Constant[Fraction])
    """Bandwidth between nodes, where several groups share the cards."""
