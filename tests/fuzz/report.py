"""What a run of the fuzz found: a table of what ran, and a folder for every failure that holds its
files and a script with its commands."""

from __future__ import annotations

import re
import shlex
import shutil
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MOST_FOLDERS = 3
"""Reproductions kept of failures that are alike."""

_NUMBER = re.compile(r"[0-9][0-9.,e+-]*")
_QUOTED = re.compile(r"'[^']*'")


def kind_of(what: str, detail: str) -> str:
    """Failures that are alike have the same kind: their numbers and names left out."""
    line = detail.strip().splitlines()[0][:160] if detail.strip() else ""
    return f"{what}: {_NUMBER.sub('N', _QUOTED.sub('…', line))}"


@dataclass(slots=True)
class Report:
    """Counts of a run; `folder` receives the reproductions."""

    folder: Path
    ran: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def is_new(self, what: str, detail: str) -> bool:
        """Whether too few failures like it are kept."""
        return len(self.examples.get(kind_of(what, detail), ())) < MOST_FOLDERS

    def failed(
        self,
        name: str,
        what: str,
        detail: str,
        *,
        files: Path | None = None,
        commands: Iterable[Sequence[str]] = (),
        remark: bool = False,
    ) -> None:
        """Counts a failure, or a remark, and keeps its files and commands unless enough like it
        are kept."""
        kind = what if remark else kind_of(what, detail)
        (self.remarks if remark else self.failures)[kind] += 1
        kept = self.examples.setdefault(kind, [])
        if len(kept) >= MOST_FOLDERS:
            return
        kept.append(name)
        if files is None:
            return
        target = self.folder / name
        shutil.copytree(files, target, dirs_exist_ok=True)
        lines = [f"planner {shlex.join(arguments)}" for arguments in commands]
        (target / "run.sh").write_text("\n".join(["#!/bin/sh", 'cd "$(dirname "$0")"', *lines, ""]))
        with (target / "failure.txt").open("a") as file:
            file.write(f"{what}\n{detail}\n")

    def table(self) -> str:
        """The summary."""
        lines: list[str] = []
        for title, counts in (
            ("ran", self.ran),
            ("ended", self.codes),
            ("checked", self.checked),
            ("remarks", self.remarks),
            ("failed", self.failures),
        ):
            lines.append(f"{title}:" if counts else f"{title}: nothing")
            for name, number in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
                kept = self.examples.get(name, ()) if title in ("remarks", "failed") else ()
                where = f"   [{', '.join(kept)}]" if kept else ""
                lines.append(f"  {number:7,d}  {name}{where}")
        return "\n".join(lines)
