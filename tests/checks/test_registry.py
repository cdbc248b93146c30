"""The registry of rules: complete, documented, permanent."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.checks.registry import BAD_INPUT, find_rule, rules
from planner.checks.selection import parse_selection
from planner.errors import InputError
from planner.importers.megatron.refusals import FLAGS
from planner.specs.cluster.file import ClusterInput
from planner.specs.model.file import ModelInput
from planner.training.search.plans.problems import BEYOND_THE_FRAMEWORK
from planner.training.search.space.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

PERMANENT = {
    "PL001": "does-not-fit",
    "PL002": "headroom-below",
    "PL003": "tight-fit",
    "PL101": "layers-for-stages",
    "PL102": "tensor-divides-heads",
    "PL103": "tensor-divides-key-value-groups",
    "PL104": "tensor-divides-mlp",
    "PL105": "context-divides-sequence",
    "PL106": "data-axis-only",
    "PL107": "degrees-make-devices",
    "PL108": "expert-divides-experts",
    "PL109": "expert-tensor-divides-mlp",
    "PL110": "expert-divides-stage",
    "PL111": "expert-biases",
    "PL112": "expert-rank-order",
    "PL113": "micro-batch-divides-batch",
    "PL114": "tensor-divides-sequence",
    "PL115": "layers-for-chunks",
    "PL116": "schedule-needs-stages",
    "PL117": "two-stage-interleaving",
    "PL118": "shared-vocabulary-prediction",
    "PL119": "schedule-needs-microbatches",
    "PL120": "sharding-with-pipeline",
    "PL121": "flags-refused",
    "PL122": "graphs-with-recompute",
    "PL123": "too-many-microbatches",
    "PL124": "experts-in-a-loop",
    "PL125": "sharding-with-tensor",
    "PL126": "tensor-overlap",
    "PL127": "sharding-groups",
    "PL128": "sharded-in-groups",
    "PL129": "optimizer-offload",
    "PL130": "optimizer-offload-share",
    "PL131": "weight-offload",
    "PL132": "offload-together",
    "PL133": "activation-offload",
    "PL134": "experts-without-sequence-parallel",
    "PL135": "optimizer-states",
    "PL136": "context-heads",
    "PL137": "offload-to-nvme",
    "PL138": "context-alone",
    "PL140": "dispatcher-of-devices",
    "PL141": "dispatcher-reach",
    "PL142": "dispatcher-ranks",
    "PL143": "overlap-of-experts",
    "PL144": "overlap-of-experts-stages",
    "PL145": "overlap-of-experts-recompute",
    "PL146": "pieces-of-exchanges",
    "PL147": "pieces-divide-tokens",
    "PL201": "cluster-too-small",
    "PL202": "microbatches-make-batch",
    "PL203": "rank-order",
    "PL204": "not-offered",
    "PL205": "stage-layout",
    "PL206": "recompute-layers",
    "PL207": "hosts",
    "PL208": "precision-of-device",
    "PL210": "stale",
    "PL211": "doubtful-cluster",
    "PL301": "far-from-best",
    "PL302": "stage-imbalance",
    "PL303": "tensor-across-slow-link",
    "PL304": "full-precision",
    "PL305": "heads-without-fast-kernels",
    "PL401": "slower-than-baseline",
    "PL402": "not-in-baseline",
    "PL501": "cache-does-not-fit",
    "PL502": "engine-refuses",
    "PL503": "limit-missed",
    "PL504": "prefill-starves-decode",
    "PL505": "decode-holds-prefill-back",
    "PL901": "bad-input",
}
"""Codes that pipelines rely on: entries are added, never changed."""

FRAMEWORK = {rule.code for rule in rules().values() if rule.code.startswith("PL1")}


def test_codes_are_permanent() -> None:
    assert {code: rule.name for code, rule in rules().items()} == PERMANENT
    assert list(rules()) == sorted(rules())


def test_every_problem_of_a_plan_has_a_code() -> None:
    needed = {rule.name for rule in RULES if not rule.search_only} | {*BEYOND_THE_FRAMEWORK}
    needed.add(FLAGS)
    found = [rule.finds for rule in rules().values() if rule.finds is not None]
    assert sorted(found) == sorted(needed)


@pytest.mark.parametrize("code", PERMANENT)
def test_every_rule_is_documented(planner: Callable[..., Outcome], code: str) -> None:
    rule = rules()[code]
    for text in (rule.summary, rule.why, rule.fix):
        assert re.fullmatch(r"[A-Z`].{20,}\.", text)
    outcome = planner("rule", code.lower())
    assert (outcome.code, outcome.stderr) == (0, "")
    shown = " ".join(outcome.stdout.split())
    assert shown.startswith(f"{code} {rule.name} ({rule.severity}) {rule.summary} Why: ")
    assert rule.fix in shown
    assert planner("rule", rule.name).stdout == outcome.stdout
    assert (f"Messages of other commands call it {rule.finds}." in shown) == (code in FRAMEWORK)
    assert ("estimated all the same" in shown) == rule.estimated


def test_what_rules_read_are_keys_of_the_files() -> None:
    for rule in rules().values():
        for key in rule.reads:
            kind, first = key.split(".")[:2]
            fields = ModelInput.model_fields if kind == "model" else ClusterInput.model_fields
            assert first in fields


def test_rules_are_listed(planner: Callable[..., Outcome]) -> None:
    listed = planner("rule").stdout
    assert [line[:5] for line in listed.splitlines() if line.startswith("PL")] == list(rules())
    document = json.loads(planner("rule", "--json").stdout)
    assert [entry["code"] for entry in document["rules"]] == list(rules())


def test_an_unknown_rule(planner: Callable[..., Outcome]) -> None:
    outcome = planner("rule", "does-not-ft")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr == (
        "error: no rule is called 'does-not-ft'; `planner rule` lists all; did you mean "
        "does-not-fit?\n"
    )
    with pytest.raises(InputError, match="no rule is called ''"):
        find_rule(" ")


@pytest.mark.parametrize(
    ("select", "ignore", "chosen"),
    [
        (None, None, {*PERMANENT}),
        ("PL001", None, {"PL001"}),
        ("pl0, does-not-fit", None, {"PL001", "PL002", "PL003"}),
        ("PL0", "PL003", {"PL001", "PL002"}),
        ("PL003", "PL0", {"PL003"}),
        ("PL0", "PL0", set()),
        ("ALL", "PL", set()),
        ("ALL,PL303", "PL0,PL1,PL2,PL3,PL4,PL5", {"PL303"}),
        (None, "ALL", set()),
        (None, "PL1,PL2,PL3,PL4,PL5", {"PL001", "PL002", "PL003"}),
    ],
)
def test_selection(select: str | None, ignore: str | None, chosen: set[str]) -> None:
    if ignore == "PL":
        with pytest.raises(InputError, match="PL901 cannot be ignored"):
            parse_selection(select, "PL901")
    assert parse_selection(select, ignore).codes == chosen | {BAD_INPUT}


PREFIXES = st.sampled_from(
    sorted({code[:length] for code in PERMANENT for length in range(2, 6)} - {"PL9", "PL90"})
).filter(lambda prefix: prefix != BAD_INPUT)


@given(select=PREFIXES, ignore=PREFIXES, code=st.sampled_from(sorted(PERMANENT)))
def test_the_longer_prefix_wins(select: str, ignore: str, code: str) -> None:
    chosen = code in parse_selection(select, ignore)
    expected = code.startswith(select) and not (
        code.startswith(ignore) and len(ignore) >= len(select)
    )
    assert chosen == (expected or code == BAD_INPUT)


@given(select=st.text(max_size=30))
def test_any_text_is_a_selection_or_an_error(select: str) -> None:
    with suppress(InputError):
        assert parse_selection(select, None).codes <= {*PERMANENT}
