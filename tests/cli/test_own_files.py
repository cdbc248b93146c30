"""A plan made for files of the user's own is exported and checked without naming them again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from planner.specs.files.catalog import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

FILES = {"cluster": "dgx-h100-16", "model": "llama-3-8b", "software": "megatron-core"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose files have names of their own; the shell stands in it."""
    folder = tmp_path / "project"
    (folder / "specs").mkdir(parents=True)
    for kind, name in FILES.items():
        text = resolve(kind, name).read_text()  # type: ignore[arg-type]
        ours = text.replace(f"name: {name}\n", f"name: our-{kind}\n")
        (folder / "specs" / f"our-{kind}.yaml").write_text(ours)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def plan(planner: Run, project: Path) -> Path:
    """`plans/plan.json`, written from the project's folder."""
    options = [part for kind in FILES for part in (f"--{kind}", f"specs/our-{kind}.yaml")]
    written = planner("estimate", *options, "--nodes", "2", "--tensor", "8", "--json")
    assert written.code == 0, written.stderr
    path = project / "plans" / "plan.json"
    path.parent.mkdir()
    path.write_text(written.stdout)
    return path


def test_the_document_records_the_paths_as_given(planner: Run, plan: Path) -> None:
    document = json.loads(plan.read_text())
    inputs = document["inputs"]
    assert inputs["cluster"]["path"] == "specs/our-cluster.yaml"
    assert inputs["model"]["path"] == "specs/our-model.yaml"
    assert inputs["job"]["software_path"] == "specs/our-software.yaml"
    schema = json.loads(planner("schema", "plan").stdout)
    jsonschema.Draft202012Validator(schema).validate(document)


def test_shipped_files_have_no_path(planner: Run, project: Path) -> None:
    """By name, or by their path in a checkout: they are found by name anywhere."""
    path = str(resolve("cluster", "dgx-h100-16"))
    for cluster in ("dgx-h100-16", path):
        told = planner(
            *("estimate", "--cluster", cluster, "--model", "llama-3-8b", "--nodes", "1"),
            *("--tensor", "8", "--json"),
        )
        inputs = json.loads(told.stdout)["inputs"]
        assert "path" not in inputs["cluster"]
        assert "software_path" not in inputs["job"]


@pytest.mark.parametrize("start", [".", "plans", "specs"])
def test_they_are_found_again(
    planner: Run, plan: Path, project: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    """From the folder of the project; from another where the plan lies beside the files."""
    if start != ".":
        plan = Path(shutil.copy(plan, project / "specs.json"))
        monkeypatch.chdir(project / start)
    exported = planner("export", str(plan), "--format", "ranks")
    assert (exported.code, exported.stdout[:9]) == (0, "rank,host"), exported.stderr
    checked = planner("check", str(plan))
    assert checked.code == 0, checked.stdout
    compared = planner("compare", str(plan), str(plan), "--json")
    assert compared.code == 0, compared.stderr
    assert planner("explain", str(plan), "--json").code == 0


def test_beside_the_plan_they_are_found_by_name(
    planner: Run, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody is sent a folder with the plan and its files."""
    sent = tmp_path / "sent"
    sent.mkdir()
    for path in (plan, *plan.parents[1].glob("specs/*")):
        shutil.copy(path, sent)
    shutil.rmtree(plan.parents[1] / "specs")
    monkeypatch.chdir(tmp_path)
    exported = planner("export", "sent/plan.json", "--format", "ranks")
    assert exported.code == 0, exported.stderr
    assert planner("check", "sent/plan.json").code == 0


@pytest.mark.parametrize("kind", list(FILES))
def test_a_changed_file_is_told(planner: Run, plan: Path, kind: str) -> None:
    path = plan.parents[1] / "specs" / f"our-{kind}.yaml"
    path.write_text(path.read_text() + "# one more line\n")
    exported = planner("export", str(plan), "--format", "ranks")
    assert exported.code == 2
    assert exported.stderr.startswith(f"error: {plan}#1 was made for {kind} our-{kind} (sha256 ")
    checked = planner("check", str(plan), "--strict")
    assert checked.code == 1
    assert "PL210" in checked.stdout
    assert f"our-{kind}" in checked.stdout


@pytest.mark.parametrize("kind", list(FILES))
def test_of_two_files_the_unchanged_one_counts(
    planner: Run, plan: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one at the path from here was changed, the one beside the plan was not."""
    path = plan.parents[1] / "specs" / f"our-{kind}.yaml"
    shutil.copy(path, plan.parent)
    path.write_text(path.read_text() + "# one more line\n")
    exported = planner("export", str(plan), "--format", "ranks")
    assert exported.code == 0, exported.stderr


@pytest.mark.parametrize("kind", list(FILES))
def test_a_file_that_is_gone_is_asked_for(planner: Run, plan: Path, kind: str) -> None:
    (plan.parents[1] / "specs" / f"our-{kind}.yaml").unlink()
    for command in (("export", str(plan), "--format", "ranks"), ("check", str(plan))):
        told = planner(*command)
        assert told.code == 2
        assert told.stderr == (
            f"error: {plan}: the plan was made for {kind} our-{kind} of specs/our-{kind}.yaml, "
            f"which is not there; say where its file is with --{kind}\n"
        )


@pytest.mark.parametrize("path", ["\x00", "a\x1b[31m", "x" * 5000, "", "."])
def test_a_path_that_is_none(planner: Run, plan: Path, path: str) -> None:
    document = json.loads(plan.read_text())
    document["inputs"]["cluster"]["path"] = path
    plan.write_text(json.dumps(document))
    told = planner("export", str(plan), "--format", "ranks")
    assert told.code == 2
    assert told.stderr.startswith(f"error: {plan}")
    assert "\x1b" not in told.stderr
    assert len(told.stderr) < 1000
