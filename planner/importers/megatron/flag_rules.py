"""Rules about flags alone, from `refusals.yaml` in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from planner.specs.files.yaml_file import load_document

if TYPE_CHECKING:
    from planner.importers.megatron.flags import Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagRule:
    """If `flag` is given (with one of `values` among its values, if there are any) and all of
    `where` are, one flag of each entry of `needs` must also be given, and none of `excludes`. All
    three may name a value: --flag=x."""

    flag: str
    values: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    needs: tuple[tuple[str, ...], ...] = ()
    excludes: tuple[str, ...] = ()

    def broken(self, flags: Flags) -> Iterator[tuple[str, str]]:
        """The flag at fault, and what is wrong with it."""
        if not flags.given(self.flag) or not all(_holds(flags, one) for one in self.where):
            return
        met = [value for value in self.values if value in (flags.words(self.flag) or ())]
        if self.values and not met:
            return
        shown = f"{met[0]} " if met else ""
        for alternatives in self.needs:
            if not any(_holds(flags, one) for one in alternatives):
                yield self.flag, f"{shown}needs {' or '.join(alternatives)}"
        for other in self.excludes:
            if _holds(flags, other):
                yield (
                    other.partition("=")[0],
                    f"{self.flag} is given too, and they exclude each other",
                )


def _holds(flags: Flags, wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return flags.given(name) and (not equals or value in (flags.words(name) or ()))


@cache
def flag_rules() -> tuple[FlagRule, ...]:
    tree = load_document(Path(__file__).with_name("refusals.yaml")).tree
    return tuple(FlagRule(**entry) for entry in tree["rules"])
