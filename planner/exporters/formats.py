"""The formats a plan can be written in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from planner.exporters import (
    accelerate,
    automodel,
    bridge,
    deepspeed,
    nemo,
    torch_pipelining,
    torchtitan,
)
from planner.exporters.job import refuse_unsayable
from planner.exporters.launchers import kubernetes, mpi, slurm, torchrun
from planner.exporters.megatron import arguments
from planner.exporters.megatron.unstated import unstated
from planner.exporters.ranks import ranks_csv
from planner.exporters.verify import verify_program

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob

Writer = Callable[["ExportJob"], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """One way to write a format, and the name of its file in a folder of all."""

    write: Writer
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """`styles` by name, the default first. `states_batch`: the file says what replicas train on,
    not only where they run. `names_hosts`: the file holds host names, with `any_nodes` only where
    not any nodes will do. `notes`: what the user has to do besides launching the file."""

    styles: dict[str, Style]
    states_batch: bool = True
    names_hosts: bool = False
    any_nodes: bool = False
    notes: Callable[[ExportJob], tuple[str, ...]] = lambda job: ()

    def text(self, style: Style, job: ExportJob) -> str:
        """What the file holds. Raises: Inexpressible."""
        if self.states_batch:
            refuse_unsayable(job, style.file)
        return style.write(job)


def _one(write: Writer, file: str) -> Format:
    return Format(styles={"": Style(write=write, file=file)})


def _on_hosts(write: Writer, file: str, *, any_nodes: bool = True) -> Format:
    styles = {"": Style(write=write, file=file)}
    return Format(styles=styles, states_batch=False, names_hosts=True, any_nodes=any_nodes)


FORMATS = MappingProxyType(
    {
        "megatron-lm": Format(
            styles={
                "arguments": Style(write=arguments.as_arguments, file="megatron-lm.txt"),
                "shell": Style(write=arguments.as_shell, file="megatron-lm.sh"),
                "yaml": Style(write=arguments.as_yaml, file="megatron-lm.yaml"),
            },
            notes=unstated,
        ),
        "megatron-bridge": _one(bridge.as_overrides, "megatron-bridge.txt"),
        "nemo": _one(nemo.as_recipe, "nemo.py"),
        "deepspeed": Format(
            styles={"": Style(write=deepspeed.as_json, file="deepspeed.json")},
            notes=deepspeed.code_notes,
        ),
        "torchtitan": Format(
            styles={"": Style(write=torchtitan.as_recipe, file="torchtitan.py")},
            notes=torchtitan.order_notes,
        ),
        "automodel": Format(
            styles={"": Style(write=automodel.as_recipe, file=automodel.FILE)},
            notes=automodel.recipe_notes,
        ),
        "accelerate": Format(
            styles={"": Style(write=accelerate.as_config, file=accelerate.FILE)},
            notes=accelerate.training_notes,
        ),
        "torch-pipelining": Format(
            styles={"": Style(write=torch_pipelining.as_csv, file=torch_pipelining.FILE)},
            notes=torch_pipelining.notes,
        ),
        "slurm": _on_hosts(slurm.as_script, "slurm.sh"),
        "torchrun": _on_hosts(torchrun.as_script, "torchrun.sh"),
        "mpi": _on_hosts(mpi.as_rankfile, "mpi.rankfile"),
        "kubernetes": Format(
            states_batch=False,
            styles={
                "trainjob": Style(write=kubernetes.as_trainjob, file="kubernetes-trainjob.yaml"),
                "pytorchjob": Style(
                    write=kubernetes.as_pytorchjob, file="kubernetes-pytorchjob.yaml"
                ),
                "jobset": Style(write=kubernetes.as_jobset, file="kubernetes-jobset.yaml"),
            },
        ),
        "ranks": _on_hosts(ranks_csv, "ranks.csv", any_nodes=False),
        "verify": _on_hosts(verify_program, "verify_placement.py"),
    }
)
