"""One line for each finding, as compilers write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.reports.checks.outcome import check_verdict, findings_of, tally
from planner.wording.printable import log_line, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.checks.check import Checked


def concise(checked: Sequence[Checked]) -> str:
    """`plans.json:57:5: PL001 error: does not fit: …`, then a verdict for each plan."""
    lines = [
        f"{one.region.text}: {one.code} {one.severity}: {one.text}" for one in findings_of(checked)
    ]
    lines += map(check_verdict, checked)
    if len(checked) > 1:
        lines.append(tally(checked))
    return "".join(f"{log_line(printable(line))}\n" for line in lines)
