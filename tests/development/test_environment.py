"""What the project is developed and tested with: the lock, the Pythons, the hooks."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from planner import __version__

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BUILD: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
LOCK = {
    canonicalize_name(name): locked
    for name, equals, locked in (
        line.partition("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    )
}


def test_the_lock_is_exact_versions_and_nothing_else() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)


def test_the_lock_satisfies_the_project() -> None:
    stated = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"], *BUILD]
    for requirement in map(Requirement, stated):
        locked = LOCK.get(canonicalize_name(requirement.name))
        assert locked is not None, f"{requirement.name} is not in constraints.txt; run make lock"
        assert requirement.specifier.contains(locked), (str(requirement), locked)


def test_the_lock_holds_everything_that_is_installed_with_the_project() -> None:
    """Were a package left out, its next release would be installed in the next environment."""
    installed = {name: _version(name) for name in LOCK}
    if any(found not in (None, LOCK[name]) for name, found in installed.items()):
        pytest.skip("this environment has other versions than the lock, as make test-newest asks")
    wanted = ["planner[dev]"]
    seen: set[str] = set()
    while wanted:
        asked = Requirement(wanted.pop())
        if str(asked) in seen:
            continue
        seen.add(str(asked))
        name = canonicalize_name(asked.name)
        assert name in LOCK or name == "planner", f"{name} is not in constraints.txt; run make lock"
        for text in requires(name) or ():
            requirement = Requirement(text)
            extras = asked.extras or {""}
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in extras
            ):
                wanted.append(text)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def test_the_pythons_that_are_declared_are_those_that_are_tried() -> None:
    declared = [
        match[1]
        for line in PROJECT["classifiers"]
        if (match := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line))
    ]
    assert f">={declared[0]}" == PROJECT["requires-python"]
    makefile = (ROOT / "Makefile").read_text()
    tried = re.search(r"^PYTHONS := (.*)$", makefile, re.MULTILINE)
    assert tried is not None
    assert {f"python{one}" for one in declared} <= set(tried[1].split())


def test_hooks_run_programs_of_the_environment() -> None:
    """Versions of their own would be a second lock."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [one["repo"] for one in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        assert hook["entry"].startswith(".venv/bin/")
        assert hook["language"] == "system"


def test_the_changelog_has_the_version_as_its_newest_release() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    released = [
        re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}", one) for one in headings[1:]
    ]
    versions = [one[1] for one in released if one is not None]
    assert len(versions) == len(headings) - 1
    assert versions[0] == __version__
    assert versions == sorted(versions, key=Version, reverse=True)
