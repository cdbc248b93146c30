"""Money, energy and carbon as people read them: the first amount with its unit, others as numbers
of the same unit."""

from __future__ import annotations

from planner.wording.units import three_digits

_MONEY = ((1e9, "B "), (1e6, "M "), (1.0, " "))
_ENERGY = ((1e6, " GWh"), (1e3, " MWh"), (1.0, " kWh"), (1e-3, " Wh"))
_CARBON = ((1e3, " t CO2"), (1.0, " kg CO2"), (1e-3, " g CO2"))


def money(currency: str, first: float, *others: float) -> list[str]:
    """6.85M $, 12,300 $, 1.91 $, 0.0042 $."""
    found = _scaled(_MONEY, first, *others)
    return [found[0] + currency, *found[1:]]


def energy(first_kwh: float, *others_kwh: float) -> list[str]:
    """950 MWh, 0.27 kWh."""
    return _scaled(_ENERGY, first_kwh, *others_kwh)


def carbon(first_kg: float, *others_kg: float) -> list[str]:
    """361 t CO2, 101 g CO2."""
    return _scaled(_CARBON, first_kg, *others_kg)


def _scaled(scales: tuple[tuple[float, str], ...], first: float, *others: float) -> list[str]:
    size, unit = next((one for one in scales if first >= one[0]), scales[-1])
    numbers = [_number(amount / size) for amount in (first, *others)]
    return [f"{numbers[0]}{unit}", *numbers[1:]]


def _number(amount: float) -> str:
    return f"{amount:.2g}" if 0 < amount < 1 else three_digits(amount)
