"""Speed of pipeline schedules: making an order, compiling it, simulating it, bounding it.

Run with `python -m benchmarks.simulator`. "cold" includes making and compiling the order, "warm" is
one more simulation with other durations, "of 100" is one of a hundred simulated together.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from planner.schedule.closed_form import span_lower_bound
from planner.schedule.graph import compile_graph
from planner.schedule.registry import build
from planner.schedule.simulate import Durations, simulate, step_spans
from planner.schedule.windows import window_lower_bound

CASES = [
    ("1f1b", 128, 1, 1024, 1.0),
    ("interleaved", 64, 4, 512, 1.0),
    ("1f1b", 16, 1, 64, None),
    ("interleaved", 16, 4, 64, None),
    ("interleaved", 8, 2, 16, None),
]
"""Schedule, stages, chunks, microbatches, seconds allowed cold."""


def seconds(work: Callable[[], object], *, repeat: int = 5) -> float:
    """The shortest of several runs."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    rng = np.random.default_rng(0)
    print(f"{'schedule':<12}{'stages':>7}{'chunks':>7}{'microb.':>8}{'passes':>9}", end="")
    print(f"{'cold ms':>9}{'warm ms':>9}{'of 100 ms':>11}")
    for name, p, v, m, allowed in CASES:
        forward = rng.uniform(0.9, 1.1, (100, p, v))
        sends = rng.uniform(0, 0.1, p * v - 1)
        many = Durations(
            forward_s=forward,
            backward_s=2 * forward,
            forward_send_s=sends,
            backward_send_s=sends,
            sends="blocking" if v == 1 else "overlapped",
        )
        one = Durations(
            forward_s=forward[0],
            backward_s=2 * forward[0],
            forward_send_s=sends,
            backward_send_s=sends,
            sends=many.sends,
        )

        def cold(
            one: Durations = one, name: str = name, p: int = p, v: int = v, m: int = m
        ) -> None:
            build.cache_clear()
            compile_graph.cache_clear()
            simulate(build(name, stages=p, virtual_stages=v, num_microbatches=m), one)

        schedule = build(name, stages=p, virtual_stages=v, num_microbatches=m)
        passes = schedule.codes.size
        cold_s = seconds(cold, repeat=3)
        warm_s = seconds(lambda s=schedule, d=one: simulate(s, d))  # type: ignore[misc]
        batch = ""
        if passes < 20_000:
            batch = f"{seconds(lambda s=schedule, d=many: step_spans(s, d)) * 10:.3f}"  # type: ignore[misc]
        print(f"{name:<12}{p:>7}{v:>7}{m:>8}{passes:>9}", end="")
        print(f"{cold_s * 1e3:>9.1f}{warm_s * 1e3:>9.2f}{batch:>11}", end="")
        print(
            "" if allowed is None else f"  {'ok' if cold_s < allowed else 'SLOW'} (< {allowed} s)"
        )

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
