"""General values of serving: what engines and runs leave out."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import Field

from planner.specs.files.catalog import general_file
from planner.specs.files.fields import Basis, Count, Fraction, Input, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document


class MixtureFormats(Input):
    """Formats of a mixture's parts whose experts are quantised."""

    attention: Text
    shared: Text
    """Dense layers and shared experts."""
    basis: Basis
    source: Text


Share = Annotated[float, Field(gt=0, le=100)]


class MeasuredShares(Input):
    """Measured over estimated, of the published runs of one kind of model: the shares between which
    nine of ten lie, of the means over all requests."""

    ttft: tuple[Share, Share]
    tpot: tuple[Share, Share]
    output_tokens_per_s_per_device: tuple[Share, Share]
    runs: Count
    basis: Basis
    source: Text


class ServingRanges(Input):
    """How far estimates are off, by kind of model."""

    level: Fraction
    """Share of the runs that lie inside."""
    dense: MeasuredShares
    mixture: MeasuredShares
    """Of models with experts."""


class ServingDefaults(Input):
    """The file of general values."""

    ranges: ServingRanges

    mixtures: dict[str, MixtureFormats]
    """By format of the experts; formats not listed hold for all parts."""


@cache
def serving_defaults() -> ServingDefaults:
    """The shipped values. Raises: InputError."""
    return validate(load_document(general_file("serving")), ServingDefaults)
