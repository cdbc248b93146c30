"""What constants rest on: docs/constants.md and the program that writes it."""

from __future__ import annotations

from benchmarks.constants import (
    DOCUMENT,
    RATIOS,
    Constant,
    Tried,
    best,
    constants,
    families_row,
    row,
)

CONSTANT = Constant(kind="device", name="d", path="matmul.efficiency")


def errors(least: float) -> list[float]:
    """A family whose error is least at one ratio, and grows with the distance from it."""
    return [0.01 + abs(ratio - least) for ratio in RATIOS]


FOUND = Tried(
    by_file={"one": {"a": errors(0.85), "b": errors(0.95)}, "two": {"c": errors(1.1)}},
)


def test_files_of_a_publication_count_as_one() -> None:
    by_source = FOUND.by_source
    assert by_source["two"] == errors(1.1)
    assert by_source["one"][RATIOS.index(0.9)] == (errors(0.85)[1] + errors(0.95)[1]) / 2


def test_a_family_is_left_out_with_its_whole_publication() -> None:
    """Without `two` the other's ratios from 0.85 to 0.95 are equally good: the one nearest to 1 is
    taken, 0.95, at which c is off by 16 %; without `one` it is 1.1."""
    assert RATIOS[best(FOUND.by_source, "two")] == 0.95
    assert RATIOS[best(FOUND.by_source, "one")] == 1.1
    assert families_row(CONSTANT, FOUND) == (
        "| `matmul.efficiency` of d | a 26.0%, b 16.0%, c 16.0% |"
    )
    assert row(CONSTANT, FOUND.by_source).startswith("| `matmul.efficiency` of d | 2 | ")


def test_the_document_has_every_constant_in_both_tables() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(text.count(f"| {constant.words} | ") == 2 for constant in constants([]))
