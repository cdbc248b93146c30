"""The clusters, models and profiles of a study: files with some of their fields changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.defaults import DEFAULT_SOFTWARE
from planner.specs.files import catalog
from planner.specs.files.document import Document
from planner.specs.files.yaml_file import load_document
from planner.specs.load import cluster_of, load_software, model_of, software_of
from planner.specs.study.paths import frozen, thawed, with_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.files.catalog import Kind
    from planner.specs.files.document import Location, Tree
    from planner.specs.model.spec import ModelSpec
    from planner.specs.software import SoftwareProfile
    from planner.specs.study.spec import Axis, Study

    Chosen = Sequence[tuple[Axis, int]]


class StudyInputs:
    """Loads each cluster, model and profile of a study once."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._files: dict[tuple[Kind, str], Document] = {}
        self._clusters: dict[tuple[str, ...], ClusterSpec] = {}
        self._models: dict[tuple[str, ...], ModelSpec] = {}
        self._software: dict[tuple[str, ...], SoftwareProfile] = {}

    def cluster(self, chosen: Chosen) -> ClusterSpec:
        """The cluster of a point. Raises: InputError."""
        name, changes = self._named("cluster", chosen, self._study.cluster)
        key = _key(name, changes)
        if key not in self._clusters:
            document = self._changed("cluster", name, changes)
            path = Path(document.path)
            cluster = cluster_of(document, name=path.stem, folder=path.parent)
            self._clusters[key] = replace(
                cluster, assumptions=(*cluster.assumptions, *_said(changes))
            )
        return self._clusters[key]

    def model(self, chosen: Chosen) -> ModelSpec:
        """The model of a point. Raises: InputError."""
        name, changes = self._named("model", chosen, self._study.model)
        key = _key(name, changes)
        if key not in self._models:
            document = self._changed("model", name, changes)
            model = model_of(document, name=Path(document.path).stem)
            self._models[key] = replace(model, assumptions=(*model.assumptions, *_said(changes)))
        return self._models[key]

    def software(self, chosen: Chosen, model: ModelSpec) -> SoftwareProfile:
        """The software profile of a point. Raises: InputError."""
        stated = self._study.job.software or model.training.software or DEFAULT_SOFTWARE
        name, changes = self._named("software", chosen, stated)
        key = _key(name, changes)
        if key not in self._software:
            if changes:
                profile = software_of(self._changed("software", name, changes))
            else:
                profile = load_software(self._path("software", name))
            self._software[key] = profile
        return self._software[key]

    def _named(self, kind: Kind, chosen: Chosen, stated: str | None) -> tuple[str, Chosen]:
        """The name of the file, and the changes of its content."""
        name, changes = stated, []
        for axis, index in chosen:
            if axis.path.home != kind:
                continue
            if axis.path.keys:
                changes.append((axis, index))
                continue
            value = axis.values[index]
            if not isinstance(value.tree, str):
                raise _at(value, f"expected the name or the path of a {kind} file")
            name = value.tree
        assert name is not None
        return name, changes

    def _path(self, kind: Kind, name: str) -> Path:
        try:
            path = catalog.refer(kind, name, self._study.folder)
        except ValueError as error:
            raise self._place(kind, name, str(error)) from None
        if not path.exists():
            raise self._place(kind, name, f"there is no file {path}")
        return path

    def _place(self, kind: Kind, name: str, problem: str) -> InputError:
        """An error where the study names a file."""
        for axis in self._study.axes:
            for value in axis.values:
                if axis.path.home == kind and not axis.path.keys and value.tree == name:
                    return _at(value, problem)
        at: Location = ("job", "software") if kind == "software" else (kind,)
        return self._study.document.error(problem, at)

    def _file(self, kind: Kind, name: str) -> Document:
        if (kind, name) not in self._files:
            self._files[kind, name] = load_document(self._path(kind, name))
        return self._files[kind, name]

    def _changed(self, kind: Kind, name: str, changes: Chosen) -> Document:
        """The file with the changes of a point; without any the file itself, with its digest."""
        document = self._file(kind, name)
        over = self._study.laid_over.tree if kind == "cluster" else {}
        if not changes and not over:
            return document
        if not isinstance(document.tree, dict):
            raise document.error("expected a mapping")
        changed = Document(
            path=document.path,
            tree=thawed(document.tree),
            marks=dict(document.marks),
            key_marks=dict(document.key_marks),
        )
        of_blocks = [one for one in changes if one[0].path.keys[0] in over]
        _change(changed, [one for one in changes if one not in of_blocks])
        if over:
            blocks = self._laid_over(frozen(changed.tree))
            for key in over:
                with_value(changed, (key,), blocks.part((key,)))
        _change(changed, of_blocks)
        return replace(changed, tree=frozen(changed.tree))

    def _laid_over(self, cluster: Tree) -> Document:
        """The blocks that a study lays over a cluster, with the prices of its own devices."""
        over = self._study.laid_over
        prices = over.tree.get("prices")
        if not isinstance(prices, dict) or not isinstance(prices.get("devices"), dict):
            return over
        names = set(_priced_names(cluster))
        devices = {key: value for key, value in prices["devices"].items() if key in names}
        return replace(over, tree={**over.tree, "prices": {**prices, "devices": devices}})


def _change(document: Document, changes: Chosen) -> None:
    """Raises: InputError where a path leads nowhere."""
    for axis, index in changes:
        try:
            with_value(document, axis.path.keys, axis.values[index])
        except ValueError as error:
            raise _at(axis.values[index], str(error)) from None


def _priced_names(tree: Tree) -> list[str]:
    """Names that the prices of a cluster may have: those of its devices and node groups."""
    found: list[str] = []
    groups = tree.get("node_groups") if isinstance(tree, dict) else None
    for index, group in enumerate(groups if isinstance(groups, tuple) else ()):
        if not isinstance(group, dict):
            continue
        device = group.get("device")
        if isinstance(device, dict):
            device = device.get("name", f"like-{device.get('like')}")
        found += [str(device), Path(str(device)).stem, str(group.get("name", f"group-{index}"))]
    return found


def _key(name: str, changes: Chosen) -> tuple[str, ...]:
    return (name, *(f"{axis.name}={index}" for axis, index in changes))


def _said(changes: Chosen) -> tuple[str, ...]:
    return tuple(f"study: {axis.name} {axis.texts[index]}" for axis, index in changes)


def _at(value: Document, problem: str) -> InputError:
    """An error where a value of an axis stands."""
    return value.error(problem)
