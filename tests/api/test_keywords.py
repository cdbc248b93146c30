"""Keywords are called like the options of the command, and no decision is left out."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest
from typer.main import get_command

from planner import api
from planner.api.keywords import AxisKeywords, names_of
from planner.cli.app import app
from planner.training.search.space.restrictions import Restrictions

OUTPUTS = {"variants", "output", "json", "help"}
RENAMED = {"time_limit": "time_limit_s", "set": "variables", "args": "variables"}


def options_of(command: str) -> set[str]:
    """Options of a command, such as `import model`, by the names of their keywords."""
    found: Any = get_command(app)
    for word in command.split():
        found = found.get_command(None, word)
    return {RENAMED.get(one.name, one.name) for one in found.params}


@pytest.mark.parametrize(
    ("command", "function", "only_options", "only_keywords"),
    [
        (
            "search",
            api.search,
            {
                *("serving", "engine", "objective", "attention_data", "max_running"),
                *("max_step_tokens", "weights", "kv_format", "disaggregated", "confidence"),
            },
            {"progress"},
        ),
        (
            "estimate",
            api.estimate,
            {
                *("timeline", "serving"),
                *("engine", "attention_data", "weights", "kv_format"),
            },
            {"note"},
        ),
        (
            "check",
            api.check,
            {
                *("select", "ignore", "within_of_best", "time_limit_s", "baseline", "strict"),
                *("max_regression", "max_imbalance"),
                *("plans", "exit_zero", "output_format", "write_baseline"),
            },
            {"plan", "limits", "progress", "note"},
        ),
        ("compare", api.compare, set(), {"progress", "note"}),
        ("explain", api.explain, set(), {"note", "progress"}),
        ("init", api.cluster_template, set(), set()),
        ("show", api.shipped_text, set(), set()),
        ("export", api.export, set(), {"note"}),
        ("validate", api.validate, {"serving", "engine_file"}, set()),
        ("calibrate", api.calibrate, {"device_file", "engine_file", "engine"}, {"note"}),
        ("import model", api.import_model, set(), set()),
        ("import cluster", api.import_cluster, {"format_name"}, {"format", "target"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_and_keywords_go_together(
    command: str, function: object, only_options: set[str], only_keywords: set[str]
) -> None:
    options = options_of(command) - OUTPUTS
    keywords = set(inspect.signature(function).parameters)  # type: ignore[arg-type]
    assert options - keywords == only_options
    assert keywords - options == only_keywords


def test_limits_of_a_check_are_options_too() -> None:
    limits = {one.name for one in fields(api.CheckLimits)} - {"selection"}
    assert limits <= options_of("check")


def test_every_axis_of_the_search_is_a_keyword() -> None:
    assert names_of(AxisKeywords) == tuple(one.name for one in fields(Restrictions))
