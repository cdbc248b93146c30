"""How many requests each rank of a published pool that decodes took at most."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from planner.specs.files import catalog
from planner.specs.files.fields import Count, Input, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document

if TYPE_CHECKING:
    from planner.validation.serving.launch_match import Launched


class LimitedPool(Input):
    """The pools that an entry is about."""

    engine: Text
    model: Text
    device: Text
    weights: Text


class PoolLimits(Input):
    """Runs of one kind of pool: tokens of prompt and answer, clients, workers that read prompts,
    workers that decode, and requests of a rank at most."""

    of: LimitedPool
    source: Text
    runs: tuple[tuple[Count, Count, Count, Count, Count, Count], ...]


class DecodeLimits(Input):
    """The file of limits."""

    tables: tuple[Text, ...]
    """Values of the column `source`."""
    limits: tuple[PoolLimits, ...]


def decode_limit(row: Launched, *, readers: int, writers: int) -> int | None:
    """Requests of a rank at most, where `readers` workers read prompts and `writers` decode; None
    where no launch file is known."""
    known = _limits()
    if row.table not in known.tables:
        return None
    run = (row.input_length, row.output_length, row.load, readers, writers)
    for one in known.limits:
        if one.of == _pool_of(row):
            return next((most for *key, most in one.runs if tuple(key) == run), None)
    return None


def _pool_of(row: Launched) -> LimitedPool:
    return LimitedPool(engine=row.engine, model=row.model, device=row.device, weights=row.weights)


@cache
def _limits() -> DecodeLimits:
    """The shipped file. Raises: InputError."""
    path = catalog.folder("runs") / "serving" / "decode_limits.yaml"
    return validate(load_document(path), DecodeLimits)
