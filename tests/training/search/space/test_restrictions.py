"""The text of options."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.schedule.registry import SCHEDULES
from planner.specs.files.catalog import list_shipped
from planner.specs.load import load_software
from planner.training.search.space.restrictions import (
    NUMBER_AXES,
    Restrictions,
    check_choices,
    parse_restrictions,
    restrictions_of,
)


def test_options_become_values() -> None:
    parsed = parse_restrictions(
        {
            "tensor": "8,1, 4,4",
            "micro_batch_size": "2",
            "data": None,
            "schedule": "interleaved,1f1b",
            "recompute": "full",
            "sequence_parallel": "on",
            "data_sharding": "optimizer,none",
        }
    )
    assert parsed == Restrictions(
        tensor=(1, 4, 8),
        micro_batch_size=(2,),
        schedule=("interleaved", "1f1b"),
        recompute=("full",),
        sequence_parallel=(True,),
        data_sharding=("optimizer", "none"),
    )
    assert parsed
    assert not parse_restrictions({"tensor": None})


@pytest.mark.parametrize(
    ("axis", "text", "message"),
    [
        ("tensor", "x", "--tensor: 'x' is not a whole number from 1 to 1,000,000; "),
        ("tensor", "0", "--tensor: '0' is not a whole number"),
        ("tensor", "-2", "--tensor: '-2' is not a whole number"),
        ("tensor", "1.5", "--tensor: '1.5' is not a whole number"),
        ("micro_batch_size", "9" * 40, "--micro-batch-size: '999"),
        ("pipeline", "", "--pipeline: '' is not a comma list; write it like 1,2,4"),
        ("pipeline", "1,,2", "--pipeline: '1,,2' is not a comma list"),
        ("recompute", "ful", "--recompute: unknown value 'ful'; allowed: none, selective, full; "),
        ("sequence_parallel", "yes", "--sequence-parallel: unknown value 'yes'; allowed: on, off"),
        ("data_sharding", "zero3", "--data-sharding: unknown value 'zero3'; allowed: none, "),
    ],
)
def test_bad_text_is_named(axis: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_restrictions({axis: text})
    assert str(error.value).startswith(message)


def test_values_are_what_their_text_is() -> None:
    found = restrictions_of(
        {
            "tensor": (8, 1, np.int64(4), 4),
            "micro_batch_size": 2,
            "data": None,
            "pipeline": range(1, 4),
            "schedule": ["interleaved", "1f1b"],
            "recompute": "full",
            "sequence_parallel": True,
            "data_sharding": ("optimizer", "none", "optimizer"),
        }
    )
    assert found == parse_restrictions(
        {
            "tensor": "8,1,4,4",
            "micro_batch_size": "2",
            "pipeline": "1,2,3",
            "schedule": "interleaved,1f1b",
            "recompute": "full",
            "sequence_parallel": "on",
            "data_sharding": "optimizer,none",
        }
    )
    assert type(found.tensor[0] if found.tensor else None) is int


@pytest.mark.parametrize(
    ("axis", "value", "message"),
    [
        ("tensor", 0, "--tensor: 0 is not a whole number from 1 to 1,000,000"),
        ("tensor", "4", "--tensor: '4' is not a whole number from 1 to 1,000,000"),
        ("pipeline", (1, 2.0), "--pipeline: 2.0 is not a whole number from 1 to 1,000,000"),
        ("context", (), "--context: no value is given; None leaves it open"),
        ("recompute", "ful", "--recompute: unknown value 'ful'; allowed: none, selective, full; "),
        ("schedule", 7, "--schedule: unknown value 7"),
        ("sequence_parallel", "on", "--sequence-parallel: 'on' is neither True nor False"),
    ],
)
def test_bad_values_are_named(axis: str, value: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        restrictions_of({axis: value})
    assert str(error.value).startswith(message)


@given(st.sampled_from(NUMBER_AXES), st.text(max_size=12))
def test_any_text_is_values_or_an_input_error(axis: str, text: str) -> None:
    try:
        parsed = parse_restrictions({axis: text})
    except InputError:
        return
    values = getattr(parsed, axis)
    assert values == tuple(sorted(set(values)))
    assert values[0] >= 1


@pytest.mark.parametrize(
    ("profile", "schedule"),
    [
        ("megatron-core", "zb-h1"),
        ("megatron-core", "1f1b-vocab-2"),
        ("megatron-core", "interleaved"),
        ("torchtitan", "zb-v"),
        ("internevo", "zb-v"),
        ("deepspeed-3d-2021", "zb-h1"),
    ],
)
def test_a_schedule_may_be_asked_for_where_the_framework_can_run_it(
    profile: str, schedule: str
) -> None:
    check_choices(Restrictions(schedule=(schedule,)), load_software(profile))


@pytest.mark.parametrize(
    ("profile", "schedule", "hint"),
    [
        ("composer-fsdp", "zb-h1", "zb-h1 runs on megatron-lm (sail-sg/zero-bubble-pipeline-par"),
        ("torchtitan", "1f1b-vocab-1", "runs on megatron-lm (sail-sg/VocabularyParallelism"),
        ("megatron-core", "gpipe", "gpipe runs on torchtitan (torch.distributed.pipelining Sche"),
        ("megatron-core", "zb-h3", "did you mean zb-h2?"),
    ],
)
def test_elsewhere_the_message_says_what_runs_it(profile: str, schedule: str, hint: str) -> None:
    with pytest.raises(InputError) as raised:
        check_choices(Restrictions(schedule=(schedule,)), load_software(profile))
    assert f"--schedule: software profile {profile} has no '{schedule}'" in str(raised.value)
    assert hint in str(raised.value)


@pytest.mark.parametrize("profile", list_shipped("software"))
def test_profiles_propose_what_their_framework_runs_without_a_patch(profile: str) -> None:
    software = load_software(profile)
    for name in software.schedules.choices:
        support = SCHEDULES[name].support(software.framework)
        assert support is not None
        assert support.mainline
