"""For people: every finding with the line of the file that is wrong."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from planner.reports.checks.outcome import check_verdict, findings_of, tally
from planner.wording.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from planner.checks.check import Checked
    from planner.checks.finding import Finding, Region

STYLES = {"error": "bold red", "warning": "bold yellow", "ok": "bold green", "fail": "bold red"}
MARGIN = 2


def check_report(checked: Sequence[Checked]) -> RenderableType:
    """Every finding with the line it points at, what would mend it and where it comes from."""
    parts: list[RenderableType] = list(
        chain.from_iterable(_finding(one) for one in findings_of(checked))
    )
    parts += [_verdict(one) for one in checked]
    if len(checked) > 1 or findings_of(checked):
        parts.append(Text(tally(checked)))
    return Group(*parts)


def _verdict(one: Checked) -> RenderableType:
    word, _, rest = check_verdict(one).partition(":")
    return Text.assemble((word, STYLES[word]), printable(f":{rest}"))


def _finding(one: Finding) -> Iterator[RenderableType]:
    yield Text.assemble(
        printable(one.region.text),
        ": ",
        (f"{one.severity} {one.code}", STYLES[one.severity]),
        f" {one.rule.name}",
    )
    yield from _quoted(one.region)
    yield Padding(Text(printable(one.message)), (0, 0, 0, MARGIN))
    yield Padding(Text(printable(f"fix: {one.hint or one.rule.fix}")), (0, 0, 0, MARGIN))
    for related in one.related:
        said = printable(f"see {related.region.text}: {related.what}")
        yield Padding(Text(said), (0, 0, 0, MARGIN))
    yield Text()


def _quoted(region: Region) -> Iterator[RenderableType]:
    """The line of the file, cut to the width of the screen around the marked part."""
    line = _line(region)
    if line is None or region.column is None:
        return
    number = f"{region.line} | "
    room = 72 - len(number)
    start = max(0, region.column - 1 - room // 2) if len(line) > room else 0
    shown = line[start : start + room]
    marks = (region.end_column or region.column + 1) - region.column
    at = region.column - 1 - start
    if start + room < len(line):
        shown = shown[:-1] + "…"
    if start:
        shown = "…" + shown[1:]
    marked = printable(shown[at : at + marks])
    shown, at = printable(shown), len(printable(shown[:at]))
    caret = "^" * max(1, len(marked))
    yield Text(f"{' ' * MARGIN}{number}{shown}", no_wrap=True, overflow="crop")
    blank = " " * (MARGIN + len(number) - 2) + "| " + " " * at
    yield Text(f"{blank}{caret}", no_wrap=True, overflow="crop")


def _line(region: Region) -> str | None:
    if region.line is None:
        return None
    try:
        lines = Path(region.path).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return None
    if region.line > len(lines):
        return None
    return lines[region.line - 1].rstrip("\r").replace("\t", " ")
