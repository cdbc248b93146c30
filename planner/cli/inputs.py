"""From the texts of shared options to keywords of `planner.api`. Errors name the option."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from planner.cli import values
from planner.cli.output import note
from planner.specs import ranges

if TYPE_CHECKING:
    from planner.api.keywords import AxisKeywords, JobKeywords, LayoutKeywords, ScriptKeywords
    from planner.cli.decisions import LayoutOptions, PlanOptions, RestrictOptions
    from planner.cli.options import ScriptOptions, WorkloadOptions
    from planner.specs.cluster.spec import ClusterSpec


def read_cluster(name: str) -> ClusterSpec:
    """The cluster of `--cluster`, after a note on each figure that its hardware cannot have."""
    from planner import api

    cluster = api.load_cluster(name)
    for doubt in cluster.doubts:
        note(f"doubtful: {doubt}")
    return cluster


def job_keywords(headroom: str | None, workload: WorkloadOptions) -> JobKeywords:
    from planner.plan import PRECISIONS
    from planner.specs.software_words import MOST_STRIDE

    return {
        "nodes": values.whole("--nodes", workload.nodes, most=ranges.MOST_NODES),
        "devices": values.whole("--devices", workload.devices, most=ranges.MOST_DEVICES),
        "global_batch_size": values.whole(
            "--global-batch-size", workload.global_batch_size, most=ranges.MOST_SEQUENCES
        ),
        "seq_length": values.whole(
            "--seq-length", workload.seq_length, most=ranges.LONGEST_SEQUENCE
        ),
        "precision": ranges.word("--precision", workload.precision, PRECISIONS),
        "software": workload.software,
        "optimizer": workload.optimizer,
        "master_weights": workload.master_weights,
        "moments": workload.moments,
        "gradients": workload.gradients,
        "loss_chunks": values.whole("--loss-chunks", workload.loss_chunks, most=ranges.MOST_CHUNKS),
        "allocator": workload.allocator,
        "offload_to": workload.offload_to,
        "update_stride": values.whole(
            "--update-stride", workload.update_stride, most=MOST_STRIDE, least=2
        ),
        "uneven_replicas": values.switch("--uneven-replicas", workload.uneven_replicas),
        "offload_modules": workload.offload_modules,
        "recompute_modules": workload.recompute_modules,
        "resumes": values.switch("--resumes", workload.resumes),
        "fp8_param_gather": values.switch("--fp8-param-gather", workload.fp8_param_gather),
        "start_whole": values.switch("--start-whole", workload.start_whole),
        "packed_lengths": workload.packed_lengths,
        "context_heads": values.ranks("--context-heads", workload.context_heads),
        "expert_capacity": values.positive("--expert-capacity", workload.expert_capacity),
        "pad_experts": values.switch("--pad-experts", workload.pad_experts),
        "expert_imbalance": values.times("--expert-imbalance", workload.expert_imbalance),
        "tokens": workload.tokens,
        "headroom": values.share("--headroom", headroom, below=1.0),
    }


def axis_keywords(options: PlanOptions | RestrictOptions) -> AxisKeywords:
    from planner.training.search.space.restrictions import parse_restrictions

    return cast("AxisKeywords", asdict(parse_restrictions(asdict(options))))


def layout_keywords(layout: LayoutOptions) -> LayoutKeywords:
    return {
        "stage_layers": values.layers("--stage-layers", layout.stage_layers),
        "recompute_layers": values.whole(
            "--recompute-layers", layout.recompute_layers, most=ranges.MOST_LAYERS
        ),
        "hosts": layout.hosts,
    }


def script_keywords(script: ScriptOptions) -> ScriptKeywords:
    return {
        "variables": values.script_variables(script.set, script.args),
        "command": values.whole("--command", script.command, most=ranges.MOST_COMMANDS),
        "vocab_size": values.whole(
            "--vocab-size", script.vocab_size, most=ranges.LARGEST_VOCABULARY
        ),
    }
