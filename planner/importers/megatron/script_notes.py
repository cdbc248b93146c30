"""Notes on a launch script: what was read, what was assumed and what was left out."""

from __future__ import annotations

from planner.importers.megatron.command import Command, is_launcher_flag, unread_flags
from planner.importers.megatron.flags import Flags
from planner.importers.megatron.launch import Launch
from planner.importers.megatron.programs import own_layers
from planner.importers.megatron.table import KNOWN
from planner.importers.megatron.unread import NOT_MODELLED, is_harmless
from planner.importers.notes import MOST_LISTED, Notes, listed
from planner.importers.shell.ran import Followed
from planner.specs.files.spelling import did_you_mean
from planner.wording.units import plural

FEW = 4
"""Most flags without effect that are spelled out."""


def describe(
    launch: Launch, command: Command, flags: Flags, followed: Followed, where: str
) -> None:
    """Notes on what was read, assumed and left out."""
    notes = launch.notes
    read = [flag.name for flag in command.flags if flag.name in KNOWN]
    notes.read.append(
        f"the training command on line {command.origin.line}"
        f"{f' ({command.script})' if command.script else ''}: {len(read)} flags that count"
    )
    if launch.devices is not None:
        notes.read.append(f"{plural(launch.devices, 'device')} from {where}")
    if launch.other_work is not None:
        notes.read.append(f"sizes only: {launch.other_work}")
    program = own_layers(command)
    if program is not None and launch.other_work is None:
        notes.assumed.append(f"layers as the flags describe them; {program} may build others")
    if command.condition:
        notes.assumed.append(f"the command runs; it {command.condition}")
    if followed.environment:
        notes.assumed.append(
            f"variables the file leaves to the environment are not set: "
            f"{listed([_called(name) for name in followed.environment])}"
        )
    for name in flags.repeated():
        notes.assumed.append(f"{name} is given several times; the last counts")
    for unread in followed.unread:
        notes.left_out.append(unread)
    for word in command.uncertain:
        shown = f" ({' '.join(word.maybe.split())[:60]})" if word.maybe.strip() else ""
        notes.left_out.append(f"words on line {word.origin.line} whose text {word.problem}{shown}")
    if command.stray:
        notes.left_out.append(
            f"words that belong to no flag: {listed([word.text[:40] for word in command.stray])}"
        )
    _describe_unread(command, notes)


def _called(name: str) -> str:
    """A variable or an argument of the script in words."""
    if name == "#":
        return "arguments"
    return f"argument {name}" if name.isdigit() else name


def _describe_unread(command: Command, notes: Notes) -> None:
    """Flags that the importer does not read, sorted by what that means."""
    unmodelled, harmless = [], []
    unknown: dict[tuple[str, int | None], str] = {}
    for flag in unread_flags(command):
        if is_launcher_flag(flag.name):
            continue
        if flag.name in NOT_MODELLED:
            unmodelled.append(flag.name)
        elif is_harmless(flag.name):
            harmless.append(flag.name)
        elif (flag.name, flag.origin.line) not in unknown:
            near = did_you_mean(flag.name, KNOWN) if len(unknown) < MOST_LISTED else None
            text = f"{flag.name} on line {flag.origin.line}{f' ({near})' if near else ''}"
            unknown[flag.name, flag.origin.line] = text
    for names, meaning, most in (
        (unmodelled, "may change memory or time, and a plan has no field for them", MOST_LISTED),
        (list(unknown.values()), "are not known here", MOST_LISTED),
        (harmless, "change neither the model nor memory or time", FEW),
    ):
        if names:
            shown = listed(list(dict.fromkeys(names)), most=most)
            notes.left_out.append(f"flags that {meaning}: {shown}")
