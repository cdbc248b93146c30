"""Seconds of one step of an engine: device, host, and what the batch holds.

A step holds B decoding sequences, which see `context` cached tokens together, and the tokens of
prompts. Products see all tokens at once; attention is priced for each kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.serving.layer.attention import readings
from planner.serving.layer.layers import head_s, launches, layers_s

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


class StepCosts:
    """Prices of the steps of one scenario, for up to `most_tokens` tokens in a step."""

    def __init__(self, scenario: ServingScenario, most_tokens: int) -> None:
        engine = scenario.engine
        counts = np.arange(most_tokens + 1, dtype=np.float64)
        grid = np.unique(np.rint(np.geomspace(1, max(2, most_tokens), _GRID)))
        layers = np.interp(counts, grid, layers_s(scenario, grid))
        heads = np.interp(counts, grid, head_s(scenario, grid))
        parts = readings(scenario)
        launched_s = launches(scenario) * engine.host.launch.value
        between_s = engine.host.step.value + counts * engine.host.per_sequence.value
        graph = counts <= engine.scheduler.graph_tokens
        self._layers_s: list[float] = layers.tolist()
        self._heads_s: list[float] = heads.tolist()
        self._between_s: list[float] = between_s.tolist()
        self._launched_s = launched_s
        self._start_s = sum(part.start_s for part in parts)
        self._prompt_start_s = sum(part.prompt_start_s for part in parts)
        self._parts = [(part.window, part.token_s) for part in parts]
        self._prompt_parts = [(part.window, part.pair_s, part.beyond_s) for part in parts]
        device_s: Floats = layers + heads + self._start_s
        self._decoding_s: Floats = (
            np.where(graph, device_s, np.maximum(device_s, launched_s)) + between_s
        )
        self._decode_s: list[float] = self._decoding_s.tolist()

    def decode_s(self, sequences: int, context: float) -> float:
        """Seconds of a step in which every sequence decodes one token."""
        return self._decode_s[sequences] + self._reading_s(sequences, context)

    def decode_many_s(self, sequences: Ints, context: Floats) -> Floats:
        """The same for many steps at once, [L]."""
        total_s: Floats = self._decoding_s[sequences]
        for window, token_s in self._parts:
            seen = context if window is None else np.minimum(context, sequences * window)
            total_s = total_s + token_s * seen
        return total_s

    def prompt_s(self, sequences: int, context: float, prompts: Sequence[Prompt]) -> float:
        """Seconds of a step with parts of prompts, and `sequences` that decode in it."""
        tokens = sequences + sum(prompt.tokens for prompt in prompts)
        device_s = self._layers_s[tokens] + self._heads_s[sequences + len(prompts)]
        device_s += self._prompt_start_s
        for window, pair_s, beyond_s in self._prompt_parts:
            for prompt in prompts:
                keys = prompt.before + prompt.tokens / 2
                if window is None:
                    device_s += pair_s * prompt.tokens * keys
                else:
                    longer = prompt.before + prompt.tokens > window
                    each_s = beyond_s if longer else pair_s
                    device_s += each_s * prompt.tokens * min(keys, window)
        if sequences:
            device_s += self._start_s + self._reading_s(sequences, context)
        return max(device_s, self._launched_s) + self._between_s[sequences + len(prompts)]

    def _reading_s(self, sequences: int, context: float) -> float:
        total_s = 0.0
        for window, token_s in self._parts:
            seen = context if window is None else min(context, sequences * window)
            total_s += token_s * seen
        return total_s
