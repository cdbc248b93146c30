"""Load what a command names: a shipped file or a path, into a checked value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from planner.errors import InputError
from planner.specs.cluster.build import build_cluster
from planner.specs.cluster.spec import ClusterSpec
from planner.specs.cluster.surroundings import Surroundings
from planner.specs.device import DeviceSpec
from planner.specs.files import catalog
from planner.specs.files.document import Document, document_of
from planner.specs.files.problems import validate
from planner.specs.files.source import SourceFile, combined_sha256
from planner.specs.files.yaml_file import load_document
from planner.specs.library import Beside
from planner.specs.like import completed, completed_profile
from planner.specs.model.build import build_model
from planner.specs.model.spec import ModelSpec
from planner.specs.software import SoftwareProfile
from planner.specs.unpriced import why_unpriced

M = TypeVar("M", bound=BaseModel)
S = TypeVar("S", ClusterSpec, ModelSpec)


def load_cluster(name_or_path: str | Path) -> ClusterSpec:
    """A cluster, its devices loaded too. Raises: InputError."""
    document = load_document(catalog.resolve("cluster", name_or_path))
    path = Path(document.path)
    return _kept(cluster_of(document, name=path.stem, folder=path.parent))


def load_model(name_or_path: str | Path) -> ModelSpec:
    """A model. Raises: InputError, which names `planner import model` for other programs' files."""
    path = catalog.resolve("model", name_or_path)
    try:
        document = load_document(path)
    except InputError as error:
        if path.suffix in _OTHER_SUFFIXES:
            error = InputError(
                error.message,
                path=error.path,
                line=error.line,
                column=error.column,
                hint=_import_it(path),
            )
        raise error
    foreign = _foreign(document)
    if foreign is not None:
        raise InputError(f"{foreign}, not a model file", path=str(path), hint=_import_it(path))
    return _kept(model_of(document, name=Path(document.path).stem))


def model_of(document: Document, *, name: str) -> ModelSpec:
    """The model of a document; without a digest it is of no file. Raises: InputError."""
    source = _source(document) if document.sha256 else None
    return build_model(document, name=name, source=source)


_OTHER_SUFFIXES = (".sh", ".slurm", ".sbatch", ".bash", ".py", ".json")


def _import_it(path: Path) -> str:
    return f"`planner import model {path} -o model.yaml` makes a model file of it"


def _foreign(document: Document) -> str | None:
    """What a document is that describes a model for another program; None for a model file."""
    tree = document.tree
    if not isinstance(tree, dict):
        return "is a script" if Path(document.path).suffix in _OTHER_SUFFIXES else None
    if "architecture" in tree:
        return None
    if tree.keys() & {"model_type", "architectures", "num_hidden_layers", "n_layer"}:
        return "is a Hugging Face config"
    if tree.keys() & {"modules", "policy", "MODEL_ARGS", "pipe_parallel_size", "num-layers"}:
        return "is a configuration of another framework"
    return None


def load_device(name_or_path: str | Path) -> DeviceSpec:
    """A device. Raises: InputError, with the reason for a device that is not priced."""
    try:
        path = catalog.resolve("device", name_or_path)
    except InputError as error:
        reason = why_unpriced(str(name_or_path))
        raise error if reason is None else InputError(reason) from None
    document = completed_document(load_document(path), completed, _referred)
    device = validate(document, DeviceSpec, context=Beside(path.parent))
    device._source = _source(document)
    return device


def load_software(name_or_path: str | Path) -> SoftwareProfile:
    """A software profile. Raises: InputError."""
    document = _with_others(load_document(catalog.resolve("software", name_or_path)))
    profile = validate(document, SoftwareProfile)
    profile._file = replace(_source(document), content=profile.model_copy())
    return profile


def software_of(document: Document) -> SoftwareProfile:
    """The profile of a document, with what it leaves to the one it is `like`. Raises:
    InputError."""
    return validate(_with_others(document), SoftwareProfile)


def _with_others(document: Document) -> Document:
    return completed_document(document, completed_profile, partial(catalog.refer, "software"))


def completed_document(
    document: Document,
    complete: Callable[[object, Callable[[str], object]], object],
    refer: Callable[[str, Path], Path],
) -> Document:
    """A document with what it leaves to others that it is `like`, which `refer` finds from its
    folder, and with one digest of all of them. Raises: InputError."""
    digests = [document.sha256]

    def find(name: str) -> object:
        base = load_document(refer(name, Path(document.path).parent))
        digests.append(base.sha256)
        return base.tree

    try:
        tree = complete(document.tree, find)
    except ValueError as error:
        raise document.error(str(error), ("like",)) from error
    return replace(document, tree=tree, sha256=combined_sha256(digests))


def parse_cluster(
    mapping: Mapping[str, object], *, folder: Path | None = None, name: str = "cluster"
) -> ClusterSpec:
    """A cluster from plain values in the form of the file; files it names are relative to
    `folder`. Raises: InputError."""
    return cluster_of(document_of(mapping, name), name=name, folder=folder or Path())


def parse_model(mapping: Mapping[str, object], *, name: str = "model") -> ModelSpec:
    """A model from plain values in the form of the file. Raises: InputError."""
    return build_model(document_of(mapping, name), name=name)


def device_for(name: str, folder: Path) -> DeviceSpec:
    """The device a cluster file in `folder` names. Raises: ValueError for an unknown name, which
    the caller places; InputError for a device file that is wrong."""
    return load_device(_referred(name, folder))


def cluster_of(
    document: Document,
    *,
    name: str,
    folder: Path,
    find_device: Callable[[str, Path], DeviceSpec] = device_for,
) -> ClusterSpec:
    """The cluster of a document that stands in `folder`, its devices found as `device_for` finds
    them. Raises: InputError."""
    around = Surroundings(folder=folder, find_device=find_device, find_description=_description_of)
    return build_cluster(document, name=name, around=around)


def _kept(spec: S) -> S:
    """The value, its source holding it as its content."""
    if spec.source is None:
        return spec
    content = replace(spec, source=None)
    return replace(spec, source=replace(spec.source, content=content))


def _description_of(name: str, folder: Path) -> object:
    """The content of the file of a device. Raises: ValueError for an unknown name."""
    return load_document(_referred(name, folder)).tree


def _referred(name: str, folder: Path) -> Path:
    """The file of a device that a file in `folder` names. Raises: ValueError for an unknown name,
    with the reason for a device that is not priced."""
    try:
        return catalog.refer("device", name, folder)
    except ValueError as error:
        reason = why_unpriced(name)
        raise error if reason is None else ValueError(reason) from None


def _source(document: Document) -> SourceFile:
    return SourceFile(path=document.path, sha256=document.sha256)
