"""Completes what a DeepSpeed configuration leaves open, once degrees and devices are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import RuleError
from planner.importers.statement import Decision, Settled
from planner.training.search.plans.problems import PlanProblem

if TYPE_CHECKING:
    from planner.importers.notes import Notes

_UNSAID = ("tensor", "pipeline", "context", "recompute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """`steps` are the accumulation steps stated, `replicas` those of the whole sequence;
    `checkpoints_on_host`: where layers are recomputed, their inputs are in host memory."""

    steps: int | None
    replicas: int | None
    notes: Notes
    checkpoints_on_host: bool = False

    def settled(
        self, decided: Mapping[str, Decision], workload: Mapping[str, int | str], devices: int
    ) -> Settled:
        """Decisions and workload; the notes say what was assumed."""
        decisions = dict(decided)
        for axis in _UNSAID:
            if axis not in decisions:
                usual = "none" if axis == "recompute" else 1
                self.notes.assumed.append(
                    f"{axis} {usual} (a DeepSpeed configuration does not say it; --{axis} does)"
                )
        if self._shards_without_zero(decisions, workload):
            decisions["data_sharding"] = "optimizer"
            self.notes.assumed.append("optimizer states sharded, by DeepSpeed's BF16_Optimizer")
        if self.checkpoints_on_host and decisions.get("recompute") == "full":
            decisions["activation_offload"] = 1.0
        used = [int(decisions.get(axis, 1)) for axis in ("tensor", "pipeline", "context")]
        replicas, rest = divmod(devices, used[0] * used[1] * used[2])
        if rest:
            return Settled(decisions=decisions, workload=workload)
        return self._with_batch(decisions, workload, replicas)

    def _shards_without_zero(
        self, decisions: Mapping[str, Decision], workload: Mapping[str, int | str]
    ) -> bool:
        """BF16_Optimizer trains the bf16 jobs of a pipeline without ZeRO, and shards its states
        over the replicas (`engine.py`, _do_optimizer_sanity_check; `bf16_optimizer.py`)."""
        plain = decisions["data_sharding"] == "none" and int(decisions.get("pipeline", 1)) > 1
        return plain and workload.get("precision") == "bf16"

    def _with_batch(
        self, decisions: dict[str, Decision], workload: Mapping[str, int | str], replicas: int
    ) -> Settled:
        """Batch sizes as `config.py` (_set_batch_related_parameters) completes them: the batch is
        microbatch · accumulation steps · replicas, and what is missing is 1 or follows."""
        steps = self.steps or 1
        stated = workload.get("global_batch_size")
        asked = decisions.get("micro_batch_size")
        wrong = None
        if asked is None and stated is not None:
            micro, rest = divmod(int(stated), steps * replicas)
            if rest or not micro:
                wrong = (
                    f"train_batch_size {stated} is not a multiple of {steps * replicas}, "
                    "accumulation steps · replicas"
                )
            micro = max(1, micro)
        elif asked is None:
            micro = 1
            self.notes.assumed.append("micro-batch size 1 (nothing states it)")
        else:
            micro = int(asked)
        batch = micro * steps * replicas if stated is None else int(stated)
        if stated is None:
            self.notes.assumed.append(
                f"global batch size {batch}: {micro} · {steps} · {replicas} replicas"
            )
        elif self.steps is not None and wrong is None and micro * steps * replicas != batch:
            wrong = (
                f"train_batch_size {batch} is not {micro} sequences · {steps} accumulation steps · "
                f"{replicas} replicas = {micro * steps * replicas}"
            )
        if self.replicas not in (None, replicas):
            wrong = f"data_parallel_size is {self.replicas}, and there are {replicas} replicas"
        return Settled(
            decisions={**decisions, "micro_batch_size": micro},
            workload={**workload, "global_batch_size": batch},
            problems=() if wrong is None else (_problem(wrong),),
        )


def _problem(message: str) -> PlanProblem:
    hint = "check the degrees and the number of devices"
    error = RuleError("batch", message, hint=hint)
    return PlanProblem(name="batch", field="num_microbatches", error=error)
