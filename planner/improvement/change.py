"""The text of a script that says another plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.improvement.script_text import ScriptText

if TYPE_CHECKING:
    from planner.importers.megatron.command import Flag
    from planner.importers.megatron.flags import Flags
    from planner.importers.source import Source
    from planner.improvement.script_text import Edit
    from planner.improvement.wanted import Wanted

_ANCHORS = (
    "--pipeline-model-parallel-size",
    "--tensor-model-parallel-size",
    "--micro-batch-size",
    "--global-batch-size",
    "--num-layers",
)
"""Flags in front of which others may go, in this order."""


def changed_text(source: Source, flags: Flags, wanted: Wanted) -> tuple[str, list[str]]:
    """The script with its flags changed, and what else may follow from that. Raises: InputError,
    with the place, where an edit would not be safe."""
    script = ScriptText(source.path, source.text)
    edits: list[Edit] = []
    gone: list[Flag] = []
    new: dict[str, tuple[str, ...]] = {}
    for name, values in wanted.items():
        given = flags.all_of(name)
        if len(given) > 1:
            raise script.refusal(given[1].origin, f"{name} is given a second time here")
        if not given:
            if values is not None:
                new[name] = values
        elif values is None:
            gone.append(given[0])
        else:
            edits += script.replaced(given[0], values)
    edits += script.removed(gone)
    if new:
        edits.append(script.inserted(_anchor(script, flags, wanted), new))
    return script.edited(edits), script.also_used(edits)


def _anchor(script: ScriptText, flags: Flags, wanted: Wanted) -> Flag:
    """A flag that stays and stands in the script. Raises: InputError without any."""
    staying = [
        flag
        for name in _ANCHORS
        if (flag := flags.find(name)) is not None and wanted.get(name, ()) is not None
    ]
    here = (flag for flag in staying if script.holds(flag))
    found = next(here, None)
    if found is None:
        raise script.refusal(flags.origin, "the flags of this command stand elsewhere")
    return found
