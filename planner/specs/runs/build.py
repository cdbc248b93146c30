"""From one entry of a runs file to a `Run`: references loaded, what merges over what merged."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.defaults import UNSTATED_SOFTWARE
from planner.specs.files import catalog
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document
from planner.specs.job import build_job
from planner.specs.load import cluster_of, device_for, load_software
from planner.specs.model.build import build_model
from planner.specs.runs.file import RunInput, RunsInput
from planner.specs.runs.parallelism import degrees_of, devices_of, stage_layers_of
from planner.specs.runs.spec import Run, RunError, RunsFile
from planner.specs.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.files.document import Document, Location
    from planner.specs.model.spec import ModelSpec
    from planner.specs.software import SoftwareProfile


class References:
    """What runs files refer to, every file of it read once."""

    def __init__(self) -> None:
        self.device = cache(device_for)
        self.software = cache(load_software)
        self.document = cache(load_document)


def load_runs(path: str | Path, references: References | None = None) -> RunsFile:
    """The measured runs of a file, which shares what it refers to with other files of the same
    `references`. Raises: InputError for what concerns the whole file; what concerns one run is in
    `errors`."""
    document = load_document(Path(path))
    given = validate(document, RunsInput)
    loader = RunLoader(document, given, references or References())
    runs: list[Run] = []
    errors: list[RunError] = []
    for index in range(len(given.runs)):
        try:
            runs.append(loader.run(index))
        except InputError as error:
            errors.append(RunError(id=loader.run_id(index), message=str(error)))
    return RunsFile(path=str(path), source=given.source, runs=tuple(runs), errors=tuple(errors))


class RunLoader:
    """Loads the runs of one file; what several of them refer to is loaded once."""

    def __init__(self, document: Document, given: RunsInput, references: References) -> None:
        self._document = document
        self._references = references
        self._folder = Path(document.path).parent
        self._defaults = document.part(("defaults",)) if "defaults" in document.tree else None
        self._clusters: dict[str, ClusterSpec] = {}
        self._software: dict[str, SoftwareProfile] = {}
        self._models: dict[str, Document] = {}
        if given.cluster is not None:
            self._load_cluster(("cluster",))
        if given.software is not None:
            self._load_software(("software",))

    def run_id(self, index: int) -> str:
        """The run's id, or its place in the list where it has none."""
        tree = self._document.tree["runs"][index]
        found = tree.get("id") if isinstance(tree, dict) else None
        return found if isinstance(found, str) and found else f"runs[{index}]"

    def run(self, index: int) -> Run:
        """Raises: InputError when the run cannot be planned."""
        at = ("runs", index)
        own = self._document.part(at)
        document = own if self._defaults is None else self._defaults.merged(own)
        given = validate(document, RunInput)
        assumptions: list[str] = []
        software = self._software_of(at, assumptions)
        cluster = self._cluster_of(at)
        model = self._model_of(at, given.id)
        devices = devices_of(document, given, cluster)
        micro_batch_size = given.micro_batch_size
        if micro_batch_size is None:
            micro_batch_size = 1
            assumptions.append("run: micro_batch_size 1 (the run states none)")
        try:
            cluster = cluster.sized(devices=devices)
            job = build_job(
                model,
                software,
                devices=devices,
                global_batch_size=given.global_batch_size,
                seq_length=given.seq_length,
                precision=given.precision,
                settings=Settings.of({**vars(given), "recompute_modules": None, "resumes": False}),
            )
        except InputError as error:
            raise document.error(str(error)) from error
        return Run(
            id=given.id,
            group=given.group,
            repeats=given.repeats,
            cluster=cluster,
            model=model,
            job=job,
            degrees=degrees_of(document, given, devices),
            micro_batch_size=micro_batch_size,
            virtual_stages=given.virtual_stages,
            schedule=given.schedule,
            stage_layers=stage_layers_of(document, given, model),
            recompute=given.recompute,
            recompute_layers=given.recompute_layers,
            recompute_modules=given.recompute_modules,
            sequence_parallel=given.sequence_parallel,
            data_sharding=given.data_sharding,
            optimizer_shard_size=given.optimizer_shard_size,
            optimizer_offload=given.optimizer_offload,
            weight_offload=given.weight_offload,
            activation_offload=given.activation_offload,
            attention=given.attention,
            compile=given.compile,
            overlap=given.overlap,
            dispatcher=given.dispatcher,
            launch_blocking=given.launch_blocking,
            eight_bit_output=given.eight_bit_output,
            measured=given.measured,
            assumptions=tuple(assumptions),
        )

    def _stated(self, at: Location, key: str) -> list[Location]:
        """Where a key is stated for a run, the one that counts most first."""
        found: list[Location] = []
        for place in (at, ("defaults",), ()):
            tree = self._document.tree
            for part in place:
                tree = tree.get(part, {}) if isinstance(tree, dict) else tree[part]
            if isinstance(tree, dict) and tree.get(key) is not None:
                found.append((*place, key))
        return found

    def _value(self, location: Location) -> object:
        value = self._document.tree
        for part in location:
            value = value[part]
        return value

    @contextmanager
    def _placed(self, at: Location) -> Iterator[None]:
        """Says where a reference stands when what it means cannot be found or read."""
        try:
            yield
        except ValueError as error:
            raise self._document.error(str(error), at) from error
        except InputError as error:
            if error.line is not None:
                raise
            raise self._document.error(str(error), at) from error

    def _referred(self, kind: catalog.Kind, name: str, at: Location) -> Document:
        with self._placed(at):
            return self._references.document(catalog.refer(kind, name, self._folder))

    def _cluster_of(self, at: Location) -> ClusterSpec:
        stated = self._stated(at, "cluster")
        if not stated:
            raise self._document.error("cluster is missing, in the run and in the file", at)
        return self._load_cluster(stated[0])

    def _load_cluster(self, at: Location) -> ClusterSpec:
        value = self._value(at)
        key = value if isinstance(value, str) else repr(value)
        if key not in self._clusters:
            if isinstance(value, str):
                document = self._referred("cluster", value, at)
                name, folder = Path(document.path).stem, Path(document.path).parent
            else:
                document, name, folder = self._document.part(at), "inline", self._folder
            self._clusters[key] = cluster_of(
                document, name=name, folder=folder, find_device=self._references.device
            )
        return self._clusters[key]

    def _software_of(self, at: Location, assumptions: list[str]) -> SoftwareProfile:
        stated = self._stated(at, "software")
        if stated:
            return self._load_software(stated[0])
        assumptions.append(f"run: software {UNSTATED_SOFTWARE} (nothing states another)")
        if UNSTATED_SOFTWARE not in self._software:
            self._software[UNSTATED_SOFTWARE] = self._references.software(UNSTATED_SOFTWARE)
        return self._software[UNSTATED_SOFTWARE]

    def _load_software(self, at: Location) -> SoftwareProfile:
        name = str(self._value(at))
        if name not in self._software:
            with self._placed(at):
                path = catalog.refer("software", name, self._folder)
                self._software[name] = self._references.software(path)
        return self._software[name]

    def _model_of(self, at: Location, run_id: str) -> ModelSpec:
        """The model of a run: what the run says over `defaults` over the file."""
        merged: Document | None = None
        for location in reversed(self._stated(at, "model")):
            value = self._value(location)
            if isinstance(value, str):
                merged = self._load_model(value, location)
            else:
                part = self._document.part(location)
                merged = part if merged is None else merged.merged(part)
        if merged is None:
            raise self._document.error("model is missing, in the run and in the file", at)
        return build_model(merged, name=run_id)

    def _load_model(self, name: str, at: Location) -> Document:
        if name not in self._models:
            self._models[name] = self._referred("model", name, at)
        return self._models[name]
