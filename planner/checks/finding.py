"""What a check finds: a rule's code, what is wrong, and where."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.checks.registry import rules

if TYPE_CHECKING:
    from planner.checks.registry import CheckRule, Severity
    from planner.specs.files.document import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of one line of a file. Lines and columns count characters from 1; `end_column` is
    that of the character after it. None: the whole file, the rest of the line."""

    path: str
    line: int | None = None
    column: int | None = None
    end_column: int | None = None

    @property
    def text(self) -> str:
        """`plans.json:12:5`."""
        places = (self.path, self.line, self.column)
        return ":".join(str(place) for place in places if place is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """Another place that a finding rests on, and what stands there."""

    region: Region
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`subject` names the plan as the user did, `field` is the part of it that is wrong. `hint` is
    what would do instead here; the rule's own `fix` holds everywhere."""

    code: str
    severity: Severity
    subject: str
    field: Location
    message: str
    region: Region
    hint: str | None = None
    related: tuple[Related, ...] = ()

    @property
    def rule(self) -> CheckRule:
        return rules()[self.code]

    @property
    def text(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    @property
    def fingerprint(self) -> str:
        """The same for the same finding on changed lines and with changed numbers."""
        parts = (self.code, self.subject, *map(str, self.field))
        return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def bad_input(subject: str, message: str, region: Region, hint: str | None = None) -> Finding:
    """The finding of a file that cannot be read."""
    return Finding(
        code="PL901",
        severity="error",
        subject=subject,
        field=(message, str(region.line), str(region.column)),
        message=message,
        region=region,
        hint=hint,
    )
