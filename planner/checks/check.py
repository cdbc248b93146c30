"""One plan against all rules that were asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from planner.budget import Budget, Stopped
from planner.checks.baseline import baseline_findings
from planner.checks.finding import Region, bad_input
from planner.checks.heads import head_findings
from planner.checks.inputs import doubt_findings, problem_findings, stale_findings
from planner.checks.memory import memory_findings
from planner.checks.places import shown_path
from planner.checks.registry import rules
from planner.checks.selection import every_rule
from planner.checks.speed import (
    distance_findings,
    full_precision_findings,
    imbalance_findings,
    slow_link_findings,
)
from planner.errors import InputError
from planner.plan_document.nodes import split_rank
from planner.specs import ranges
from planner.training.estimate import estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from planner.checks.baseline import Baseline, Figures
    from planner.checks.finding import Finding
    from planner.checks.selection import RuleSelection
    from planner.checks.served import ServedSubject
    from planner.checks.subject import Subject
    from planner.plan import Estimate, RankedPlan
    from planner.training.scenario import Scenario
    from planner.training.search.search import Progress

MAX_IMBALANCE = 0.15
MAX_REGRESSION = 0.05
OF_AN_ESTIMATE = "034"
"""First digits of the codes whose rules look at the estimate."""

OF_SERVING = "PL5"
"""First characters of the codes whose rules are about serving plans alone."""
NOT_SELECTED = "not selected"
INVALID = "the plan cannot run, so it was not estimated"
OUT_OF_TIME = "the time limit ended the search before any plan was priced"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLimits:
    """What is allowed, as shares (0.1 is 10 %). Without `within_of_best` no search is run; `strict`
    makes errors of warnings; `time_limit_s` is of the search."""

    selection: RuleSelection = field(default_factory=every_rule)
    within_of_best: float | None = None
    max_imbalance: float = MAX_IMBALANCE
    baseline: Baseline | None = None
    max_regression: float = MAX_REGRESSION
    strict: bool = False
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        """Raises: InputError for a limit that is no share, or no time."""
        for name in ("within_of_best", "max_imbalance", "max_regression"):
            ranges.share(ranges.option_name(name), getattr(self, name), below=ranges.WIDEST_SHARE)
        ranges.duration_s("--time-limit", self.time_limit_s)

    def also(self, codes: Iterable[str]) -> CheckLimits:
        """The same with more codes selected."""
        return replace(
            self, selection=replace(self.selection, codes=self.selection.codes | {*codes})
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The result for one plan. `subject` is None for a file that cannot be read and for a serving
    plan, which is `served`, `estimate` for a
    plan that cannot run, `best` without a search, `before` where no baseline has the plan.
    `not_evaluated` has the codes that said nothing,
    and why."""

    reference: str
    path: str
    findings: tuple[Finding, ...]
    subject: Subject | None = field(default=None, repr=False)
    served: ServedSubject | None = field(default=None, repr=False)
    estimate: Estimate | None = None
    best: RankedPlan | None = None
    before: Figures | None = None
    proven: bool = True
    not_evaluated: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.readable and not any(one.severity == "error" for one in self.findings)

    @property
    def readable(self) -> bool:
        return self.subject is not None or self.served is not None

    @property
    def made_for(self) -> tuple[str, str] | None:
        """The names of the cluster and the model that the plan is checked against."""
        if self.served is not None:
            return self.served.cluster, self.served.model
        if self.subject is None:
            return None
        return self.subject.scenario.cluster.name, self.subject.scenario.model.name

    @property
    def slower_than_best(self) -> float | None:
        """Step time over that of the best plan, minus 1."""
        if self.estimate is None or self.best is None:
            return None
        return self.estimate.step_s / self.best.estimate.step_s - 1


