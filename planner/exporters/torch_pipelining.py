"""torch.distributed.pipelining: the order of passes as the CSV that its runtime reads.

`_PipelineScheduleRuntime._load_csv(path)` (`torch/distributed/pipelining/schedules.py`, its format
`compute_only`) takes a line per pipeline rank and a pass per cell, stage, F or B and microbatch. It
adds the messages itself and does not wait for its sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.errors import Inexpressible
from planner.exporters.job import needs_framework
from planner.schedule.build import build
from planner.schedule.passes import PassKind
from planner.schedule.registry import kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.exporters.job import ExportJob

TARGET = "torch-pipelining"
FILE = "torch-pipelining.csv"

_LETTERS = {
    PassKind.FORWARD: "F",
    PassKind.BACKWARD: "B",
    PassKind.BACKWARD_INPUT: "I",
    PassKind.BACKWARD_WEIGHT: "W",
}


def as_csv(job: ExportJob) -> str:
    """A line per stage. Raises: Inexpressible, naming the field."""
    needs_framework(job, TARGET, "torchtitan")
    plan = job.plan
    if plan.degrees.pipeline == 1:
        raise Inexpressible(TARGET, "degrees.pipeline", "one stage has no order of passes")
    kind = kind_of(plan.schedule)
    if kind.exchanges or kind.parameter_copies > 1:
        raise Inexpressible(
            TARGET, "schedule", f"{plan.schedule} needs more than forwards and backwards of stages"
        )
    stages = plan.degrees.pipeline
    schedule = build(
        plan.schedule,
        stages=stages,
        virtual_stages=plan.virtual_stages,
        num_microbatches=plan.num_microbatches,
        ahead=job.ahead,
    )
    place = schedule.placement.virtual_stage
    lines = [
        ",".join(
            f"{place[stage, one.chunk]}{_LETTERS[one.kind]}{one.microbatch}"
            for one in schedule.passes(stage)
        )
        for stage in range(stages)
    ]
    return "\n".join(lines) + "\n"


def notes(job: ExportJob) -> tuple[str, ...]:
    """How the file is used."""
    if job.plan.degrees.pipeline == 1:
        return ()
    return (
        f"give {FILE} to torchtitan with --parallelism.pipeline_parallel_schedule_csv, to NeMo "
        "AutoModel with pp_schedule_csv, or to _PipelineScheduleRuntime._load_csv",
    )


def module_names(
    layers: Sequence[int], *, layer: str, first: str, last: Sequence[str]
) -> list[list[str]]:
    """Names of the modules that every chunk holds, in virtual-stage order: `layer` with the number
    of each layer, `first` in the first chunk and `last` in the last one."""
    parts: list[list[str]] = []
    start = 0
    for count in layers:
        parts.append([layer.format(index) for index in range(start, start + count)])
        start += count
    parts[0].insert(0, first)
    parts[-1] += last
    return parts
