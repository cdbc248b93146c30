"""The space holds every valid combination once and accounts for all others."""

from __future__ import annotations

from math import gcd, prod
from typing import TYPE_CHECKING, Any

import pytest

from planner.errors import InputError
from planner.training.search.space.enumeration import (
    Enumeration,
    dimensions,
    divisors,
    space_report,
)
from planner.training.search.space.facts import SpaceFacts
from planner.training.search.space.restrictions import Restrictions
from planner.training.search.space.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.training.scenario import Scenario

NOTHING = Restrictions()
OF_A_MODEL = (
    "tensor",
    "context",
    "data",
    "expert",
    "expert_tensor",
    "micro_batch_size",
    "sequence_parallel",
)
"""The axes of a grid that a dense model under a plain profile has values for."""


def enumerated(scenario: Scenario, restrictions: Restrictions = NOTHING) -> Enumeration:
    enumeration = Enumeration(
        facts=SpaceFacts.of(scenario, restrictions), values=dimensions(scenario, restrictions)
    )
    for _ in rows(enumeration):
        pass
    return enumeration


def rows(enumeration: Enumeration) -> Any:
    for grid in enumeration.grids():
        for group in enumeration.groups(grid):
            for i, row in enumerate(group.grid_row.tolist()):
                yield (
                    group.pipeline,
                    *(int(grid.columns[axis][row]) for axis in OF_A_MODEL),
                    group.virtual_stages,
                    group.schedule,
                    int(group.variants["recompute"][i]),
                    int(group.variants["data_sharding"][i]),
                )


@pytest.mark.parametrize(
    ("size", "restrictions"),
    [
        ({"nodes": 2}, NOTHING),
        ({"nodes": 3, "batch": 24}, NOTHING),
        ({"experts": 8, "length": 8192}, NOTHING),
        ({"experts": 8}, Restrictions(expert_tensor=(1, 2), sequence_parallel=(False,))),
        ({}, Restrictions(tensor=(2, 3, 4), micro_batch_size=(1, 2, 5))),
        ({"software": "deepspeed-3d-2021"}, NOTHING),
        ({"software": "composer-fsdp"}, NOTHING),
    ],
)
def test_exclusions_and_candidates_add_up(
    scenario_of: Callable[..., Scenario], size: dict[str, Any], restrictions: Restrictions
) -> None:
    enumeration = enumerated(scenario_of(**size), restrictions)
    report = space_report(enumeration, restrictions)
    total = prod(len(dimension.values) for dimension in report.dimensions)
    excluded = sum(exclusion.excluded for exclusion in report.exclusions)
    assert total == enumeration.total
    assert total - excluded == enumeration.tally.candidates > 0
    assert {exclusion.rule for exclusion in report.exclusions} <= {rule.name for rule in RULES}
    assert all(exclusion.excluded > 0 for exclusion in report.exclusions)


