"""Finds out by its content which program wrote a file, and what it says of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from planner.errors import InputError
from planner.importers.clusters.facts import ClusterFacts
from planner.importers.clusters.formats import (
    all_reduce_bench,
    amd_topology,
    csv_matrix,
    gpu_sniff,
    mpigraph,
    nccl_report,
    nccl_tests,
    nccl_xml,
    osu,
    slurm,
    slurm_nodes,
    smi_topology,
    topograph,
    wide_area,
    xml,
)
from planner.importers.clusters.others import refuse_other_json, refuse_other_text
from planner.importers.source import Source
from planner.specs.files.json_file import parse_json
from planner.specs.files.spelling import did_you_mean


@dataclass(frozen=True, slots=True)
class Stated:
    """What the user states about files that do not say it: the unit of their figures, and how many
    ranks a benchmark had."""

    unit: str | None = None
    ranks: int | None = None


Reader = Callable[[Source, Stated], ClusterFacts]


def _nccl_tests(source: Source, stated: Stated) -> ClusterFacts:
    if source.text.lstrip().startswith("{"):
        return nccl_report.read_json(source, ranks=stated.ranks)
    return nccl_tests.read_text(source, ranks=stated.ranks)


def _mpigraph(source: Source, stated: Stated) -> ClusterFacts:
    unit = stated.unit
    if source.text.lstrip().startswith("{"):
        return mpigraph.read_json(source, unit)
    if mpigraph.looks_like_log(source.text):
        return mpigraph.read_log(source, unit)
    return csv_matrix.read_matrix(source, unit)


FORMATS: Mapping[str, Reader] = {
    "nccl-tests": _nccl_tests,
    "all-reduce-bench": lambda source, stated: all_reduce_bench.read_bench(
        source, ranks=stated.ranks
    ),
    "mpigraph": _mpigraph,
    "sniff-test": lambda source, stated: gpu_sniff.read_sniff_test(source),
    "nvidia-smi": lambda source, stated: smi_topology.read_topology(source),
    "nccl-xml": lambda source, stated: nccl_xml.read_xml(source),
    "rocm-smi": lambda source, stated: amd_topology.read_topology(source),
    "osu": lambda source, stated: osu.read_osu(source),
    "slurm-conf": lambda source, stated: slurm.read_conf(source),
    "slurm-nodes": lambda source, stated: slurm_nodes.read_nodes(source),
    "slurm-yaml": lambda source, stated: slurm.read_yaml(source),
    "topograph": lambda source, stated: topograph.read_topograph(source),
    "matrix-csv": lambda source, stated: csv_matrix.read_matrix(source, stated.unit),
    "wide-area": lambda source, stated: wide_area.read_pairs(source, stated.unit),
}
"""Readers by the names `--format` takes."""


def read_facts(
    source: Source,
    *,
    unit: str | None = None,
    format_name: str | None = None,
    ranks: int | None = None,
) -> ClusterFacts:
    """What a file says of a cluster; `format_name` says how to read it; without it, the content
    decides. `unit` is the unit of figures that have none, `ranks` how many devices a benchmark ran
    over.

    Raises: InputError for a file of no known kind, and at what is wrong in it.
    """
    if not source.text.strip():
        raise source.error("is empty")
    if format_name is None:
        format_name = _format_of(source)
    reader = FORMATS.get(format_name)
    if reader is None:
        raise source.error(
            f"--format {format_name[:40]!r} is not one of {', '.join(FORMATS)}",
            hint=did_you_mean(format_name[:40], FORMATS),
        )
    return reader(source, Stated(unit, ranks))


def _format_of(source: Source) -> str:
    text = source.text
    start = text.lstrip()[:1]
    if start in ("{", "["):
        try:
            return _json_format(source)
        except InputError:
            if start == "{" or not nccl_tests.looks_like_text(text):
                raise
    if xml.looks_like_xml(text):
        refuse_other_text(source)
        return "nccl-xml"
    looks: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("mpigraph", lambda: mpigraph.looks_like_log(text)),
        ("sniff-test", lambda: gpu_sniff.looks_like_sniff_test(text)),
        ("rocm-smi", lambda: amd_topology.looks_like_topology(text)),
        ("osu", lambda: osu.looks_like_osu(text)),
        ("nvidia-smi", lambda: smi_topology.looks_like_topology(text)),
        ("nccl-tests", lambda: nccl_tests.looks_like_text(text)),
        ("all-reduce-bench", lambda: all_reduce_bench.looks_like_bench(text)),
        ("slurm-conf", lambda: slurm.looks_like_conf(text)),
        ("slurm-nodes", lambda: slurm_nodes.looks_like_nodes(text)),
        ("slurm-yaml", lambda: slurm.looks_like_yaml(text)),
        ("wide-area", lambda: wide_area.looks_like_pairs(source)),
        ("matrix-csv", lambda: csv_matrix.looks_like_matrix(source)),
    )
    for name, looks_like in looks:
        if looks_like():
            return name
    if "node_groups" in text:
        raise source.error("is a cluster file already; --into adds other files to it")
    refuse_other_text(source)
    raise source.error(f"is none of: {', '.join(FORMATS)}", hint="--format says how to read it")


def _json_format(source: Source) -> str:
    file = parse_json(source.text, source.path)
    tree = file.tree
    if topograph.looks_like_topograph(tree):
        return "topograph"
    if mpigraph.looks_like_json(tree):
        return "mpigraph"
    if isinstance(tree, dict) and "results" in tree:
        return "nccl-tests"
    refuse_other_json(source.path, tree)
    raise file.error(
        "is JSON, but of none of: nccl-tests (results), mpiGraph (gpus, bandwidth), topograph "
        "(instances)"
    )
