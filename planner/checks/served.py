"""PL5: a serving plan against its engine, memory, limits and the balance of its pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.checks.finding import Finding
from planner.checks.inputs import changed
from planner.checks.registry import rules
from planner.serving.deployment import FULL
from planner.serving.estimate import holds_a_request, prices
from planner.serving.waiting import reader_of
from planner.serving.writing import writer_of
from planner.wording.units import three_digits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.checks.places import Places
    from planner.plan.serving import Role, ServingPlan
    from planner.plan_document.serving.inputs import ServingInputs
    from planner.serving.deployment import PoolPart
    from planner.serving.forecast import Offer
    from planner.serving.load.lengths import ClosedLoad
    from planner.serving.scenario import ServingScenario
    from planner.specs.files.document import Location

_FEWER = 0.99
"""Tokens of a KV cache over those that the plan counts on, from which on they are the same."""


@dataclass(frozen=True, kw_only=True)
class ServedSubject:
    """A serving plan under check. `reference` is what messages call it, `cluster` and `model` are
    the names of what it is checked against, `offer` is what it does, None where it cannot run."""

    reference: str
    plan: ServingPlan
    places: Places
    cluster: str
    model: str
    offer: Offer | None = None

    @property
    def summary(self) -> str:
        """`2 prefill and 3 decode replicas`."""
        counts = [f"{pool.replicas:,} {pool.role}" for pool in self.plan.pools]
        noun = "replica" if sum(pool.replicas for pool in self.plan.pools) == 1 else "replicas"
        return f"{' and '.join(counts)} {noun}"

    def finding(
        self, code: str, field: Location, message: str, *, hint: str | None = None
    ) -> Finding:
        """A finding about a field of the plan, with its place."""
        return Finding(
            code=code,
            severity=rules()[code].severity,
            subject=self.reference,
            field=field,
            message=message,
            region=self.places.region(field),
            hint=hint,
        )


def stale_served_findings(
    subject: ServedSubject, then: ServingInputs, now: ServingInputs
) -> Iterator[Finding]:
    """One for every file that changed since the plan was made."""
    for kind, was, is_ in (
        ("cluster", then.cluster, now.cluster),
        ("model", then.model, now.model),
        ("engine", then.engine, now.engine),
    ):
        if was.sha256 is not None and was.sha256 != is_.sha256:
            yield subject.finding("PL210", ("inputs", kind, "sha256"), changed(kind, was, is_))


def cache_findings(
    subject: ServedSubject, scenarios: Sequence[ServingScenario], load: ClosedLoad
) -> Iterator[Finding]:
    """Replicas that have no room for the longest request, or for the tokens of KV cache that the
    plan counts on."""
    for at, (pool, scenario) in enumerate(zip(subject.plan.pools, scenarios, strict=True)):
        memory = prices(scenario)[1]
        where = f"a {pool.role} replica of {pool.devices // pool.replicas} {pool.device}"
        if not holds_a_request(memory, load):
            yield subject.finding(
                "PL501",
                ("pools", at, "kv_tokens"),
                f"{where} has no room for the KV cache of the longest request: "
                f"{memory.kv_tokens:,} tokens fit beside the weights",
            )
        elif memory.kv_tokens < _FEWER * pool.kv_tokens:
            yield subject.finding(
                "PL501",
                ("pools", at, "kv_tokens"),
                f"the plan counts on {pool.kv_tokens:,} tokens of KV cache on {where}; "
                f"{memory.kv_tokens:,} fit",
            )


def limit_findings(subject: ServedSubject, offer: Offer) -> Iterator[Finding]:
    """One for every limit of the load that the plan misses, and by how much."""
    for message in offer.missed:
        yield subject.finding("PL503", ("estimate", message.split()[0]), message)


def balance_findings(
    subject: ServedSubject, parts: Sequence[PoolPart], load: ClosedLoad, offer: Offer
) -> Iterator[Finding]:
    """Prompts that are read more slowly than answers could be written, or the reverse."""
    readers = [part for part in parts if part.role == "prefill"]
    writers = [part for part in parts if part.role == "decode"]
    if not readers:
        return
    read = sum(part.replicas * reader_of(part.scenario, load).read_per_s for part in readers)
    written = 0.0
    for part in writers:
        writer = writer_of(part.scenario, load)
        written += part.replicas * writer.per_s(writer.most)
    rate = offer.forecast.requests_per_s
    rates = (
        f"prefill replicas read {three_digits(read)} requests per second at most, decode replicas "
        f"end {three_digits(written)}"
    )
    if rate >= FULL * read and read < written:
        yield subject.finding("PL504", _field(subject, "prefill"), rates)
    elif rate >= FULL * written and written < read:
        yield subject.finding("PL505", _field(subject, "decode"), rates)


def _field(subject: ServedSubject, role: Role) -> Location:
    roles = [pool.role for pool in subject.plan.pools]
    return "pools", roles.index(role), "replicas"
