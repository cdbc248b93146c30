"""Which flags of a Megatron-LM command have to change for another plan of the same job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exporters.errors import Inexpressible
from planner.exporters.job import export_job
from planner.exporters.megatron.kernels import environment_of
from planner.exporters.megatron.memory import recompute_flags
from planner.exporters.megatron.parallel import batch_flags, parallel_flags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from planner.exporters.megatron.flags import Flags as Written
    from planner.importers.megatron.flags import Flags
    from planner.plan import Plan
    from planner.training.scenario import Scenario

Wanted = dict[str, tuple[str, ...] | None]
"""Flags that change, with the values they get; None: the flag goes."""

_LAYERS_PER_CHUNK = "--num-layers-per-virtual-pipeline-stage"
_CHUNKS = "--num-virtual-stages-per-pipeline-rank"
_SEQUENCE_PARALLEL = "--sequence-parallel"
_EXPERT_TENSOR = "--expert-tensor-parallel-size"

_LAYOUT = (
    _LAYERS_PER_CHUNK,
    _CHUNKS,
    "--pipeline-model-parallel-layout",
    "--decoder-first-pipeline-num-layers",
    "--decoder-last-pipeline-num-layers",
    "--account-for-embedding-in-pipeline-split",
    "--account-for-loss-in-pipeline-split",
)
_RECOMPUTATION = (
    "--recompute-granularity",
    "--recompute-method",
    "--recompute-num-layers",
    "--recompute-modules",
    "--recompute-activations",
    "--deepspeed-activation-checkpointing",
)
_OF_THE_JOB = ("--global-batch-size", "--seq-length", "--cp-comm-type")


def wanted_flags(flags: Flags, scenario: Scenario, now: Plan, then: Plan) -> Wanted:
    """What turns a command with these flags, which says plan `now`, into one that says `then`.

    Raises: Inexpressible where Megatron-LM has no flags for it.
    """
    try:
        before: Written | None = _plan_flags(scenario, now)
    except Inexpressible:
        before = None
    after = _plan_flags(scenario, then)
    changes: Wanted = {}
    for group in _groups(before or {}, after):
        told = {name: after[name] for name in group if name in after}
        if _CHUNKS in told and flags.given(_LAYERS_PER_CHUNK):
            chunks = then.degrees.pipeline * then.virtual_stages
            told = {_LAYERS_PER_CHUNK: (str(scenario.model.num_layers // chunks),)}
        elif before is not None and told == {
            name: before[name] for name in group if name in before
        }:
            continue
        changes |= {name: None for name in group if flags.given(name) and name not in told}
        changes |= {name: values for name, values in told.items() if _differs(flags, name, values)}
    return _without_needless(changes, flags, then)


def needed_variables(now: Plan, then: Plan, text: str) -> list[str]:
    """Environment variables that the new plan needs, the old one does not, and the script does not
    mention."""
    before = environment_of(now.degrees, now.data_sharding)
    after = environment_of(then.degrees, then.data_sharding)
    return [
        f"the ranks need {name}={value}, on devices before Blackwell"
        for name, value in after.items()
        if before.get(name) != value and name not in text
    ]


def _plan_flags(scenario: Scenario, plan: Plan) -> Written:
    job = export_job(scenario, plan)
    return {**parallel_flags(job), **batch_flags(job), **recompute_flags(job)}


def _groups(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    """Flags that say one thing together."""
    yield _LAYOUT
    yield _RECOMPUTATION
    for name in {**before, **after}:
        if name not in (*_LAYOUT, *_RECOMPUTATION, *_OF_THE_JOB):
            yield (name,)


def _differs(flags: Flags, name: str, values: tuple[str, ...]) -> bool:
    found = flags.find(name)
    return found is None or tuple(word.text for word in found.values) != values


def _without_needless(changes: Wanted, flags: Flags, then: Plan) -> Wanted:
    """Without what Megatron-LM does by itself: it ignores sequence parallelism without tensor
    parallelism, and splits experts over the tensor degree."""
    kept = dict(changes)
    if then.degrees.tensor == 1 and kept.get(_SEQUENCE_PARALLEL, ()) is None:
        del kept[_SEQUENCE_PARALLEL]
    if not flags.given(_EXPERT_TENSOR):
        kept.pop(_EXPERT_TENSOR, None)
        if then.degrees.expert_tensor != then.degrees.tensor and flags.given("--num-experts"):
            kept[_EXPERT_TENSOR] = (str(then.degrees.expert_tensor),)
    return kept
