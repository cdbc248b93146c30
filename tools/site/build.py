"""The pages of the site in one folder, as mkdocs takes them: those of the repository, whose links
are bent to hold there, and those made from the code."""

from __future__ import annotations

import re
import shutil
from os.path import relpath
from pathlib import Path

from planner.specs.files.catalog import list_shipped, resolve
from planner.validation.validate import validate_files
from planner.wording.units import seconds
from tools.site.reference import ROOT, pages
from tools.site.scatter import Point, scatter

OUTSIDE = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "runs/README.md": "measured-runs.md",
}
"""Pages outside `docs/`, and what they are called on the site."""
SCATTER = "accuracy-scatter.svg"

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_TITLED = re.compile(r"^( *```[a-z]+) [^\n`]+$", re.MULTILINE)


def prepare(folder: Path) -> None:
    """Writes every page into the folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    sources = {path: str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    sources |= {ROOT / name: target for name, target in OUTSIDE.items()}
    for source, target in sources.items():
        text = bent(source.read_text(encoding="utf-8"), source, target, sources)
        _write(folder / target, text)
    for picture in ROOT.glob("docs/**/*.svg"):
        shutil.copy(picture, folder / picture.relative_to(ROOT / "docs"))
    for name, text in pages().items():
        _write(folder / "reference" / name, text)
    _write(folder / "not-modelled.md", not_modelled())
    _write(folder / SCATTER, scatter(measured_steps()))
    accuracy = folder / "accuracy.md"
    first, rest = accuracy.read_text(encoding="utf-8").split("\n\n", 1)
    picture_line = (
        f"![Predicted against measured step times]({SCATTER})\n\nA point is a measured run; the "
        "band is 20 % to either side. Opened by itself, [the picture]"
        f"({SCATTER}) names the run under the pointer."
    )
    _write(accuracy, f"{first}\n\n{picture_line}\n\n{rest}")


def bent(text: str, source: Path, target: str, sources: dict[Path, str]) -> str:
    """The text with its links as they are on the site; a link to a file that is no page becomes its
    name. Titles of code blocks, which mkdocs does not take, go."""

    def link(found: re.Match[str]) -> str:
        mark, words, path, anchor = found[1], found[2], found[3], found[4] or ""
        if not path or "://" in path or path.startswith("mailto:"):
            return found[0]
        file = (source.parent / path).resolve()
        if file in sources:
            there = relpath(sources[file], Path(target).parent)
            return f"{mark}[{words}]({there}{anchor})"
        if file.suffix == ".svg":
            return found[0]
        if file.is_dir() and file / "README.md" in sources:
            return f"{mark}[{words}]({relpath(sources[file / 'README.md'], Path(target).parent)})"
        return words

    pieces, end = [], 0
    for fence in _FENCE.finditer(text):
        pieces += [_LINK.sub(link, text[end : fence.start()]), _TITLED.sub(r"\1", fence[0])]
        end = fence.end()
    return "".join([*pieces, _LINK.sub(link, text[end:])])


def not_modelled() -> str:
    """The section of docs/model.md of that name as a page."""
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    section = text.partition("\n## Not modelled\n")[2].partition("\n## ")[0]
    return f"# What is not modelled\n{section.rstrip()}\n"


def measured_steps() -> list[Point]:
    """Every shipped run with a measured step time."""
    validation = validate_files([resolve("runs", name) for name in list_shipped("runs")])
    return [
        Point(
            measured_s=one.step.measured,
            predicted_s=one.step.predicted,
            label=f"{one.id}: measured {seconds(one.step.measured)}, predicted "
            f"{seconds(one.step.predicted)} ({one.step.error:+.1%})",
        )
        for one in validation.results
        if one.step is not None
    ]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
