"""Kinds of networks between nodes."""

from __future__ import annotations

from typing import Literal

from planner.specs.files.fields import Constant, Fraction, Input

NetworkKind = Literal["infiniband", "efa", "roce", "ethernet"]


class NetworkShares(Input):
    """A share of the network cards' rate, by the kind of network."""

    infiniband: Constant[Fraction]
    efa: Constant[Fraction]
    """Elastic Fabric Adapter of Amazon Web Services."""
    roce: Constant[Fraction]
    ethernet: Constant[Fraction]

    def of(self, kind: NetworkKind) -> Constant[Fraction]:
        found: Constant[Fraction] = getattr(self, kind)
        return found
