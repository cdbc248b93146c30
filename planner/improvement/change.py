"""The texts of a script and the files it reads that say another plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.improvement.texts import ScriptTexts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.importers.megatron.command import Flag
    from planner.importers.megatron.flags import Flags
    from planner.improvement.texts import Edits
    from planner.improvement.wanted import Wanted

_ANCHORS = (
    "--pipeline-model-parallel-size",
    "--tensor-model-parallel-size",
    "--micro-batch-size",
    "--global-batch-size",
    "--num-layers",
)
"""Flags in front of which others may go, in this order."""


def changed_texts(
    texts: Mapping[str, str], flags: Flags, wanted: Wanted
) -> tuple[dict[str, str], list[str]]:
    """`texts` by path, the script first, with its flags changed: those that change, and what else
    may follow from that. Raises: InputError, with the place, where an edit would not be safe."""
    files = ScriptTexts.of(texts)
    edits: Edits = {}
    gone: list[Flag] = []
    new: dict[str, tuple[str, ...]] = {}
    for name, values in wanted.items():
        given = flags.all_of(name)
        if len(given) > 1:
            text = files.at(given[1].origin)
            raise text.refusal(given[1].origin, f"{name} is given a second time here")
        if not given:
            if values is not None:
                new[name] = values
        elif values is None:
            gone.append(given[0])
        else:
            for path, edit in files.replaced(given[0], values):
                edits.setdefault(path, []).append(edit)
    for path, edit in files.removed(gone):
        edits.setdefault(path, []).append(edit)
    if new:
        anchor = _anchor(files, flags, wanted)
        text = files.at(anchor.origin)
        edits.setdefault(text.path, []).append(text.inserted(anchor, new))
    return files.edited(edits), files.look_at(edits)


def _anchor(files: ScriptTexts, flags: Flags, wanted: Wanted) -> Flag:
    """A flag that stays and stands in one of the files. Raises: InputError without any."""
    staying = [
        flag
        for name in _ANCHORS
        if (flag := flags.find(name)) is not None and wanted.get(name, ()) is not None
    ]
    here = (flag for flag in staying if files.at(flag.origin).holds(flag))
    found = next(here, None)
    if found is None:
        raise files.at(flags.origin).refusal(
            flags.origin, "the flags of this command stand elsewhere"
        )
    return found
