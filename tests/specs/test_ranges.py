"""Numbers given from Python: what is taken and what each refusal says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from planner.errors import InputError
from planner.specs import ranges


def test_what_is_not_given_has_no_value() -> None:
    assert ranges.whole("--nodes", None, most=128) is None
    assert ranges.share("--headroom", None, below=1) is None
    assert ranges.duration_s("--time-limit", None) is None
    assert ranges.word("--precision", None, ("bf16",)) is None


def test_whole_numbers_become_ints() -> None:
    found = ranges.whole("--nodes", np.int64(128), most=128)
    assert (found, type(found)) == (128, int)


@pytest.mark.parametrize("value", [0, -4, 129, 10**30, 4.0, "4", True, math.nan])
def test_bad_whole_numbers(value: int) -> None:
    with pytest.raises(InputError) as error:
        ranges.whole("--nodes", value, most=128)
    assert str(error.value) == f"--nodes: {value!r} is not a whole number from 1 to 128"


def test_shares_become_floats() -> None:
    found = ranges.share("--headroom", 0, below=1)
    assert (found, type(found)) == (0.0, float)


@pytest.mark.parametrize("value", [1, 5.0, -0.05, math.nan, math.inf, True, "5%"])
def test_bad_shares(value: float) -> None:
    with pytest.raises(InputError) as error:
        ranges.share("--headroom", value, below=1)
    assert str(error.value).startswith(
        f"--headroom: {value!r} is not a share from 0% to below 100%; "
    )


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, True, "30"])
def test_bad_durations(value: float) -> None:
    with pytest.raises(InputError, match="is not a number of seconds above 0, such as 30"):
        ranges.duration_s("--time-limit", value)
