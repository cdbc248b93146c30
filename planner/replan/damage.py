"""What happened to the nodes and links of a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.cluster.slow import EVERY, Slow
from planner.specs.files.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.specs.cluster.spec import ClusterSpec

_HINTED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Hosts that are gone, in cluster order, and what is slow."""

    lost: tuple[str, ...] = ()
    slow: tuple[Slow, ...] = ()

    @classmethod
    def of(cls, cluster: ClusterSpec, lost: Iterable[str], slow: Iterable[Slow]) -> Damage:
        """Raises: InputError for hosts that the cluster does not have, and for none at all."""
        hosts = cluster.host_names()
        gone, parts = set(lost), list(slow)
        check_hosts_of(cluster, gone, parts)
        kept = [one for one in parts if not {one.host, one.other} & gone]
        if not gone and not kept:
            raise InputError("nothing is lost and nothing is slow", hint="give --lost or --slow")
        if gone >= set(hosts):
            raise InputError(f"--lost: cluster {cluster.name} has no other node")
        return cls(lost=tuple(host for host in hosts if host in gone), slow=tuple(kept))

    @property
    def suspects(self) -> tuple[str, ...]:
        """Hosts that are slow: those to take out of the job."""
        return tuple(dict.fromkeys(one.host for one in self.slow))


def check_hosts_of(cluster: ClusterSpec, lost: Iterable[str], slow: Iterable[Slow]) -> None:
    """Raises: InputError for the first host that the cluster does not have."""
    hosts = cluster.host_names()
    known = set(hosts)
    named = [("--lost", host) for host in sorted(set(lost))]
    for one in slow:
        named.append(("--slow", one.host))
        if one.other not in (None, EVERY):
            named.append(("--slow", str(one.other)))
    for option, host in named:
        if host not in known:
            raise InputError(
                f"{option}: cluster {cluster.name} has no host {host[:80]!r}",
                hint=did_you_mean(host[:80], hosts[:_HINTED]),
            )
