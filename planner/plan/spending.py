"""What a plan costs in money, energy and carbon, as rates that any stretch of time is multiplied
with."""

from __future__ import annotations

from dataclasses import dataclass

_HOUR_S = 3600.0
_WATTS_PER_KW = _GRAMS_PER_KG = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """In a stretch of time. None: the cluster file does not say."""

    price: float | None
    energy_kwh: float | None
    carbon_kg: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """All devices of a plan together. `currency` of all amounts. `devices_per_hour`: their price;
    `egress_per_step`: that of the traffic between sites; `power_w`: electrical power with all that
    stands around the devices. None: the cluster file does not say."""

    currency: str | None = None
    devices_per_hour: float | None = None
    egress_per_step: float = 0.0
    power_w: float | None = None
    carbon_g_per_kwh: float | None = None
    tariff_per_kwh: float | None = None

    @property
    def per_hour(self) -> float | None:
        """The price of an hour, without egress; None where there is no price."""
        if self.currency is None:
            return None
        bill = (self.power_w or 0.0) / _WATTS_PER_KW * (self.tariff_per_kwh or 0.0)
        return (self.devices_per_hour or 0.0) + bill

    def over(self, wall_s: float, steps: float) -> Spent:
        """In so many seconds, with so many steps."""
        hours = wall_s / _HOUR_S
        rate, energy_kwh, carbon_kg = self.per_hour, None, None
        if self.power_w is not None:
            energy_kwh = self.power_w / _WATTS_PER_KW * hours
            if self.carbon_g_per_kwh is not None:
                carbon_kg = energy_kwh * self.carbon_g_per_kwh / _GRAMS_PER_KG
        return Spent(
            price=None if rate is None else rate * hours + self.egress_per_step * steps,
            energy_kwh=energy_kwh,
            carbon_kg=carbon_kg,
        )
