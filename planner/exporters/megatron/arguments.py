"""All flags of a plan, and the ways to write them down."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from planner.exporters.job import needs_framework
from planner.exporters.megatron.flags import TARGET, VERSION, Flags
from planner.exporters.megatron.kernels import (
    environment_of,
    graph_flags,
    kernel_flags,
    overlap_flags,
)
from planner.exporters.megatron.memory import precision_flags, recompute_flags, sharding_flags
from planner.exporters.megatron.model import model_flags
from planner.exporters.megatron.parallel import batch_flags, parallel_flags
from planner.specs.cluster.hostlist import compress_hosts
from planner.specs.names import is_host

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob


def megatron_flags(job: ExportJob) -> Flags:
    """Every flag the plan decides. Raises: Inexpressible, naming the field."""
    needs_framework(job, TARGET, "megatron-lm")
    return {
        **parallel_flags(job),
        **batch_flags(job),
        **model_flags(job),
        **recompute_flags(job),
        **sharding_flags(job),
        **precision_flags(job),
        **overlap_flags(job),
        **kernel_flags(job),
        **graph_flags(job),
    }


def environment(job: ExportJob) -> dict[str, str]:
    """Environment variables of the ranks."""
    plan = job.plan
    grows = job.software.allocator == "expandable"
    return {
        **environment_of(plan.degrees, plan.data_sharding, expert_overlap=plan.expert_overlap),
        **({"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"} if grows else {}),
    }


def as_arguments(job: ExportJob) -> str:
    """To paste after the training script: a flag per line, continued with backslashes."""
    flags = [shlex.join((name, *given)) for name, given in megatron_flags(job).items()]
    exports = [f"# export {name}={value}" for name, value in environment(job).items()]
    return "\n".join([*_head(job), *exports, " \\\n".join(flags)]) + "\n"


def as_shell(job: ExportJob) -> str:
    """A file to source for the array, or to run in front of a command that takes the flags."""
    flags = [f"  {shlex.join((name, *given))}" for name, given in megatron_flags(job).items()]
    exports = [f"export {name}={value}" for name, value in environment(job).items()]
    return (
        "\n".join(
            [
                "#!/usr/bin/env bash",
                *_head(job),
                '# source it and use "${MEGATRON_ARGS[@]}", or run it in front of a command:',
                "#   bash megatron-lm.sh torchrun ... pretrain_gpt.py --data-path ...",
                *exports,
                "MEGATRON_ARGS=(",
                *flags,
                ")",
                'if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then',
                '  exec "$@" "${MEGATRON_ARGS[@]}"',
                "fi",
            ]
        )
        + "\n"
    )


def as_yaml(job: ExportJob) -> str:
    """The form of Megatron-LM's own `model_config.yaml` files: variables, then flags."""
    import yaml

    document = {
        "ENV_VARS": environment(job),
        "MODEL_ARGS": {name: _scalar(given) for name, given in megatron_flags(job).items()},
    }
    body = yaml.safe_dump(document, sort_keys=False, width=100)
    return "\n".join(_head(job)) + "\n" + body


def _scalar(given: tuple[str, ...]) -> bool | int | float | str:
    if not given:
        return True
    text = " ".join(given)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _head(job: ExportJob) -> list[str]:
    """The title, and the hosts where they are others than the first of the cluster file.

    `planner.importers.megatron.hosts` reads them back.
    """
    title = f"# {TARGET} ({VERSION}), {job.title}"
    names = [host.name for host in job.hosts]
    if names == list(job.cluster.host_names()[: len(names)]) or not all(map(is_host, names)):
        return [title]
    return [title, f"# hosts, in the order of ranks: {compress_hosts(names)}"]
