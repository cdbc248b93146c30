"""Devices and links that run at a share of their speed."""

from __future__ import annotations

from dataclasses import dataclass

from planner.errors import InputError

EVERY = "*"
"""All links of a node, in place of the other end of one."""
_SYNTAX = "write HOST:0.6 for devices, HOST/HOST:0.6 for a link, HOST/*:0.6 for all links of a node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """What runs at the share `factor` of its speed: the devices of a host; with `other`, its link
    to that host, or all its links."""

    host: str
    factor: float
    other: str | None = None

    def __str__(self) -> str:
        if self.other is None:
            return f"{self.host} at {self.factor:.0%}"
        what = "all links" if self.other == EVERY else f"the link to {self.other}"
        return f"{what} of {self.host} at {self.factor:.0%}"


def parse_slow(text: str) -> Slow:
    """`node-3:0.6`, `node-3/node-7:0.5`, `node-3/*:0.5`. Raises: InputError."""
    ends, colon, factor = text.rpartition(":")
    host, slash, other = ends.partition("/")
    try:
        share = float(factor)
    except ValueError:
        share = 0.0
    if not colon or not host or (slash and not other) or not 0 < share < 1 or host == other:
        raise InputError(
            f"--slow: {text[:80]!r} is no host with a share of its speed between 0 and 1",
            hint=_SYNTAX,
        )
    return Slow(host=host, factor=share, other=other or None)
