"""A launch script with the files that it reads, and edits in all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.improvement.script_text import ScriptText

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from planner.importers.megatron.command import Flag
    from planner.importers.shell.text import Origin
    from planner.improvement.script_text import Edit

    Edits = dict[str, list[Edit]]
    """By the file that they are of."""


@dataclass(frozen=True, slots=True)
class ScriptTexts:
    """`files`: by what places call them, the script first."""

    files: Mapping[str, ScriptText]

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> ScriptTexts:
        return cls({path: ScriptText(path, text) for path, text in texts.items()})

    def at(self, origin: Origin) -> ScriptText:
        """The file of a place. A place in none of them is refused where it is looked up."""
        return self.files.get(origin.path) or next(iter(self.files.values()))

    def replaced(self, flag: Flag, values: tuple[str, ...]) -> Iterator[tuple[str, Edit]]:
        """A flag with other values. Raises: InputError where they do not stand in a file."""
        if len(flag.values) != len(values):
            text = self.at(flag.origin)
            yield text.path, text.rewritten(flag, values)
            return
        for word, value in zip(flag.values, values, strict=True):
            if word.text != value:
                text = self.at(word.origin)
                yield text.path, text.with_value(flag, word, value)

    def removed(self, flags: Sequence[Flag]) -> Iterator[tuple[str, Edit]]:
        """Without these flags. Raises: InputError where one does not stand in a file."""
        for text in dict.fromkeys(self.at(flag.origin) for flag in flags):
            here = [flag for flag in flags if self.at(flag.origin) is text]
            for edit in text.removed(here):
                yield text.path, edit

    def edited(self, edits: Edits) -> dict[str, str]:
        """The files that change, the script first. Raises: InputError where two edits are of the
        same characters."""
        return {
            path: text.edited(edits[path]) for path, text in self.files.items() if edits.get(path)
        }

    def look_at(self, edits: Edits) -> list[str]:
        """What else may follow: variables that decide more than a flag, and files that other
        scripts may read too."""
        script = next(iter(self.files))
        said = []
        for path, some in edits.items():
            for name, line in self.files[path].assigned(some):
                where = [
                    _lines(lines, "" if other == script else f" of {other}")
                    for other, text in self.files.items()
                    if (lines := text.uses(name, leaving_out=line if other == path else None))
                ]
                if where:
                    said.append(f"{name} changes and is also used on {' and '.join(where)}")
        others = [path for path in self.files if path in edits and path != script]
        return said + [f"{path} changes for every script that reads it" for path in others]


def _lines(numbers: Sequence[int], of: str) -> str:
    noun = "line" if len(numbers) == 1 else "lines"
    return f"{noun} {', '.join(map(str, numbers))}{of}"
