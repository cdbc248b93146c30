"""Hosts by name, as few words as say which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.specs.cluster.hostlist import compress_hosts

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMED = 4
"""Most hosts that are listed one by one."""
LONGEST = 60
"""Characters of a list with brackets that is still read at a glance."""


def named_hosts(hosts: Sequence[str]) -> str:
    """`a, b`; `a[0-7]`, which says exactly these; of many without an order, the first few and how
    many more there are."""
    if len(hosts) <= NAMED:
        return ", ".join(hosts)
    listed = compress_hosts(hosts)
    if len(listed) <= LONGEST:
        return listed
    return f"{', '.join(hosts[:NAMED])} and {len(hosts) - NAMED:,} more"
