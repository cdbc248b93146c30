"""Options that would change nothing: refused, since whoever gives one counts on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.errors import InputError

if TYPE_CHECKING:
    from planner.plan import Plan
    from planner.specs.model.spec import ModelSpec
    from planner.specs.settings import Settings


def check_model_options(
    model: ModelSpec, settings: Settings, expert_imbalance: float | None
) -> None:
    """Raises: InputError for an option about experts where the model has none."""
    given = {
        "--expert-capacity": settings.expert_capacity,
        "--pad-experts": settings.pad_experts,
        "--expert-imbalance": None if expert_imbalance == 1.0 else expert_imbalance,
    }
    for option, value in given.items():
        if value is not None and model.moe is None:
            raise InputError(f"{option}: {model.name} has no experts")


def check_plan_options(plan: Plan, settings: Settings) -> None:
    """Raises: InputError for an option about what one plan does not do."""
    if settings.context_heads is not None and plan.degrees.context == 1:
        raise InputError(
            "--context-heads: the context degree is 1, so no ranks exchange heads",
            hint="give --context",
        )
    if settings.offload_to is not None and not plan.optimizer_offload:
        raise InputError(
            "--offload-to: nothing of the optimizer is offloaded", hint="give --optimizer-offload"
        )
    if settings.update_stride is not None and not plan.optimizer_offload:
        raise InputError(
            "--update-stride: nothing of the optimizer is offloaded",
            hint="give --optimizer-offload",
        )
    if settings.update_stride is not None and settings.offload_to == "nvme":
        raise InputError("--update-stride: states on drives are updated by the processors alone")
    if settings.offload_modules and not plan.activation_offload:
        raise InputError(
            "--offload-modules: no activations are offloaded", hint="give --activation-offload"
        )
    if settings.recompute_modules and plan.recompute.granularity != "selective":
        raise InputError(
            f"--recompute-modules: recomputation is {plan.recompute.granularity}",
            hint="give --recompute selective",
        )
    if settings.start_whole is not None and plan.data_sharding != "full":
        raise InputError(
            f"--start-whole: data sharding is {plan.data_sharding}, so that every device has the "
            "whole model anyway",
            hint="give --data-sharding full",
        )
