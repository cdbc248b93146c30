"""Arguments of `vllm serve` (vllm-project/vllm, vllm/engine/arg_utils.py, 0.11 to 0.19)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from planner.exporters.errors import Inexpressible
from planner.exporters.serving.job import whole_nodes

if TYPE_CHECKING:
    from planner.exporters.serving.job import ServingExport
    from planner.plan.serving import ServingPool

TARGET = "vllm serve"
LONGER = "vLLM starts only with VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 in its environment"
"""What requests longer than the model is made for take (vllm/config/model.py)."""
KV = {"bf16": "auto", "fp8": "fp8"}
TRANSFER = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'


def arguments(job: ServingExport, pool: ServingPool) -> list[str]:
    """Of one replica, without the model and where it listens. Limits of requests and of tokens are
    those of one data-parallel rank, as vLLM takes them.

    Raises: Inexpressible for degrees of experts that vLLM has no argument for (it divides experts
    over all devices or none)."""
    found = [
        f"--tensor-parallel-size={pool.tensor}",
        f"--pipeline-parallel-size={pool.pipeline}",
        f"--max-num-seqs={pool.max_running}",
        f"--max-num-batched-tokens={pool.max_step_tokens}",
        f"--max-model-len={job.longest}",
        f"--gpu-memory-utilization={pool.memory_share:g}",
        f"--kv-cache-dtype={KV[pool.kv_format]}",
        f"--block-size={job.block_tokens}",
    ]
    if pool.attention_data > 1:
        found.append(f"--data-parallel-size={pool.attention_data}")
    group = pool.tensor * pool.attention_data
    if pool.expert not in (1, group):
        raise Inexpressible(
            TARGET, "expert", f"experts are divided {group} ways or not at all, not {pool.expert}"
        )
    if job.mixture and pool.expert > 1:
        found.append("--enable-expert-parallel")
    if pool.role != "aggregated":
        found.append(f"--kv-transfer-config={TRANSFER}")
    return found


def drafts(job: ServingExport, model: str) -> list[str]:
    """How tokens are drafted (vllm/config/speculative.py); `model`: the path of what drafts."""
    stated = job.drafts
    if stated is None:
        return []
    method = {"mtp": "mtp", "model": "draft_model", "ngram": "ngram"}[stated.method]
    said: dict[str, str | int] = {"method": method, "num_speculative_tokens": stated.tokens}
    if stated.method == "model":
        said["model"] = model
    return [f"--speculative-config={json.dumps(said)}"]


def across_nodes(job: ServingExport, pool: ServingPool) -> list[str]:
    """What a replica of several nodes takes besides, with `$HEAD` and `$NODE_RANK` for the address
    of its first node and the number of this one."""
    nodes = whole_nodes(job, pool, TARGET)
    if nodes == 1:
        return []
    if pool.attention_data % nodes:
        return ["--distributed-executor-backend=ray"]
    local = pool.attention_data // nodes
    return [
        f"--data-parallel-size-local={local}",
        f"--data-parallel-start-rank=$((NODE_RANK * {local}))",
        "--data-parallel-address=$HEAD",
    ]
