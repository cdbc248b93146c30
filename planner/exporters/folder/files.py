"""The files of a launch folder: one script to call, the launchers under it, the framework's
arguments, what to fill in, the rank table, the check of the placement and a README."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.exporters.errors import Inexpressible
from planner.exporters.folder.frameworks import FRAMEWORKS
from planner.exporters.job import refuse_unsayable
from planner.exporters.launchers import slurm, torchrun
from planner.exporters.nodes import any_nodes_will_do, segment_of
from planner.exporters.quoting import filled
from planner.exporters.ranks import ranks_csv
from planner.exporters.verify import verify_program
from planner.wording import labels, units

if TYPE_CHECKING:
    from planner.exporters.folder.frameworks import Start
    from planner.exporters.job import ExportJob
    from planner.plan import Estimate

TARGET = "a launch folder"

_LAUNCH = """\
#!/usr/bin/env bash
# Launches @TITLE@
#
#   bash launch.sh slurm [ARGUMENTS ...]      submits the job, from a login node
#   bash launch.sh torchrun [ARGUMENTS ...]   starts this host's part, on every host
#
# settings.sh has what the plan does not: fill it in, or set its variables in the environment.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
launcher=${1:-}
[[ $launcher == slurm || $launcher == torchrun ]] || {
  echo "usage: bash $0 slurm|torchrun [ARGUMENTS ...]" >&2
  exit 2
}
shift

needs() {
  local name
  for name in "$@"; do
    [[ -n ${!name} ]] || { echo "$name is empty: fill it in in $here/settings.sh" >&2; exit 2; }
  done
}

source "$here/settings.sh"
@LEFTOUT@@PROGRAM@
program+=("${TRAINING_ARGS[@]}" "$@")
export VERIFY_PLACEMENT=$here/verify_placement.py
if [[ $launcher == slurm ]]; then
  exec sbatch "${SBATCH_ARGS[@]}" "$here/slurm.sh" "${program[@]}"
fi
exec bash "$here/torchrun.sh" "${program[@]}"
"""

_SETTINGS = """\
# What the plan does not hold: fill in what is empty.
# Variables of the environment win: DATA_PATH=/data/text bash launch.sh slurm

@SETTINGS@

# Such as --partition, --account and --time.
SBATCH_ARGS=()
"""

_README = """\
# @TITLE@

@PLAN@
@PROMISE@

1. Put this folder where every node sees it, and fill in `settings.sh`: @WANTED@.
2. @START@. Further arguments
   go to the training program.

@HOSTS@

Every rank first runs `verify_placement.py`, which becomes the training program only where the rank
sits as planned; otherwise the job stops with one line that says what is where.

