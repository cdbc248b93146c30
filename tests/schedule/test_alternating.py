"""The orders themselves, against what papers and Megatron-LM print."""

from __future__ import annotations

import numpy as np
import pytest

from planner.errors import RuleError
from planner.schedule.build import allowed, build, check_size
from planner.schedule.orders.alternating import forward_table
from planner.schedule.passes import VOCAB_KINDS, PassKind, looped, vee
from planner.schedule.registry import SCHEDULES, kind_of


def spelled(name: str, stage: int, **size: int) -> str:
    """Such as "F0.1" for the forward of microbatch 0 through chunk 1; no chunk where one."""
    schedule = build(name, **size)
    chunk = "" if schedule.virtual_stages == 1 else ".{}"
    return " ".join(
        f"{'FBIW'[one.kind]}{one.microbatch}{chunk.format(one.chunk)}"
        for one in schedule.passes(stage)
    )


def test_1f1b_of_four_stages() -> None:
    """Narayanan et al. 2021, figure 4, top: stages 1 and 4."""
    size = {"stages": 4, "num_microbatches": 8}
    assert spelled("1f1b", 0, **size) == "F0 F1 F2 F3 B0 F4 B1 F5 B2 F6 B3 F7 B4 B5 B6 B7"
    assert spelled("1f1b", 3, **size) == "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 F5 B5 F6 B6 F7 B7"


def test_gpipe_runs_all_forwards_first() -> None:
    assert spelled("gpipe", 0, stages=2, num_microbatches=3) == "F0 F1 F2 B0 B1 B2"


def test_interleaved_of_four_stages_and_two_chunks() -> None:
    """Narayanan et al. 2021, figure 4, bottom: device 1 warms up with 2·3 + 4 forwards."""
    size = {"stages": 4, "virtual_stages": 2, "num_microbatches": 8}
    assert spelled("interleaved", 0, **size) == (
        "F0.0 F1.0 F2.0 F3.0 F0.1 F1.1 F2.1 F3.1 F4.0 F5.0 "
        "F6.0 B0.1 F7.0 B1.1 F4.1 B2.1 F5.1 B3.1 F6.1 B0.0 F7.1 B1.0 "
        "B2.0 B3.0 B4.1 B5.1 B6.1 B7.1 B4.0 B5.0 B6.0 B7.0"
    )
    assert spelled("interleaved", 3, **size).startswith("F0.0 F1.0 F2.0 F3.0 F0.1 B0.1 F1.1 B1.1")


def test_table_of_groups_with_a_remainder() -> None:
    """The example in Megatron-LM `forward_backward_pipelining_with_interleaving`: PP2 N3M5, VP2."""
    microbatches, chunks = forward_table(5, 2, 3)
    assert microbatches.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 3, 4]
    assert chunks.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]


def test_placements() -> None:
    assert looped(3, 2).virtual_stage.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert vee(3).virtual_stage.tolist() == [[0, 5], [1, 4], [2, 3]]
    assert looped(3, 2).stage_of.tolist() == [0, 1, 2, 0, 1, 2]
    assert vee(3).stage_of.tolist() == [0, 1, 2, 2, 1, 0]


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_stage_runs_every_pass_of_its_chunks_once(name: str) -> None:
    found = 0
    for p in range(1, 7):
        for v in range(1, 4):
            for m in (1, 2, 3, 4, 6, 7, 8, 12, 13):
                if not allowed(name, stages=p, virtual_stages=v, num_microbatches=m):
                    continue
                schedule = build(name, stages=p, virtual_stages=v, num_microbatches=m)
                found += 1
                assert schedule.codes.dtype == np.int32
                for stage in range(p):
                    passes = schedule.passes(stage)
                    assert len(set(passes)) == len(passes) <= schedule.codes.shape[1]
                    forwards = {(a.microbatch, a.chunk) for a in passes if a.kind == 0}
                    backwards = {
                        (a.microbatch, a.chunk)
                        for a in passes
                        if a.kind in (PassKind.BACKWARD, PassKind.BACKWARD_INPUT)
                    }
                    assert forwards == backwards
                    assert len(forwards) * len(schedule.placement.starts) == m * v
                    split = [a[1:] for a in passes if a.kind is PassKind.BACKWARD_INPUT]
                    weights = [a[1:] for a in passes if a.kind is PassKind.BACKWARD_WEIGHT]
                    assert sorted(split) == sorted(weights)
                    assert bool(split) == schedule.splits_backward
                    shared = [a for a in passes if a.kind in VOCAB_KINDS]
                    assert len(shared) == (2 * m if schedule.exchanges else 0)
                    assert len(passes) == 2 * len(forwards) + len(weights) + len(shared)
    assert found >= 7


