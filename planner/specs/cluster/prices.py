"""The `prices:` block of a cluster file: what devices and traffic between sites cost.

Prices change by the month and by the contract, so none are shipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from planner.specs.files.fields import Input, Name
from planner.specs.files.spelling import did_you_mean
from planner.specs.money import Per, Price, format_price, parse_price, price_example, price_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.specs.files.document import Document, Location


def _price(per: Per) -> tuple[object, ...]:
    schema = {
        "type": "string",
        "pattern": price_pattern(per),
        "examples": [price_example(per)],
        "description": f"A price per {per}: an amount, a currency ($, € or a code such as USD), "
        f"/{per}.",
    }
    return (
        BeforeValidator(partial(parse_price, per=per)),
        PlainSerializer(partial(format_price, per=per)),
        WithJsonSchema(schema),
    )


PricePerHour = Annotated[Price, *_price("h")]
PricePerGB = Annotated[Price, *_price("GB")]
PricePerKwh = Annotated[Price, *_price("kWh")]


class PricesInput(Input):
    """What a job pays for. All prices are in one currency."""

    devices: Annotated[dict[Name, PricePerHour], Field(min_length=1, max_length=1000)]
    """Of one device and hour, by the name of the device or of the node group."""
    egress: Annotated[dict[Name, PricePerGB], Field(max_length=10)] = {}  # noqa: RUF012
    """Of one GB (10^9 bytes) between nodes that meet in a tier, by its name."""

    @property
    def currency(self) -> str:
        """That of the first price."""
        return next(iter(self.devices.values())).currency


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """`currency` of all amounts; `egress_per_gb` by the name of the tier in which nodes meet. Node
    groups hold what their devices cost."""

    currency: str
    egress_per_gb: tuple[tuple[str, float], ...] = ()


def price_of(given: PricesInput | None, group: str, device: str) -> float | None:
    """Of one device of a node group and an hour: what its name costs, else its device's."""
    if given is None:
        return None
    found = given.devices.get(group, given.devices.get(device))
    return None if found is None else found.amount


def build_prices(
    document: Document,
    given: PricesInput,
    groups: Sequence[tuple[str, str]],
    tiers: Sequence[str],
) -> PriceList:
    """`groups`: names of node groups and of their devices. Raises: InputError for names that the
    cluster does not have, a group without a price, and several currencies."""
    names = [*dict.fromkeys(name for pair in groups for name in pair)]
    for name in given.devices:
        if name not in names:
            problem = f"no device or node group is named {name}"
            hint = did_you_mean(name, names)
            raise document.error(problem, ("prices", "devices", name), hint=hint)
    for name in given.egress:
        if name not in tiers:
            problem, hint = f"no tier of the fabric is named {name}", did_you_mean(name, tiers)
            raise document.error(problem, ("prices", "egress", name), hint=hint)
    for group, device in groups:
        if price_of(given, group, device) is None:
            problem = f"group {group} has no price; state one of {device} or {group}"
            raise document.error(problem, ("prices", "devices"))
    for price, at in _stated(given):
        if price.currency != given.currency:
            problem = f"prices are in one currency, found {given.currency} and {price.currency}"
            raise document.error(problem, at)
    return PriceList(
        currency=given.currency,
        egress_per_gb=tuple((name, price.amount) for name, price in given.egress.items()),
    )


def _stated(given: PricesInput) -> Iterator[tuple[Price, Location]]:
    for part in ("devices", "egress"):
        for name, price in getattr(given, part).items():
            yield price, ("prices", part, name)
