"""Why the best plan of a search is the best, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.reports.families import rival
from planner.reports.hosts import device_groups, named_hosts
from planner.reports.sentences import against, binding, bound_by
from planner.training.search.hosts.methods import ALIKE, TYPES
from planner.wording.labels import one_line, stage_layers
from planner.wording.units import count, percent, plural, seconds

if TYPE_CHECKING:
    from planner.training.search.result import SearchResult, SwitchWorth


def why(result: SearchResult) -> list[str]:
    """Why the best plan is the best, a sentence each."""
    best = result.plans[0]
    reasons = [bound_by(best.estimate), binding(best.estimate)]
    other = rival(result.plans)
    if other is not None:
        reasons.append(against(best, other))
    reasons.append(f"Layers per stage: {stage_layers(best.plan)}.")
    if best.estimate.device_groups:
        groups = device_groups(best.plan, best.estimate)
        reasons.append(f"Device types: {groups}.")
    return [
        *_profiles(result),
        *_fewer(result),
        *_fewer_devices(result),
        *reasons,
        *_hosts(result),
        *map(_switch, result.switches),
        *_modules(result),
        *_worst_case(result),
    ]


def _profiles(result: SearchResult) -> list[str]:
    """Which of several software profiles is the fastest, and by how much."""
    known = [one for one in result.profiles if one.step_s is not None]
    if not known:
        return []
    best = min(known, key=lambda one: one.step_s or 0.0)
    step_s = best.step_s or 0.0
    said = [f"Fastest of the software profiles: {best.software}, {seconds(step_s)}/step."]
    for one in result.profiles:
        if one is best:
            continue
        if one.step_s is None or one.plan is None:
            said.append(f"Software profile {one.software}: no plan ({one.reason}).")
            continue
        more = one.step_s / step_s - 1
        said.append(
            f"Software profile {one.software}: {seconds(one.step_s)}/step, {percent(more)} more "
            f"({one_line(one.plan)})."
        )
    return said


def _switch(worth: SwitchWorth) -> str:
    """`Overlap of gradients and parameters is off; switched on, it takes 9.0% off the step.`"""
    what = " and ".join(_OVERLAPS[name] for name in worth.overlap)
    share = percent(abs(worth.share))
    does = f"takes {share} off the step" if worth.share < 0 else f"adds {share} to the step"
    state = "is on and" if worth.on else "is off; switched on, it"
    return f"Overlap of {what} {state} {does}."


def _modules(result: SearchResult) -> list[str]:
    """Which modules had better be computed again, or offloaded, and how to say so."""
    better, best = result.modules, result.plans[0].estimate
    chosen = result.plans[0].plan
    if chosen.chooses_modules:
        done = {"computed again": chosen.recompute_modules, "offloaded": chosen.offload_modules}
        said = [f"{what} {', '.join(names)}" for what, names in done.items() if names]
        return [f"Modules of its layers: {'; '.join(said)}."]
    if better is None:
        return []
    share = percent(1 - better.estimate.step_s / best.step_s)
    return [
        f"Module by module, recomputation and offloading take {share} off the step of plan 1: "
        f"{better.description}."
    ]


_OVERLAPS = {
    "gradient_reduce": "gradients",
    "parameter_gather": "parameters",
    "tensor": "tensor communication",
    "pipeline": "pipeline sends",
    "expert": "expert exchanges",
    "shared_expert": "shared experts with exchanges",
}


LEAST_SHOWN = 0.001
"""Smallest share that a sentence says as a number."""


def _fewer(result: SearchResult) -> list[str]:
    """That a smaller job is faster."""
    sized, best = result.fewer_nodes, result.plans[0]
    if sized is None or sized.plan is None or sized.step_s is None:
        return []
    nodes = len(best.plan.placement.hosts)
    return [
        f"Fewer nodes are faster: {plural(sized.nodes, 'node')} {seconds(sized.step_s)}/step "
        f"({one_line(sized.plan)}), {plural(nodes, 'node')} {seconds(best.estimate.step_s)}."
    ]


def _hosts(result: SearchResult) -> list[str]:
    """What the choice of hosts gains, and that no other is better, where that is proven. How far
    the plans may be from the best is said once, for all decisions together."""
    best = result.plans[0]
    placements = [proof for proof in best.proofs if proof.decision == "placement"]
    if not placements or placements[0].method == ALIKE:
        return []
    proof = placements[0]
    order = "Hosts stay in the order of the cluster file"
    if proof.gain is None:
        order = "Hosts are in the best order found before the search stopped (--json lists it)"
    elif proof.gain:
        longer = (
            f"{proof.gain:.1%}" if proof.gain >= LEAST_SHOWN else f"less than {LEAST_SHOWN:.1%}"
        )
        order = (
            f"Hosts are chosen and ordered ({named_hosts(best.plan.placement.hosts)}): as the "
            f"cluster file lists them the step takes {longer} longer"
        )
    other = "order"
    if proof.method == TYPES:
        other = "choice of device types, layers and hosts"
    if proof.gap == 0:
        return [f"{order}; no {other} is faster ({proof.method})."]
    return [f"{order}." if proof.method == TYPES else f"{order} ({proof.method})."]


def _fewer_devices(result: SearchResult) -> list[str]:
    """What is faster without some of the device types."""
    if not result.fewer_devices:
        return []
    best, fewer = result.plans[0], result.fewer_devices[0]
    beaten = ""
    if result.floor_s >= fewer.step_s:
        beaten = f" No plan on all of them takes less than {seconds(result.floor_s)}."
    return [
        f"Without the {' and '.join(fewer.without)} the step takes {seconds(fewer.step_s)} instead "
        f"of {seconds(best.estimate.step_s)}, on {count(fewer.devices)} of "
        f"{count(best.estimate.devices)} devices: leave their node groups out of the cluster file."
        f"{beaten}"
    ]


def _worst_case(result: SearchResult) -> list[str]:
    robust, best = result.robustness, result.plans[0]
    if robust is None or best.worst_step_s is None:
        return []
    said = [
        f"Ranked by the worst case: {seconds(best.worst_step_s)}/step with every bandwidth between "
        f"nodes {percent(robust.share)} lower."
    ]
    if robust.link is not None:
        slower = robust.link.step_s / best.estimate.step_s - 1
        one, two = robust.link.hosts
        said.append(
            f"If any one link runs at half its speed, the step takes at most {slower:.1%} longer "
            f"(worst: {one} to {two})."
        )
    return said
