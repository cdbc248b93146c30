"""Bytes per element of weights, gradients, optimizer states and matmul operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.specs.software import SoftwareProfile

STATE_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
MOMENT_BYTES = {**STATE_BYTES, "fp8": 1}
"""Scales of 8-bit moments are of whole tensors (TransformerEngine `optimizers/fused_adam.py`)."""

QUANTIZED_BYTES = {"fp8": 1.0, "mxfp8": 1.03125, "nvfp4": 0.5625}
"""With the scale of each block: MXFP8 one byte per 32 elements, NVFP4 one byte per 16 (OCP
Microscaling Formats v1.0; NVIDIA Blackwell architecture brief)."""


WIDE = ("fp32", "tf32")
"""Formats whose operands have 32 bits in memory."""


def weight_bytes(precision: str) -> int:
    """The copy the layers compute with."""
    return 4 if precision in WIDE else 2


def stored_weight_bytes(
    software: SoftwareProfile, precision: str, *, transposes: bool = True
) -> float:
    """Per parameter of a quantised product, between steps: the 16-bit copy and, where they are
    cached over the microbatches, the quantised ones of both orientations; only those where weights
    live in the quantised format (TransformerEngine `fp8_model_init`, Megatron-LM
    `--fp8-param-gather`, which 4-bit formats do not have). Without `transposes` products take
    operands with one scale for each tensor in either orientation, and there is one copy
    (`is_non_tn_fp8_gemm_supported`)."""
    copies = 1 if precision == "fp8" and not transposes else 2
    quantized = copies * QUANTIZED_BYTES.get(precision, 0.0)
    if software.fp8.parameter_gather and precision in ("fp8", "mxfp8"):
        return quantized
    return weight_bytes(precision) + (quantized if software.fp8.weights_cached else 0.0)


def master_weight_bytes(software: SoftwareProfile, precision: str) -> int:
    """The optimizer's copy of a weight, per parameter. Remainders need weights that are bf16
    between steps (TransformerEngine `fused_adam.py`, `store_param_remainders`); of others it keeps
    fp32."""
    if not software.master_weights or precision in WIDE:
        return 0
    if software.master_weight_dtype == "remainders":
        stays = precision != "fp16" and not (
            software.fp8.parameter_gather and precision in ("fp8", "mxfp8")
        )
        return 2 if stays else 4
    return STATE_BYTES[software.master_weight_dtype]


def moment_bytes(software: SoftwareProfile, optimizer: str) -> int:
    """What the optimizer keeps beside the weights, per parameter: two moments of Adam, one of
    others."""
    first = MOMENT_BYTES[software.optimizer_state_dtype]
    second = MOMENT_BYTES[software.second_moment_dtype or software.optimizer_state_dtype]
    return first + second if optimizer == "adam" else first


def gathered_weight_bytes(software: SoftwareProfile, precision: str) -> float:
    """Per parameter, as updated or sharded weights travel: in 8 bits with one scale per tensor;
    block scales differ between the two orientations, so those travel in 16 bits and are quantised
    on arrival (Megatron-LM `param_and_grad_buffer.py`, `reuse_grad_buf_for_mxfp8_param_ag`)."""
    if precision == "fp8" and software.fp8.parameter_gather:
        return QUANTIZED_BYTES["fp8"]
    return weight_bytes(precision)


def gradient_bytes(software: SoftwareProfile, precision: str) -> int:
    """Main gradients, as they are kept over the microbatches of a step: those of 32-bit weights
    have 32 bits (Megatron-LM `param_and_grad_buffer.py`: fp32, or the type of the weights)."""
    halved = precision == "fp16" and software.fp16_gradients
    return 2 if halved else max(weight_bytes(precision), STATE_BYTES[software.gradient_dtype])


def reduced_gradient_bytes(software: SoftwareProfile, precision: str) -> int:
    """Gradients as they travel; those of 32-bit weights, in 32 bits."""
    halved = precision == "fp16" and software.fp16_gradients
    return (
        2 if halved else max(weight_bytes(precision), STATE_BYTES[software.gradient_reduce_dtype])
    )


def bucket_bytes(software: SoftwareProfile, precision: str) -> float:
    """Gradients reduced in one call. A bucket holds this many gradients of the profile's own type;
    in fp16 jobs that reduce in fp16 the same number is smaller."""
    stated: float = software.bucket_bytes.value
    return (
        stated
        * reduced_gradient_bytes(software, precision)
        / STATE_BYTES[software.gradient_reduce_dtype]
    )
