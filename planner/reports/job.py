"""One line that says what is trained on what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.training.scenario import UNFUSED
from planner.wording.units import count, plural

if TYPE_CHECKING:
    from planner.plan import Plan
    from planner.plan_document import RecordedInputs


def job_line(inputs: RecordedInputs, plan: Plan) -> str:
    """`gpt3-175b on dgx-a100-128: 64 nodes, 512 devices; batch 1,536 × 2,048 tokens; bf16; …`"""
    job = inputs.job
    lacking = [one for one in inputs.assumptions if one.startswith(UNFUSED)]
    return (
        f"{inputs.model.name} on {inputs.cluster.name}: "
        f"{plural(len(plan.placement.hosts), 'node')}, {plural(plan.degrees.devices, 'device')}; "
        f"batch {count(job.global_batch_size)} × {count(job.seq_length)} tokens; "
        f"{job.precision}; {job.software}" + "".join(f"; {one}" for one in lacking)
    )
