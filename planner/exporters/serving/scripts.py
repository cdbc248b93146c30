"""Shell scripts that start one replica of a pool."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from planner.exporters.quoting import filled, heredoc, shell_word
from planner.exporters.serving import sglang, trtllm, vllm
from planner.exporters.serving.job import DRAFT_MODEL, FIRST_PORT, ROUTER_PORT
from planner.wording.printable import printable
from planner.wording.units import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.exporters.serving.job import ServingExport
    from planner.plan.serving import ServingPool

_SCRIPT = """\
#!/usr/bin/env bash
# @TITLE@
# Starts one replica of a pool on this node: MODEL=... bash @FILE@ POOL [PORT]
# Where a node holds several replicas, CUDA_VISIBLE_DEVICES says which devices each takes. Pools:
@POOLS@
@ROUTER@set -euo pipefail
[ -n "${MODEL:-}" ] || { echo @MISSING@ >&2; exit 2; }
@DRAFTS@pool=${1:?a pool is missing: @NAMES@}
port=${2:-@PORT@}
extra=()
case $pool in
@CASES@
  *) echo "there is no pool $pool: @NAMES@" >&2; exit 2 ;;
esac
@COMMAND@
"""
_NODES = """\
    : "${HEAD:?the address of the first node of the replica}"
    : "${NODE_RANK:?the number of this node in its replica, from 0}"
"""
_HEADLESS = """\
    [ "$NODE_RANK" -eq 0 ] || extra+=(--headless)
"""
_SIDE_CHANNEL = """\
    export VLLM_NIXL_SIDE_CHANNEL_HOST="${VLLM_NIXL_SIDE_CHANNEL_HOST:-$(hostname)}"
    side=$((20000 + port % 400 * 100))
    export VLLM_NIXL_SIDE_CHANNEL_PORT="${VLLM_NIXL_SIDE_CHANNEL_PORT:-$side}"
