"""Launchers: golden files, and what Kubernetes and Slurm demand of their shape."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from planner.exporters.errors import Inexpressible
from planner.exporters.launchers import kubernetes, mpi, slurm, torchrun
from planner.exporters.verify import verify_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from planner.exporters.job import ExportJob
    from tests.conftest import Golden
    from tests.exporters.conftest import Jobs

POD: dict[str, Any] = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "metadata": {
            "properties": {
                "annotations": {"additionalProperties": {"type": "string"}},
            },
        },
        "spec": {
            "required": ["containers"],
            "properties": {
                "containers": {
                    "minItems": 1,
                    "items": {
                        "required": ["name", "image"],
                        "properties": {
                            "name": {"pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
                            "command": {"items": {"type": "string"}},
                            "args": {"items": {"type": "string"}},
                            "env": {"items": {"properties": {"value": {"type": "string"}}}},
                        },
                    },
                },
                "restartPolicy": {"enum": ["Never", "OnFailure"]},
            },
        },
    },
}
NAME = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
TRAINJOB = {
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "trainer.kubeflow.org/v1alpha1"},
        "kind": {"const": "TrainJob"},
        "metadata": {"properties": {"name": NAME}},
        "spec": {
            "required": ["runtimeRef"],
            "additionalProperties": False,
            "properties": {
                "runtimeRef": {"required": ["name"]},
                "trainer": {
                    "additionalProperties": False,
                    "properties": {
                        "image": {"type": "string"},
                        "command": {"items": {"type": "string"}, "maxItems": 128},
                        "env": {"items": {"properties": {"value": {"type": "string"}}}},
                        "numNodes": {"type": "integer", "minimum": 1},
                        "numProcPerNode": {"type": "integer", "minimum": 1},
                        "resourcesPerNode": {"type": "object"},
                    },
                },
            },
        },
    },
}
PYTORCHJOB = {
    "properties": {
        "apiVersion": {"const": "kubeflow.org/v1"},
        "metadata": {"properties": {"name": NAME}},
        "spec": {
            "required": ["pytorchReplicaSpecs"],
            "properties": {
                "nprocPerNode": {"type": "string"},
                "pytorchReplicaSpecs": {
                    "required": ["Master"],
                    "additionalProperties": {
                        "required": ["replicas", "restartPolicy", "template"],
                        "properties": {"template": POD},
                    },
                },
            },
        },
    },
}
JOBSET = {
    "properties": {
        "apiVersion": {"const": "jobset.x-k8s.io/v1alpha2"},
        "metadata": {"properties": {"name": NAME}},
        "spec": {
            "required": ["replicatedJobs"],
            "properties": {
                "replicatedJobs": {
                    "minItems": 1,
                    "items": {
                        "required": ["name", "template"],
                        "properties": {
                            "template": {
                                "properties": {
                                    "spec": {
                                        "required": ["template", "parallelism", "completions"],
                                        "properties": {
                                            "completionMode": {"const": "Indexed"},
                                            "template": POD,
                                        },
                                    }
                                }
                            }
                        },
                    },
                }
            },
        },
    },
}


@pytest.fixture
def job(jobs: Jobs) -> ExportJob:
    made = jobs.make("dgx-h100-16", "llama-3-70b", nodes=4, tensor=8, pipeline=2)
    return made.renamed(["gpu07", "gpu08", "gpu12", "login-a"])


def test_golden_files(job: ExportJob, golden: Golden) -> None:
    golden.check("export-slurm.sh", slurm.as_script(job))
    golden.check("export-torchrun.sh", torchrun.as_script(job))
    golden.check("export-mpi.rankfile", mpi.as_rankfile(job))
    golden.check("export-verify_placement.py", verify_program(job))


def test_golden_manifests(jobs: Jobs, golden: Golden) -> None:
    job = jobs.make("dgx-h100-16", "llama-3-70b", nodes=4, tensor=8, pipeline=2)
    golden.check("export-kubernetes-trainjob.yaml", kubernetes.as_trainjob(job))
    golden.check("export-kubernetes-pytorchjob.yaml", kubernetes.as_pytorchjob(job))
    golden.check("export-kubernetes-jobset.yaml", kubernetes.as_jobset(job))


@pytest.mark.parametrize("nodes", [1, 4, 16])
@pytest.mark.parametrize(
    ("write", "schema"),
    [
        (kubernetes.as_trainjob, TRAINJOB),
        (kubernetes.as_pytorchjob, PYTORCHJOB),
        (kubernetes.as_jobset, JOBSET),
    ],
)
def test_manifests_have_the_shape_of_their_kind(
    jobs: Jobs, write: Callable[[ExportJob], str], schema: dict[str, Any], nodes: int
) -> None:
    job = jobs.make("dgx-h100-16", "llama-3-70b", nodes=nodes, tensor=8)
    manifest = yaml.safe_load(write(job))
    jsonschema.Draft202012Validator(schema).validate(manifest)


def test_a_jobset_starts_every_node_once(jobs: Jobs) -> None:
    job = jobs.make("dgx-h100-16", "llama-3-70b", tensor=8, pipeline=4)
    ranks = []
    for part in yaml.safe_load(kubernetes.as_jobset(job))["spec"]["replicatedJobs"]:
        spec = part["template"]["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        command = container["command"][2].replace("exec torchrun", "echo")
        for index in range(spec["completions"]):
            printed = subprocess.run(
                ["bash", "-c", command, "planner", "x"],
                env={"JOB_COMPLETION_INDEX": str(index)},
                capture_output=True,
                text=True,
                check=True,
            )
            ranks.append(int(printed.stdout.split("--node-rank=")[1].split()[0]))
    assert ranks == list(range(16))


def test_a_fabric_that_spans_nodes_keeps_groups_in_it(jobs: Jobs) -> None:
    job = jobs.make(
        "gb200-nvl72-18", "mixtral-8x7b", nodes=16, pipeline=2, expert=8, micro_batch_size=1
    )
    manifest = yaml.safe_load(kubernetes.as_jobset(job))
    first = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert first["template"]["metadata"]["annotations"] == {
        "kueue.x-k8s.io/podset-preferred-topology": "fabric.topograph.run/tier-1",
        "kueue.x-k8s.io/podset-slice-required-topology": "accelerator.topograph.run/domain",
        "kueue.x-k8s.io/podset-slice-size": "2",
    }


def test_kubernetes_cannot_place_hosts(jobs: Jobs) -> None:
    swapped = jobs.make("dgx-h100-16", "llama-3-8b", nodes=2, tensor=8, hosts=("h100-1", "h100-0"))
    mixed = jobs.make("mixed-a100-h100-16", "llama-3-8b", tensor=8)
    for job in (swapped, mixed):
        with pytest.raises(Inexpressible, match=r"Kubernetes cannot express placement\.hosts"):
            kubernetes.as_jobset(job)


def test_hosts_with_different_numbers_of_devices(jobs: Jobs, tmp_path: Path) -> None:
    """Each host starts as many ranks as it has devices."""
    from dataclasses import replace

    job = jobs.make("dgx-h100-16", "llama-3-8b", nodes=2, tensor=8)
    first, second = job.hosts
    job = replace(job, hosts=(first, replace(second, devices=4)))
    assert job.devices_per_host is None
    text = slurm.as_script(job)
    assert "--gpus-per-node" not in text
    assert "sizes=(8 4)\n  devices=${sizes[SLURM_PROCID]}" in text
    assert "DEVICES=(8 4)\ndevices=${DEVICES[node_rank]}" in torchrun.as_script(job)
    for name, script in (("slurm.sh", text), ("torchrun.sh", torchrun.as_script(job))):
        path = tmp_path / name
        path.write_text(script)
        subprocess.run(["bash", "-n", str(path)], check=True)
