"""The output formats of `planner check`, from hand-made findings: golden files, published schemas,
and what each reader does with special characters."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as Xml

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from planner.checks.check import NOT_SELECTED, Checked, unreadable
from planner.checks.document import check_document
from planner.checks.finding import Finding, Region, Related
from planner.checks.registry import rules
from planner.checks.subject import Subject
from planner.errors import InputError
from planner.reports.checks.formats import FORMATS, rendered
from planner.reports.checks.github import github_annotations
from planner.reports.checks.gitlab import code_quality
from planner.reports.checks.junit import junit
from planner.reports.checks.sarif import sarif
from planner.reports.checks.summary import LARGEST_BYTES, summary
from planner.specs.job import build_job
from planner.specs.load import load_cluster, load_model, load_software
from planner.training.scenario import build_scenario
from planner.wording.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.specs.files.document import Location
    from tests.conftest import Golden, Samples

SCHEMA = json.loads(
    (Path(__file__).parent.parent / "data/sarif/sarif-schema-2.1.0.json").read_text()
)


class Nowhere:
    """Places of a file that is not looked at."""

    def region(self, field: Location) -> Region:
        return Region(path="plans/train.json")


def finding(code: str, message: str = "something is wrong", **changes: Any) -> Finding:
    plain = Finding(
        code=code,
        severity=rules()[code].severity,
        subject="plans/train.json#1",
        field=("degrees", "tensor"),
        message=message,
        region=Region(path="plans/train.json", line=4, column=19, end_column=21),
    )
    return replace(plain, **changes)


@pytest.fixture(scope="module")
def subject(samples: Samples) -> Subject:
    cluster, model = load_cluster("dgx-a100-128"), load_model("gpt3-175b")
    job = build_job(model, load_software("megatron-core"), devices=512, global_batch_size=1536)
    return Subject(
        reference="plans/train.json#1",
        path="plans/train.json",
        rank=1,
        plan=samples.plan(),
        scenario=build_scenario(cluster, model, job),
        places=Nowhere(),
    )


@pytest.fixture
def checked(
    subject: Subject, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Checked, ...]:
    """A plan with an error and a warning, one that passes, and one that cannot be read."""
    monkeypatch.chdir(tmp_path)
    Path("plans").mkdir()
    Path("plans/train.json").write_text(
        '{\n  "plans": [{\n    "degrees": {\n        "tensor": 16\n    }\n  }]\n}\n'
    )
    second = replace(subject, reference="plans/train.json#2", rank=2)
    cost = samples.estimate(subject.plan)
    return (
        Checked(
            reference=subject.reference,
            path=subject.path,
            subject=subject,
            estimate=cost,
            best=replace(samples.ranked()[1], estimate=samples.estimate(subject.plan, step_s=25.0)),
            findings=(
                finding(
                    "PL301",
                    "takes 30.00 s/step, 20.0% more than the best found (25.00 s)",
                    hint="the best found is t8 p8 d8",
                    field=("degrees",),
                    region=Region(path="plans/train.json", line=3, column=16, end_column=17),
                ),
                finding(
                    "PL303",
                    "tensor groups of 16 span 2 nodes",
                    related=(
                        Related(
                            region=Region(path="cluster.yaml", line=8, column=5, end_column=12),
                            what="node_groups[0].network",
                        ),
                    ),
                ),
            ),
            not_evaluated={"PL401": "--baseline is not given", "PL210": NOT_SELECTED},
        ),
        Checked(
            reference=second.reference,
            path=second.path,
            subject=second,
            estimate=cost,
            findings=(),
        ),
        unreadable(
            "plans/bad.json",
            InputError("not JSON: expecting value", path="plans/bad.json", line=7, column=3),
        ),
    )


@pytest.mark.parametrize("name", FORMATS)
def test_golden(checked: Sequence[Checked], golden: Golden, name: str) -> None:
    suffix = {"sarif": "sarif", "junit": "xml", "gitlab": "json", "json": "json"}.get(name, "txt")
    golden.check(f"check-{name}.{suffix}", rendered(name, checked, io.StringIO()))


def test_colours_are_for_terminals(
    checked: Sequence[Checked], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b" not in rendered("rich", checked, io.StringIO())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1;31merror PL301" in rendered("rich", checked, io.StringIO())


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_sarif_is_valid_by_its_schema(checked: Sequence[Checked], number: int) -> None:
    document = sarif(checked[:number])
    jsonschema.Draft7Validator(SCHEMA).validate(document)
    [run] = document["runs"]
    listed = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert listed == list(rules())
    for result in run["results"]:
        assert listed[result["ruleIndex"]] == result["ruleId"]


def test_the_schema_refuses_what_is_not_sarif(checked: Sequence[Checked]) -> None:
    document = sarif(checked)
    document["runs"][0]["results"][0]["level"] = "severe"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(document)


def test_sarif_places_are_of_the_repository(checked: Sequence[Checked]) -> None:
    odd = replace(
        checked[0],
        findings=(
            finding("PL102", region=Region(path="plans/a b#1é.json", line=1, column=1)),
            finding("PL102", region=Region(path="/else/where.json")),
        ),
    )
    places = [
        result["locations"][0]["physicalLocation"] for result in sarif([odd])["runs"][0]["results"]
    ]
    assert places == [
        {
            "artifactLocation": {"uri": "plans/a%20b%231%C3%A9.json", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 1, "startColumn": 1},
        },
        {"artifactLocation": {"uri": "file:///else/where.json"}},
    ]


TEXT = st.text(min_size=1, max_size=40)


@given(message=TEXT, path=TEXT)
def test_an_annotation_is_one_line_that_reads_back(message: str, path: str) -> None:
    """The inverse of GitHub's runner (ActionCommand.TryParseV2): split at the last unescaped
    marks, then unescape."""
    one = finding("PL102", message, region=Region(path=path, line=1, column=1))
    text = github_annotations([Checked(reference="x", path="x", findings=(one,))])
    line = text.split("\n")[0]
    assert text == f"{line}\nfail: x: cannot be read\n"
    _, command, data = line.split("::", 2)
    name, _, properties = command.partition(" ")
    values = dict(part.split("=", 1) for part in properties.split(","))
    assert name == "error"
    assert _unescaped(values["file"], "%3A", "%2C") == printable(path)
    assert _unescaped(data) == printable(message)


def _unescaped(text: str, *extra: str) -> str:
    marks = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ","}
    for code in ("%0D", "%0A", *extra):
        text = text.replace(code, marks[code])
    return text.replace("%25", "%")


@pytest.mark.parametrize(("count", "shown"), [(9, 9), (10, 10), (11, 10), (40, 10)])
def test_no_more_annotations_than_github_shows(count: int, shown: int) -> None:
    findings = tuple(
        finding("PL102", f"number {index}", field=(str(index),)) for index in range(count)
    )
    text = github_annotations([Checked(reference="x", path="x", findings=findings)])
    lines = [line for line in text.splitlines() if line.startswith("::error ")]
    assert len(lines) == shown
    assert all(f"number {index}" in text for index in range(count))
    if count > shown:
        more = count - shown + 1
        assert lines[-1] == (
            f"::error title=planner::{more} more errors; the log of the step has all of them"
        )


@given(message=TEXT, path=TEXT)
@example(message="\x00 a]]>b \ufffe", path="<&\x1b")
def test_junit_reads_back(message: str, path: str) -> None:
    """Characters that XML cannot hold are escaped, as are others that show nothing."""
    one = replace(finding("PL901", message), region=Region(path=path, line=1))
    root = Xml.fromstring(junit([Checked(reference=path, path=path, findings=(one,))]))
    error = root.find("testsuite/testcase/error")
    assert error is not None
    assert error.get("message") == printable(message)
    assert error.text == f"{printable(path)}:1: error: {printable(message)}"


def test_junit_counts_what_it_lists(checked: Sequence[Checked]) -> None:
    root = Xml.fromstring(junit(checked))
    cases = root.findall("testsuite/testcase")
    assert int(root.get("tests", "")) == len(cases) == 2 * len(rules()) - 1 + 1
    assert int(root.get("failures", "")) == len(root.findall(".//failure")) == 1
    assert int(root.get("errors", "")) == len(root.findall(".//error")) == 1
    assert int(root.get("skipped", "")) == len(root.findall(".//skipped")) == 1
    [warned] = root.findall(".//system-out")
    assert (warned.text or "").startswith("plans/train.json:4:19: warning: tensor groups")


def test_gitlab_has_the_fields_it_needs(checked: Sequence[Checked]) -> None:
    """The fields and severities of GitLab's code-quality report."""
    issues = code_quality(checked)
    assert len({one["fingerprint"] for one in issues}) == len(issues) == 3
    for one in issues:
        assert {*one} == {"description", "check_name", "fingerprint", "severity", "location"}
        assert one["severity"] in ("info", "minor", "major", "critical", "blocker")
        location = one["location"]
        begin = location.get("lines", location.get("positions", {}))["begin"]
        line = begin if isinstance(begin, int) else begin["line"]
        assert line >= 1
        assert not Path(location["path"]).is_absolute()


