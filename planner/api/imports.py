"""Models and clusters from the files of other programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.importers import models
from planner.importers.clusters import importer
from planner.importers.clusters.importer import ImportedCluster
from planner.importers.clusters.node_options import NodeOptions
from planner.specs import ranges
from planner.specs.files.writing import write_file
from planner.specs.names import check_name
from planner.specs.quantities import BYTES_PER_SECOND
from planner.specs.units import UnitError, parse_bytes_per_second, unit_factor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.importers.models import ImportedModel


def import_model(
    described: str | Path,
    *,
    name: str | None = None,
    assume: str | None = None,
    variables: Mapping[str, str] | None = None,
    command: int | None = None,
    vocab_size: int | None = None,
    into: str | Path | None = None,
) -> ImportedModel:
    """A model from a Hugging Face config.json, a Megatron-LM command line or launch script, a list
    of Megatron-Bridge overrides, or the name of a torchtitan model.

    `spec` of the answer is the model, `text` its file, `notes` what was read, assumed and left out.
    `assume` reads a config of an unknown type as a known one; `variables`, `command` and
    `vocab_size` are for launch scripts. With `into` the text is that file changed; nothing is
    written. Raises: InputError with file, line and column.

    >>> from planner import api
    >>> api.import_model("llama3 8B").spec.num_query_groups
    8
    """
    return models.import_model(
        str(described),
        name=_named(name),
        assume=assume,
        given=variables,
        command=ranges.whole("--command", command, most=ranges.MOST_COMMANDS),
        vocabulary=ranges.whole("--vocab-size", vocab_size, most=ranges.LARGEST_VOCABULARY),
        into=_text_of(into),
    )


def import_cluster(
    files: str | Path | Sequence[str | Path],
    *,
    device: str | Path | None = None,
    devices_per_node: int | None = None,
    intra_node_bandwidth: str | None = None,
    network_bandwidth: str | None = None,
    cards: int | None = None,
    nodes_per_site: int | None = None,
    ranks: int | None = None,
    unit: str | None = None,
    format: str | None = None,
    name: str | None = None,
    into: str | Path | None = None,
    target: str | Path | None = None,
) -> ImportedCluster:
    r"""A cluster from what benchmarks, drivers and schedulers print, in one file or in several.

    Bandwidths are texts with their unit, such as "450 GB/s", of one device or one network card in
    one direction; what is given wins over every file. `target` is where the cluster file will
    stand, and `into` a file to change; nothing is written. Measured bandwidth between nodes is in
    `matrix`, the text of the file `matrix_file` in the same folder. Raises: InputError with file,
    line and column.

    >>> from planner import api
    >>> from pathlib import Path
    >>> written = Path("links.csv").write_text("GB/s,a,b\na,0,24\nb,25,0\n")
    >>> imported = api.import_cluster("links.csv", device="a100-sxm-80gb", devices_per_node=8)
    >>> imported.spec.host_names(), imported.matrix_file
    (('a', 'b'), 'links-bandwidth.csv')
    """
    paths = [files] if isinstance(files, str | Path) else files
    options = NodeOptions(
        device=_text_of(device),
        devices_per_node=ranges.whole(
            "--devices-per-node", devices_per_node, most=ranges.MOST_DEVICES_PER_NODE
        ),
        intra_node_bandwidth=_bandwidth("--intra-node-bandwidth", intra_node_bandwidth),
        network_bandwidth=_bandwidth("--network-bandwidth", network_bandwidth),
        cards=ranges.whole("--cards", cards, most=ranges.MOST_CARDS),
        nodes_per_site=ranges.whole("--nodes-per-site", nodes_per_site, most=ranges.MOST_NODES),
    )
    return importer.import_cluster(
        [str(path) for path in paths],
        options,
        name=_named(name),
        into=_text_of(into),
        target=_text_of(target),
        ranks=ranges.whole("--ranks", ranks, most=ranges.MOST_DEVICES),
        unit=_unit(unit),
        format_name=format,
    )


def write_import(imported: ImportedModel | ImportedCluster, path: str | Path) -> None:
    """Writes the YAML file of an import, whole or not at all; a cluster's measured bandwidths go to
    `matrix_file` beside it, first, so that no file names a matrix that is not there. Raises:
    InputError when it cannot be written.

    >>> from planner import api
    >>> api.write_import(api.import_model("llama3 8B"), "llama.yaml")
    >>> api.load_model("llama.yaml").num_layers
    32
    """
    if isinstance(imported, ImportedCluster) and imported.matrix is not None:
        beside = os.path.join(os.path.dirname(path), imported.matrix_file)
        write_file(beside, imported.matrix, option=None)
    write_file(str(path), imported.text, option=None)


def _text_of(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _named(name: str | None) -> str | None:
    """A name that a cluster or a model may have."""
    try:
        return None if name is None else check_name(name)
    except ValueError as error:
        raise InputError(f"--name: {error}") from error


def _bandwidth(option: str, text: str | None) -> str | None:
    """Text of a bandwidth, checked to be one."""
    if text is not None:
        try:
            parse_bytes_per_second(text)
        except UnitError as error:
            raise InputError(f"{option}: {error}") from error
    return text


def _unit(text: str | None) -> str | None:
    """A unit of bandwidth, checked to be one."""
    if text is not None:
        try:
            unit_factor(BYTES_PER_SECOND, text)
        except UnitError as error:
            raise InputError(f"--unit: {error}") from error
    return text
