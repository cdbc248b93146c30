"""PL4: is the plan slower than what was committed? A baseline is a plan document, or a file of
figures for many plans."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner import __version__
from planner.checks.speed import ROUNDING
from planner.plan import TimeBreakdown
from planner.plan_document.nodes import parse_file, split_rank
from planner.plan_document.schema import SCHEMA_ID as PLANS_ID
from planner.specs.ranges import LONGEST_SEQUENCE
from planner.wording.units import percent, plural, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from planner.checks.finding import Finding
    from planner.checks.subject import Subject
    from planner.plan import Estimate
    from planner.plan_document.nodes import Node

SCHEMA_ID = "planner/baselines/1"
MOST_TOKENS = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a plan cost when the baseline was written. `time` has the seconds of a step by cause,
    the fields of `TimeBreakdown`; empty in baselines that planner 0.2 wrote."""

    step_s: float
    devices: int
    tokens_per_step: int
    time: Mapping[str, float] = field(default_factory=dict)

    @property
    def device_s_per_token(self) -> float:
        return self.step_s * self.devices / self.tokens_per_step

    @classmethod
    def of(cls, estimate: Estimate) -> Figures:
        return cls(
            step_s=estimate.step_s,
            devices=estimate.devices,
            tokens_per_step=estimate.tokens_per_step,
            time=asdict(estimate.time),
        )

    def seconds_as(self, other: Figures) -> dict[str, float]:
        """Seconds by cause of a step with the tokens and devices of another job, at the same device
        time per token."""
        share = (self.devices / self.tokens_per_step) / (other.devices / other.tokens_per_step)
        return {cause: spent * share for cause, spent in self.time.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """`every` holds for every plan; otherwise `plans` has the figures of each by its reference
    relative to the folder of the baseline file."""

    path: str
    planner_version: str
    every: Figures | None
    plans: Mapping[str, Figures]

    def figures_for(self, subject: Subject) -> Figures | None:
        if self.every is not None:
            return self.every
        return self.plans.get(baseline_key(subject, self.path))


def baseline_key(subject: Subject, path: str) -> str:
    """`plans/train.json#1`, relative to the folder of the baseline file."""
    relative = os.path.relpath(os.path.realpath(subject.path), Path(path).resolve().parent)
    return f"{Path(relative).as_posix()}#{subject.rank}"


def read_baseline(reference: str) -> Baseline:
    """The baseline in a file: figures of many plans, or one plan (`FILE#rank`) of a plan document.

    Raises: InputError."""
    path, rank = split_rank(reference)
    root = parse_file(path)
    version = root["planner_version"].text()
    schema = root["schema"].text((SCHEMA_ID, PLANS_ID))
    if schema == PLANS_ID:
        figures = _recorded(root, rank)
        return Baseline(path=str(path), planner_version=version, every=figures, plans={})
    plans = {entry["plan"].text(): _figures(entry) for entry in root["plans"].items()}
    return Baseline(path=str(path), planner_version=version, every=None, plans=plans)


def _recorded(root: Node, rank: int) -> Figures:
    plans = root["plans"].items()
    if rank > len(plans):
        root["plans"].fail(f"rank {rank} is asked for, but the document holds {len(plans)}")
    job, priced = root["inputs"]["job"], plans[rank - 1]["estimate"]
    tokens = job["global_batch_size"].count(at_least=1) * job["seq_length"].count(
        at_least=1, at_most=LONGEST_SEQUENCE
    )
    return Figures(
        step_s=_positive(priced["step_s"]),
        devices=job["devices"].count(at_least=1),
        tokens_per_step=tokens,
        time=_time(priced["time"]),
    )


def _figures(node: Node) -> Figures:
    node.only(("plan", "step_s", "devices", "tokens_per_step", "time"))
    time = node.get("time")
    return Figures(
        step_s=_positive(node["step_s"]),
        devices=node["devices"].count(at_least=1),
        tokens_per_step=node["tokens_per_step"].count(at_least=1, at_most=MOST_TOKENS),
        time={} if time is None else _time(time),
    )


def _time(node: Node) -> dict[str, float]:
    """Seconds by cause. Causes that a file does not have are zero."""
    causes = [one.name for one in fields(TimeBreakdown)]
    node.only(causes)
    found = {cause: node.get(cause) for cause in causes}
    return {
        cause: 0.0 if value is None else value.number(at_least=0.0)
        for cause, value in found.items()
    }


def _positive(node: Node) -> float:
    value = node.number(at_least=0.0)
    if value == 0:
        node.fail("a number above 0 is needed, found 0")
    return value


def baseline_document(path: str, estimates: Iterable[tuple[Subject, Estimate]]) -> dict[str, Any]:
    """The baseline that would pass now, for a file at `path`."""
    figures = {baseline_key(subject, path): Figures.of(cost) for subject, cost in estimates}
    return {
        "schema": SCHEMA_ID,
        "planner_version": __version__,
        "plans": [{"plan": plan, **asdict(figures[plan])} for plan in sorted(figures)],
    }


def baseline_findings(
    subject: Subject, estimate: Estimate, baseline: Baseline, *, at_most: float
) -> Iterator[Finding]:
    """Whether a token takes more than `at_most` more device time than in the baseline."""
    then, now = baseline.figures_for(subject), Figures.of(estimate)
    if then is None:
        known = plural(len(baseline.plans), "plan")
        yield subject.finding("PL402", (), f"{baseline.path} holds {known}, not this one")
        return
    more = now.device_s_per_token / then.device_s_per_token - 1
    if more <= at_most + ROUNDING:
        return
    yield subject.finding(
        "PL401",
        ("degrees",),
        f"takes {percent(more)} more device time per token than the baseline: {_job(now, then)} "
        f"now, {_job(then, now)} in {baseline.path} (planner {baseline.planner_version}); "
        f"{percent(at_most)} is allowed",
    )


def _job(one: Figures, other: Figures) -> str:
    """`18.61 s/step`, and on how many devices with how many tokens where that differs."""
    text = f"{seconds(one.step_s)}/step"
    if one.devices != other.devices:
        text += f" on {plural(one.devices, 'device')}"
    if one.tokens_per_step != other.tokens_per_step:
        text += f" of {plural(one.tokens_per_step, 'token')}"
    return text
