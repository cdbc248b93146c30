"""PL3: do the model's attention heads have fast kernels?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.checks.finding import Finding
    from planner.checks.subject import Subject

STEP, WIDEST = 8, 256
"""Elements of a head that 16-bit tensor cores and fused attention kernels work on (flash-attention
`flash_api.cpp`; NVIDIA's matrix multiplication guide: rows of a multiple of 16 bytes)."""


def head_findings(subject: Subject) -> Iterator[Finding]:
    """Whether attention leaves the fast kernels because of how wide the model's heads are."""
    scenario = subject.scenario
    model, width = scenario.model, scenario.model.head_dim
    full = scenario.job.precision in ("fp32", "tf32")
    if model.mla is not None or full or (width % STEP == 0 and width <= WIDEST):
        return
    why = (
        f"is no multiple of {STEP}: products of scores and values leave the tensor cores"
        if width % STEP
        else f"is above {WIDEST}: attention has no fused kernels"
    )
    hidden = model.hidden_size
    possible = [hidden // wide for wide in range(STEP, WIDEST + 1, STEP) if hidden % wide == 0]
    heads = min(possible, key=lambda one: abs(one - model.num_attention_heads), default=None)
    yield subject.finding(
        "PL305",
        ("degrees", "tensor"),
        f"head_dim {width} {why}",
        hint=None if heads is None else f"{heads} heads would be {hidden // heads} wide each",
    )
