"""`planner report` as a user runs it: from plans to a page, and from the page back to the plans."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from planner.plan_document import plan_schema
from planner.plan_document.nodes import read_file
from planner.plan_document.schema_search import CLOUD_AXES
from planner.reports.page.sections.cloud import MODULES
from tests.reports.pages import read_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

JOB = ("--cluster", "dgx-a100-8", "--model", "gpt-7.5b", "--nodes", "2")


@pytest.fixture
def plans(searched_plans: Callable[..., str], tmp_path: Path) -> Path:
    path = tmp_path / "plans.json"
    path.write_text(searched_plans(*JOB, "--top", "6"))
    return path


@pytest.fixture
def page(planner: Callable[..., Outcome], plans: Path) -> Path:
    path = plans.with_name("report.html")
    outcome = planner("report", str(plans), "-o", str(path))
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "")
    return path


def test_a_page_holds_the_document_byte_for_byte(plans: Path, page: Path) -> None:
    assert read_file(page).text == plans.read_text()


def test_the_page_has_every_section_and_the_answer_of_the_search(
    planner: Callable[..., Outcome], plans: Path, page: Path
) -> None:
    root = read_page(page.read_text())
    best = json.loads(plans.read_text())["plans"][0]
    degrees = best["degrees"]
    name = f"t{degrees['tensor']} p{degrees['pipeline']} d{degrees['data']}"
    assert root.one("h1").text == "gpt-7.5b on dgx-a100-8"
    assert root.one(id="answer").one("h2").text.startswith(f"Use {name}, micro-batch ")
    assert f"--tensor-model-parallel-size {degrees['tensor']}" in root.one(id="launch").text
    sections = [one.attributes["id"] for one in root.every("section")]
    linked = [one.attributes["href"][1:] for one in root.one("nav").every("a")]
    assert linked == sections
    assert len(page.read_bytes()) < 2 * 2**20


def test_check_estimate_and_export_read_the_page_as_they_read_the_plans(
    planner: Callable[..., Outcome], plans: Path, page: Path
) -> None:
    for arguments in (
        ("export", "FILE#2", "--format", "megatron-lm"),
        ("estimate", *JOB, "--plan", "FILE#2", "--json"),
    ):
        of_plans, of_page = (
            planner(*(one.replace("FILE", str(file)) for one in arguments))
            for file in (plans, page)
        )
        assert of_page.code == 0
        assert of_page.stdout == of_plans.stdout
    for reference in (f"{page}#1", str(page)):
        checked = planner("check", reference, "--json")
        assert checked.code == 0, checked.stdout + checked.stderr


def test_a_finding_about_a_page_names_the_page_as_a_whole(
    planner: Callable[..., Outcome], page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(page.parent)
    outcome = planner("check", f"{page.name}#1", "--headroom", "90%", "--json")
    assert outcome.code == 1
    found = json.loads(outcome.stdout)["plans"][0]["findings"][0]
    assert (found["path"], found["line"]) == ("report.html", None)


def test_a_page_is_made_of_a_page_again(planner: Callable[..., Outcome], page: Path) -> None:
    again = planner("report", str(page))
    assert again.code == 0
    assert again.stdout == page.read_text()


def test_mine_is_beside_the_plans(
    planner: Callable[..., Outcome], plans: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.json"
    own.write_text(planner("estimate", *JOB, "--tensor", "8", "--json").stdout)
    outcome = planner("report", str(plans), "--mine", str(own))
    assert outcome.code == 0
    row = read_page(outcome.stdout).one("tr", class_="mine")
    step_s = json.loads(own.read_text())["plans"][0]["estimate"]["step_s"]
    assert [cell.text for cell in row.children if not isinstance(cell, str)][:2] == [
        "mine",
        f"{step_s:.3f}" if step_s < 10 else f"{step_s:.2f}",
    ]
    refused = planner("report", str(plans), "--mine", f"{own}#2")
    assert refused.code == 2
    assert refused.stderr == (f"error: {own}: rank 2 is asked for, but the document holds 1 plan\n")


def test_mine_may_be_a_launch_script_and_another_job_is_named(
    planner: Callable[..., Outcome], plans: Path, tmp_path: Path
) -> None:
    script = tmp_path / "train.sh"
    script.write_text(
        "torchrun --nnodes 2 --nproc-per-node 8 pretrain_gpt.py --num-layers 36 "
        "--hidden-size 4096 --num-attention-heads 32 --seq-length 2048 "
        "--max-position-embeddings 2048 --vocab-size 51200 --micro-batch-size 1 "
        "--global-batch-size 256 --tensor-model-parallel-size 8 --bf16\n"
    )
    outcome = planner("report", str(plans), "--mine", str(script))
    assert outcome.code == 0, outcome.stderr
    root = read_page(outcome.stdout)
    assert "mine is the plan of train.sh." in root.one(id="plans").text
    batch = json.loads(plans.read_text())["inputs"]["job"]["global_batch_size"]
    assert f"global batch size 256, not {batch}" in root.one(id="answer").text
    row = root.one("tr", class_="mine")
    assert " t8 p1 d2," in row.attributes["aria-label"]


def test_a_search_with_its_cloud_and_its_scaling_fills_their_sections(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = tmp_path / "plans.json"
    asked = (*JOB, "--top", "3", "--recompute", "none,selective,full")
    more = ("--cloud", "--scaling", "1,2,9", "--output", str(path), "--json")
    found = planner("search", *asked, *more)
    assert found.code == 0
    document = json.loads(path.read_text())
    jsonschema.validate(document, plan_schema())
    cloud, scaling = document["search"]["cloud"], document["search"]["scaling"]
    assert {len(column) for column in cloud.values()} == {document["search"]["fitting"]}
    best = document["plans"][0]["estimate"]
    least = min(cloud["step_bound_s"])
    assert 0.9 * best["step_s"] < least <= best["step_s"]
    assert best["memory"]["peak_bytes"] in cloud["peak_bytes"]
    assert [one["nodes"] for one in scaling] == [1, 2, 9]
    assert scaling[1]["step_s"] == pytest.approx(best["step_s"])
    assert scaling[0]["tokens_per_s"] < scaling[1]["tokens_per_s"]
    assert "fewer than the 9 nodes asked for" in scaling[2]["reason"]

    root = read_page(planner("report", str(path)).stdout)
    config = json.loads(root.one("canvas", id="cloud-picture").attributes["data-config"])
    assert config["marks"][0]["x"] == pytest.approx(best["step_s"])
    assert len(list(root.one(id="scaling").one("tbody").every("tr"))) == 3
    assert MODULES not in root.one(id="cloud").text
    alone = planner("search", *asked, "--json")
    plain = json.loads(alone.stdout)
    assert "cloud" not in plain["search"]
    assert plain["plans"] == document["plans"]


def test_a_page_says_that_dots_have_no_modules_chosen(
    planner: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = tmp_path / "plans.json"
    found = planner("search", *JOB, "--top", "1", "--cloud", "--output", str(path), "--json")
    search = json.loads(found.stdout)
    assert search["plans"][0]["offload_modules"] == ["core_attn"]
    assert min(search["search"]["cloud"]["step_bound_s"]) > search["plans"][0]["estimate"]["step_s"]
    page = read_page(planner("report", str(path)).stdout)
    assert MODULES in page.one(id="cloud").text


def test_a_cloud_is_of_links_as_described(planner: Callable[..., Outcome]) -> None:
    outcome = planner("search", *JOB, "--cloud", "--robust", "10%")
    assert outcome.code == 2
    assert outcome.stderr.startswith("error: --cloud and --robust are both given")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("peak_bytes", [1], "peak_bytes: 1 entries, and step_bound_s has "),
        ("schedule", [None], "schedule: 1 entries, and step_bound_s has "),
        ("tensor", None, "a list is needed, found null"),
    ],
)
def test_a_cloud_of_unequal_columns_is_refused(
    planner: Callable[..., Outcome], plans: Path, column: str, value: object, message: str
) -> None:
    document: dict[str, Any] = json.loads(plans.read_text())
    axes = {axis: [1, 1] for axis in CLOUD_AXES}
    document["search"]["cloud"] = {"step_bound_s": [1.0, 2.0], "peak_bytes": [1, 1], **axes}
    document["search"]["cloud"][column] = value
    plans.write_text(json.dumps(document))
    outcome = planner("report", str(plans))
    assert outcome.code == 2
    assert message in outcome.stderr


def test_the_plan_file_says_why_as_the_page_does(
    planner: Callable[..., Outcome], plans: Path, page: Path
) -> None:
    first, *others = json.loads(plans.read_text())["plans"]
    shown = [one.text for one in read_page(page.read_text()).one(id="answer").every("li")]
    assert first["why"] == shown
    assert first["why"][0].startswith("Bound by ")
    assert not any("why" in one for one in others)


def test_memory_has_both_peaks_of_every_stage(planner: Callable[..., Outcome], plans: Path) -> None:
    memory = json.loads(plans.read_text())["plans"][0]["estimate"]["memory"]
    for stage in memory["per_stage"]:
        other = stage["other_peak"]
        assert {stage["peak_phase"], other["phase"]} == {"backward", "optimizer"}
        assert sum(other["components"].values()) == other["peak_bytes"] <= stage["peak_bytes"]
        for state in ("weights", "gradients", "optimizer", "fixed"):
            assert other["components"][state] == stage["components"][state]
        updating = stage if stage["peak_phase"] == "optimizer" else other
        assert updating["components"]["activations"] == 0
    section = read_page(planner("report", str(plans)).stdout).one(id="memory")
    ticks = list(section.every("i", class_="other"))
    assert len(ticks) == len(memory["per_stage"])
    assert len(list(section.one("tbody").every("tr"))) == 2 * len(memory["per_stage"])


def test_own_files_are_found_or_the_page_says_what_it_leaves_out(
    planner: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = Path(__file__).parents[2] / "clusters" / "dgx-a100-8.yaml"
    own = tmp_path / "own.yaml"
    own.write_text(re.sub(r"^name: .*$", "name: my-own", shipped.read_text(), flags=re.MULTILINE))
    job = ("--cluster", "own.yaml", "--model", "gpt-7.5b", "--nodes", "1")
    assert planner("search", *job, "--top", "1", "--output", "plans.json").code == 0

    found = planner("report", "plans.json")
    assert "--tensor-model-parallel-size" in read_page(found.stdout).one(id="launch").text

    own = own.rename(tmp_path / "moved.yaml")
    without = planner("report", "plans.json")
    launch = read_page(without.stdout).one(id="launch").text
    assert without.code == 0
    assert "made for cluster my-own of own.yaml, which is not there" in launch
    assert "--cluster" in launch

    given = planner("report", "plans.json", "--cluster", "moved.yaml")
    assert "--tensor-model-parallel-size" in read_page(given.stdout).one(id="launch").text

    own.write_text(own.read_text() + "# another file\n")
    other = planner("report", "plans.json", "--cluster", "moved.yaml")
    assert other.code == 2
    assert "was made for cluster my-own (sha256 " in other.stderr


def test_nothing_fits_is_a_page_too(planner: Callable[..., Outcome], tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    job = ("--cluster", "dgx-a100-8", "--model", "gpt3-175b", "--nodes", "1", "--tensor", "8")
    assert planner("search", *job, "--output", str(path)).code == 1
    outcome = planner("report", str(path))
    document = json.loads(path.read_text())
    answer = read_page(outcome.stdout).one(id="answer").text
    assert outcome.code == 0
    assert f"Nothing fits: {document['search']['nearest'][0]['reason']}" in answer
    assert "Closest" in answer


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!doctype html>\n<p>hello</p>", "is an HTML page without plans"),
        ("PAGE-CUT", "the plans in this page are damaged"),
        ("PAGE-GARBLED", "the plans in this page are damaged"),
        ('{"schema": "planner/plans/1"}', '"inputs" is missing'),
        ("", "the file is empty"),
        ("#!/bin/bash\ntorchrun x.py", "not valid JSON"),
    ],
)
def test_files_without_plans_are_refused(
    planner: Callable[..., Outcome], page: Path, text: str, message: str
) -> None:
    file = page.with_name("other.html")
    made = page.read_text()
    packed = re.search(r'id="planner-document">([^<]*)<', made)
    assert packed is not None
    cut = {"PAGE-CUT": packed[1][: len(packed[1]) // 8 * 4], "PAGE-GARBLED": "QUJD" + packed[1]}
    file.write_text(made.replace(packed[1], cut[text]) if text in cut else text)
    outcome = planner("report", str(file))
    assert outcome.code == 2
    assert outcome.stdout == ""
    assert outcome.stderr.startswith(f"error: {file}")
    assert message in outcome.stderr


def test_figures_that_are_no_figures_have_a_place(
    planner: Callable[..., Outcome], plans: Path
) -> None:
    document: dict[str, Any] = json.loads(plans.read_text())
    document["plans"][2]["estimate"]["memory"]["per_stage"][0]["components"]["weights"] = "much"
    plans.write_text(json.dumps(document, indent=1))
    outcome = planner("report", str(plans))
    assert outcome.code == 2
    place = "plans[2].estimate.memory.per_stage[0].components.weights"
    assert place in outcome.stderr
    assert "a whole number is needed, found " in outcome.stderr


def test_where_the_page_goes(planner: Callable[..., Outcome], plans: Path, tmp_path: Path) -> None:
    outcome = planner("report", str(plans), "-o", str(tmp_path / "no" / "report.html"))
    assert outcome.code == 2
    assert "there is no folder" in outcome.stderr
    shutil.copy(plans, tmp_path / "copy.json")
    one, other = planner("report", str(plans)), planner("report", str(tmp_path / "copy.json"))
    assert one.stdout == other.stdout
