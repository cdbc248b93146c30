from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.specs.quantities import BYTES_PER_SECOND
from planner.specs.unit_text import (
    format_bytes,
    format_bytes_per_second,
    format_flop_per_second,
    format_seconds,
)
from planner.specs.units import (
    UnitError,
    parse_bytes,
    parse_bytes_per_second,
    parse_flop_per_second,
    parse_fraction,
    parse_seconds,
    unit_factor,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("80 GiB", 80 * 2**30),
        ("80GiB", 80 * 2**30),
        ("80 GB", 80 * 10**9),
        ("0.5 KiB", 512),
        ("1.5e3 B", 1500),
        ("141 GB", 141 * 10**9),
    ],
)
def test_bytes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("25 GB/s", 25e9),
        ("25 GiB/s", 25 * 2.0**30),
        ("200 Gbit/s", 25e9),
        ("200 Gb/s", 25e9),
        ("12.5 GB/s", 12.5e9),
        ("3.35 TB/s", 3.35e12),
        ("1 Mb/s", 125e3),
        ("17346.823 MB/s", 17346823e3),
    ],
)
def test_bandwidth(text: str, bytes_per_s: float) -> None:
    assert parse_bytes_per_second(text) == bytes_per_s


def test_bits_are_an_eighth_of_bytes() -> None:
    assert parse_bytes_per_second("8 Gb/s") * 8 == parse_bytes_per_second("8 GB/s")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5 us", 5e-6), ("5 µs", 5e-6), ("0 us", 0.0), ("1.5 ms", 1.5e-3), ("20 ns", 2e-8)],
)
def test_seconds(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


def test_flop_per_second() -> None:
    assert parse_flop_per_second("312 TFLOP/s") == 312e12
    assert parse_flop_per_second("2.25 PFLOP/s") == 2.25e15


@pytest.mark.parametrize(("value", "share"), [("5%", 0.05), ("12.5 %", 0.125), (0.3, 0.3), (1, 1)])
def test_fraction(value: object, share: float) -> None:
    assert parse_fraction(value) == share


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (parse_bytes, 80, 'size needs a unit, found 80; write it like "80 GiB"'),
        (parse_bytes, "80", "size needs a unit, found '80'; write it like \"80 GiB\""),
        (parse_bytes, True, 'expected a size such as "80 GiB", found true'),
        (parse_bytes, None, 'expected a size such as "80 GiB", found nothing'),
        (parse_bytes, ["80 GiB"], 'expected a size such as "80 GiB", found a list'),
        (parse_bytes, "0 B", "size must be positive, found '0 B'"),
        (parse_bytes, "0.1 B", "size must be at least one byte, found '0.1 B'"),
        (parse_bytes, "1e9 TB", "size '1e9 TB' is beyond any hardware; at most 1 PB"),
        (
            parse_bytes_per_second,
            "25 B/s",
            "bandwidth '25 B/s' is below any hardware; at least 100 kB/s",
        ),
        (
            parse_bytes_per_second,
            "0.001 B/s",
            "bandwidth '0.001 B/s' is below any hardware; at least 100 kB/s",
        ),
        (
            parse_bytes,
            "80 Gb",
            "'Gb' is not a unit of size; accepted: B kB KiB MB MiB GB GiB TB TiB PB PiB EB; "
            "did you mean GB?",
        ),
        (parse_seconds, "-1 us", "time must be 0 or more, found '-1 us'"),
        (parse_seconds, "5 min", "'min' is not a unit of time; accepted: ns us µs ms s"),
        (
            parse_seconds,
            "5 us 3",
            "'5 us 3' is not a time; write a number and a unit, like \"5 us\"",
        ),
        (
            parse_flop_per_second,
            "312 TFLOPS",
            "'TFLOPS' is not a unit of compute rate; accepted: FLOP/s kFLOP/s MFLOP/s GFLOP/s "
            "TFLOP/s PFLOP/s EFLOP/s; did you mean TFLOP/s?",
        ),
        (
            parse_bytes_per_second,
            4e11,
            'bandwidth needs a unit, found 400000000000; write it like "25 GB/s"',
        ),
        (parse_fraction, 1.5, "a fraction lies between 0 and 1 (0% and 100%), found 1.5"),
        (parse_fraction, "150%", "a fraction lies between 0 and 1 (0% and 100%), found '150%'"),
        (parse_fraction, 10**400, "a fraction lies between 0 and 1 (0% and 100%), found 1000"),
        (parse_fraction, "half", "'half' is not a fraction; write 0.05 or \"5%\""),
        (parse_fraction, False, 'expected a fraction such as 0.05 or "5%", found false'),
    ],
)
def test_refused(parse: Callable[[object], float], value: object, message: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse(value)

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Gbps", "Gbit/s"),
        ("GBps", "GB/s"),
        ("gb/s", "GB/s"),
        ("Gbits/s", "Gbit/s"),
        ("GB", "GB/s"),
        ("GiBps", "GiB/s"),
    ],
)
def test_the_unit_that_was_meant_is_named(wrong: str, right: str) -> None:
    with pytest.raises(UnitError, match=f"did you mean {right}\\?$"):
        unit_factor(BYTES_PER_SECOND, wrong)


@pytest.mark.parametrize("text", ["9" * 10_000 + " GB", "1e99999 GB", "1e9999 GB", "GB", "", " "])
def test_absurd_text_is_refused(text: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_bytes(text)

    assert len(str(caught.value)) < 200


@given(st.integers(min_value=1, max_value=10**15))
def test_bytes_round_trip(size: int) -> None:
    assert parse_bytes(format_bytes(size)) == size


@given(st.floats(min_value=1e5, max_value=1e16))
def test_bandwidth_round_trip(bytes_per_s: float) -> None:
    assert parse_bytes_per_second(format_bytes_per_second(bytes_per_s)) == bytes_per_s


@given(st.floats(min_value=0, max_value=3600))
def test_seconds_round_trip(seconds: float) -> None:
    assert parse_seconds(format_seconds(seconds)) == seconds


@given(st.floats(min_value=1, max_value=1e18))
def test_flop_per_second_round_trip(flop_per_s: float) -> None:
    assert parse_flop_per_second(format_flop_per_second(flop_per_s)) == flop_per_s


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (format_bytes(80 * 2**30), "80 GiB"),
        (format_bytes(1000), "1000 B"),
        (format_bytes_per_second(25e9), "25 GB/s"),
        (format_bytes_per_second(12.5e9), "12.5 GB/s"),
        (format_seconds(5e-6), "5 us"),
        (format_seconds(0.0), "0.0 s"),
        (format_flop_per_second(312e12), "312 TFLOP/s"),
    ],
)
def test_shortest_text(shown: str, text: str) -> None:
    assert shown == text


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_bytes, parse_bytes_per_second, parse_seconds, parse_flop_per_second):
        with contextlib.suppress(UnitError):
            assert parse(text) >= 0
