"""Shipped files, and files to start from."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from planner.errors import InputError
from planner.importers.clusters import template
from planner.specs import ranges
from planner.specs.files.catalog import KINDS, Kind, find_shipped, list_shipped
from planner.specs.files.spelling import did_you_mean
from planner.specs.names import check_name


def shipped_text(name: str, *, kind: str | None = None) -> str:
    """The text of a shipped file: a cluster, model, device, library, software profile or file of
    runs. `kind` says which where several have the name. Raises: InputError.

    >>> from planner import api
    >>> api.shipped_text("dgx-a100-8").splitlines()[4]
    'name: dgx-a100-8'
    """
    chosen = ranges.word("--kind", kind, KINDS)
    kinds = KINDS if chosen is None else (cast("Kind", chosen),)
    found = {one: path for one in kinds if (path := find_shipped(one, name)) is not None}
    if not found:
        names = sorted({known for one in kinds for known in list_shipped(one)})
        near = did_you_mean(name, names)
        raise InputError(
            f"nothing is shipped as {name[:80]!r}", hint=near or "`planner list` shows all"
        )
    if len(found) > 1:
        raise InputError(f"{name!r} is {' and '.join(found)}; say which with --kind")
    return Path(next(iter(found.values()))).read_text(encoding="utf-8")


def cluster_template(device: str, *, nodes: int = 1, name: str | None = None) -> str:
    """A cluster file to start from, as text: nodes as they usually are with that device, and in
    comments what else the file may say. Raises: InputError.

    >>> from planner import api
    >>> from pathlib import Path
    >>> written = Path("mine.yaml").write_text(api.cluster_template("h100-sxm-80gb", nodes=4))
    >>> api.load_cluster("mine.yaml").num_devices
    32
    """
    count = ranges.whole("--nodes", nodes, most=ranges.MOST_NODES)
    try:
        chosen = check_name("my-cluster" if name is None else name)
    except ValueError as error:
        raise InputError(f"--name: {error}") from error
    return template.cluster_template(device, count or 1, chosen)
