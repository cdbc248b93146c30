"""A folder of answers that outlives a sweep: what was answered once is not searched for again.

`points/DIGEST.json` is an answer, `plans/DIGEST.json` its plan document. The digest is that of all
inputs and of the version, so that a changed study keeps what did not change.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.files.writing import write_file
from planner.sweeps.answers import PointAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.sweeps.answers import Solved
    from planner.sweeps.points import Point

_OWN = ("on_front", "over_limits", "rivals")
"""What other points, or the study, say of an answer."""


@dataclass(frozen=True, slots=True)
class Store:
    """Answers below a folder."""

    folder: str

    def open(self) -> None:
        """Makes the folders. Raises: InputError when they cannot be."""
        try:
            for name in ("points", "plans"):
                (Path(self.folder) / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(f"--out: {self.folder!r} cannot be used: {reason}") from error

    def keep(self, solved: Solved) -> None:
        """The answer last: where it is, its plan is there too."""
        answer = solved.answer
        if answer.outcome == "dominated":
            return
        if solved.document is not None:
            write_file(str(self._path("plans", answer.digest)), solved.document, option="--out")
        said = {key: value for key, value in asdict(answer).items() if key not in _OWN}
        text = json.dumps(said, ensure_ascii=False, sort_keys=True) + "\n"
        write_file(str(self._path("points", answer.digest)), text, option="--out")

    def known(self, points: Iterable[Point]) -> dict[str, PointAnswer]:
        """The answers of points, by digest."""
        found = {}
        for point in points:
            answer = self._read(point)
            if answer is not None:
                found[point.digest] = answer
        return found

    def _read(self, point: Point) -> PointAnswer | None:
        """None for what is not there, or not whole."""
        try:
            said = json.loads(self._path("points", point.digest).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        names = {one.name for one in fields(PointAnswer)} - set(_OWN)
        if not isinstance(said, dict) or set(said) != names or said["digest"] != point.digest:
            return None
        answer = PointAnswer(**said)
        return replace(answer, number=point.number, axes=point.axes, rivals=point.rivals)

    def _path(self, part: str, digest: str) -> Path:
        return Path(self.folder) / part / f"{digest[:32]}.json"
