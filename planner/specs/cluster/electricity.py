"""The `power:` block of a cluster file: what a device's power means for energy, carbon and the
electricity bill.

Energy = devices · power · load · node_overhead · pue · time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from planner.specs.cluster.prices import PricePerKwh
from planner.specs.files.fields import Fraction, GramsPerKwh, Input

if TYPE_CHECKING:
    from planner.specs.files.document import Document

Overhead = Annotated[float, Field(ge=1, le=10)]


class ElectricityInput(Input):
    """Factors from the power of devices to energy, carbon and its price."""

    load: Fraction | None = None
    """Share of its rated power that a device takes in training. Default: all of it."""
    node_overhead: Overhead | None = None
    """Power of a whole node, and of switches, over that of its devices. Default: 1, devices alone.
    """
    pue: Overhead | None = None
    """Power usage effectiveness: power of the building over that of its machines. Default: 1."""
    carbon: GramsPerKwh | None = None
    """CO2 of the grid. Without it nothing is said of carbon."""
    tariff: PricePerKwh | None = None
    """What electricity costs, where it is paid for in addition to the devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Electricity:
    """`factor`: the power that is paid for over the rated power of the devices."""

    factor: float
    carbon_g_per_kwh: float | None = None
    tariff_per_kwh: float | None = None
    currency: str | None = None


def build_electricity(
    document: Document, given: ElectricityInput, currency: str | None, assumed: list[str]
) -> Electricity:
    """What the block leaves out is added to what is `assumed`. `currency`: that of the cluster's
    prices. Raises: InputError for another one."""
    tariff = given.tariff
    if tariff is not None and currency not in (None, tariff.currency):
        problem = f"prices are in one currency, found {currency} and {tariff.currency}"
        raise document.error(problem, ("power", "tariff"))
    left_out = {
        "load": "devices take all of their rated power",
        "node_overhead": "nothing is counted for hosts, fans and switches",
        "pue": "nothing is counted for cooling",
    }
    factor = 1.0
    for name, assumption in left_out.items():
        stated = getattr(given, name)
        if stated is None:
            assumed.append(f"power: {assumption} (no {name} given)")
        else:
            factor *= stated
    return Electricity(
        factor=factor,
        carbon_g_per_kwh=given.carbon,
        tariff_per_kwh=None if tariff is None else tariff.amount,
        currency=None if tariff is None else tariff.currency,
    )
