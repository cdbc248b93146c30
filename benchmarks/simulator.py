"""Speed of pipeline schedules: making an order, compiling it, simulating it, bounding it.

Run with `python -m benchmarks.simulator`. "cold" includes making and compiling the order, "warm" is
one more simulation with other durations, "of 100" is one of a hundred simulated together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from planner.schedule.bounds.closed_form import span_lower_bound
from planner.schedule.bounds.windows import window_lower_bound
from planner.schedule.build import build
from planner.schedule.graph.compile import Sends, compile_graph
from planner.schedule.simulation.simulate import Durations, simulate, step_spans

CASES: list[tuple[str, int, int, int, float | None]] = [
    ("1f1b", 128, 1, 1024, 1.0),
    ("interleaved", 64, 4, 512, 1.0),
    ("1f1b", 16, 1, 64, None),
    ("interleaved", 16, 4, 64, None),
    ("interleaved", 8, 2, 16, None),
    ("zb-h1", 16, 1, 64, None),
    ("zb-v", 16, 2, 64, None),
    ("v-half", 16, 2, 64, None),
    ("dualpipe", 16, 2, 64, None),
    ("1f1b-vocab-1", 16, 1, 64, None),
    ("interlaced-vocab", 16, 1, 64, None),
]
"""Schedule, stages, chunks, microbatches, seconds allowed cold."""


SENDS: dict[str, Sends] = {"1f1b": "blocking", "interleaved": "overlapped"}


def seconds(work: Callable[[], object], *, repeat: int = 5) -> float:
    """The shortest of several runs."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def durations(p: int, v: int, batch: tuple[int, ...], sends: Sends) -> Durations:
    rng = np.random.default_rng(0)
    forward = rng.uniform(0.9, 1.1, (*batch, p, v))
    send = rng.uniform(0, 0.1, p * v - 1)
    return Durations(
        forward_s=forward,
        backward_s=2 * forward,
        backward_weight_s=forward,
        vocab_forward_s=0.2,
        vocab_backward_s=0.3,
        exchange_s=0.05,
        forward_send_s=send,
        backward_send_s=send,
        sends=sends,
    )


def cold(name: str, p: int, v: int, m: int, once: Durations) -> None:
    """From nothing to a timeline."""
    build.cache_clear()
    compile_graph.cache_clear()
    simulate(build(name, stages=p, virtual_stages=v, num_microbatches=m), once)


def main() -> None:
    print(f"{'schedule':<17}{'stages':>7}{'chunks':>7}{'microb.':>8}{'passes':>9}", end="")
    print(f"{'cold ms':>9}{'warm ms':>9}{'of 100 ms':>11}")
    for name, p, v, m, allowed_s in CASES:
        sends = SENDS.get(name, "asynchronous")
        once, many = durations(p, v, (), sends), durations(p, v, (100,), sends)
        cold_s = seconds(partial(cold, name, p, v, m, once), repeat=3)
        schedule = build(name, stages=p, virtual_stages=v, num_microbatches=m)
        warm_s = seconds(partial(simulate, schedule, once))
        small = schedule.codes.size < 20_000
        batch = f"{seconds(partial(step_spans, schedule, many)) * 10:.3f}" if small else ""
        print(f"{name:<17}{p:>7}{v:>7}{m:>8}{schedule.codes.size:>9}", end="")
        print(f"{cold_s * 1e3:>9.1f}{warm_s * 1e3:>9.2f}{batch:>11}", end="")
        verdict = "" if allowed_s is None else f"{'ok' if cold_s < allowed_s else 'SLOW'}"
        print(f"  {verdict} (< {allowed_s} s cold)" if verdict else "")
    bounds()


def bounds() -> None:
    rng = np.random.default_rng(0)
    p, v, count = 8, 2, 100_000
    forward = rng.random((count, p, v))
    sends = rng.random((count, p * v - 1))
    microbatches = p * rng.integers(1, 64, count)
    spans = seconds(
        lambda: span_lower_bound(forward, 2 * forward, sends, sends, num_microbatches=microbatches)
    )
    windows = seconds(
        lambda: window_lower_bound(
            forward[..., 0],
            2 * forward[..., 0],
            sends[..., : p - 1],
            sends[..., : p - 1],
            num_microbatches=microbatches,
        )
    )
    print(
        f"bounds of {count} candidates of 8 stages: {spans:.3f} s by stages of 2 chunks, ", end=""
    )
    print(f"{windows:.3f} s by windows")


if __name__ == "__main__":
    main()
