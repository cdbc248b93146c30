"""How fast stage layouts are solved and what they gain: `python -m benchmarks.stage_layout`.

Speed: the threshold program and the integer program on chains of layers with a large output layer.
Gain: the step of the best layout against the uniform one, each with the best recomputation that
fits, for a model with a vocabulary of 256k and for shipped models and mixed clusters.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from planner.schedule.inflight import peak_in_flight
from planner.stage_layout.problem import LayoutProblem, Pattern, price, spans_s
from planner.stage_layout.threshold import best_layout
from tests.stage_layout.checker.paths import solve_layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A chain on stages, and how long its exact solution may take."""

    name: str
    layers: int
    stages: int
    chunks: int = 1
    dense_layers: int = 0
    limit_s: float


CASES = (
    Case(name="96 layers, 16 stages", layers=96, stages=16, limit_s=0.06),
    Case(name="126 layers, 16 stages", layers=126, stages=16, limit_s=0.2),
    Case(name="3 dense + 58 MoE + MTP, 16 stages", layers=61, stages=16, dense_layers=3, limit_s=1),
    Case(
        name="126 layers of 2 kinds, 16 stages x 5",
        layers=126,
        stages=16,
        chunks=5,
        dense_layers=3,
        limit_s=1.0,
    ),
)


def problem_of(case: Case, microbatches: int = 128) -> LayoutProblem:
    """Embedding, layers and an output layer of 2.2 layers' work, in units of one layer's pass; a
    dense layer does 0.6 of a mixture's."""
    p, v = case.stages, case.chunks
    forward = np.array([0.6, 1.0, 0.03, 2.2]) / 3
    schedule = "1f1b" if v == 1 else "interleaved"
    in_flight = peak_in_flight(schedule, stages=p, virtual_stages=v, num_microbatches=microbatches)
    items = (2, *[0] * case.dense_layers, *[1] * (case.layers - case.dense_layers), 3)
    return LayoutProblem(
        schedule=schedule,
        stages=p,
        virtual_stages=v,
        num_microbatches=microbatches,
        chain=items,
        may_cut=(True,) * (len(items) - 1),
        replayable=(True, True, False, False),
        forward_s=np.tile(forward, (p, 1)),
        backward_s=np.tile(2 * forward, (p, 1)),
        weight_gradient_s=np.tile(forward, (p, 1)),
        replay_s=np.zeros((1, p, 4)),
        static_bytes=np.full(4, 3.0),
        kept_bytes=np.ones((1, 4)),
        in_flight=in_flight,
        fixed_bytes=np.zeros(p),
        capacity_bytes=np.full(p, (3 + 0.9 * in_flight.sum(axis=1).max() / v) * case.layers / p),
        patterns=(Pattern(0, 0),),
        forward_send_s=np.full(p * v - 1, 0.01),
        backward_send_s=np.full(p * v - 1, 0.01),
        sends="blocking" if v == 1 else "paired",
        reduction_s=np.full(4, 0.1),
    )


def speeds() -> bool:
    """Prints a row per case; whether all limits were kept. The time is that of the threshold
    program (the best of three), or of the integer program's rows where stages hold several chunks;
    the gap is between the layout's simulated step and the bound."""
    kept = True
    print(f"{'exact layout':38}{'solved ms':>10}{'limit':>7}{'proof ms':>10}{'gap':>8}")
    for case in CASES:
        problem = problem_of(case)
        if case.chunks == 1:
            times = []
            for _ in range(3):
                start = perf_counter()
                found = best_layout(replace(problem))
                times.append(perf_counter() - start)
            assert found is not None
            layout, solved_s = found.layout, min(times)
            start = perf_counter()
            proof = solve_layout(problem, layout)
            proof_s = perf_counter() - start
            span_s, bound_s = proof.span_s, proof.bound_s
            assert span_s <= float(spans_s(problem, price(problem, layout))[0])
        else:
            start = perf_counter()
            rows = solve_layout(problem, most_paths=0)
            solved_s, proof_s = perf_counter() - start, 0.0
            span_s, bound_s = rows.span_s, rows.bound_s
        kept &= solved_s <= case.limit_s
        print(
            f"{case.name:38}{solved_s * 1e3:>10.1f}{case.limit_s * 1e3:>7.0f}{proof_s * 1e3:>10.0f}"
            f"{1 - bound_s / span_s:>8.2%}",
            flush=True,
        )
    return kept


def gains() -> None:
    """Prints the best search result with default and with chosen layouts, one chunk per stage."""
    from planner.budget import Budget
    from planner.specs.job import build_job
    from planner.specs.load import load_cluster, load_model, load_software
    from planner.training.scenario import build_scenario
    from planner.training.search.layouts.choose import choose_layout
    from planner.training.search.search import search
    from planner.training.search.space.restrictions import Restrictions

    print(f"\n{'search, pipeline 8 or 16':44}{'uniform s':>10}{'chosen s':>10}{'gain':>8}")
    for cluster_name, model_name, vocabulary, nodes in (
        ("dgx-a100-16", "llama-3-8b", 256_000, 8),
        ("dgx-a100-16", "llama-3-70b", 256_000, 16),
        ("dgx-h100-2048", "deepseek-v3", None, 256),
        ("mixed-a100-h100-16", "llama-2-70b", None, None),
    ):
        cluster = load_cluster(cluster_name).sized(nodes=nodes)
        model = load_model(model_name)
        if vocabulary is not None:
            model = replace(model, vocab_size=vocabulary)
        software = load_software(model.training.software or "megatron-core")
        job = build_job(model, software, devices=cluster.num_devices or 0)
        scenario = build_scenario(cluster, model, job)
        only = Restrictions(pipeline=(8, 16), schedule=("1f1b",))
        uniform, chosen = (
            search(
                scenario,
                restrictions=only,
                top=1,
                budget=Budget.lasting(60.0),
                improve=improve,
            )
            for improve in (None, choose_layout)
        )
        before, after = (one.plans[0].estimate.step_s for one in (uniform, chosen))
        size = f", vocabulary {vocabulary // 1000}k" if vocabulary else ""
        name = f"{model_name}{size} on {cluster_name}"
        print(f"{name:44}{before:>10.2f}{after:>10.2f}{1 - after / before:>8.1%}", flush=True)


def main() -> int:
    """1 when a limit is not kept."""
    kept = speeds()
    gains()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
