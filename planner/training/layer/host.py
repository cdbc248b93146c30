"""Seconds that the host needs to launch a pass, to be compared with what the device needs to run
it.

The host runs ahead of the device and delays it only where it needs longer. Recorded graphs remove
its launches, except for work whose shapes depend on where tokens go: a layer's experts, from
dispatch to combination, are launched one operator at a time after the host has waited for the
counts (Megatron-LM `token_dispatcher.py`; `cuda_graph_scope` attn, moe_router, moe_preprocess).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.workload.operators import GroupedMatmul

if TYPE_CHECKING:
    from planner.training.layer.operators import OperatorTime
    from planner.workload.operators import Collective, Operator
    from planner.workload.workload import Workload


def launched(workload: Workload, operator: Operator) -> bool:
    """Whether the host launches the operator itself."""
    software = workload.software
    if not software.cuda_graphs:
        return True
    return operator.expert and not (software.graphs_hold_experts and workload.quantized)


def launch_s(
    workload: Workload,
    operator: Operator,
    cost: OperatorTime,
    *,
    backward: bool,
    slowness: float = 1.0,
) -> float:
    """Host seconds of an operator's launches, on a host of that slowness. The host launches a
    grouped product expert by expert: one product forward; two of them backward, plus the hook of
    the weight's gradient where the profile states its cost (TransformerEngine
    `multi_stream_cublas_gemm`). Operands of 8- and 4-bit products are quantised, each expert's by
    itself: a loop in C++ that takes Grace no longer than an x86 server (Megatron-Bridge, Qwen3 30B
    with 16 experts a device in MXFP8: 26,100 tokens/s on GB200, 26,900 on B200)."""
    software = workload.software
    if not isinstance(operator, GroupedMatmul):
        kernels = cost.backward_kernels if backward else cost.forward_kernels
        return slowness * kernels * software.host_launch.value
    groups = operator.groups * operator.pieces
    products = groups * (2 if backward else 1)
    quantized, product = software.expert.quantized_launch, software.expert.product_launch
    if workload.quantized and quantized is not None:
        return products * quantized.value
    if product is not None:
        return slowness * groups * (3 if backward else 1) * product.value
    return slowness * products * software.host_launch.value


def collective_launch_s(workload: Workload, operator: Collective) -> float:
    """Host seconds of a collective's launches."""
    calls = operator.hops * operator.calls
    return calls * workload.software.collective_launch.value + operator.launch_s
