"""Seconds of one step of an engine: device, host, and what the batch holds.

A step holds B decoding sequences, which see `context` cached tokens together, and the tokens of
prompts. Products see all tokens at once; attention is priced for each kind. With k drafts a
decoding sequence has k + 1 tokens in a step, whose cache is read once, and k steps of what drafts
them go before.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, overload

import numpy as np

from planner.serving.layer.attention import readings
from planner.serving.layer.layers import head_s, launches, layers_s
from planner.solver.pools import upper_hull

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.arrays import Floats, Ints
    from planner.serving.scenario import ServingScenario

_GRID = 24
"""Token counts at which layers are priced, evenly spaced in logarithm; between them the time is
interpolated."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A part of a prompt in one step: its tokens, and those of the prompt before it."""

    tokens: int
    before: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestWork:
    """Least seconds that a request takes up on a rank, by each of several lines [N]: a share of
    `start_s` of each of its `steps`, and `own_s`."""

    steps: float
    start_s: Floats
    own_s: Floats
    tokens_per_step: float

    def least_s(self, running: Floats) -> Floats:
        """Where at most `running` [L] requests decode in a step."""
        shared = np.divide.outer(self.start_s * self.steps, running)
        least: Floats = (shared + self.own_s[:, None]).max(axis=0)
        return least

    def most_per_s(self, tpot_s: float) -> float:
        """Requests per second of a rank whose mean time of a further token is at most so long: of
        all seconds the steps' starts take a share a/TPOT at least, since as many requests decode
        as come while one does (Little 1961)."""
        left = np.maximum(0.0, 1 - self.start_s / (tpot_s * self.tokens_per_step))
        return float((left / self.own_s).min())


