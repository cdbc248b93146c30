"""Which rules count: `--select` and `--ignore`, as users of linters write them."""

from __future__ import annotations

from dataclasses import dataclass

from planner.checks.registry import BAD_INPUT, PREFIX, rules
from planner.errors import InputError
from planner.specs.files.spelling import did_you_mean

ALL = "ALL"


@dataclass(frozen=True, slots=True)
class RuleSelection:
    """The codes that are evaluated; `named` are those that `--select` gives in full."""

    codes: frozenset[str]
    named: frozenset[str] = frozenset()

    def __contains__(self, code: str) -> bool:
        return code in self.codes


def parse_selection(select: str | None, ignore: str | None) -> RuleSelection:
    """Codes, prefixes of codes (PL1), names or ALL, separated by commas. As in other linters the
    longer prefix wins: `--select PL1 --ignore PL113` leaves one out, `--ignore PL1 --select PL113`
    leaves one in. Without `select` everything is. Raises: InputError."""
    chosen = _parse("--select", ALL if select is None else select)
    dropped = _parse("--ignore", ignore) if ignore is not None else {}
    if dropped.get(BAD_INPUT, 0) > len(PREFIX):
        raise InputError(f"--ignore: {BAD_INPUT} cannot be ignored")
    kept = {code for code, length in chosen.items() if length > dropped.get(code, -1)}
    named = (code for code, length in chosen.items() if length == len(code))
    return RuleSelection(frozenset(kept | {BAD_INPUT}), frozenset(named))


def every_rule() -> RuleSelection:
    """What is evaluated when nothing is selected."""
    return parse_selection(None, None)


def _parse(option: str, text: str) -> dict[str, int]:
    """Codes named by a comma list, each with the length of the longest entry that names it."""
    named: dict[str, int] = {}
    for part in (part.strip() for part in text.split(",")):
        for code, length in _named(option, part).items():
            named[code] = max(length, named.get(code, -1))
    return named


def _named(option: str, part: str) -> dict[str, int]:
    upper = part.upper()
    if upper == ALL:
        return dict.fromkeys(rules(), 0)
    for rule in rules().values():
        if part.lower() == rule.name:
            return {rule.code: len(rule.code)}
    if upper.startswith(PREFIX):
        found = [code for code in rules() if code.startswith(upper)]
        if found:
            return dict.fromkeys(found, len(upper))
    known = [*rules(), *(rule.name for rule in rules().values())]
    shown = part if len(part) <= 40 else f"{part[:40]}…"
    raise InputError(
        f"{option}: {shown!r} is no rule, no beginning of a code and not {ALL}; "
        "`planner rule` lists all",
        hint=did_you_mean(shown, known),
    )
