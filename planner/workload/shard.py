"""The part of a plan that decides what one device computes in one layer for one microbatch."""

from __future__ import annotations

from typing import NamedTuple


class Shard(NamedTuple):
    """Degrees and switches that shape a layer's local tensors.

    Everything else of a plan (pipeline, data, schedule, recompute, data sharding) decides how many
    layers and microbatches a device has, not what one layer costs.
    """

    tensor: int = 1
    context: int = 1
    expert: int = 1
    expert_tensor: int = 1
    micro_batch_size: int = 1
    sequence_parallel: bool = False
    dispatcher: str = ""
    """How tokens reach their experts; "": as the software profile does by default."""
    expert_overlap: bool = False
    """Exchanges of experts run beside the passes of another microbatch."""
    dispatch_pieces: int = 1
    """Parts of the tokens that travel to their experts one after the other, the exchange of one
    beside the products of another."""
    vocabulary: int = 1
    """Pipeline stages that each hold a part of the vocabulary layers; 1: the two ends hold them
    whole.
    """
