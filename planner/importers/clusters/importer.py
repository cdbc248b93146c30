"""A cluster from the files that describe it: read, merged, checked by the strict loader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from planner import __version__
from planner.errors import InputError
from planner.importers.clusters.build import cluster_mapping, matrix_text, the_matrix
from planner.importers.clusters.detect import read_facts
from planner.importers.clusters.facts import ClusterFacts
from planner.importers.clusters.into import changed_mapping
from planner.importers.clusters.node_options import NodeOptions
from planner.importers.edit import edited, plain_tree
from planner.importers.notes import Notes
from planner.importers.source import load_source
from planner.importers.yaml_text import comment_lines, to_yaml
from planner.specs.cluster.spec import ClusterSpec
from planner.specs.files.document import Document
from planner.specs.files.text_file import decode, read_bytes
from planner.specs.files.yaml_file import parse_document
from planner.specs.load import cluster_of
from planner.specs.names import as_name

MOST_FILES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedCluster:
    """`text` is the cluster file; `matrix` is the text of `matrix_file` in the same folder, if
    there is one. `mapping` has the same content as `text`, and the loader read both as `spec`."""

    mapping: Mapping[str, Any]
    text: str
    matrix_file: str
    matrix: str | None
    spec: ClusterSpec
    notes: Notes

    @property
    def document(self) -> dict[str, Any]:
        """What `planner import cluster --json` prints."""
        return dict(self.mapping)


def import_cluster(
    paths: Sequence[str],
    options: NodeOptions,
    *,
    name: str | None = None,
    into: str | None = None,
    target: str | None = None,
    unit: str | None = None,
    format_name: str | None = None,
    ranks: int | None = None,
) -> ImportedCluster:
    """A new cluster file from files; or the existing file `into`, with what they say added.
    `target` is the path of the new file; the paths in it are relative to that. `ranks`: how many
    devices a benchmark ran over, where its output does not say so.

    Raises: InputError at a fault in a file, for contradictions between files, and for facts that
    neither files nor options state.
    """
    if len(paths) > MOST_FILES:
        raise InputError(f"{len(paths)} files; at most {MOST_FILES} are read at once")
    facts = [
        read_facts(load_source(path), unit=unit, format_name=format_name, ranks=ranks)
        for path in paths
    ]
    notes = Notes()
    for fact in facts:
        _add_with_name(notes, fact, several=len(facts) > 1)
    place = into or target
    matrix_file = _matrix_file(place, facts)
    if into is not None and Path(into).exists():
        if options.nodes_per_site is not None:
            raise InputError(f"--nodes-per-site makes a new file, and {into} exists")
        mapping, text = _into(into, facts, options, notes, matrix_file)
    else:
        chosen = as_name(
            name or (Path(place).stem if place else _stem(paths[0])), otherwise="imported"
        )
        mapping = cluster_mapping(facts, options, notes, name=chosen, matrix_file=matrix_file)
        text = to_yaml(mapping, _comment(facts, notes))
    found = the_matrix(facts)
    matrix = None if found is None else matrix_text(found)
    spec = _checked(text, mapping, place, matrix_file, matrix)
    return ImportedCluster(
        mapping=mapping,
        text=text,
        matrix_file=matrix_file,
        matrix=matrix,
        spec=spec,
        notes=notes,
    )


def _add_with_name(notes: Notes, fact: ClusterFacts, *, several: bool) -> None:
    """Adds the notes of one file; with several files, each clause names the file it is about."""
    if not several:
        notes.add(fact.notes)
        return
    name = Path(fact.path).name
    notes.read += [f"{name}: {clause}" for clause in fact.notes.read]
    notes.assumed += [f"{name}: {clause}" for clause in fact.notes.assumed]
    notes.left_out += [f"{name}: {clause}" for clause in fact.notes.left_out]


def _stem(path: str) -> str:
    return "imported" if path == "-" else Path(path).stem


def _matrix_file(place: str | None, facts: Sequence[ClusterFacts]) -> str:
    """A name for the matrix in the folder of the cluster file."""
    stem = (
        Path(place).stem if place else next((_stem(f.path) for f in facts if f.matrix), "cluster")
    )
    return f"{as_name(stem, otherwise='imported')}-bandwidth.csv"


def _comment(facts: Sequence[ClusterFacts], notes: Notes) -> list[str]:
    return [
        f"Imported by planner {__version__} from:",
        *[f"- {Path(fact.path).name} ({fact.kind}), sha256 {fact.sha256}" for fact in facts],
        *[f"{line[:1].upper()}{line[1:]}." for line in notes.lines()],
    ]


def _into(
    path: str, facts: Sequence[ClusterFacts], options: NodeOptions, notes: Notes, matrix_file: str
) -> tuple[dict[str, Any], str]:
    """Changes the existing file and keeps its comments and order."""
    text = decode(read_bytes(Path(path)), path)
    document = parse_document(text, path)
    cluster_of(document, name=Path(path).stem, folder=Path(path).parent)
    base = plain_tree(document.tree)
    mapping = changed_mapping(base, facts, options, notes, path=path, matrix_file=matrix_file)
    changed = edited(text, base, mapping)
    if plain_tree(parse_document(changed, path).tree) != mapping:
        notes.left_out.append("comments of the file, which had to be written anew")
        changed = to_yaml(mapping)
    added = [f"{Path(fact.path).name} ({fact.kind}), sha256 {fact.sha256}" for fact in facts]
    header = comment_lines(f"Changed by planner {__version__} from: {'; '.join(added)}.")
    return mapping, _with_header(changed, header)


def _with_header(text: str, header: list[str]) -> str:
    """Adds comment lines after those at the start of the file."""
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    fresh = [line for line in header if line not in lines]
    return "\n".join([*lines[:first], *fresh, *lines[first:]])


def _checked(
    text: str,
    mapping: Mapping[str, Any],
    place: str | None,
    matrix_file: str,
    matrix: str | None,
) -> ClusterSpec:
    """The cluster as the loader reads the text, in a folder with the matrix and with the files that
    the text names by relative paths."""
    shown = place or "the imported cluster"
    document = parse_document(text, shown)
    folder = Path(place).resolve().parent if place else Path.cwd()
    name = str(mapping.get("name") or Path(shown).stem)
    if matrix is None:
        return cluster_of(document, name=name, folder=folder)
    with TemporaryDirectory() as temporary:
        (Path(temporary) / matrix_file).write_text(matrix, encoding="utf-8")
        return cluster_of(_with_absolute_paths(document, folder), name=name, folder=Path(temporary))


def _with_absolute_paths(document: Document, folder: Path) -> Document:
    """The document with its device files named by their full path."""
    groups = []
    for group in document.tree["node_groups"]:
        device = group["device"] if isinstance(group, dict) else None
        if isinstance(device, str) and ("/" in device or device.endswith((".yaml", ".yml"))):
            group = {**group, "device": str((folder / device).resolve())}
        groups.append(group)
    return replace(document, tree={**document.tree, "node_groups": tuple(groups)})
