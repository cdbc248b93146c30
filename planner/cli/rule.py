"""`planner rule`: what the rules of `planner check` mean."""

from typing import Annotated

import typer

from planner import api
from planner.cli.options import Json
from planner.cli.output import write_stdout


def rule(
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="A code or name. [default: all]", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Explain a rule of `planner check`, or list all of them."""
    from planner.checks.registry import find_rule, rules

    chosen = tuple(rules().values()) if code is None else (find_rule(code),)
    if json:
        from dataclasses import asdict

        write_stdout(api.to_text({"rules": [asdict(one) for one in chosen]}))
        return

    from planner.reports.console import show
    from planner.reports.rules import rule_report, rules_report

    show(rules_report(chosen) if code is None else rule_report(chosen[0]))
