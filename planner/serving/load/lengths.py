"""Loads: how long prompts and answers are, and how many requests are under way."""

from __future__ import annotations

from dataclasses import dataclass

_GOLDEN = 0.6180339887498949
"""Fraction of multiples of it fill [0, 1] evenly in any order of taking them (Weyl 1916)."""
_SECOND = 0.7548776662466927
"""The same for a second dimension, independent of the first (Roberts 2018, R2 sequence)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoad:
    """A closed loop: `concurrency` clients, each with one request at a time, `rounds` requests a
    client in all, the first ones at once. Lengths are uniform in [`least`, 1] times the nominal
    ones. Offline work is a closed loop of as many clients as requests."""

    concurrency: float
    input_tokens: int
    output_tokens: int
    least: float = 1.0
    rounds: int = 1

    @property
    def mean_input(self) -> float:
        return self.input_tokens * (1 + self.least) / 2

    @property
    def mean_output(self) -> float:
        return self.output_tokens * (1 + self.least) / 2

    def lengths(self, index: int) -> tuple[int, int]:
        """Tokens of the prompt and of the answer of one request, in an even sequence that is the
        same every time."""
        spread = 1 - self.least
        first, second = (0.5 + index * _GOLDEN) % 1, (0.5 + index * _SECOND) % 1
        prompt = round(self.input_tokens * (self.least + spread * first))
        answer = round(self.output_tokens * (self.least + spread * second))
        return max(1, prompt), max(1, answer)
