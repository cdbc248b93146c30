"""What a study of a thousand points takes, and what as many searches would: `python -m
benchmarks.sweep`. CPU seconds of this process; searches are a sample, every `EVERY`th point."""

from __future__ import annotations

import sys
from collections import Counter
from time import process_time

from planner import api
from planner.specs.study.build import load_study
from planner.sweeps.points import points_of

STUDY = {
    "name": "benchmark",
    "model": "gpt3-175b",
    "cluster": "dgx-h100-128",
    "job": {"tokens": "300B", "global_batch_size": 1536},
    "sweep": {
        "device": ["a100-sxm-80gb", "h100-sxm-80gb", "h200-sxm", "b200-sxm"],
        "nodes": {"first": 32, "last": 128, "step": 4},
        "precision": ["bf16", "fp8"],
        "network.bandwidth": ["12.5 GB/s", "25 GB/s", "50 GB/s", "75 GB/s", "100 GB/s"],
    },
    "prices": {
        "devices": {
            "a100-sxm-80gb": "1.50 $/h",
            "h100-sxm-80gb": "2.95 $/h",
            "h200-sxm": "3.50 $/h",
            "b200-sxm": "5.50 $/h",
        }
    },
}
EVERY = 41
"""Points between two that are searched for by themselves; prime to every axis."""


def main() -> None:
    """Prints seconds, and the ratio."""
    study = load_study(STUDY)
    found = {}
    for name, every_point in (("sweep", False), ("sweep --every-point", True)):
        began_s = process_time()
        swept = api.sweep(STUDY, every_point=every_point)
        found[name] = process_time() - began_s
        outcomes = dict(Counter(one.outcome for one in swept.points))
        print(f"{name}: {found[name]:.0f} s for {study.size:,} points, {outcomes}", flush=True)
        if len(sys.argv) > 1:
            break
    sample = points_of(study)[::EVERY]
    began_s = process_time()
    for point in sample:
        answer = swept.points[point.number - 1]
        try:
            searched = api.search(
                point.cluster,
                point.model,
                global_batch_size=1536,
                tokens="300B",
                nodes=point.job.nodes,
                precision=point.job.precision,
            )
        except api.PlannerError:
            continue
        if searched.plans and answer.step_s is not None:
            ratio = answer.step_s / searched.plans[0].estimate.step_s
            if abs(ratio - 1) > 1e-6:
                print(f"point {point.number}: {ratio - 1:+.3%} of the search's step")
    each_s = (process_time() - began_s) / len(sample)
    alone_s = each_s * study.size
    print(f"{study.size:,} searches: {alone_s:,.0f} s ({each_s:.2f} s each, of {len(sample)})")
    for name, spent_s in found.items():
        print(f"{name}: {alone_s / spent_s:.1f} times faster")


if __name__ == "__main__":
    main()
