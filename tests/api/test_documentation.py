"""The code of the documentation and the example script run as they are printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["api.md", "import.md"])
def test_code_runs_from_top_to_bottom(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert blocks
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.sh").write_text((ROOT / "tests/importers/data/gpt3_175b.sh").read_text())
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, name, "exec"), names)


@pytest.mark.parametrize(
    "name", ["README.md", *(f"docs/{one.name}" for one in (ROOT / "docs").glob("*.md"))]
)
def test_no_document_reaches_below_the_api(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    imported = re.findall(
        r"^(?:from|import) (planner[\w.]*) ?(?:import (.*))?$", text, re.MULTILINE
    )
    assert {one for one in imported if one != ("planner", "api")} == set()


def test_what_if_prints_a_table() -> None:
    script = [sys.executable, str(ROOT / "examples" / "what_if.py"), "dgx-a100-8", "gpt-1.7b"]
    run = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    title, _, _, *rows = run.stdout.splitlines()
    assert title.startswith("gpt-1.7b on dgx-a100-8; today: ")
    cells = [row.split() for row in rows]
    assert [one[:2] for one in cells] == [
        ["100.0%", "8"],
        ["50.0%", "8"],
        ["25.0%", "8"],
        ["100.0%", "6"],
        ["100.0%", "4"],
    ]
    slower = [float(one[2]) for one in cells[:3]]
    assert slower == sorted(slower)
    assert slower[0] < slower[2]
    best = [float(one[3]) for one in cells[:3]]
    assert all(now <= then for now, then in zip(best, slower, strict=True))
    fewer = [float(one[-4]) for one in (cells[0], *cells[3:])]
    assert fewer == sorted(fewer)
