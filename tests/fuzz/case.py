"""A scenario in a folder of its own, the commands that were run on it, and what did not hold."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import chdir
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from planner.errors import LONGEST_LINE
from tests.fuzz.contracts import broken_contracts
from tests.fuzz.program import Ran, call

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.fuzz.scenario import Scenario

CPU_S = 40.0
"""Processor time of one command, after which it counts as hanging."""

_MESSAGE = re.compile(r"^(note|error): |^[a-z ]+, [0-9]+( of [0-9]+)? s: ")


def are_messages(stderr: str) -> bool:
    """Whether every line is a note, an error or a search's progress, in characters that show, and
    none is too long."""
    return all(
        _MESSAGE.match(line) and line.isprintable() and len(line) <= LONGEST_LINE
        for line in stderr.splitlines()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`property` names what does not hold, `detail` says what was seen."""

    property: str
    detail: str


@dataclass(slots=True)
class Case:
    """A scenario in a folder of its own: the commands that were run there, what they ended with,
    and what did not hold."""

    scenario: Scenario
    folder: Path
    rng: Random
    commands: list[tuple[str, ...]] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    remarks: list[Failure] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)

    def run(self, *arguments: str, cpu_s: float = CPU_S) -> Ran:
        """Runs a command and checks what holds of all: no error of its own, one document on
        stdout, messages on stderr."""
        with chdir(self.folder):
            ran = call(arguments, cpu_s=cpu_s)
        self.commands.append(tuple(arguments))
        outcome = "raised" if ran.code is None else f"exit {ran.code}"
        self.codes[f"{arguments[0]}: {outcome}"] += 1
        if ran.raised:
            kind = "hang" if ran.raised.startswith("took more") else "internal error"
            self.fail(kind, ran.raised)
        elif ran.code not in (0, 1, 2):
            self.fail("exit code", f"{ran.code}")
        if not are_messages(ran.stderr):
            self.fail("stderr", ran.stderr[:500])
        if ran.code == 2 and ran.stdout:
            self.fail("stdout", f"an error, and on stdout: {ran.stdout[:200]}")
        return ran

    def fail(self, what: str, detail: str) -> None:
        self.failures.append(Failure(property=what, detail=detail))

    def holds(self, what: str, ok: bool, detail: str) -> None:
        """Counts a check, and what does not hold."""
        self.checked[what] += 1
        if not ok:
            self.fail(what, detail)

    def seen(self, what: str, ok: bool, detail: str) -> None:
        """Counts what would be better to hold, and remarks where it does not."""
        self.checked[what] += 1
        if not ok:
            self.remarks.append(Failure(property=what, detail=detail))

    def document(self, ran: Ran) -> Any:
        """The plan document that a command printed; None where it printed none or a broken one."""
        if ran.code not in (0, 1):
            return None
        self.checked["contracts"] += 1
        broken = list(broken_contracts(ran.stdout))
        if broken:
            self.fail("contracts", "; ".join(broken[:3]))
        if broken and broken[0].startswith(("stdout", "schema")):
            return None
        return json.loads(ran.stdout)
