"""General values of serving: what engines and runs leave out."""

from __future__ import annotations

from functools import cache

from planner.specs.files.catalog import general_file
from planner.specs.files.fields import Basis, Input, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document


class MixtureFormats(Input):
    """Formats of a mixture's parts whose experts are quantised."""

    attention: Text
    shared: Text
    """Dense layers and shared experts."""
    basis: Basis
    source: Text


class ServingDefaults(Input):
    """The file of general values."""

    mixtures: dict[str, MixtureFormats]
    """By format of the experts; formats not listed hold for all parts."""


@cache
def serving_defaults() -> ServingDefaults:
    """The shipped values. Raises: InputError."""
    return validate(load_document(general_file("serving")), ServingDefaults)
