"""Kubernetes: a DynamoGraphDeployment (ai-dynamo/dynamo, nvidia.com/v1alpha1) and the values of
llm-d's modelservice chart (llm-d-incubation/llm-d-modelservice)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from planner.exporters.errors import Inexpressible
from planner.exporters.serving import sglang, vllm
from planner.exporters.serving.job import DRAFT_MODEL, whole_nodes
from planner.exporters.serving.scripts import described
from planner.wording.printable import printable

if TYPE_CHECKING:
    from planner.exporters.serving.job import ServingExport
    from planner.plan.serving import ServingPool

DYNAMO, LLM_D = "Dynamo", "llm-d"
"""Names in messages."""


def as_dynamo(job: ServingExport) -> str:
    """One service for each pool, and the frontend. Raises: Inexpressible."""
    services: dict[str, Any] = {
        "Frontend": {
            "componentType": "frontend",
            "replicas": 1,
            "extraPodSpec": {"mainContainer": {"image": "IMAGE"}},
        }
    }
    for name, pool in job.pools.items():
        services[_service(name)] = _worker(job, pool)
    manifest = {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": "planner-serving"},
        "spec": {"services": services},
    }
    return _head(job, "DynamoGraphDeployment") + yaml.safe_dump(
        manifest, sort_keys=False, width=100
    )


def _service(name: str) -> str:
    """`PrefillWorker`, `AggregatedWorker2`"""
    role, *number = name.split("-")
    return f"{role.capitalize()}Worker{''.join(number)}"


def _worker(job: ServingExport, pool: ServingPool) -> dict[str, Any]:
    engines = {"vllm": ("--model", vllm), "sglang": ("--model-path", sglang)}
    if job.engine not in engines:
        known = " and ".join(engines)
        raise Inexpressible(
            DYNAMO, "engine", f"arguments are written for {known}, not for {job.plan.engine}"
        )
    model, engine = engines[job.engine]
    nodes = whole_nodes(job, pool, DYNAMO)
    arguments = [*engine.arguments(job, pool), *engine.drafts(job, DRAFT_MODEL)]
    mode = f"--disaggregation-mode={pool.role}"
    if pool.role != "aggregated" and mode not in arguments:
        arguments.append(mode)
    worker: dict[str, Any] = {
        "componentType": "worker",
        "replicas": pool.replicas,
        "resources": {"limits": {"gpu": str(pool.replica_devices // nodes)}},
    }
    if pool.role != "aggregated":
        worker["subComponentType"] = pool.role
    if nodes > 1:
        worker["multinode"] = {"nodeCount": nodes}
    worker["extraPodSpec"] = {
        "mainContainer": {
            "image": "IMAGE",
            "command": ["python3", "-m", f"dynamo.{job.engine}"],
            "args": [f"{model}=MODEL", *arguments],
        }
    }
    return worker


def as_llm_d(job: ServingExport) -> str:
    """Aggregated replicas are decode replicas without a prefill pool. Raises: Inexpressible."""
    job.for_engine("vllm", LLM_D)
    if job.plan.disaggregated and any(pool.role == "aggregated" for pool in job.pools.values()):
        raise Inexpressible(
            LLM_D,
            "pools",
            "it has no aggregated replicas beside those that read prompts and those that write "
            "answers; a search with --disaggregated on finds plans without them",
        )
    values: dict[str, Any] = {"modelArtifacts": {"uri": "hf://MODEL", "size": "SIZE"}}
    for name, pool in job.pools.items():
        if name != pool.role:
            raise Inexpressible(LLM_D, "pools", f"it has one pool of role {pool.role}")
        if job.nodes_of(pool) > 1:
            raise Inexpressible(
                LLM_D, "tensor", "replicas of several nodes are not written by this format"
            )
        values["prefill" if pool.role == "prefill" else "decode"] = {
            "create": True,
            "replicas": pool.replicas,
            "parallelism": {"tensor": pool.tensor, "data": pool.attention_data},
            "containers": [
                {
                    "name": "vllm",
                    "image": "IMAGE",
                    "modelCommand": "vllmServe",
                    "args": [
                        one
                        for one in (*vllm.arguments(job, pool), *vllm.drafts(job, DRAFT_MODEL))
                        if not one.startswith(("--tensor-parallel-size", "--data-parallel-size"))
                    ],
                }
            ],
        }
    return _head(job, "values of llm-d's modelservice chart") + yaml.safe_dump(
        values, sort_keys=False, width=100
    )


def _head(job: ServingExport, kind: str) -> str:
    pools = "".join(f"#   {name}: {described(job, pool)}\n" for name, pool in job.pools.items())
    weights = " or ".join(dict.fromkeys(pool.weights for pool in job.plan.pools))
    drafter = None if job.drafts is None else job.drafts.model
    said = (
        f"# Replace {DRAFT_MODEL} with a checkpoint of {printable(drafter)}.\n" if drafter else ""
    )
    return (
        f"# {kind}, {printable(job.title)}\n# Pools:\n{pools}"
        f"# Replace IMAGE, and MODEL with a checkpoint of {printable(job.model)} with weights in "
        f"{weights}.\n{said}"
    )
