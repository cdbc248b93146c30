"""What a training command needs of a model and model files do not state."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob


def unstated(job: ExportJob) -> tuple[str, ...]:
    """Facts of the model that change neither memory nor time, so that no model file has them, and
    the flags that say them."""
    model = job.model
    missing = ["norm epsilon (--norm-epsilon)", "initialisation (--init-method-std)"]
    if model.position_embedding == "rope":
        missing = ["rotary base (--rotary-base)", "rope scaling (--use-rope-scaling)", *missing]
    if model.moe is not None:
        missing.append("the router's losses and scores (--moe-aux-loss-coeff and others)")
    return (
        "not exported, as model files do not state them: " + "; ".join(missing) + "; give those "
        f"of {model.name}",
    )
