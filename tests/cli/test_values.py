"""Texts of options: what is taken and what each refusal says."""

from __future__ import annotations

import pytest

from planner.cli import values
from planner.errors import InputError
from planner.specs import ranges


def test_options_that_are_not_given_have_no_value() -> None:
    assert values.whole("--nodes", None, most=128) is None
    assert values.share("--headroom", None, below=1) is None
    assert values.duration_s("--time-limit", None) is None
    assert ranges.word("--precision", None, ("bf16",)) is None
    assert values.layers("--stage-layers", None) is None


def test_whole_numbers() -> None:
    assert values.whole("--nodes", "128", most=128) == 128
    assert values.whole("--nodes", "007", most=128) == 7


@pytest.mark.parametrize(
    "text", ["0", "-4", "129", "1000000000", "1.5", "1e3", "nan", "", " 4", "²", "٣", "9" * 30]
)
def test_bad_whole_numbers(text: str) -> None:
    with pytest.raises(InputError) as error:
        values.whole("--nodes", text, most=128)
    assert str(error.value) == f"--nodes: {text!r} is not a whole number from 1 to 128"


@pytest.mark.parametrize(
    ("text", "amount"), [("5%", 0.05), ("0.05", 0.05), ("0", 0.0), ("12.5 %", 0.125), ("99%", 0.99)]
)
def test_shares(text: str, amount: float) -> None:
    assert values.share("--headroom", text, below=1) == pytest.approx(amount)


@pytest.mark.parametrize("text", ["100%", "1", "5", "-5%", "five", "%", "", "inf", "nan", "1e-3"])
def test_bad_shares(text: str) -> None:
    with pytest.raises(InputError) as error:
        values.share("--headroom", text, below=1)
    assert str(error.value) == (
        f"--headroom: {text!r} is not a share from 0% to below 100%; write it like 5% or 0.05"
    )


def test_durations() -> None:
    assert values.duration_s("--time-limit", "0.5") == 0.5


@pytest.mark.parametrize("text", ["0", "0.0", "-1", "inf", "1m", "", "999999999999"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(InputError, match="is not a number of seconds above 0, such as 30"):
        values.duration_s("--time-limit", text)


def test_words_suggest_the_nearest_spelling() -> None:
    with pytest.raises(InputError) as error:
        ranges.word("--precision", "bf-16", ("fp16", "bf16"))
    assert str(error.value) == ("--precision: 'bf-16' is not one of fp16, bf16; did you mean bf16?")


def test_layers() -> None:
    assert values.layers("--stage-layers", "12, 12,0") == (12, 12, 0)


@pytest.mark.parametrize("text", ["12,,11", "", "12,x", "-1", "1.5", "9999999"])
def test_bad_layers(text: str) -> None:
    with pytest.raises(InputError, match="is not a whole number; write the layers of every chunk"):
        values.layers("--stage-layers", text)
