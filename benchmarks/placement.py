"""How good placements are and how long they take: `python -m benchmarks.placement`.

Fifty problems of 16 to 1,024 nodes with noise, slow nodes, flaky links, spare nodes and two sites.
Each placement is compared with the framework's default order and with Pipette's annealer, which
gets at least as much time of the processor on the same objective. `--work` scales the effort;
other arguments name bandwidth matrices to place on as well, in every shape that fills their nodes.
`--searches` runs whole searches on unequal links instead, and prints how far they are proven.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.pipette_annealer import anneal
from benchmarks.placement_instances import fifty, measured
from benchmarks.unequal import searches
from planner.budget import Budget
from planner.placement.solve import solve_placement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.placement_instances import Instance

ANNEALER_AT_LEAST_S = 2.0


class Row(NamedTuple):
    default_s: float
    annealed_s: float
    found_s: float
    gap: float
    processor_s: float


def compared(instance: Instance, *, work: float) -> Row:
    problem, default = instance.problem, instance.default_order
    wall_s, processor_s = perf_counter(), process_time()
    solution = solve_placement(problem, seeds=[default], budget=Budget(work=work))
    wall_s, processor_s = perf_counter() - wall_s, process_time() - processor_s
    annealed = anneal(problem, max(processor_s, ANNEALER_AT_LEAST_S))
    row = Row(
        default_s=problem.objective_s(default),
        annealed_s=annealed.objective_s,
        found_s=problem.objective_s(np.array(solution.order)),
        gap=solution.gap,
        processor_s=processor_s,
    )
    print(
        f"{instance.name:26}{row.default_s * 1e3:10.1f}{row.annealed_s * 1e3:10.1f}"
        f"{row.found_s * 1e3:10.1f}{row.found_s / row.default_s:9.3f}"
        f"{row.found_s / row.annealed_s:9.3f}{row.gap:9.2%}{processor_s:8.2f}{wall_s:8.2f}"
        f"  {solution.stopped}",
        flush=True,
    )
    return row


def shapes(path: Path) -> Iterator[Instance]:
    nodes = len(measured(path, 1, 2).problem.node_class)
    for rows in range(1, nodes + 1):
        if nodes % rows == 0:
            yield measured(path, rows, nodes // rows)


def compare(instances: Iterable[Instance], *, work: float) -> bool:
    """Prints a row per instance, medians and worst; whether none is worse than it should be."""
    print(
        f"{'milliseconds':26}{'default':>10}{'annealer':>10}{'found':>10}{'/default':>9}"
        f"{'/anneal.':>9}{'gap':>9}{'CPU s':>8}{'wall s':>8}"
    )
    rows = [compared(instance, work=work) for instance in instances]
    to_default = [row.found_s / row.default_s for row in rows]
    to_annealer = [row.found_s / row.annealed_s for row in rows]
    for name, values in (
        ("found / default order", to_default),
        ("found / annealer", to_annealer),
        ("gap", [row.gap for row in rows]),
        ("seconds of the processor", [row.processor_s for row in rows]),
    ):
        print(f"{name:26} median {median(values):.3f}, worst {max(values):.3f}")
    return max(to_default) <= 1 + 1e-9 and max(to_annealer) <= 1 + 1e-9


def main() -> int:
    """1 where a placement is worse than the default order or the annealer's."""
    parser = ArgumentParser(prog="python -m benchmarks.placement")
    parser.add_argument("--work", type=float, default=1.0)
    parser.add_argument("--searches", action="store_true")
    parser.add_argument("--time-limit", type=float, help="seconds for each search")
    parser.add_argument("matrices", nargs="*", type=Path)
    arguments = parser.parse_args()
    if arguments.searches:
        searches(arguments.time_limit)
        return 0
    kept = compare(fifty(), work=arguments.work)
    for matrix in arguments.matrices:
        kept &= compare(shapes(matrix), work=arguments.work)
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
