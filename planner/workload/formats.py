"""Bytes per element of weights, gradients, optimizer states and matmul operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.specs.software import SoftwareProfile
    from planner.specs.software_offload import Offload

STATE_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
MOMENT_BYTES = {**STATE_BYTES, "fp8": 1, "int8": 1 + 4 / 256}
"""A moment in fp8 has one scale for each tensor (TransformerEngine `optimizers/fused_adam.py`), in
int8 an fp32 scale for each block of 256 (Dettmers et al. 2021; bitsandbytes `optim/optimizer.py`,
`blocksize=256`)."""

QUANTIZED_BYTES = {"fp8": 1.0, "mxfp8": 1.03125, "nvfp4": 0.5625}
"""With the scale of each block: MXFP8 one byte per 32 elements, NVFP4 one byte per 16 (OCP
Microscaling Formats v1.0; NVIDIA Blackwell architecture brief)."""


WIDE = ("fp32", "tf32")
"""Formats whose matmul operands take 32 bits in memory."""


def weight_bytes(precision: str) -> int:
    """Bytes per element of the copy that the layers compute with."""
    return 4 if precision in WIDE else 2


def stored_weight_bytes(
    software: SoftwareProfile, precision: str, *, transposes: bool = True
) -> float:
    """Bytes per parameter of a quantised product, between steps: the 16-bit copy and, where they
    are cached over the microbatches, the quantised copies in both orientations. Where weights live
    in the quantised format there is no 16-bit copy (TransformerEngine `fp8_model_init`, Megatron-LM
    `--fp8-param-gather`, which 4-bit formats do not have). Without `transposes` products take
    operands with one scale for each tensor in either orientation, and there is one copy
    (`is_non_tn_fp8_gemm_supported`)."""
    copies = 1 if precision == "fp8" and not transposes else 2
    quantized = copies * QUANTIZED_BYTES.get(precision, 0.0)
    if _eight_bits_between_steps(software, precision):
        return quantized
    return weight_bytes(precision) + (quantized if software.fp8.weights_cached else 0.0)


def _eight_bits_between_steps(software: SoftwareProfile, precision: str) -> bool:
    return software.fp8.parameter_gather and precision in ("fp8", "mxfp8")


def offload_under(software: SoftwareProfile, precision: str) -> Offload:
    """What may be offloaded while a job has this number format."""
    if software.offload.eight_bit_weights or not _eight_bits_between_steps(software, precision):
        return software.offload
    return software.offload.model_copy(update={"optimizer": (), "optimizer_share": ()})


def master_weight_bytes(software: SoftwareProfile, precision: str) -> int:
    """Bytes per parameter of the optimizer's copy of a weight. Remainders need weights that are
    bf16 between steps (TransformerEngine `fused_adam.py`, `store_param_remainders`); for other
    weights the copy is fp32."""
    if not software.master_weights or precision in WIDE:
        return 0
    if software.master_weight_dtype == "remainders":
        stays = precision != "fp16" and not (
            software.fp8.parameter_gather and precision in ("fp8", "mxfp8")
        )
        return 2 if stays else 4
    return STATE_BYTES[software.master_weight_dtype]


def moment_bytes(software: SoftwareProfile, optimizer: str) -> float:
    """Bytes per parameter of what the optimizer keeps for a layer in addition to its weights."""
    return _bytes_of_moments(software, moments(software, optimizer))


def end_moment_bytes(software: SoftwareProfile, optimizer: str) -> float:
    """The same of embedding and output layer, which some optimizers leave to another."""
    return _bytes_of_moments(software, software.optimizers.of(optimizer).end_moments)


def moments(software: SoftwareProfile, optimizer: str) -> int:
    """Moments of every parameter of a layer."""
    return software.optimizers.of(optimizer).moments


def _bytes_of_moments(software: SoftwareProfile, count: int) -> float:
    first = software.optimizer_state_dtype
    second = software.second_moment_dtype or first
    return sum(MOMENT_BYTES[kind] for kind in (first, second)[:count])


def sharded_weight_bytes(software: SoftwareProfile, precision: str) -> tuple[int, int]:
    """Bytes per parameter of a fully sharded weight: of the copy that passes read, and of a master
    weight beside it. Without such a pair the fp32 weights are the only ones (PyTorch FSDP2 mixed
    precision), and passes read them."""
    read, master = weight_bytes(precision), master_weight_bytes(software, precision)
    pair = software.full_sharding.keeps_sixteen_bits or software.master_weight_dtype == "remainders"
    return (read, master) if master and pair else (max(read, master), 0)


def gathered_weight_bytes(software: SoftwareProfile, precision: str) -> float:
    """Bytes per parameter of updated or sharded weights as they travel. With one scale per tensor
    they travel in 8 bits. Block scales differ between the two orientations, so such weights travel
    in 16 bits and are quantised on arrival (Megatron-LM `param_and_grad_buffer.py`,
    `reuse_grad_buf_for_mxfp8_param_ag`)."""
    if precision == "fp8" and software.fp8.parameter_gather:
        return QUANTIZED_BYTES["fp8"]
    return weight_bytes(precision)


def gradient_bytes(software: SoftwareProfile, precision: str) -> int:
    """Bytes per element of main gradients, as they are kept over the microbatches of a step.
    Gradients of 32-bit weights have 32 bits (Megatron-LM `param_and_grad_buffer.py`: fp32, or the
    type of the weights)."""
    halved = precision == "fp16" and software.fp16_gradients
    return 2 if halved else max(weight_bytes(precision), STATE_BYTES[software.gradient_dtype])


def reduced_gradient_bytes(software: SoftwareProfile, precision: str) -> int:
    """Bytes per element of gradients as they travel; gradients of 32-bit weights travel in 32
    bits."""
    halved = precision == "fp16" and software.fp16_gradients
    return (
        2 if halved else max(weight_bytes(precision), STATE_BYTES[software.gradient_reduce_dtype])
    )


def bucket_bytes(software: SoftwareProfile, precision: str) -> float:
    """Bytes of the gradients that one call reduces. A bucket holds this many gradients of the
    profile's own type; in fp16 jobs that reduce in fp16 the same number takes fewer bytes."""
    stated: float = software.bucket_bytes.value
    return (
        stated
        * reduced_gradient_bytes(software, precision)
        / STATE_BYTES[software.gradient_reduce_dtype]
    )
