"""What if the network were slower, or there were fewer nodes?

Prints, for each case, the step time of today's plan, and the step time of the plan that is best
then. Run it with `python examples/what_if.py`, or with the names or files of another cluster and
model.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from planner import api


def main(cluster_name: str = "pipette-v100-16", model_name: str = "gpt-3.6b") -> None:
    cluster, model = api.load_cluster(cluster_name), api.load_model(model_name)
    today = api.search(cluster, model, top=1).best
    print(f"{model.name} on {cluster.name}; today: {today}\n")
    print("network  nodes  today's plan s  best plan s  best plan")
    for factor in (1.0, 0.5, 0.25):
        changed = with_network(cluster, factor)
        same = api.estimate(changed, model, plan=today)
        found = api.search(changed, model, top=1)
        show(f"{factor:.1%}", cluster.num_nodes, f"{same.estimate.step_s:.2f}", found)
    for nodes in ((cluster.num_nodes or 0) * 3 // 4, (cluster.num_nodes or 0) // 2):
        if nodes:
            show("100.0%", nodes, "cannot run", api.search(cluster, model, nodes=nodes, top=1))


def with_network(cluster: api.ClusterSpec, factor: float) -> api.ClusterSpec:
    """The cluster with the bandwidth of every network card, and every measured bandwidth between
    nodes, times the factor."""
    groups = []
    for group in cluster.node_groups:
        network = group.network
        if network is not None:
            bytes_per_s = factor * network.bandwidth_bytes_per_s
            network = replace(network, bandwidth_bytes_per_s=bytes_per_s)
        groups.append(replace(group, network=network))
    matrix = None if cluster.matrix is None else cluster.matrix.scaled(factor)
    return replace(cluster, node_groups=tuple(groups), matrix=matrix)


def show(network: str, nodes: int | None, today_s: str, found: api.FoundPlans) -> None:
    """One line of the table."""
    if found.plans:
        degrees = found.best.plan.degrees
        plan = f"t{degrees.tensor} p{degrees.pipeline} d{degrees.data}"
        best_s = f"{found.best.estimate.step_s:.2f}"
    else:
        plan, best_s = "nothing fits", "-"
    print(f"{network:>7}  {nodes or '-':>5}  {today_s:>14}  {best_s:>11}  {plan}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