| file | holds |
|---|---|
| `launch.sh` | the command: settings and arguments put together |
| `settings.sh` | paths, the tokenizer, how to train: what no plan says |
@FILES@
| @LAUNCHERS@ | the launchers under `launch.sh` |
| `ranks.csv` | host, device and position of every rank |
| `verify_placement.py` | the check before the program; its `check_groups` compares groups |
@NOTES@"""

_HOLDS = {
    ".sh": "the plan as arguments of the framework",
    ".py": "the plan as a configuration function of the framework",
    ".json": "the plan as the framework's configuration",
    ".yaml": "the plan as the framework's configuration",
    ".csv": "the order of passes of the pipeline",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFolder:
    """`files`: texts by name. `notes`: what they do not say, for the user to see."""

    files: dict[str, str]
    notes: tuple[str, ...]


def launch_folder(job: ExportJob, *, estimate: Estimate | None = None) -> LaunchFolder:
    """The folder of a plan. `estimate`: what the README promises of it.

    Raises: Inexpressible for a plan that the framework's exporter or a launcher cannot say, and for
    a framework without an exporter.
    """
    refuse_unsayable(job, TARGET)
    framework = job.software.framework
    if framework not in FRAMEWORKS:
        known = ", ".join(FRAMEWORKS)
        raise Inexpressible(
            TARGET,
            "job.software",
            f"profile {job.software.name} is of {framework}, which is not one of {known}",
            hint="plan with a --software profile of one of them",
        )
    start = FRAMEWORKS[framework](job)
    by_slurm = slurm.as_script(job)
    by_hosts, left_out = _torchrun(job)
    files = {
        "README.md": _readme(job, start, estimate, by_hosts=bool(by_hosts)),
        "launch.sh": filled(_LAUNCH, title=job.title, program=start.program, leftout=left_out),
        "settings.sh": filled(_SETTINGS, settings=start.settings),
        **start.files,
        "slurm.sh": by_slurm,
        **by_hosts,
        "ranks.csv": ranks_csv(job),
        "verify_placement.py": verify_program(job),
    }
    return LaunchFolder(files=files, notes=start.notes)


_LEFT_OUT = """\
[[ $launcher == slurm ]] || {
  echo "only Slurm puts the nodes of a scale-up domain together: name the hosts (--hosts)" >&2
  exit 2
}
"""


def _torchrun(job: ExportJob) -> tuple[dict[str, str], str]:
    """The launcher without Slurm, and lines that refuse it: torchrun by itself does not know which
    hosts share a scale-up domain."""
    segment = segment_of(job)
    if segment is not None and segment < len(job.hosts):
        return {}, _LEFT_OUT
    return {"torchrun.sh": torchrun.as_script(job)}, ""


def _readme(job: ExportJob, start: Start, estimate: Estimate | None, *, by_hosts: bool) -> str:
    nodes = len(job.hosts)
    segment = segment_of(job)
    any_nodes = segment is not None or any_nodes_will_do(job)
    command = "bash launch.sh torchrun"
    if any_nodes and nodes > 1:
        command = f"MASTER_ADDR=HOST {command}` with one of the hosts as `HOST"
    notes = "".join(f"- {note[0].upper()}{note[1:]}.\n" for note in start.notes)
    return filled(
        _README,
        title=job.title[0].upper() + job.title[1:],
        plan=f"{labels.one_line(job.plan)}; layers per stage {labels.stage_layers(job.plan)}.",
        promise=_promise(estimate),
        wanted=start.wanted,
        start=f"With Slurm, run `bash launch.sh slurm`; without, on every host, `{command}`"
        if by_hosts
        else "Run `bash launch.sh slurm`",
        launchers="`slurm.sh`, `torchrun.sh`" if by_hosts else "`slurm.sh`",
        hosts=_hosts(nodes, any_nodes=any_nodes, segment=segment),
        files="\n".join(
            f"| `{name}` | {_HOLDS[name[name.rindex('.') :]]} |" for name in start.files
        ),
        notes=f"\n{notes}" if notes else "",
    )


def _hosts(nodes: int, *, any_nodes: bool, segment: int | None) -> str:
    if not any_nodes:
        return "The plan takes its hosts in the order of `ranks.csv`, and the launchers keep to it."
    if segment is not None:
        return (
            f"Any {nodes} nodes will do, {segment} of each scale-up domain: Slurm's block topology "
            f"gives them\n(`--segment={segment}`), and the hosts of `ranks.csv` are placeholders."
        )
    if nodes == 1:
        return "Any node will do, as all are alike; `ranks.csv` has a placeholder for its name."
    return (
        f"Any {nodes} nodes will do, as all are alike: Slurm gives the job its nodes, torchrun "
        "numbers hosts as they come,\nand the hosts of `ranks.csv` are placeholders."
    )


def _promise(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    binding = estimate.memory.binding
    return (
        f"Estimated: {units.seconds(estimate.step_s)}/step, "
        f"{units.count(estimate.tokens_per_s)} tokens/s, peak "
        f"{units.gib(binding.peak_bytes)} of {units.gib(binding.capacity_bytes)} GiB per device."
    )
