"""Plans of Sailor (Strati et al., SOSP 2025), priced by our model, beside those of our search."""

from __future__ import annotations

import pytest

from benchmarks.sailor import CASES, Case, compared

CHEAP = [case for case in CASES if case.name in {"OPT-350M, 32 A100", "GPT-Neo-2.7B, 32 A100"}]
MIXED = [case for case in CASES if case.theirs is None]


@pytest.mark.parametrize("case", CHEAP, ids=lambda case: case.name)
def test_no_plan_of_sailor_is_faster(case: Case) -> None:
    found = compared(case)
    assert found.ours_s < found.theirs_s
    assert found.gap < 0.01


@pytest.mark.parametrize("case", MIXED[:1], ids=lambda case: case.name)
def test_slower_devices_beside_fast_ones_cost_no_time(case: Case) -> None:
    """`theirs` are the fast devices alone there: half of the cluster."""
    found = compared(case)
    assert found.ours_s < found.theirs_s
