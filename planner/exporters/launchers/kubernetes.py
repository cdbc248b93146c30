"""Kubernetes: Kubeflow TrainJob and PyTorchJob, and a JobSet with Kueue's topology annotations.

A pod cannot be pinned to a node by its index: constraints say which pods are to be near each other
(Kueue topology-aware scheduling), and the scheduler chooses. TrainJob of kubeflow/trainer 8c0f5059
(trainer.kubeflow.org/v1alpha1), PyTorchJob kubeflow.org/v1, JobSet 08dfbdfd
(jobset.x-k8s.io/v1alpha2), Kueue ff69552e. Node labels are those topograph writes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from planner.exporters.environment import environment
from planner.exporters.errors import Inexpressible
from planner.exporters.nodes import why_order_counts

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob
    from planner.specs.cluster.spec import ClusterSpec

TARGET = "Kubernetes"

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
DOMAIN_LABEL = "accelerator.topograph.run/domain"
TIER_LABEL = "fabric.topograph.run/tier-1"

_HEAD = """\
# {kind}, {title}
# Replace IMAGE, QUEUE and PROGRAM with its arguments.
"""
_DEFAULT_ORDER = "tp-cp-ep-dp-pp"
_RESOURCES = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}

Manifest = dict[str, Any]


def as_trainjob(job: ExportJob) -> str:
    """A TrainJob on the runtime `torch-distributed`, which sets the ranks by completion index."""
    _refuse_order(job, job.cluster)
    return _text(
        job,
        "TrainJob",
        {
            "apiVersion": "trainer.kubeflow.org/v1alpha1",
            "kind": "TrainJob",
            "metadata": _metadata(job),
            "spec": {
                "runtimeRef": {"name": "torch-distributed"},
                "trainer": {
                    "image": "IMAGE",
                    "command": ["torchrun", "PROGRAM"],
                    "numNodes": len(job.hosts),
                    "numProcPerNode": _devices(job),
                    **_variables(job),
                    "resourcesPerNode": _resources(job),
                },
            },
        },
    )


def as_pytorchjob(job: ExportJob) -> str:
    """A PyTorchJob: the first node is its master, the others are workers."""
    _refuse_order(job, job.cluster)
    container = {
        "name": "pytorch",
        "image": "IMAGE",
        "command": ["torchrun", "PROGRAM"],
        **_variables(job),
        "resources": _resources(job),
    }
    template = {"spec": {"containers": [container]}}
    replicas: Manifest = {"Master": {"replicas": 1, "restartPolicy": "Never", "template": template}}
    if len(job.hosts) > 1:
        replicas["Worker"] = {
            "replicas": len(job.hosts) - 1,
            "restartPolicy": "Never",
            "template": template,
        }
    return _text(
        job,
        "PyTorchJob",
        {
            "apiVersion": "kubeflow.org/v1",
            "kind": "PyTorchJob",
            "metadata": _metadata(job),
            "spec": {"nprocPerNode": str(_devices(job)), "pytorchReplicaSpecs": replicas},
        },
    )


def as_jobset(job: ExportJob) -> str:
    """A JobSet with one replicated job for each stage, where stages are whole nodes, so that
    Kueue keeps each of them together; else one for all nodes."""
    _refuse_order(job, _apart_from_neighbours(job.cluster))
    parts = _parts(job)
    first = 0
    replicated = []
    for name, nodes in parts:
        replicated.append(_replicated_job(job, name=name, first=first, nodes=nodes))
        first += nodes
    return _text(
        job,
        "JobSet",
        {
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": _metadata(job),
            "spec": {"replicatedJobs": replicated},
        },
    )


def _parts(job: ExportJob) -> list[tuple[str, int]]:
    degrees = job.plan.degrees
    nodes, rest = divmod(degrees.stage_devices, _devices(job))
    if rest or degrees.pipeline == 1 or job.plan.placement.order != _DEFAULT_ORDER:
        return [("node", len(job.hosts))]
    return [(f"stage-{stage}", nodes) for stage in range(degrees.pipeline)]


def _replicated_job(job: ExportJob, *, name: str, first: int, nodes: int) -> Manifest:
    """Nodes `first` and following. The pod of index i is called JOBSET-NAME-0-i.JOBSET."""
    master = f"{job.slug}-{_parts(job)[0][0]}-0-0.{job.slug}"
    command = (
        f"exec torchrun --nnodes={len(job.hosts)} --nproc-per-node={_devices(job)} "
        f"--node-rank=$(({first} + JOB_COMPLETION_INDEX)) --master-addr={master} "
        '--master-port=29500 "$@"'
    )
    container = {
        "name": "node",
        "image": "IMAGE",
        "command": ["bash", "-c", command, "planner"],
        "args": ["PROGRAM"],
        **_variables(job),
        "resources": _resources(job),
    }
    annotations = _topology(job, nodes)
    metadata = {"metadata": {"annotations": annotations}} if annotations else {}
    pod = {**metadata, "spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "name": name,
        "replicas": 1,
        "template": {
            "spec": {
                "parallelism": nodes,
                "completions": nodes,
                "completionMode": "Indexed",
                "backoffLimit": 0,
                "template": pod,
            }
        },
    }


def _topology(job: ExportJob, nodes: int) -> dict[str, str]:
    """A part prefers one switch of the lowest tier; where a fast fabric spans nodes, the nodes of
    a tensor, context or expert group must share it."""
    if nodes == 1:
        return {}
    annotations = {"kueue.x-k8s.io/podset-preferred-topology": TIER_LABEL}
    degrees = job.plan.degrees
    block = max(degrees.tensor * degrees.context, degrees.expert * degrees.expert_tensor)
    together = -(-block // _devices(job))
    spanned = job.hosts[0].group.scale_up
    if spanned and 1 < together <= spanned.nodes and nodes % together == 0:
        annotations["kueue.x-k8s.io/podset-slice-required-topology"] = DOMAIN_LABEL
        annotations["kueue.x-k8s.io/podset-slice-size"] = str(together)
    return annotations


def _metadata(job: ExportJob) -> Manifest:
    return {"name": job.slug, "labels": {QUEUE_LABEL: "QUEUE"}}


def _variables(job: ExportJob) -> Manifest:
    found = environment(job)
    if not found:
        return {}
    return {"env": [{"name": name, "value": value} for name, value in found.items()]}


def _resources(job: ExportJob) -> Manifest:
    vendor = job.hosts[0].group.device.vendor.lower()
    if vendor not in _RESOURCES:
        raise Inexpressible(
            TARGET, "placement.hosts", f"no resource is known for devices of {vendor}"
        )
    return {"limits": {_RESOURCES[vendor]: _devices(job)}}


def _devices(job: ExportJob) -> int:
    """Devices of each node. Raises: Inexpressible where nodes differ or were put in an order."""
    devices = job.devices_per_host
    if devices is None or len({host.group.device.name for host in job.hosts}) > 1:
        raise Inexpressible(
            TARGET, "placement.hosts", "the scheduler does not tell nodes with other devices apart"
        )
    if job.reordered:
        raise Inexpressible(
            TARGET,
            "placement.hosts",
            "a pod's index cannot be given a node, so that the plan's order of hosts is lost",
        )
    return devices


def _refuse_order(job: ExportJob, cluster: ClusterSpec) -> None:
    """Raises: Inexpressible where the order of nodes counts on this cluster."""
    reason = why_order_counts(cluster, nodes=len(job.hosts))
    if reason is not None:
        raise Inexpressible(
            TARGET, "placement.hosts", f"{reason}, and a pod's index cannot be given a node"
        )


def _apart_from_neighbours(cluster: ClusterSpec) -> ClusterSpec:
    """The cluster without switches and scale-up domains: a JobSet says who is to share them."""
    groups = tuple(replace(group, scale_up=None) for group in cluster.node_groups)
    return replace(cluster, node_groups=groups, tiers=())


def _text(job: ExportJob, kind: str, manifest: Manifest) -> str:
    import yaml

    class Plain(yaml.SafeDumper):
        """Repeats equal parts instead of naming them."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    body = yaml.dump(manifest, Dumper=Plain, sort_keys=False, width=100)
    return _HEAD.format(kind=kind, title=job.title) + body
