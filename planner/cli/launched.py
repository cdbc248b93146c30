"""From options to a launch file read in place of a plan. Imports what is heavy when called."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from planner.cli import values
from planner.cli.output import note
from planner.plan import PRECISIONS
from planner.specs import ranges

if TYPE_CHECKING:
    from planner.cli.options import PlanOptions, ScriptOptions, WorkloadOptions
    from planner.importers.launch import LaunchedPlan
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.model.spec import ModelSpec


def launched_plan(
    path: str,
    cluster: ClusterSpec,
    model: ModelSpec | None,
    headroom: str | None,
    workload: WorkloadOptions,
    decisions: PlanOptions,
    script: ScriptOptions,
    *,
    stage_layers: tuple[int, ...] | None = None,
    recompute_layers: int | None = None,
    hosts: tuple[str, ...] | None = None,
) -> LaunchedPlan:
    """The plan that a launch file describes, whether it can run or not; what was left out is said
    on stderr. Raises: InputError for anything wrong in options or files."""
    from planner.importers.launch import LaunchOptions, read_launch
    from planner.training.search.space.restrictions import parse_restrictions

    asked = LaunchOptions(
        decisions=parse_restrictions(asdict(decisions)),
        nodes=values.whole("--nodes", workload.nodes, most=ranges.MOST_NODES),
        devices=values.whole("--devices", workload.devices, most=ranges.MOST_DEVICES),
        global_batch_size=values.whole(
            "--global-batch-size", workload.global_batch_size, most=ranges.MOST_SEQUENCES
        ),
        seq_length=values.whole("--seq-length", workload.seq_length, most=ranges.LONGEST_SEQUENCE),
        precision=ranges.word("--precision", workload.precision, PRECISIONS),
        software=workload.software,
        headroom=values.share("--headroom", headroom, below=1.0),
        stage_layers=stage_layers,
        recompute_layers=recompute_layers,
        hosts=hosts,
        variables=values.assignments("--set", script.set),
        command=values.whole("--command", script.command, most=ranges.MOST_COMMANDS),
        vocabulary=values.whole("--vocab-size", script.vocab_size, most=ranges.LARGEST_VOCABULARY),
    )
    launched = read_launch(path, cluster, model, asked)
    for line in launched.notes.lines():
        if not line.startswith("assumed: "):
            note(f"{launched.name}: {line}")
    return launched
