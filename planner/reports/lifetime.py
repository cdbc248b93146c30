"""The job as a whole in words: what failures cost, how long it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.wording.amounts import carbon, energy, money
from planner.wording.units import duration, durations, large, percent, plural, stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.plan import Estimate, Goodput, Spending, Spent


def lifetime(estimate: Estimate) -> list[str]:
    """A sentence on failures where the cluster speaks of them, one on the job where its tokens are
    known."""
    said = []
    if estimate.goodput is not None:
        said.append(_failures(estimate, estimate.goodput))
    if estimate.tokens is not None:
        said.append(_job(estimate, estimate.tokens))
    if estimate.spending is not None:
        said += _spent(estimate, estimate.spending)
    return said


def _failures(estimate: Estimate, known: Goodput) -> str:
    tokens = large(estimate.tokens_per_day)
    text = (
        f"Goodput {percent(known.share)}, {tokens} tokens a day: a failure every "
        f"{duration(known.between_failures_s)}, {duration(known.restart_s)} until the next step, a "
        f"checkpoint of {stored(known.checkpoint_bytes)} every {duration(known.interval_s)} that "
        f"stops the steps for {duration(known.stall_s)}."
    )
    if known.spares_needed is None or known.spares >= known.spares_needed:
        return text
    given = "none is" if not known.spares else f"{known.spares} are"
    spares = plural(known.spares_needed, "spare node")
    if known.available < 1:
        text += (
            f" Nodes away for repair leave {percent(known.available)} of the speed on average, as "
            "replicas without them stop."
        )
    return (
        f"{text} So short a restart needs a node in place of the one that failed: {spares} for "
        f"{known.chance:.0%} of failures; {given} stated."
    )


def _job(estimate: Estimate, tokens: int) -> str:
    job_s = estimate.job_s or 0.0
    taken, low, high = durations(job_s, *estimate.job_range_s)
    text = f"{large(tokens)} tokens take {taken}"
    if estimate.confidence is not None:
        text += f" ({low} to {high})"
    text += f", {large(estimate.device_hours or 0.0)} device hours"
    if estimate.goodput is None:
        return f"{text}, if nothing ever fails."
    failures = round(job_s / estimate.goodput.between_failures_s)
    expected = f"about {plural(failures, 'failure')}" if failures else "less than one failure"
    return f"{text}, with {expected}."


def _spent(estimate: Estimate, known: Spending) -> list[str]:
    """A sentence on the step, one on the job where its tokens are known."""
    said = []
    currency = known.currency or ""
    for what, amounts in (("A step", estimate.step_spent), ("The job", estimate.job_spent)):
        parts = [] if amounts is None else list(_amounts(amounts, currency, estimate))
        if parts:
            said.append(f"{what} takes {', '.join(parts)}.")
    if said and known.egress_per_step:
        share = money(currency, known.egress_per_step)[0]
        said[0] = f"{said[0][:-1]}; {share} of it is for traffic between sites."
    return said


def _amounts(
    amounts: tuple[Spent, Spent, Spent], currency: str, estimate: Estimate
) -> Iterator[str]:
    """Each with its range."""
    first = amounts[0]
    if first.price is not None:
        yield _between(money(currency, *(one.price or 0.0 for one in amounts)), estimate)
    if first.energy_kwh is not None:
        yield _between(energy(*(one.energy_kwh or 0.0 for one in amounts)), estimate)
    if first.carbon_kg is not None:
        yield _between(carbon(*(one.carbon_kg or 0.0 for one in amounts)), estimate)


def _between(texts: Sequence[str], estimate: Estimate) -> str:
    first, low, high = texts
    return first if estimate.confidence is None else f"{first} ({low} to {high})"
