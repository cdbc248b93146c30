from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import planner
from planner.errors import InputError
from planner.specs import load
from planner.specs.files import catalog
from planner.specs.files.catalog import list_shipped, resolve
from planner.specs.library import load_library
from planner.specs.runs.build import load_runs

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(planner.__file__).parent.parent


def test_every_kind_ships_something() -> None:
    kinds: tuple[catalog.Kind, ...] = ("cluster", "model", "device", "library", "software")
    for kind in kinds:
        names = list_shipped(kind)
        assert list(names) == sorted(names)
        assert names


def test_devices_are_not_clusters() -> None:
    assert "devices" not in list_shipped("cluster")
    assert not set(list_shipped("device")) & set(list_shipped("cluster"))


def test_a_shipped_name_works_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    path = resolve("cluster", "dgx-a100-8")

    assert path.is_file()
    assert path.name == "dgx-a100-8.yaml"
    assert load.load_model("gpt-1.7b").name == "gpt-1.7b"


def test_every_shipped_file_loads() -> None:
    loaders: dict[catalog.Kind, Callable[[str], Any]] = {
        "cluster": load.load_cluster,
        "model": load.load_model,
        "device": load.load_device,
        "library": load_library,
        "software": load.load_software,
    }
    for kind, loader in loaders.items():
        for name in list_shipped(kind):
            assert loader(name).name == name


def test_every_shipped_run_loads() -> None:
    for name in list_shipped("runs"):
        file = load_runs(resolve("runs", name))
        assert file.runs
        assert file.errors == ()


@pytest.mark.parametrize("text", ["mine.yaml", "./mine", "a/b", "MINE.YML"])
def test_paths_are_taken_as_they_are(text: str) -> None:
    assert resolve("cluster", text) == Path(text)
    assert resolve("cluster", Path("plain")) == Path("plain")


def test_an_existing_file_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dgx-a100-8").write_text("x", encoding="utf-8")

    assert resolve("cluster", "dgx-a100-8") == Path("dgx-a100-8")


def test_unknown_name_says_what_is_near() -> None:
    with pytest.raises(InputError) as caught:
        resolve("model", "gpt-175b")

    assert str(caught.value).startswith(
        "no model file is shipped as 'gpt-175b'; `planner list` shows all, a path works too; "
        "did you mean gp"
    )


@pytest.mark.parametrize("name", ["", "..", "a\0b", "x" * 100_000])
def test_names_that_nothing_has(name: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve("model", name)

    assert len(str(caught.value)) < 300


def test_installed_files_are_found_inside_the_package(tmp_path: Path) -> None:
    """The layout of a wheel: data under planner/shipped, nothing beside the package."""
    shutil.copytree(
        REPOSITORY / "planner", tmp_path / "planner", ignore=shutil.ignore_patterns("__pycache__")
    )
    build = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = build["tool"]["hatch"]["build"]["targets"]["wheel"]
    for folder, place in wheel["force-include"].items():
        shutil.copytree(REPOSITORY / folder, tmp_path / place)
    program = (
        "from planner.specs import load\n"
        "from planner.specs.files import catalog\n"
        "print(catalog.resolve('device', 'a100-sxm-80gb'))\n"
        "print(load.load_cluster('dgx-a100-8').num_devices)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    shipped = tmp_path / "planner" / "shipped" / "clusters" / "devices" / "a100-sxm-80gb.yaml"
    assert done.stdout == f"{shipped}\n64\n"


def test_references_are_relative_to_the_file_that_makes_them() -> None:
    assert catalog.refer("model", "a/b.yaml", Path("/x")) == Path("/x/a/b.yaml")
    assert catalog.refer("model", "gpt-1.7b", Path("/x")) == resolve("model", "gpt-1.7b")
    with pytest.raises(ValueError, match="no model file is shipped as 'nothing-like-it'"):
        catalog.refer("model", "nothing-like-it", Path("/x"))
