"""The software profile as a DeepSpeed configuration switches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from planner.importers.switched import with_choice, with_groups

if TYPE_CHECKING:
    from planner.specs.software import SoftwareProfile


def switched(
    profile: SoftwareProfile, changes: Mapping[str, Any], sharding: str, precision: str
) -> SoftwareProfile:
    """The profile with what the configuration states. Gradients add up in the type of the weights
    unless it is stated (`engine.py`, get_data_types), and travel in it.
    Overlap and buckets are those of DeepSpeed profiles; another framework's keep their own."""
    update = dict(changes)
    weights = precision if precision in ("fp32", "fp16") else "bf16"
    kept = update["gradient_dtype"] = update["gradient_dtype"] or weights
    travel = update["gradient_reduce_dtype"] = update["gradient_reduce_dtype"] or weights
    if precision == "fp16":
        update["fp16_gradients"] = kept == travel == "fp16"
    offload: dict[str, Any] = {"stride": update.pop("stride", None)}
    if update.pop("offload_to") == "nvme":
        offload["to"] = "nvme"
    sub_group = update.pop("sub_group", None)
    if sub_group is not None:
        stated = {"value": sub_group, "source": "zero_optimization.sub_group_size"}
        offload["sub_group"] = profile.offload.sub_group.model_copy(update=stated)
    update["offload"] = profile.offload.model_copy(update=offload)
    elements = update.pop("bucket_elements", None)
    if elements is not None:
        bucket = {
            "value": elements * (4 if travel == "fp32" else 2),
            "source": "zero_optimization.reduce_bucket_size",
        }
        update["bucket_bytes"] = profile.bucket_bytes.model_copy(update=bucket)
    if not profile.overlap_choices:
        update.pop("overlap")
    switch = with_choice(profile.data_sharding, sharding)
    held = update.pop("group")
    if held is not None:
        parts = {"groups_hold": held, "groups_wait": held == "states"}
        switch = with_groups(switch, sharding).model_copy(update=parts)
    update["data_sharding"] = switch
    return profile.model_copy(update=update)
