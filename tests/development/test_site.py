"""The pages of the site: links hold there, and the reference has everything that the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from planner.checks.registry import rules
from planner.cli.commands import COMMANDS
from planner.specs.files.catalog import list_shipped
from tests.development.documents import ROOT
from tools.site import build
from tools.site.scatter import Point, scatter

POINTS = [
    Point(measured_s=1.0, predicted_s=1.1, label="one <run>"),
    Point(measured_s=40.0, predicted_s=20.0, label="other"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build, "measured_steps", lambda: POINTS)
        folder = tmp_path_factory.mktemp("site") / "docs"
        build.prepare(folder)
    return folder


def test_every_link_leads_to_a_page(site: Path) -> None:
    missing = []
    for page in site.rglob("*.md"):
        text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)", re.sub(r"`[^`\n]*`", "", text)):
            if "://" not in target and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(site)}: {target}")
    assert missing == []


def test_the_navigation_names_pages_that_exist(site: Path) -> None:
    named = set(re.findall(r"[\w./-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    assert named <= {str(page.relative_to(site)) for page in site.rglob("*.md")}
    assert yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["strict"] is True


def test_the_reference_has_what_the_code_has(site: Path) -> None:
    reference = {page.stem: page.read_text() for page in (site / "reference").iterdir()}
    for command in COMMANDS:
        assert f"\n## planner {command}" in reference["commands"]
    for code, rule in rules().items():
        assert f"\n## {code} {rule.name}\n" in reference["rules"]
    for device in list_shipped("device"):
        assert f"\n## {device}\n" in reference["devices"]
    assert "--global-batch-size N" in reference["commands"]
    assert "| **`node_groups[].devices_per_node`** |" in reference["keys"]
    assert "datasheet" in reference["devices"]


def test_the_scatter_has_a_point_for_every_run(site: Path) -> None:
    picture = scatter(POINTS)
    assert picture.count("<circle") == 2
    assert "<title>one &lt;run&gt;</title>" in picture
    places = [float(y) for y in re.findall(r'cy="([\d.]+)"', picture)]
    assert places[1] < places[0]
    assert "accuracy-scatter.svg" in (site / "accuracy.md").read_text()
    assert (site / "accuracy-scatter.svg").read_text() == picture
