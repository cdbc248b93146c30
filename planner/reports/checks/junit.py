"""JUnit XML: a suite for each plan, a test case for each rule, so that a pipeline's test view shows
what was looked at and not only what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from planner.checks.check import NOT_SELECTED
from planner.checks.registry import BAD_INPUT, rules
from planner.wording.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.checks.check import Checked
    from planner.checks.finding import Finding
    from planner.checks.registry import CheckRule


def junit(checked: Sequence[Checked]) -> str:
    """Errors are failures, a file that cannot be read is an error, warnings are printed by the test
    case they belong to, and rules that were not evaluated are skipped."""
    root = Xml.Element("testsuites", name="planner check")
    for one in checked:
        _suite(root, one)
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    for element in root.iter():
        _escape(element)
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{Xml.tostring(root, encoding="unicode")}\n'


def _suite(root: Xml.Element, one: Checked) -> None:
    suite = Xml.SubElement(root, "testsuite", name=one.reference)
    looked_at = [
        rule
        for code, rule in rules().items()
        if (code == BAD_INPUT or one.readable) and one.not_evaluated.get(code) != NOT_SELECTED
    ]
    for rule in looked_at:
        _case(suite, one, rule)
    suite.set("tests", str(len(looked_at)))
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(len(suite.findall(f"testcase/{tag}"))))


def _case(suite: Xml.Element, one: Checked, rule: CheckRule) -> None:
    findings = [found for found in one.findings if found.code == rule.code]
    case = Xml.SubElement(
        suite, "testcase", name=f"{rule.code} {rule.name}", classname=one.reference, file=one.path
    )
    if findings and findings[0].region.line is not None:
        case.set("line", str(findings[0].region.line))
    errors = [found for found in findings if found.severity == "error"]
    if errors:
        tag = "error" if rule.code == BAD_INPUT else "failure"
        shown = Xml.SubElement(case, tag, message=errors[0].message, type=rule.code)
        shown.text = "\n".join(_lines(errors))
    elif rule.code in one.not_evaluated:
        Xml.SubElement(case, "skipped", message=one.not_evaluated[rule.code])
    warnings = [found for found in findings if found.severity == "warning"]
    if warnings:
        Xml.SubElement(case, "system-out").text = "\n".join(_lines(warnings))


def _escape(element: Xml.Element) -> None:
    """Escapes for what is not printable, XML 1.0 cannot hold all of it (section 2.2, production
    2)."""
    for key, value in element.items():
        element.set(key, printable(value))


def _lines(findings: Sequence[Finding]) -> list[str]:
    return [printable(f"{one.region.text}: {one.severity}: {one.text}") for one in findings]
