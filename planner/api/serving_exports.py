"""Serving plans as engines and their deployments read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.api.serving_plans import (
    handover_refusal,
    missing_group,
    scenario_of,
    served_job,
)
from planner.exporters.errors import Inexpressible
from planner.exporters.serving.formats import SERVING_FORMATS, serving_notes
from planner.exporters.serving.job import ServingExport
from planner.plan_document.serving.read import read_serving_plan
from planner.specs import ranges
from planner.specs.model.context import longer_than_made_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.plan_document.serving.read import ReadServingPlan
    from planner.serving.search.job import ServingJob


def export_serving(
    plan: str | Path,
    format: str,
    *,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    note: Callable[[str], None] | None = None,
) -> str:
    """The text of a serving plan, `FILE#rank`, in a format of `serving_formats`. Cluster and model
    are by default those that the plan was made for. `note` is called with what else the user has to
    do.

    Raises: Inexpressible, which names the field, when the format cannot express what the plan
    decides; InputError.

    >>> from pathlib import Path
    >>> from planner import api
    >>> load = Path("load.yaml")
    >>> _ = load.write_text("requests: {input: 1024, output: 256}\\nconcurrency: 16\\n")
    >>> found = api.search_serving(
    ...     "dgx-h100-16", "llama-3-8b", load, nodes=1, pipeline=1, disaggregated=False, top=1
    ... )
    >>> _ = Path("serving.json").write_text(api.to_text(found.document))
    >>> "--tensor-parallel-size=" in api.export_serving("serving.json", "vllm")
    True
    """
    ranges.word("--format", format, tuple(SERVING_FORMATS))
    job = _job(plan, cluster, model)
    text = SERVING_FORMATS[format].write(job)
    _say_notes(job, note)
    return text


def export_all_serving(
    plan: str | Path,
    *,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, str]:
    """The texts of every format that can express a serving plan, by the names of their files.
    `note` is called with the reasons of the others and what else the user has to do. Raises:
    InputError.

    >>> from pathlib import Path
    >>> from planner import api
    >>> load = Path("load.yaml")
    >>> _ = load.write_text("requests: {input: 1024, output: 256}\\nconcurrency: 16\\n")
    >>> found = api.search_serving(
    ...     "dgx-h100-16", "llama-3-8b", load, nodes=1, pipeline=1, disaggregated=False, top=1
    ... )
    >>> _ = Path("serving.json").write_text(api.to_text(found.document))
    >>> sorted(api.export_all_serving("serving.json"))
    ['dynamo.yaml', 'llm-d.yaml', 'vllm.sh']
    """
    job = _job(plan, cluster, model)
    texts: dict[str, str] = {}
    for one in SERVING_FORMATS.values():
        try:
            texts[one.file] = one.write(job)
        except Inexpressible as error:
            if note is not None:
                note(f"no {one.file}: {error}")
    _say_notes(job, note)
    return texts


def _say_notes(job: ServingExport, note: Callable[[str], None] | None) -> None:
    if note is not None:
        for line in serving_notes(job):
            note(line)


def serving_formats() -> tuple[str, ...]:
    """Formats of serving plans.

    >>> from planner import api
    >>> api.serving_formats()
    ('vllm', 'sglang', 'trtllm', 'dynamo', 'llm-d')
    """
    return tuple(SERVING_FORMATS)


def _job(plan: str | Path, cluster: ClusterLike | None, model: ModelLike | None) -> ServingExport:
    read = read_serving_plan(str(plan))
    return exported(read, served_job(read, cluster, model))


def exported(read: ReadServingPlan, job: ServingJob) -> ServingExport:
    """A plan ready for export. Raises: InputError where the cluster lacks the group of a pool or
    the engine hands no KV cache over between its pools; RuleError for replicas that it cannot
    run."""
    problem = missing_group(read, job.cluster)
    if problem is not None:
        raise problem
    roles = [pool.role for pool in read.plan.pools]
    scenarios = [scenario_of(job, read, pool) for pool in read.plan.pools]
    refused = handover_refusal(list(zip(roles, scenarios, strict=True)))
    if refused is not None:
        raise Inexpressible(read.plan.engine, "pools", refused)
    longest = job.load.input_tokens + job.load.output_tokens
    return ServingExport(
        title=f"{job.model.name} on {job.cluster.name}, plan {read.rank}",
        plan=read.plan,
        engine=job.engine.spoken_to_as,
        model=job.model.name,
        mixture=job.model.moe is not None,
        longest=longest,
        beyond=longer_than_made_for(job.model, longest),
        node_devices={group.name: group.devices_per_node for group in job.cluster.node_groups},
        block_tokens=job.engine.memory.block_tokens,
        chunked=job.engine.scheduler.chunked,
        drafts=read.inputs.load.drafts,
        experts=_located(read, job),
    )


def _located(read: ReadServingPlan, job: ServingJob) -> dict[int, tuple[tuple[int, ...], ...]]:
    """Placements of all layers: engines count those that are no mixtures too. Raises: InputError
    for placements of another model."""
    routing = job.allowed.routing
    found: dict[int, tuple[tuple[int, ...], ...]] = {}
    if routing is None:
        return found
    for degree in read.placements:
        layers = iter(routing.on(degree).order)
        own = tuple(range(len(read.placements[degree][0])))
        found[degree] = tuple(
            next(layers) if kind == "moe" else own for kind in job.model.layer_kinds
        )
    return found
