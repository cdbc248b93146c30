"""How long `planner replan` takes: `python -m benchmarks.replan`.

One node of 128 lost, and 51 of 1,024 (5 %), each with a plan of a search for the whole cluster.
"""

from __future__ import annotations

from time import perf_counter, process_time

from planner import api

CASES = (
    ("dgx-a100-128", "gpt3-175b", 128, 1),
    ("dgx-h100-2048", "llama-3.1-405b", 1024, 51),
)


def main() -> None:
    print(f"{'cluster':<16}{'model':<16}{'nodes':>6}{'lost':>6}{'CPU s':>8}{'wall s':>8}  best way")
    for cluster, model, nodes, lost in CASES:
        whole = api.load_cluster(cluster).sized(nodes=nodes)
        plan = api.search(whole, model, top=1, idle=False).best
        hosts = plan.plan.placement.hosts
        gone = hosts[:: len(hosts) // lost][:lost]
        cpu_s, wall_s = process_time(), perf_counter()
        found = api.replan(plan, lost=gone)
        cpu_s, wall_s = process_time() - cpu_s, perf_counter() - wall_s
        best = found.option()
        print(
            f"{cluster:<16}{model:<16}{nodes:>6}{lost:>6}{cpu_s:>8.1f}{wall_s:>8.1f}  "
            f"{best.moved.way}, {best.share:.1%} of before"
        )


if __name__ == "__main__":
    main()
