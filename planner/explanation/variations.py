"""A plan with some different decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.errors import RuleError
from planner.plan import AXES
from planner.training.search.layouts.default import layers_of_chunks
from planner.training.search.plans.build import plan_from_flags
from planner.training.search.space.restrictions import restrictions_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.plan import Plan
    from planner.training.scenario import Scenario

LAYOUT = ("pipeline", "virtual_stages", "schedule")
"""Decisions that also change the layers of the stages and the hosts."""
OF_EXPERTS = (
    "dispatcher-devices",
    "dispatcher-reach",
    "dispatcher-ranks",
    "expert-overlap",
    "expert-overlap-stages",
    "expert-overlap-recompute",
    "dispatch-pieces",
    "dispatch-tokens",
)
"""Rules about how tokens reach their experts, which other decisions may break."""
EXPERT_DECISIONS = ("dispatcher", "expert_overlap", "dispatch_pieces")
"""Decisions about the same."""


def varied(scenario: Scenario, plan: Plan, decisions: Mapping[str, Any]) -> Plan:
    """The plan with those decisions; the data degree takes the devices that the others leave.
    Layers of the stages and hosts stay if the pipeline stays.

    Raises: RuleError for what the framework does not allow, InputError for a value that makes no
    sense.
    """
    try:
        return _varied(scenario, plan, decisions, keep_experts=True)
    except RuleError as error:
        if error.rule not in OF_EXPERTS or set(EXPERT_DECISIONS) & set(decisions):
            raise
        return _varied(scenario, plan, decisions, keep_experts=False)


def _varied(
    scenario: Scenario, plan: Plan, decisions: Mapping[str, Any], *, keep_experts: bool
) -> Plan:
    flags: dict[str, Any] = {**plan.choices, "data": None, **decisions}
    if not keep_experts or flags["expert"] == 1:
        flags |= {name: decisions.get(name) for name in EXPERT_DECISIONS}
    if "virtual_stages" in decisions and "schedule" not in decisions:
        flags["schedule"] = None
    if "schedule" in decisions and "virtual_stages" not in decisions:
        flags["virtual_stages"] = None
    if flags["tensor"] == 1 and "sequence_parallel" not in decisions:
        flags["sequence_parallel"] = None
    layers = None
    if not any(name in decisions for name in LAYOUT):
        layers = layers_of_chunks(plan)
    return plan_from_flags(
        scenario,
        restrictions_of({name: value for name, value in flags.items() if value is not None}),
        stage_layers=layers,
        hosts=None if set(decisions) & set(AXES) else plan.placement.hosts,
    )