def test_every_combination_is_listed_once_and_is_valid(
    scenario_of: Callable[..., Scenario],
) -> None:
    """Against the rules written once more, for one combination at a time."""
    scenario = scenario_of(nodes=3, devices_per_node=4, layers=7, heads=12, groups=4, hidden=1536)
    listed = list(
        rows(
            Enumeration(
                facts=SpaceFacts.of(scenario, NOTHING), values=dimensions(scenario, NOTHING)
            )
        )
    )
    assert len(listed) == len(set(listed))
    expected = set()
    for t in (1, 2, 4):  # divides 12 heads, the MLP's 4,096 and 12 devices
        for p in (1, 2, 3, 4, 6):
            if 12 % (t * p):
                continue
            d = 12 // (t * p)
            for b in (b for b in divisors(16) if 16 % (b * d) == 0):
                m = 16 // (b * d)
                for v in range(1, 7 // p + 1) if p > 1 and m % p == 0 else (1,):
                    for sequence_parallel in (0, 1) if t > 1 else (1,):
                        for recompute in (0, 1, 2):
                            for sharding in (0, 1) if d > 1 else (1,):
                                name = "interleaved" if v > 1 else "1f1b"
                                switches = (b, sequence_parallel, v, name, recompute, sharding)
                                expected.add((p, t, 1, d, 1, 1, *switches))
    assert set(listed) == expected


@pytest.mark.parametrize("nodes", [12, 24, 60, 384])
def test_odd_numbers_of_nodes_have_degrees_that_are_no_powers_of_two(
    scenario_of: Callable[..., Scenario], nodes: int
) -> None:
    scenario = scenario_of(
        nodes=nodes, layers=96, heads=96, groups=96, hidden=1536, ffn=6144, batch=1920
    )
    found = set(rows(enumeration := enumerated_lazily(scenario)))
    assert enumeration.tally.candidates == len(found)
    assert any(row[0] % 3 == 0 for row in found), "pipeline"
    assert any(row[1] % 3 == 0 for row in found), "tensor"
    assert any(row[3] % 3 == 0 for row in found), "data"
    for p, t, c, d, *_ in found:
        assert t * p * c * d == nodes * 8
        assert gcd(96, t) == t
        assert 1920 % d == 0


def enumerated_lazily(scenario: Scenario) -> Enumeration:
    return Enumeration(facts=SpaceFacts.of(scenario, NOTHING), values=dimensions(scenario, NOTHING))


def test_context_enters_for_long_sequences_or_when_asked(
    scenario_of: Callable[..., Scenario],
) -> None:
    def contexts(length: int, restrictions: Restrictions = NOTHING) -> set[int]:
        enumeration = Enumeration(
            facts=SpaceFacts.of(scenario_of(length=length), restrictions),
            values=dimensions(scenario_of(length=length), restrictions),
        )
        return {row[2] for row in rows(enumeration)}

    assert contexts(4096) == {1}
    assert contexts(8192) == {1, 2, 4, 8}
    assert contexts(4096, Restrictions(context=(2,))) == {2}


def test_experts_enter_for_mixtures_only(scenario_of: Callable[..., Scenario]) -> None:
    assert dimensions(scenario_of(), NOTHING)["expert"] == (1,)
    with_experts = enumerated_lazily(scenario_of(experts=4))
    assert {row[4] for row in rows(with_experts)} == {1, 2, 4}


def test_report_names_values_and_restrictions(scenario_of: Callable[..., Scenario]) -> None:
    restrictions = Restrictions(recompute=("full",), sequence_parallel=(True,))
    report = space_report(enumerated(scenario_of(), restrictions), restrictions)
    found = {dimension.name: dimension for dimension in report.dimensions}
    assert found["recompute"].values == ("full",)
    assert found["recompute"].restricted_by_user
    assert found["sequence_parallel"].values == (True,)
    assert found["schedule"].values == ("1f1b", "interleaved")
    assert not found["schedule"].restricted_by_user
    assert found["tensor"].values == (1, 2, 4, 8)


def test_divisors() -> None:
    assert divisors(1) == (1,)
    assert divisors(96) == (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 96)
    assert divisors(1021) == (1, 1021)
    assert divisors(36) == (1, 2, 3, 4, 6, 9, 12, 18, 36)


def test_a_device_count_with_one_divisor(scenario_of: Callable[..., Scenario]) -> None:
    scenario = scenario_of(devices_per_node=7, batch=14, layers=8)
    assert {row[:4] for row in rows(enumerated_lazily(scenario))} == {(1, 1, 1, 7), (7, 1, 1, 1)}


def test_names_unknown_to_the_profile_are_refused(scenario_of: Callable[..., Scenario]) -> None:
    from planner.training.search.search import search

    with pytest.raises(InputError, match=r"--schedule: .* has no 'gpipe'; it has 1f1b"):
        search(scenario_of(), restrictions=Restrictions(schedule=("gpipe",)))
