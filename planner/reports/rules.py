"""The rules of `planner check`: one explained, or all in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from planner.reports.layout import numbers_table, paragraph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from planner.checks.registry import CheckRule


OF_THE_FRAMEWORK = "PL1"


def rules_report(rules: Sequence[CheckRule]) -> RenderableType:
    """Code, name, severity and summary of each."""
    table = numbers_table(3)
    table.add_column("code", no_wrap=True)
    table.add_column("severity", no_wrap=True)
    table.add_column("what is wrong")
    for rule in rules:
        table.add_row(rule.code, rule.severity, f"{rule.name}: {_lower(rule.summary)}")
    return table


def rule_report(rule: CheckRule) -> RenderableType:
    """What a rule finds, why it matters and what to do."""
    parts: list[RenderableType] = [
        Text(f"{rule.code} {rule.name} ({rule.severity})", style="bold"),
        Text(),
        paragraph(rule.summary),
        Text(),
        paragraph(f"Why: {rule.why}"),
        Text(),
        paragraph(f"How to fix: {rule.fix}"),
    ]
    if rule.finds is not None and rule.code.startswith(OF_THE_FRAMEWORK):
        said = f"Messages of other commands call it {rule.finds}."
        parts += [Text(), paragraph(said)]
    if rule.estimated:
        said = "A plan that breaks this rule is estimated all the same where the rule is left out."
        parts += [Text(), paragraph(said)]
    if rule.needs is not None:
        parts += [Text(), paragraph(f"Evaluated only with {rule.needs}.")]
    return Group(*parts)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
