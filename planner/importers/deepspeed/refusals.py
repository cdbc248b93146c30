"""Settings that DeepSpeed refuses by themselves, from `refusals.yaml` in this folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from planner.errors import RuleError
from planner.specs.files.yaml_file import load_document
from planner.training.search.plans.problems import PlanProblem

FLAGS = "flags"
"""Name of the problem that settings exclude each other, or need each other."""
_AUTO = "auto"
_NONE_OF = "none of "


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The key `at` is at fault, for the reason that it `says`, where everything of `when` holds: a
    key is "on", "off", "above N" or "below N", has one of the values listed, or "none of" some."""

    at: str
    when: Mapping[str, str | Sequence[Any]]
    says: str

    def broken(self, tree: Mapping[str, Any], defaults: Mapping[str, Any]) -> bool:
        return all(
            _holds(wanted, _value(tree, key, defaults.get(key)))
            for key, wanted in self.when.items()
        )


def setting_problems(tree: Mapping[str, Any]) -> Iterator[PlanProblem]:
    """Every setting of a configuration at which DeepSpeed would stop."""
    rules, defaults = refusals()
    tree = {"bf16": tree.get("bfloat16"), **tree}
    for rule in rules:
        if rule.broken(tree, defaults):
            error = RuleError(FLAGS, f"{rule.at}: {rule.says}")
            yield PlanProblem(name=FLAGS, field=rule.at, error=error)


@cache
def refusals() -> tuple[tuple[Refusal, ...], Mapping[str, Any]]:
    tree = load_document(Path(__file__).with_name("refusals.yaml")).tree
    return tuple(Refusal(**entry) for entry in tree["rules"]), tree["defaults"]


def _value(tree: Any, key: str, default: object) -> Any:
    """The value at a path of keys; the default where it is left out or "auto"."""
    value = tree
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return default if value is None or value == _AUTO else value


def _holds(wanted: str | Sequence[Any], value: object) -> bool:
    if not isinstance(wanted, str):
        return _plain(value) in wanted
    if wanted.startswith(_NONE_OF):
        return _plain(value) not in wanted.removeprefix(_NONE_OF).split()
    if wanted in ("on", "off"):
        return bool(value) == (wanted == "on")
    word, _, limit = wanted.partition(" ")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value > float(limit) if word == "above" else value < float(limit)


def _plain(value: object) -> object:
    return value.lower() if isinstance(value, str) else value