def test_steady_phase_alternates() -> None:
    schedule = build("interleaved", stages=3, virtual_stages=2, num_microbatches=6)
    for stage in range(3):
        first, stop = schedule.steady[stage]
        kinds = schedule.kinds[stage]
        assert (kinds[:first] == PassKind.FORWARD).all()
        assert (kinds[first:stop:2] == PassKind.FORWARD).all()
        assert (kinds[first + 1 : stop : 2] == PassKind.BACKWARD).all()
        assert (kinds[stop:] == PassKind.BACKWARD).all()
        assert first == 2 * (2 - stage) + 3


def test_the_same_size_is_the_same_object() -> None:
    assert build("1f1b", stages=2, num_microbatches=4) is build(
        "1f1b", stages=2, num_microbatches=4
    )


@pytest.mark.parametrize(
    ("name", "size", "rule", "sentence"),
    [
        ("1f1b", (0, 1, 4, None), "schedule-size", "not 0 stages, 1 chunks and 4 microbatches"),
        ("gpipe", (2, 1, 0, None), "schedule-size", "not 2 stages, 1 chunks and 0 microbatches"),
        ("1f1b", (2, 2, 4, None), "vpp", "one chunk per stage, not 2"),
        ("interleaved", (4, 1, 4, None), "vpp", "at least 2 stages with at least 2 chunks each"),
        ("interleaved", (1, 2, 4, None), "vpp", "not 1 stages with 2"),
        ("interleaved", (4, 2, 3, None), "vpp-mb", "at most the 3 microbatches of the step"),
        ("interleaved", (4, 2, 8, 3), "vpp-mb", "one microbatch per stage \\(4\\).*it holds 3"),
        ("interleaved", (4, 2, 6, None), "vpp-mb", "6 microbatches in groups of 4 .*group of 2,"),
    ],
)
def test_a_broken_rule_is_named(
    name: str, size: tuple[int, int, int, int | None], rule: str, sentence: str
) -> None:
    p, v, m, group = size
    with pytest.raises(RuleError, match=sentence) as raised:
        build(name, stages=p, virtual_stages=v, num_microbatches=m, group=group)
    assert raised.value.rule == rule
    assert str(raised.value).startswith(f"{rule}: {name}: ")
    assert not allowed(name, stages=p, virtual_stages=v, num_microbatches=m, group=group)


def test_microbatches_need_not_be_a_multiple_of_the_stages() -> None:
    """Megatron-LM: p <= g <= m, and m mod g is 0 or at least p."""
    m = np.arange(1, 20)
    fits = allowed("interleaved", stages=3, virtual_stages=2, num_microbatches=m)
    assert m[fits].tolist() == [3, 6, 9, 12, 15, 18]
    fits = allowed("interleaved", stages=3, virtual_stages=2, num_microbatches=m, group=5)
    assert m[fits].tolist() == [5, 8, 9, 10, 13, 14, 15, 18, 19]
    for one in m[fits].tolist():
        check_size("interleaved", stages=3, virtual_stages=2, num_microbatches=one, group=5)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(RuleError, match="did you mean interleaved"):
        kind_of("interleved")


def test_a_schedule_too_large_to_simulate_is_refused() -> None:
    with pytest.raises(RuleError, match="make 64,000,000,000 forwards, more than"):
        build("1f1b", stages=64, num_microbatches=10**9)