class StepCosts:
    """Prices of the steps of one scenario, for up to `most_tokens` tokens in a step."""

    def __init__(self, scenario: ServingScenario, most_tokens: int) -> None:
        engine, queries = scenario.engine, scenario.queries
        most = most_tokens + (queries - 1) * (engine.scheduler.max_running + 2)
        counts = np.arange(most + 1, dtype=np.float64)
        grid = np.unique(np.rint(np.geomspace(1, max(2, most), _GRID)))
        layer_grid_s = layers_s(scenario, grid)
        layers = np.interp(counts, grid, layer_grid_s)
        head_grid_s = head_s(scenario, grid)
        heads = np.interp(counts, grid, head_grid_s)
        parts = readings(scenario)
        self._queries = queries
        self._drafter = None if scenario.drafter is None else StepCosts(scenario.drafter, most)
        self.tokens_per_step = (
            1.0 if scenario.drafting is None else scenario.drafting.tokens_per_step
        )
        """Tokens that every decoding sequence gains in a step, on average."""
        self._step_s, self._per_sequence_s = engine.host.step.value, engine.host.per_sequence.value
        self._layers_s, self._heads_s = _table(layers), _table(heads)
        self._launched_s = launches(scenario) * engine.host.launch.value
        self._start_s = sum(part.start_s for part in parts)
        self._prompt_start_s = sum(part.prompt_start_s for part in parts)
        self._parts = [(part.window, part.token_s) for part in parts]
        self._prompt_parts = [
            (part.window, part.pair_s, part.beyond_s, part.ramp) for part in parts
        ]
        self._read_parts = list(self._parts)
        """Those that a step reads, and those that what drafts reads before it."""
        self._device_s: Floats = (layers + heads)[::queries] + self._start_s
        graph = counts[::queries] <= engine.scheduler.graph_tokens
        between_s = self._between_s(counts[: self._device_s.size])
        decoding_s: Floats = (
            np.where(graph, self._device_s, np.maximum(self._device_s, self._launched_s))
            + between_s
        )
        if self._drafter is not None:
            drafts_s = (queries - 1) * self._drafter._device_s
            decoding_s = decoding_s + drafts_s[: decoding_s.size]
            self._read_parts += [
                (window, (queries - 1) * one) for window, one in self._drafter._parts
            ]
        self._decode_s = _table(decoding_s)
        self._decoding_s: Floats = np.frombuffer(self._decode_s)
        """The same table, for many steps at once."""
        self._lines = _lines_below(grid, layer_grid_s)
        self._head_s = float((head_grid_s / grid).min())

    @property
    def table_bytes(self) -> int:
        """What the tables take up, those of what drafts with them."""
        own = (self._layers_s, self._heads_s, self._decode_s)
        below = 0 if self._drafter is None else self._drafter.table_bytes
        return sum(len(one) * one.itemsize for one in own) + self._device_s.nbytes + below

    def decode_s(self, sequences: int, context: float) -> float:
        """Seconds in which every sequence decodes one token: of a step over the tokens that it
        gains."""
        step_s = self._decode_s[sequences] + self._reading_s(sequences, context)
        return step_s / self.tokens_per_step

    def decode_many_s(self, sequences: Ints, context: Floats) -> Floats:
        """The same for many steps at once, [L]."""
        total_s: Floats = self._decoding_s[sequences]
        for window, token_s in self._read_parts:
            seen = context if window is None else np.minimum(context, sequences * window)
            total_s = total_s + token_s * seen
        return total_s / self.tokens_per_step

    def request_work(
        self, *, read: float, before: float, answer: float, context: float
    ) -> RequestWork:
        """What one request takes up: `read` tokens of a prompt after `before` others, and `answer`
        tokens that see `context` cached ones each. A step of T tokens takes at least a + s T
        seconds for every line below the layers' time."""
        steps = answer / self.tokens_per_step
        attention_s = 0.0
        for window, token_s in self._parts:
            seen = context if window is None else min(context, window)
            attention_s += steps * token_s * seen
        for window, pair_s, beyond_s, ramp in self._prompt_parts:
            keys = before + read / 2
            seen = keys if window is None else min(keys, window)
            attention_s += min(pair_s, beyond_s) * read * (seen + ramp)
        start_s, each_s = self._lines
        checked = self._queries * steps
        return RequestWork(
            steps=steps,
            start_s=start_s + self._start_s + self._step_s,
            own_s=each_s * (read + checked) + attention_s + self._head_s * checked,
            tokens_per_step=self.tokens_per_step,
        )

    def prompt_s(self, sequences: int, context: float, prompts: Sequence[Prompt]) -> float:
        """Seconds of a step with parts of prompts, and `sequences` that decode in it."""
        device_s = self._prompt_device_s(sequences * self._queries, prompts)
        if self._drafter is not None:
            device_s += self._drafter._prompt_device_s(0, prompts)
            device_s += (self._queries - 1) * self._drafter._device_s.item(sequences)
        if sequences:
            device_s += self._start_s + self._reading_s(sequences, context)
        return max(device_s, self._launched_s) + self._between_s(sequences + len(prompts))

    @overload
    def _between_s(self, sequences: int) -> float: ...

    @overload
    def _between_s(self, sequences: Floats) -> Floats: ...

    def _between_s(self, sequences: int | Floats) -> float | Floats:
        """Of the host, between the steps on the device."""
        return self._step_s + sequences * self._per_sequence_s

    def _prompt_device_s(self, decoding: int, prompts: Sequence[Prompt]) -> float:
        """Without the reading of those that decode so many tokens."""
        tokens = decoding + sum(prompt.tokens for prompt in prompts)
        device_s = self._layers_s[tokens] + self._heads_s[decoding + len(prompts)]
        device_s += self._prompt_start_s
        for window, pair_s, beyond_s, ramp in self._prompt_parts:
            for prompt in prompts:
                keys = prompt.before + prompt.tokens / 2
                if window is None:
                    device_s += pair_s * prompt.tokens * (keys + ramp)
                else:
                    longer = prompt.before + prompt.tokens > window
                    each_s = beyond_s if longer else pair_s
                    device_s += each_s * prompt.tokens * (min(keys, window) + ramp)
        return device_s

    def _reading_s(self, sequences: int, context: float) -> float:
        total_s = 0.0
        for window, token_s in self._read_parts:
            seen = context if window is None else min(context, sequences * window)
            total_s += token_s * seen
        return total_s


def _table(seconds: Floats) -> array[float]:
    """Eight bytes a value, and a plain number where one is asked for."""
    return array("d", seconds.tobytes())


def _lines_below(tokens: Floats, seconds: Floats) -> tuple[Floats, Floats]:
    """Lines a + s T that are nowhere above a curve: those through its lower hull, [lines] each."""
    points = upper_hull(list(zip(tokens.tolist(), (-seconds).tolist(), strict=True)))
    slopes = [max(0.0, (y1 - y2) / (x2 - x1)) for (x1, y1), (x2, y2) in pairwise(points)]
    starts = [-y - slope * x for (x, y), slope in zip(points, slopes, strict=False)]
    most = float(seconds.min())
    return np.array([most, *starts]), np.array([0.0, *slopes])