def check_subject(
    subject: Subject, limits: CheckLimits, *, progress: Callable[[Progress], None] | None = None
) -> Checked:
    """Evaluates every selected rule on a plan. What keeps a plan from being estimated is found
    whether it is selected or not, when a selected rule needs the estimate. Raises:
    KeyboardInterrupt when a search is interrupted."""
    invalid = tuple(problem_findings(subject))
    findings = [*invalid, *stale_findings(subject), *doubt_findings(subject)]
    checked = Checked(reference=subject.reference, path=subject.path, subject=subject, findings=())
    silent = _not_asked(limits)
    blocking = [one for one in invalid if one.code in limits.selection or not one.rule.estimated]
    if blocking:
        unpriced = {code: INVALID for code in rules() if code[2] in OF_AN_ESTIMATE}
        wanted = any(code not in silent for code in unpriced)
        limits = limits.also(one.code for one in blocking if wanted)
        return replace(
            checked, findings=_counted(findings, limits), not_evaluated={**unpriced, **silent}
        )
    cost = estimate(subject.scenario, subject.plan)
    checked = replace(checked, estimate=cost)
    findings += memory_findings(subject, cost)
    findings += imbalance_findings(subject, cost, at_most=limits.max_imbalance)
    findings += slow_link_findings(subject, cost)
    findings += full_precision_findings(subject, cost)
    findings += head_findings(subject)
    if limits.baseline is not None:
        findings += baseline_findings(subject, cost, limits.baseline, at_most=limits.max_regression)
        checked = replace(checked, before=limits.baseline.figures_for(subject))
    if limits.within_of_best is not None and "PL301" in limits.selection:
        if cost.memory.fits:
            checked = _with_best(checked, limits, subject.scenario, progress)
            if checked.best is None:
                silent["PL301"] = OUT_OF_TIME
        else:
            silent["PL301"] = "the plan does not fit, so no better one was looked for"
        if checked.best is not None:
            findings += distance_findings(subject, cost, checked.best, within=limits.within_of_best)
    return replace(checked, findings=_counted(findings, limits), not_evaluated=silent)


SERVED = ("PL201", "PL210", "PL5", "PL9")
"""Beginnings of the codes that are for serving plans."""


def served_check(
    served: ServedSubject, path: str, findings: Iterable[Finding], limits: CheckLimits
) -> Checked:
    """The result for a serving plan. What keeps it from running is found whether it is selected or
    not."""
    found = tuple(findings)
    blocking = () if served.offer else (one.code for one in found if one.code != "PL210")
    ours = (code for code in rules() if code.startswith(SERVED))
    return Checked(
        reference=served.reference,
        path=path,
        served=served,
        findings=_counted(found, limits.also(blocking)),
        not_evaluated={code: NOT_SELECTED for code in ours if code not in limits.selection},
    )


def _with_best(
    checked: Checked,
    limits: CheckLimits,
    scenario: Scenario,
    progress: Callable[[Progress], None] | None,
) -> Checked:
    budget = Budget.lasting(limits.time_limit_s)
    from planner.training.search.search import search

    found = search(scenario, top=1, budget=budget, progress=progress)
    if found.stopped is Stopped.INTERRUPTED:
        raise KeyboardInterrupt
    best = found.plans[0] if found.plans else None
    return replace(checked, best=best, proven=found.proven)


def _not_asked(limits: CheckLimits) -> dict[str, str]:
    """Codes that were not evaluated, and the option that would evaluate them."""
    given = {
        "--within-of-best": limits.within_of_best is not None,
        "--baseline": limits.baseline is not None,
    }
    silent = {
        code: f"{rule.needs} is not given"
        for code, rule in rules().items()
        if rule.needs is not None and not given[rule.needs]
    }
    ours = (code for code in rules() if not code.startswith(OF_SERVING))
    left_out = (code for code in ours if code not in limits.selection)
    return silent | dict.fromkeys(left_out, NOT_SELECTED)


def _counted(findings: Iterable[Finding], limits: CheckLimits) -> tuple[Finding, ...]:
    """Findings of selected rules, in the order of the file."""
    chosen = [one for one in findings if one.code in limits.selection]
    if limits.strict:
        chosen = [replace(one, severity="error") for one in chosen]
    return tuple(
        sorted(chosen, key=lambda one: (one.region.line or 0, one.region.column or 0, one.code))
    )


def unreadable(reference: str, error: InputError) -> Checked:
    """The result for a plan whose file, cluster or model cannot be read."""
    try:
        path = str(split_rank(reference)[0])
    except InputError:
        path = reference
    findings = tuple(
        bad_input(
            reference,
            one.message,
            Region(
                path=shown_path(one.path or path),
                line=one.line,
                column=one.column,
            ),
            one.hint,
        )
        for one in error.problems
    )
    return Checked(reference=reference, path=path, findings=findings)
