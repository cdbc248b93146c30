"""Arguments and settings of `trtllm-serve` (NVIDIA/TensorRT-LLM, tensorrt_llm/commands/serve.py and
tensorrt_llm/llmapi/llm_args.py, 1.0 to 1.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.exporters.errors import Inexpressible
from planner.exporters.serving.job import DRAFT_MODEL

if TYPE_CHECKING:
    from planner.exporters.serving.job import ServingExport
    from planner.plan.serving import ServingPool

TARGET = "trtllm-serve"
LONGER = "TensorRT-LLM refuses what is longer than the checkpoint's configuration allows"
"""Of requests longer than the model is made for (_torch/pyexecutor/model_engine.py)."""
PLACEMENT = "EXPERT_PLACEMENT"
"""Stands for the file that says which experts each device holds."""
KV = {"bf16": "auto", "fp8": "fp8"}


def arguments(job: ServingExport, pool: ServingPool) -> list[str]:
    """Of one replica, without the model and where it listens. Its tensor degree counts every device
    of a stage; limits are those of one rank under attention data parallelism.

    Raises: Inexpressible for several nodes, which need an MPI launcher around the command."""
    if job.nodes_of(pool) > 1:
        raise Inexpressible(
            TARGET,
            "tensor",
            f"a replica of {pool.replica_devices} devices spans nodes of "
            f"{job.node_devices[pool.group]}, which takes an MPI launcher around the command",
        )
    found = [
        f"--tp_size={pool.tensor * pool.attention_data}",
        f"--pp_size={pool.pipeline}",
        f"--max_batch_size={pool.max_running}",
        f"--max_num_tokens={pool.max_step_tokens}",
        f"--max_seq_len={job.longest}",
    ]
    if job.mixture and pool.expert > 1:
        found.append(f"--ep_size={pool.expert}")
    return found


def settings(job: ServingExport, pool: ServingPool) -> dict[str, Any]:
    """What has no argument: the file of `--extra_llm_api_options`."""
    found: dict[str, Any] = {
        "enable_attention_dp": pool.attention_data > 1,
        "enable_chunked_prefill": job.chunked,
        "kv_cache_config": {
            "free_gpu_memory_fraction": pool.memory_share,
            "dtype": KV[pool.kv_format],
            "tokens_per_block": job.block_tokens,
        },
        "cuda_graph_config": {"enable_padding": True, "max_batch_size": pool.max_running},
    }
    stated = job.drafts
    if stated is not None and stated.method == "mtp":
        found["speculative_config"] = {
            "decoding_type": "MTP",
            "num_nextn_predict_layers": stated.tokens,
        }
    elif stated is not None:
        said: dict[str, Any] = {"decoding_type": "NGram", "max_draft_len": stated.tokens}
        if stated.method == "model":
            said |= {"decoding_type": "DraftTarget", "speculative_model_dir": DRAFT_MODEL}
        found["speculative_config"] = said
    if pool.expert in job.experts:
        found["moe_config"] = {"load_balancer": PLACEMENT}
    if pool.role != "aggregated":
        found["cache_transceiver_config"] = {"backend": "DEFAULT"}
    return found


def placement(job: ServingExport, pool: ServingPool) -> list[str]:
    """Lines of the file of `load_balancer`: of every layer the expert of each slot, which devices
    hold in a row (examples/wide_ep/ep_load_balancer/README.md); none where experts lie in their
    order."""
    layers = job.experts.get(pool.expert, ())
    if not layers:
        return []
    assigned = [f"  {index}: {list(layer)}" for index, layer in enumerate(layers)]
    slots = f"num_slots: {len(layers[0])}"
    return ["initial_global_assignments:", *assigned, slots, "layer_updates_per_iter: 0"]
