"""Rows of one configuration that contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.validation.serving.table import RowError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.validation.serving.table import ServingRow

MOST_DISAGREEMENT = 1.25
"""Between repeats of one configuration, whose times of a token differ by 4 % at the 90th percentile
in tables that state everything."""
_CONFIGURATION = (
    *("source", "model", "weight_format", "kv_format", "device", "devices", "mode", "tensor"),
    *("pipeline", "expert", "attention_data", "moe_tensor", "framework", "speculative"),
    *("prefill_workers", "prefill_devices", "prefill_tensor", "prefill_expert"),
    *("prefill_attention_data", "decode_workers", "decode_devices", "decode_tensor"),
    *("decode_expert", "decode_attention_data", "input_length", "output_length", "lengths"),
    *("load_kind", "load"),
)
"""Columns that say what was run; versions of an engine are not among them."""


def disagreeing(rows: Sequence[ServingRow]) -> dict[int, str]:
    """By identity of the row, why it is left out: several rows of one configuration whose times of
    a token differ by more than `MOST_DISAGREEMENT` hide something that is not stated, such as
    drafts."""
    groups: dict[tuple[str, ...], list[tuple[float, ServingRow]]] = {}
    for row in rows:
        try:
            time_ms = row.number("tpot_mean_ms")
        except RowError:
            continue
        if time_ms:
            key = tuple(row.text(column) for column in _CONFIGURATION)
            groups.setdefault(key, []).append((time_ms, row))
    found: dict[int, str] = {}
    for group in groups.values():
        least, most = (pick(time_ms for time_ms, _ in group) for pick in (min, max))
        if most > MOST_DISAGREEMENT * least:
            reason = (
                f"{len(group)} rows of this configuration differ by {most / least:.2f} times: "
                "something is not stated"
            )
            found.update({id(row): reason for _, row in group})
    return found
