"""Words and small counts that parts of a software profile share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

DataSharding = Literal["none", "optimizer", "optimizer+gradients", "full"]
ShardingGroup = Literal["all", "node"]
Granularity = Literal["none", "selective", "full"]
RecomputeModule = Literal[
    "core_attn",
    "layernorm",
    "mlp",
    "moe",
    "moe_act",
    "shared_experts",
    "mla_up_proj",
    "mlp_act",
    "every_second_matmul",
]
OffloadModule = Literal[
    "attn_norm",
    "qkv_linear",
    "core_attn",
    "attn_proj",
    "mlp_norm",
    "expert_fc1",
    "moe_act",
]
OffloadPlace = Literal["host", "nvme"]
Allocator = Literal["caching", "expandable"]
QuantizedFormat = Literal["fp8", "mxfp8", "nvfp4"]
MOST_STRIDE = 64
UpdateStride = Annotated[int, Field(ge=2, le=MOST_STRIDE)]
LossCopies = Annotated[int, Field(ge=0, le=4)]
ScheduleName = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[a-z0-9][a-z0-9-]*$")]
