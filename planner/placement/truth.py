"""A bound above a price is false: an error of the program, which no answer may hide."""

from __future__ import annotations

ROUNDING = 1e-9
"""Share of a time within which a bound and a price count as equal."""

STRICT = False
"""Whether a false bound is an error. Tests set this; otherwise a false bound counts as no bound."""


def checked_bound(bound_s: float, price_s: float) -> float:
    """The bound of something that is known to take `price_s`, if the bound is true.

    Raises: AssertionError where the bound is false and `STRICT` is set.
    """
    if bound_s <= price_s * (1 + ROUNDING):
        return min(bound_s, price_s)
    if STRICT:
        raise AssertionError(f"bound {bound_s!r} is above the price {price_s!r}")
    return 0.0