def test_a_fingerprint_stays_when_lines_and_numbers_change() -> None:
    one = finding("PL301", "takes 30 s")
    moved = replace(one, message="takes 31 s", region=replace(one.region, line=99))
    assert one.fingerprint == moved.fingerprint
    others = (
        finding("PL302"),
        replace(one, subject="plans/train.json#2"),
        replace(one, field=("stages",)),
    )
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_a_summary_is_never_larger_than_github_takes(checked: Sequence[Checked]) -> None:
    many = replace(checked[0], findings=checked[0].findings * 8_000)
    text = summary([many])
    assert len(text.encode()) < LARGEST_BYTES + 200
    assert text.endswith("Cut here; 16,000 findings in all.\n")


def test_markdown_in_a_message_is_text(checked: Sequence[Checked]) -> None:
    one = replace(checked[0], findings=(finding("PL102", "a|b <script> *c* [d](e)\nf"),))
    assert r"a\|b &lt;script> \*c\* \[d](e) f" in summary([one])


def test_the_document_of_a_plan_that_cannot_be_read(checked: Sequence[Checked]) -> None:
    *_, plan = check_document(checked)["plans"]
    assert (plan["passed"], plan["step_s"], plan["degrees"]) == (False, None, None)
    [found] = plan["findings"]
    assert (found["code"], found["line"], found["column"]) == ("PL901", 7, 3)
