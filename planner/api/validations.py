"""Estimates compared with measured runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from planner.api.inputs import load_device
from planner.specs.files.catalog import folder, list_shipped, resolve
from planner.validation.validate import validate_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.api.inputs import DeviceLike
    from planner.validation.serving.compare import ServingValidation
    from planner.validation.validate import Validation


def validate(
    runs: Sequence[str | Path] | None = None, *, device_file: DeviceLike | None = None
) -> Validation:
    """Every measured run of some files, or shipped names, compared with its estimate; by default of
    all that are shipped. Runs that cannot be planned are among `errors`, and the others go on.
    `device_file` stands in for the device of its name. Raises: InputError for a file that cannot be
    read as runs.

    >>> from planner import api
    >>> validation = api.validate(["megatron-sc21"])
    >>> validation.summary.step.count > 0
    True
    """
    names = runs or list_shipped("runs")
    return validate_files(
        [resolve("runs", name) for name in names],
        device=None if device_file is None else load_device(device_file),
    )


def validate_serving(
    tables: Sequence[str | Path] | None = None, *, engine_file: str | Path | None = None
) -> ServingValidation:
    """Measured serving runs, rows of tables of comma-separated values, compared with their
    estimates; by default those that are shipped. `engine_file` stands in for the engine of its
    name. Rows that lack what an estimate needs are among `errors`. Raises: InputError for a file
    that is no such table.

    >>> from planner import api
    >>> validation = api.validate_serving()
    >>> validation.summary["tpot"].count > 0
    True
    """
    from planner.specs.engine import load_engine
    from planner.validation.serving.compare import validate_tables
    from planner.validation.serving.named import OwnEngine

    own = None if engine_file is None else OwnEngine(load_engine(engine_file))
    if tables:
        return validate_tables([Path(table) for table in tables], own)
    return validate_tables(sorted((folder("runs") / "serving").glob("*.csv")), own)
