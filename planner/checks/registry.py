"""The rules of `planner check`, from their registry file `rules.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from planner.errors import InputError
from planner.specs.files.spelling import did_you_mean
from planner.specs.files.yaml_file import load_document

if TYPE_CHECKING:
    from collections.abc import Mapping

Severity = Literal["error", "warning"]

REGISTRY = Path(__file__).with_name("rules.yaml")
PREFIX = "PL"
BAD_INPUT = "PL901"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRule:
    """`finds` is the name of the problem that the code reports
    (`planner.training.search.plans.problems`), `reads` the keys of the model or cluster file that
    it looks at, `needs` the option without which it is not evaluated. `estimated`: a plan that
    breaks it can be estimated."""

    code: str
    name: str
    severity: Severity
    summary: str
    why: str
    fix: str
    finds: str | None = None
    reads: tuple[str, ...] = ()
    needs: str | None = None
    estimated: bool = False


@cache
def rules() -> Mapping[str, CheckRule]:
    """All rules by code, in the order of their codes."""
    return {entry["code"]: CheckRule(**entry) for entry in load_document(REGISTRY).tree["rules"]}


@cache
def codes_of_problems() -> Mapping[str, str]:
    """Codes by the names of the problems they report."""
    return {rule.finds: rule.code for rule in rules().values() if rule.finds is not None}


def find_rule(code_or_name: str) -> CheckRule:
    """The rule of a code such as PL001, in any case, or of a name. Raises: InputError."""
    wanted = code_or_name.strip()
    for rule in rules().values():
        if wanted.upper() == rule.code or wanted.lower() == rule.name:
            return rule
    shown = wanted if len(wanted) <= 40 else f"{wanted[:40]}…"
    known = [*rules(), *(rule.name for rule in rules().values())]
    raise InputError(
        f"no rule is called {shown!r}; `planner rule` lists all", hint=did_you_mean(shown, known)
    )
