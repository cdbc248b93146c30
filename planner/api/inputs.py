"""Inputs of functions, by name, by path or as a value: clusters, models, software profiles,
devices, hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from planner.errors import InputError
from planner.importers.switched import recorded
from planner.specs import library as specs_library
from planner.specs import load
from planner.specs.cluster.spec import ClusterSpec
from planner.specs.device import DeviceSpec
from planner.specs.files.text_file import decode, read_bytes
from planner.specs.library import CollectiveLibrary
from planner.specs.model.spec import ModelSpec
from planner.specs.names import check_host
from planner.specs.software import SoftwareProfile

ClusterLike: TypeAlias = str | Path | Mapping[str, object] | ClusterSpec
ModelLike: TypeAlias = str | Path | Mapping[str, object] | ModelSpec
SoftwareLike: TypeAlias = str | Path | SoftwareProfile
DeviceLike: TypeAlias = str | Path | DeviceSpec
LibraryLike: TypeAlias = str | Path | CollectiveLibrary
HostsLike: TypeAlias = str | Path | Sequence[str]

S = TypeVar("S", ClusterSpec, ModelSpec)


def load_cluster(cluster: ClusterLike) -> ClusterSpec:
    """A cluster by the name of a shipped file, by path, as a mapping in the form of the file, or as
    a value, which may be changed with `dataclasses.replace`.

    A value that differs from its file loses the file's digest, and says so among its assumptions,
    so that no plan document claims that it comes from the file. Raises: InputError.

    >>> from planner import api
    >>> api.load_cluster("dgx-a100-128").num_devices
    1024
    """
    if isinstance(cluster, ClusterSpec):
        return _as_it_is("cluster", cluster)
    if isinstance(cluster, Mapping):
        return load.parse_cluster(cluster)
    return load.load_cluster(cluster)


def load_model(model: ModelLike) -> ModelSpec:
    """A model, as `load_cluster` takes a cluster. Raises: InputError.

    >>> from planner import api
    >>> api.load_model("gpt3-175b").num_layers
    96
    """
    if isinstance(model, ModelSpec):
        return _as_it_is("model", model)
    if isinstance(model, Mapping):
        return load.parse_model(model)
    return load.load_model(model)


def load_software(software: SoftwareLike) -> SoftwareProfile:
    """A software profile by name, by path or as a value, which may be changed with `model_copy`: a
    changed profile gets a digest of its own. Raises: InputError.

    >>> from planner import api
    >>> profile = api.load_software("megatron-core")
    >>> profile.model_copy(update={"overlap": ()}).overlap
    ()
    """
    if not isinstance(software, SoftwareProfile):
        return load.load_software(software)
    source = software.source_file
    if source is None or not isinstance(source.content, SoftwareProfile):
        return software
    before = source.content.model_copy()
    before._file = source
    return recorded(before, software)


def load_device(device: DeviceLike) -> DeviceSpec:
    """A device by name, by path or as a value. Raises: InputError.

    >>> from planner import api
    >>> api.load_device("a100-sxm-80gb").name
    'a100-sxm-80gb'
    """
    return device if isinstance(device, DeviceSpec) else load.load_device(device)


def load_library(library: LibraryLike) -> CollectiveLibrary:
    """A library of collectives, by name or path. Raises: InputError.

    >>> from planner import api
    >>> api.load_library("nccl").name
    'nccl'
    """
    if isinstance(library, CollectiveLibrary):
        return library
    return specs_library.load_library(library)


def load_hosts(hosts: HostsLike) -> tuple[str, ...]:
    """Host names of a file, one per line; blank lines and text after # are skipped. Names in a
    sequence stay as they are.

    Raises: InputError with the place of a text that is not a host name, or is listed twice.

    >>> from planner import api
    >>> api.load_hosts(["node-7", "node-3"])
    ('node-7', 'node-3')
    """
    if not isinstance(hosts, str | Path):
        return tuple(hosts)
    found: dict[str, int] = {}
    for number, line in enumerate(decode(read_bytes(Path(hosts)), hosts).splitlines(), start=1):
        written = line.partition("#")[0]
        name = written.strip()
        if not name:
            continue
        column = len(written) - len(written.lstrip()) + 1
        try:
            check_host(name)
        except ValueError as error:
            raise InputError(str(error), path=hosts, line=number, column=column) from error
        if name in found:
            raise InputError(
                f"host {name} is listed already, on line {found[name]}",
                path=hosts,
                line=number,
                column=column,
            )
        found[name] = number
    if not found:
        raise InputError("the file names no host; one host name per line is needed", path=hosts)
    return tuple(found)


def _as_it_is(kind: Literal["cluster", "model"], given: S) -> S:
    """The value; without its file's digest if it has changed since it was read."""
    content = None if given.source is None else given.source.content
    if content is None or content == replace(given, source=None):
        return given
    changed = f"{kind} {given.name} was changed after it was read from its file"
    return replace(given, source=None, assumptions=(*given.assumptions, changed))