"""
"""Where replicas that hand KV caches over agree on it: each of a node at a port of its own, and one
more for each data-parallel rank (vLLM, docs/features/nixl_connector_usage.md). Without them all
replicas take port 5600 of `localhost`."""


def as_vllm(job: ServingExport) -> str:
    """`vllm serve`. Raises: Inexpressible."""
    job.for_engine("vllm", vllm.TARGET)
    cases = []
    for name, pool in job.pools.items():
        extra = vllm.across_nodes(job, pool) + _quoted(vllm.drafts(job, f"${DRAFT_MODEL}"))
        ranked = any("NODE_RANK" in one for one in extra)
        then = _HEADLESS * ranked + _SIDE_CHANNEL * (pool.role != "aggregated")
        cases.append(_case(name, vllm.arguments(job, pool), extra, then=then))
    router = (
        "# A proxy (vLLM's own, llm-d's or Dynamo's) sends each request to a prefill replica\n"
        "# first, then to a decode replica.\n"
    )
    command = 'exec vllm serve "$MODEL" --port "$port" "${arguments[@]}" "${extra[@]}"'
    return _script(job, "vllm.sh", cases, router, command)


def as_sglang(job: ServingExport) -> str:
    """`python3 -m sglang.launch_server`. Raises: Inexpressible."""
    job.for_engine("sglang", sglang.TARGET)
    cases = [
        _case(
            name,
            sglang.arguments(job, pool),
            sglang.across_nodes(job, pool) + _quoted(sglang.drafts(job, f"${DRAFT_MODEL}")),
        )
        for name, pool in job.pools.items()
    ]
    router = (
        "# The router in front of the pools: python3 -m sglang_router.launch_router "
        f"--pd-disaggregation\n#   --prefill http://HOST:PORT --decode http://HOST:PORT "
        f"--port {ROUTER_PORT}\n"
    )
    command = (
        'exec python3 -m sglang.launch_server --model-path "$MODEL" --host 0.0.0.0 '
        '--port "$port" \\\n  "${arguments[@]}" "${extra[@]}"'
    )
    return _script(job, "sglang.sh", cases, router, command)


def as_trtllm(job: ServingExport) -> str:
    """`trtllm-serve`, its settings in a file that the script writes. Raises: Inexpressible."""
    job.for_engine("trtllm", trtllm.TARGET)
    cases = []
    for name, pool in job.pools.items():
        text = json.dumps(trtllm.settings(job, pool), indent=2)
        file = heredoc([text], name="SETTINGS")
        written = f'    settings=$(mktemp)\n    cat > "$settings" {file}\n'
        if DRAFT_MODEL in text:
            written += f'    sed -i "s|{DRAFT_MODEL}|${DRAFT_MODEL}|" "$settings"\n'
        placement = trtllm.placement(job, pool)
        if placement:
            file = heredoc(placement, name="PLACEMENT")
            written += f'    placement=$(mktemp)\n    cat > "$placement" {file}\n'
            written += f'    sed -i "s|{trtllm.PLACEMENT}|$placement|" "$settings"\n'
        cases.append(_case(name, trtllm.arguments(job, pool), then=written))
    router = (
        "# The server in front of the pools: trtllm-serve disaggregated -c FILE, where the\n"
        "# context_servers are the prefill replicas, the generation_servers the decode ones.\n"
    )
    command = (
        'exec trtllm-serve "$MODEL" --backend pytorch --host 0.0.0.0 --port "$port" \\\n'
        '  --extra_llm_api_options "$settings" "${arguments[@]}" "${extra[@]}"'
    )
    return _script(job, "trtllm.sh", cases, router, command)


def _quoted(arguments: Sequence[str]) -> list[str]:
    """As they stand between double quotes, where variables of the script count."""
    return [one.replace('"', '\\"') for one in arguments]


def _case(name: str, arguments: Sequence[str], extra: Sequence[str] = (), *, then: str = "") -> str:
    """The branch of one pool. `extra` holds variables of the script; `then` are its last lines."""
    lines = "".join(f"      {shell_word(one)}\n" for one in arguments)
    text = f"  {name})\n    arguments=(\n{lines}    )\n"
    if extra:
        named = "".join(f'      "{one}"\n' for one in extra)
        text += (
            _NODES if any("$HEAD" in one or "NODE_RANK" in one for one in extra) else ""
        ) + f"    extra=(\n{named}    )\n"
    return f"{text}{then}    ;;"


def _script(job: ServingExport, file: str, cases: Sequence[str], router: str, command: str) -> str:
    weights = " or ".join(dict.fromkeys(pool.weights for pool in job.plan.pools))
    return filled(
        _SCRIPT,
        title=printable(job.title),
        file=file,
        pools="\n".join(f"#   {name}: {described(job, pool)}" for name, pool in job.pools.items()),
        router=router if job.plan.disaggregated else "",
        missing=shell_word(
            f"MODEL is not set: a checkpoint of {printable(job.model)} with weights in {weights}"
        ),
        drafts=_drafts_needed(job),
        names=" ".join(job.pools),
        port=str(FIRST_PORT if job.plan.disaggregated else ROUTER_PORT),
        cases="\n".join(cases),
        command=command,
    )


def _drafts_needed(job: ServingExport) -> str:
    """A line that ends the script where the path of the model that drafts is not set."""
    if job.drafts is None or job.drafts.model is None:
        return ""
    missing = shell_word(f"{DRAFT_MODEL} is not set: a checkpoint of {printable(job.drafts.model)}")
    return f'[ -n "${{{DRAFT_MODEL}:-}}" ] || {{ echo {missing} >&2; exit 2; }}\n'


def described(job: ServingExport, pool: ServingPool) -> str:
    """`4 replicas of 8 devices (h100-sxm-80gb), each on 2 nodes of group g0`"""
    nodes = job.nodes_of(pool)
    across = f", each on {nodes} nodes" if nodes > 1 else ""
    return (
        f"{plural(pool.replicas, 'replica')} of {plural(pool.replica_devices, 'device')} "
        f"({pool.device}){across} of node group {pool.group}"
    )
