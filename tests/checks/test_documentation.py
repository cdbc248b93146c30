"""docs/ci.md says what the program does: its table of rules, its formats, its options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from planner.checks.registry import rules
from planner.cli import check_targets
from planner.reports.checks.formats import FORMATS
from planner.reports.markdown import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/ci.md").read_text(encoding="utf-8")


def test_every_rule_is_in_the_table() -> None:
    rows = [(rule.code, rule.name, rule.severity, rule.summary) for rule in rules().values()]
    expected = table(("code", "name", "severity", "what is wrong"), rows)
    assert re.findall(r"^\| PL.*$", TEXT, re.MULTILINE) == expected[2:]


def test_every_format_is_in_the_table() -> None:
    assert re.findall(r"^\| `([a-z-]+)` \|", TEXT, re.MULTILINE) == [*FORMATS]
    assert check_targets.FORMATS == FORMATS


def test_every_option_that_is_named_exists(planner: Callable[..., Outcome]) -> None:
    known = planner("check", "--help").stdout + planner("search", "--help").stdout
    ours = re.sub(r"^ +\d+ \| .*$", "", TEXT, flags=re.MULTILINE)
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours)):
        assert option in known


def test_every_input_of_the_action_is_named() -> None:
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    section = TEXT.partition("## GitHub\n")[2].partition("## GitLab")[0]
    assert {one for one in inputs if f"`{one}`" not in section} == set()


def test_the_yaml_of_the_document_is_yaml() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        yaml.safe_load(block)
