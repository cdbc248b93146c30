"""An exact simulation of an engine's steps under a load.

One event is one step with a prompt, or as many decoding steps as pass until a request ends or one
arrives. Every request counts: when its first token came, and how fast the others.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from planner.serving.step import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.serving.memory import ServingMemory
    from planner.serving.step import StepCosts
    from planner.specs.engine import Scheduler


@dataclass(frozen=True, slots=True)
class Served:
    """One request: seconds to its first token, seconds for each further one, tokens, round, place
    in the order they come."""

    ttft_s: float
    tpot_s: float | None
    output_tokens: int
    round: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Requests of one rank in the order they come, with tokens of prompt and answer. `clients` have
    one at a time; with `at_s`, the seconds at which they come, there are as many as requests.
    `shared`: tokens with which all prompts begin, kept once the first prompt was read; `reused`: of
    each prompt the tokens that earlier ones left in the cache. `read_elsewhere`: prompts come with
    their KV cache and their first token."""

    lengths: Sequence[tuple[int, int]]
    clients: int
    at_s: Sequence[float] = ()
    shared: int = 0
    reused: Sequence[int] = ()
    read_elsewhere: bool = False


@dataclass(slots=True)
class _Waiting:
    index: int
    arrival_s: float
    prompt: int
    answer: int
    before: int = 0


@dataclass(slots=True)
class _State:
    clock_s: float = 0.0
    steps: float = 0
    context: float = 0
    held_bytes: float = 0.0
    any_read: bool = False
    polled_s: float = 0.0
    polled_step: float = 0
    gathering_step: float | None = None
    """When the first of the prompts that wait for others was seen."""
    running: list[tuple[float, int]] = field(default_factory=list)
    """(step after which it ends, index), a heap."""
    waiting: deque[_Waiting] = field(default_factory=deque)
    reading: deque[_Waiting] = field(default_factory=deque)
    """Admitted, with tokens of the prompt left."""


