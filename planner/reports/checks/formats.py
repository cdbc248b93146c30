"""The output formats of `planner check` by name. Each loads what it needs when it is asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TextIO

from planner.wording.printable import log_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.checks.check import Checked

RICH = "rich"
LOG_WIDTH = 4096
"""Columns of reports for a file or the log of a pipeline, where nothing should be wrapped."""


def rendered(name: str, checked: Sequence[Checked], stream: TextIO) -> str:
    """The text of a format for a stream: what is for people has colours and the width of the
    terminal that the stream is."""
    if name != RICH:
        return RENDERERS[name](checked)
    from planner.reports.checks.text import check_report
    from planner.reports.console import make_console, render

    console = make_console(stream)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    return render(check_report(checked), console)


def _concise(checked: Sequence[Checked]) -> str:
    from planner.reports.checks.concise import concise

    return concise(checked)


def _document(checked: Sequence[Checked]) -> str:
    from planner.checks.document import check_document
    from planner.plan_document import to_text

    return to_text(check_document(checked))


def _annotations(checked: Sequence[Checked]) -> str:
    from planner.reports.checks.github import github_annotations

    return github_annotations(checked)


def _summary(checked: Sequence[Checked]) -> str:
    from planner.reports.checks.summary import summary

    return summary(checked)


def _code_quality(checked: Sequence[Checked]) -> str:
    from planner.reports.checks.gitlab import code_quality

    return _json(code_quality(checked))


def _junit(checked: Sequence[Checked]) -> str:
    from planner.reports.checks.junit import junit

    return junit(checked)


def _sarif(checked: Sequence[Checked]) -> str:
    from planner.reports.checks.sarif import sarif

    return _json(sarif(checked))


def _json(value: object) -> str:
    return log_json(json.dumps(value, indent=2)) + "\n"


RENDERERS: dict[str, Callable[[Sequence[Checked]], str]] = {
    "concise": _concise,
    "json": _document,
    "github": _annotations,
    "github-summary": _summary,
    "gitlab": _code_quality,
    "junit": _junit,
    "sarif": _sarif,
}
FORMATS = (RICH, *RENDERERS)
