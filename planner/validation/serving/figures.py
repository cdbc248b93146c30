"""What a row measured, and what is estimated of it: seconds, and tokens per second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.serving.estimate import estimate, estimate_decode_pool
from planner.serving.open_estimate import estimate_open

if TYPE_CHECKING:
    from planner.serving.latency import Latency
    from planner.validation.serving.row import ServingCase
    from planner.validation.serving.table import ServingRow

TPOT, TTFT, RATE = "tpot", "ttft", "output_tokens_per_s_per_device"
QUANTITIES = (
    *(TPOT, "tpot_median", "tpot_p99", TTFT, "ttft_median", "ttft_p99"),
    RATE,
)
"""What is compared: means of requests, where no percentile is named."""
THROUGHPUT = "output_tokens_per_s"
"""Of all devices of a run; estimated, and measured in few tables."""
_MILLI = 1e-3


def predicted_of(case: ServingCase) -> dict[str, float]:
    """Every figure that is estimated of a run."""
    return _decoded(case) if case.prefill is not None else _served(case)


def measured_of(row: ServingRow) -> dict[str, float]:
    """The figures that a row has. Raises: RowError."""
    columns = {
        TPOT: "tpot_mean_ms",
        "tpot_median": "tpot_median_ms",
        "tpot_p99": "tpot_p99_ms",
        TTFT: "ttft_mean_ms",
        "ttft_median": "ttft_median_ms",
        "ttft_p99": "ttft_p99_ms",
    }
    found = {name: row.number(column) for name, column in columns.items()}
    measured = {name: value * _MILLI for name, value in found.items() if value}
    rate = row.number(RATE)
    return measured | ({RATE: rate} if rate else {})


def _served(case: ServingCase) -> dict[str, float]:
    if case.arrivals is None:
        found = estimate(case.scenario, case.load)
    else:
        found = estimate_open(case.scenario, case.arrivals)
    parts = _latency(TTFT, found.ttft)
    if found.tpot is not None:
        parts |= _latency(TPOT, found.tpot)
    devices = case.scenario.degrees.devices
    rate = found.output_tokens_per_s_per_device
    return parts | {RATE: rate, THROUGHPUT: rate * devices}


def _decoded(case: ServingCase) -> dict[str, float]:
    """What is estimated of a pool that decodes: its time of a token."""
    assert case.prefill is not None
    found = estimate_decode_pool(
        case.prefill,
        case.scenario,
        case.load,
        prefill_replicas=case.prefill_replicas,
        decode_replicas=case.decode_replicas,
    )
    degrees = case.scenario.degrees
    running = found.running * case.decode_replicas * degrees.attention_data * degrees.pipeline
    return {
        TPOT: found.tpot_s,
        "tpot_median": found.tpot_s,
        THROUGHPUT: running / found.tpot_s,
    }


def _latency(name: str, found: Latency) -> dict[str, float]:
    return {name: found.mean_s, f"{name}_median": found.median_s, f"{name}_p99": found.p99_s}