class Simulation:
    """One rank of an engine with its clients."""

    def __init__(
        self,
        costs: StepCosts,
        memory: ServingMemory,
        scheduler: Scheduler,
        work: Work,
        *,
        turn_s: float,
        intake_s: float,
        token_intake_s: float = 0.0,
    ) -> None:
        """`turn_s`: seconds from an answer's end to the next request; `intake_s` and
        `token_intake_s`: what the front end takes for each request and for each token of its
        prompt, one request after the other."""
        self._costs, self._memory, self._scheduler, self._work = costs, memory, scheduler, work
        self._turn_s, self._intake_s, self._token_intake_s = turn_s, intake_s, token_intake_s
        self._last_s = 0.0
        self._lengths = work.lengths
        self._requests = len(work.lengths)
        self._arrivals = [0.0] * self._requests
        self._firsts = [0.0] * self._requests
        self._sizes = [self._reserved_bytes(*lengths) for lengths in self._lengths]
        self._served: list[Served] = []
        self._state = _State(held_bytes=memory.request_bytes(work.shared))
        self._next = min(work.clients, self._requests)

    def run(self) -> tuple[list[Served], float]:
        """All requests in the order they end, and seconds until the last one does."""
        state = self._state
        for index in range(self._next):
            self._queue(index, self._work.at_s[index] if self._work.at_s else 0.0)
        while len(self._served) < self._requests:
            self._admit()
            if state.reading:
                self._prompt_step()
            elif state.running:
                self._decode_steps()
            else:
                state.clock_s = max(state.clock_s, state.waiting[0].arrival_s)
        return self._served, state.clock_s

    def _reserved_bytes(self, prompt: int, answer: int) -> float:
        own = prompt - self._kept(prompt)
        return self._memory.request_bytes(own + answer * self._scheduler.reserve_output)

    def _kept(self, prompt: int) -> int:
        """Tokens that a prompt shares with all others; its last one is always read."""
        return min(self._work.shared, prompt - 1)

    def _queue(self, index: int, at_s: float) -> None:
        prompt, answer = self._lengths[index]
        self._arrivals[index] = at_s
        taken_s = self._intake_s + prompt * self._token_intake_s
        self._last_s = max(at_s, self._last_s) + taken_s
        self._state.waiting.append(_Waiting(index, self._last_s, prompt, answer))

    def _admit(self) -> None:
        """Requests that were seen start in their order while there is room; one alone always
        may."""
        state = self._state
        if not state.running or state.steps - state.polled_step >= self._scheduler.poll_steps:
            state.polled_s, state.polled_step = state.clock_s, state.steps
        if self._gathers():
            return
        while state.waiting and state.waiting[0].arrival_s <= state.polled_s:
            under_way = len(state.running) + len(state.reading)
            size = self._sizes[state.waiting[0].index]
            full = state.held_bytes + size > self._memory.kv_bytes
            if under_way and (full or under_way >= self._scheduler.max_running):
                return
            state.held_bytes += size
            one = state.waiting.popleft()
            if self._work.read_elsewhere:
                self._start(one.index, one.prompt, one.answer, self._arrivals[one.index])
                continue
            if self._work.reused:
                one.before = self._work.reused[one.index]
            elif state.any_read:
                one.before = self._kept(one.prompt)
            state.reading.append(one)

    def _gathers(self) -> bool:
        """Whether prompts that were seen wait for others to come."""
        state, rule = self._state, self._scheduler.gather
        if rule is None or not state.running:
            return False
        tokens = 0
        for one in state.waiting:
            if one.arrival_s > state.polled_s:
                break
            tokens += one.prompt
        if not tokens:
            state.gathering_step = None
            return False
        if state.gathering_step is None:
            state.gathering_step = state.steps
        waited = state.steps - state.gathering_step
        if tokens >= rule.share * self._scheduler.max_step_tokens or waited >= rule.steps:
            state.gathering_step = None
            return False
        return True

    def _prompt_step(self) -> None:
        """Prompts in their order, as many tokens as a step may hold."""
        state, rule = self._state, self._scheduler
        decoding = len(state.running) if rule.mixed else 0
        room = max(1, rule.max_step_tokens - decoding)
        parts: list[Prompt] = []
        done: list[_Waiting] = []
        while state.reading and room > 0:
            one = state.reading[0]
            left = one.prompt - one.before
            tokens = min(left, room)
            if tokens < left and parts and not rule.chunked:
                break
            parts.append(Prompt(tokens, one.before))
            room -= tokens
            one.before += tokens
            if one.before == one.prompt:
                done.append(state.reading.popleft())
        state.clock_s += self._costs.prompt_s(decoding, state.context, parts)
        state.polled_s, state.polled_step = state.clock_s, state.steps
        if decoding:
            self._advance(self._costs.tokens_per_step)
        state.any_read = state.any_read or bool(done)
        for one in done:
            self._start(one.index, one.prompt, one.answer, state.clock_s)
        self._end()

    def _start(self, index: int, prompt: int, answer: int, first_s: float) -> None:
        """A request whose first token came writes the others from the next step on."""
        state = self._state
        self._firsts[index] = first_s
        state.context += prompt
        heappush(state.running, (state.steps + answer - 1, index))

    def _decode_steps(self) -> None:
        state = self._state
        sequences, steps = len(state.running), state.running[0][0] - state.steps
        step_s = self._costs.decode_s(sequences, state.context + sequences * (steps - 1) / 2)
        if state.waiting and not self._is_full():
            wait_s = max(0.0, state.waiting[0].arrival_s - state.clock_s)
            arriving = max(1, int(-(-wait_s // step_s)))
            steps = min(steps, self._steps_until_admission(arriving))
            step_s = self._costs.decode_s(sequences, state.context + sequences * (steps - 1) / 2)
        state.clock_s += steps * step_s
        self._advance(steps)
        self._end()

    def _steps_until_admission(self, arriving: int) -> float:
        """Decoding steps until requests are looked at that arrive within so many."""
        state, rule = self._state, self._scheduler
        if state.gathering_step is not None and rule.gather is not None:
            return max(1, state.gathering_step + rule.gather.steps - state.steps)
        since = state.steps + arriving - state.polled_step
        return -(-since // rule.poll_steps) * rule.poll_steps + state.polled_step - state.steps

    def _is_full(self) -> bool:
        state = self._state
        size = self._sizes[state.waiting[0].index]
        return (
            state.held_bytes + size > self._memory.kv_bytes
            or len(state.running) >= self._scheduler.max_running
        )

    def _advance(self, steps: float) -> None:
        """So many tokens of every answer under way."""
        self._state.steps += steps
        self._state.context += steps * len(self._state.running)

    def _end(self) -> None:
        """Requests whose last token came; their clients send the next ones."""
        state = self._state
        while state.running and state.running[0][0] <= state.steps:
            ended, index = heappop(state.running)
            prompt, answer = self._lengths[index]
            state.context -= prompt + answer - 1 + (state.steps - ended)
            state.held_bytes -= self._sizes[index]
            first_s = self._firsts[index]
            gaps = answer - 1
            self._served.append(
                Served(
                    ttft_s=first_s - self._arrivals[index],
                    tpot_s=(state.clock_s - first_s) / gaps if gaps else None,
                    output_tokens=answer,
                    round=index // self._work.clients,
                    index=index,
                )
            )
            if self._next < self._requests:
                self._queue(self._next, state.clock_s + self._turn_s)
                self._next += 1
