"""Arguments of `sglang.launch_server` (sgl-project/sglang, server_args.py, 0.5)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from planner.exporters.errors import Inexpressible
from planner.exporters.serving.job import whole_nodes

if TYPE_CHECKING:
    from planner.exporters.serving.job import ServingExport
    from planner.plan.serving import ServingPool

TARGET = "sglang"
LONGER = "SGLang starts only with SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN=1 in its environment"
"""What requests longer than the model is made for take (sglang/srt/configs/model_config.py)."""
_LONGEST_ARGUMENT = 2**17
"""Bytes of one argument of a program on Linux (linux/include/uapi/linux/binfmts.h,
MAX_ARG_STRLEN)."""
KV = {"bf16": "auto", "fp8": "fp8_e4m3"}


def arguments(job: ServingExport, pool: ServingPool) -> list[str]:
    """Of one replica, without the model and where it listens. SGLang counts every device of a stage
    in its tensor degree, and divides the limits of requests and of prompt tokens by the ranks of
    data-parallel attention."""
    ranks = pool.attention_data
    found = [
        f"--tp-size={pool.tensor * ranks}",
        f"--pp-size={pool.pipeline}",
        f"--max-running-requests={pool.max_running * ranks}",
        f"--chunked-prefill-size={pool.max_step_tokens * ranks}",
        f"--context-length={job.longest}",
        f"--mem-fraction-static={pool.memory_share:g}",
        f"--kv-cache-dtype={KV[pool.kv_format]}",
        f"--page-size={job.block_tokens}",
    ]
    if ranks > 1:
        found += ["--enable-dp-attention", f"--dp-size={ranks}"]
    if job.mixture and pool.expert > 1:
        found.append(f"--ep-size={pool.expert}")
    if pool.expert in job.experts:
        found.append(_location(job.experts[pool.expert]))
    if pool.role != "aggregated":
        found += [f"--disaggregation-mode={pool.role}", "--disaggregation-transfer-backend=nixl"]
    return found


def _location(layers: tuple[tuple[int, ...], ...]) -> str:
    """Which expert is at each place of each layer (eplb/expert_location.py). Raises: Inexpressible
    where one argument does not hold it."""
    text = json.dumps({"physical_to_logical_map": layers}, separators=(",", ":"))
    said = f"--init-expert-location={text}"
    if len(said) >= _LONGEST_ARGUMENT:
        raise Inexpressible(
            TARGET, "expert_placement", f"an argument of {len(said):,} characters is too long"
        )
    return said


def drafts(job: ServingExport, model: str) -> list[str]:
    """How tokens are drafted, one after the other, with the path of a model that does so. SGLang
    counts the token that is checked first among those of a step."""
    stated = job.drafts
    if stated is None:
        return []
    checked = f"--speculative-num-draft-tokens={stated.tokens + 1}"
    if stated.method == "ngram":
        return ["--speculative-algorithm=NGRAM", checked]
    found = [
        f"--speculative-algorithm={'NEXTN' if stated.method == 'mtp' else 'STANDALONE'}",
        f"--speculative-num-steps={stated.tokens}",
        "--speculative-eagle-topk=1",
        checked,
    ]
    if stated.method == "model":
        found.append(f"--speculative-draft-model-path={model}")
    return found


def across_nodes(job: ServingExport, pool: ServingPool) -> list[str]:
    """What a replica of several nodes takes besides."""
    nodes = whole_nodes(job, pool, TARGET)
    if nodes == 1:
        return []
    return [f"--nnodes={nodes}", "--node-rank=$NODE_RANK", "--dist-init-addr=$HEAD:5000"]
