"""Scenarios changed in ways whose effect is known, and searched again."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import chdir
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yaml

from planner import api
from planner.api.scenarios import AskedJob
from planner.cli.inputs import job_keywords
from planner.cli.options import WorkloadOptions
from planner.specs.files.catalog import resolve
from planner.training.search.search import search as search_plans
from planner.training.search.space.enumeration import SLOWER_DISPATCHER
from planner.training.search.space.restrictions import Restrictions, parse_restrictions
from tests.fuzz.case import are_messages
from tests.fuzz.compare import ROUNDING, best_s, close, not_slower, same_steps
from tests.fuzz.program import DEBUG
from tests.fuzz.scenario import CLUSTER, MODEL, PLANS, Options, Scenario, as_yaml
from tests.training.search.conftest import all_fitting_plans

if TYPE_CHECKING:
    from tests.fuzz.case import Case

MOST_ENUMERATED = 150
"""Combinations up to which all of them are tried one by one."""


def _search(case: Case, scenario: Scenario, cluster: str = CLUSTER) -> Any:
    """The document of a changed scenario, its cluster in a file of its own."""
    if cluster != CLUSTER:
        (case.folder / cluster).write_text(as_yaml(scenario.cluster.content))
    arguments = list(scenario.search("--json"))
    arguments[arguments.index("--cluster") + 1] = cluster
    ran = case.run(*arguments)
    return case.document(ran) if ran.code != 2 else None


RESTRICTABLE = (
    "tensor", "pipeline", "data", "expert", "micro_batch_size", "virtual_stages", "recompute",
    "data_sharding", "schedule",
)  # fmt: skip


def _restricted(case: Case, document: dict[str, Any]) -> None:
    """A restriction to values that the space has never improves the best."""
    dimensions = {one["name"]: one for one in document["search"]["space"]["dimensions"]}
    free = [
        name
        for name in RESTRICTABLE
        if not dimensions[name]["restricted_by_user"] and len(dimensions[name]["values"]) > 1
    ]
    if not free:
        return
    axis = case.rng.choice(free)
    values = list(dimensions[axis]["values"])
    kept = case.rng.sample(values, case.rng.randint(1, min(3, len(values))))
    if document["plans"] and case.rng.random() < 0.5:
        other = document["plans"][-1]
        chosen = {**other["degrees"], **other, "recompute": other["recompute"]["granularity"]}[axis]
        kept = [chosen]
    option: Options = {f"--{axis.replace('_', '-')}": ",".join(map(str, kept))}
    scenario = replace(case.scenario, restrict=case.scenario.restrict | option)
    after = _search(case, scenario)
    if after is not None:
        not_slower(case, "restricting never improves", after, document)


def _faster(case: Case, document: dict[str, Any]) -> None:
    """Twice the bandwidth of a kind of link, or of everything between nodes, helps or does not
    matter."""
    content = deepcopy(case.scenario.cluster.content)
    what = case.rng.choice(["intra_node", "network"])
    for group in content["node_groups"]:
        if what in group:
            group[what]["bandwidth"] = _times(group[what]["bandwidth"], 2)
        if what == "intra_node" and "scale_up" in group:
            group["scale_up"]["bandwidth"] = _times(group["scale_up"]["bandwidth"], 2)
    not_slower(
        case,
        f"faster {what.replace('_', '-')} links",
        document,
        _search(case, case.scenario.with_cluster(content), "faster.yaml"),
    )


def _times(quantity: str, factor: float) -> str:
    amount, unit = quantity.split()
    return f"{float(amount) * factor:g} {unit}"


def _better_device(case: Case, document: dict[str, Any]) -> None:
    """Twice the arithmetic or twice the memory bandwidth helps or does not matter."""
    content = deepcopy(case.scenario.cluster.content)
    what = case.rng.choice(["arithmetic", "memory bandwidth"])
    for group in content["node_groups"]:
        device = group["device"]
        if isinstance(device, str):
            device = yaml.safe_load(resolve("device", device).read_text())
            group["device"] = device
        bandwidth = device["memory"]["bandwidth"]
        faster = list(device["peak"].values()) if what == "arithmetic" else [bandwidth]
        for constant in faster:
            constant["value"] = _times(constant["value"], 2)
    not_slower(
        case,
        f"faster {what}",
        document,
        _search(case, case.scenario.with_cluster(content), "better.yaml"),
    )


def _roomier(case: Case, document: dict[str, Any]) -> None:
    """Memory that need not stay free loses no plan."""
    before = case.scenario.workload.get("--headroom", "5%")
    if before == "0%":
        return
    workload = case.scenario.workload | {"--headroom": "0%"}
    after = _search(case, replace(case.scenario, workload=workload))
    not_slower(case, "more memory", document, after)
    if after is not None:
        fitting = (document["search"]["fitting"], after["search"]["fitting"])
        if document["search"]["stopped"] == after["search"]["stopped"] == "proven":
            case.holds("more memory fits as many", fitting[1] >= fitting[0], f"{fitting}")


def _renamed(case: Case, document: dict[str, Any]) -> None:
    """Names of groups and hosts change nothing but names."""
    if case.scenario.cluster.matrix is not None:
        return
    content = deepcopy(case.scenario.cluster.content)
    for index, group in enumerate(content["node_groups"]):
        group["name"] = f"z{len(content['node_groups']) - index}"
        group.pop("hosts", None)
    after = _search(case, case.scenario.with_cluster(content), "renamed.yaml")
    same_steps(case, "names change nothing", document, after)


def _split(case: Case, document: dict[str, Any]) -> None:
    """One group written as two of equal nodes is the same cluster."""
    content = deepcopy(case.scenario.cluster.content)
    groups = content["node_groups"]
    if case.scenario.cluster.matrix is not None or groups[0]["count"] < 2:
        return
    if "hosts" in groups[0] or "scale_up" in groups[0]:
        return
    first, second = deepcopy(groups[0]), deepcopy(groups[0])
    first["count"] = case.rng.randint(1, groups[0]["count"] - 1)
    second["count"] = groups[0]["count"] - first["count"]
    second["name"] = "second-half"
    content["node_groups"] = [first, second, *groups[1:]]
    after = _search(case, case.scenario.with_cluster(content), "split.yaml")
    same_steps(case, "a group split in two is the same", document, after)


def _one_best(case: Case, document: dict[str, Any]) -> None:
    """The best plan is the best however many are asked for."""
    options = case.scenario.options | {"--top": "1"}
    after = _search(case, replace(case.scenario, options=options))
    if after is not None:
        not_slower(case, "the best of one and of many", document, after)
        not_slower(case, "the best of one and of many", after, document)


def _repeated(case: Case, document: dict[str, Any]) -> None:
    """Another process with other hashes writes the same bytes."""
    before = (case.folder / PLANS).read_bytes() if (case.folder / PLANS).exists() else b""
    arguments = case.scenario.search("--json", "--output", "again.json")
    for seed in ("0", "1234"):
        ran = in_process(case, arguments, seed)
        written = case.folder / "again.json"
        again = written.read_bytes() if written.exists() else b""
        case.holds("same bytes", are_messages(ran.stderr), ran.stderr[:500])
        case.holds("same bytes", again == before, f"differs under PYTHONHASHSEED={seed}")


def _exhaustive(case: Case, document: dict[str, Any]) -> None:
    """A proven best is that of all combinations, estimated one by one, where the enumeration is
    small: that with default layouts on all nodes in order; other layouts and idle nodes only
    improve it."""
    search = document["search"]
    if not search["proven"] or not 0 < search["candidates"] <= MOST_ENUMERATED:
        return
    if "--robust" in case.scenario.options or case.scenario.cluster.unequal:
        return
    with chdir(case.folder):
        scenario, restrictions = as_values(case.scenario)
        number, plans = all_fitting_plans(scenario, restrictions)
        found = search_plans(scenario, restrictions=restrictions, top=1, improve=None, idle=False)
    opened = search.get("nodes", {}).get("opened", 0)
    left_out = any(one["rule"] == SLOWER_DISPATCHER for one in search["space"]["excluded"])
    case.holds(
        "as many combinations as enumerated",
        number == search["candidates"]
        or (opened > 0 and number < search["candidates"])
        or (left_out and number > search["candidates"]),
        f"{search['candidates']} for {number}",
    )
    enumerated_s = plans[0][1].step_s if plans else float("inf")
    ours_s = found.plans[0].estimate.step_s if found.plans else float("inf")
    case.holds(
        "proven is the enumerated best",
        close(ours_s, enumerated_s),
        f"{ours_s} s, enumerated {enumerated_s} s",
    )
    case.holds(
        "layouts only improve",
        best_s(document) <= enumerated_s * (1 + ROUNDING),
        f"{best_s(document)} s, without {enumerated_s} s",
    )


def as_values(scenario: Scenario) -> tuple[Any, Restrictions]:
    """The scenario and restrictions that the search has made of the files and options."""
    names = {name.removeprefix("--").replace("-", "_"): t for name, t in scenario.workload.items()}
    restricted = {
        name.removeprefix("--").replace("-", "_"): t for name, t in scenario.restrict.items()
    }
    headroom = names.pop("headroom", None)
    asked = AskedJob.of({**job_keywords(headroom, WorkloadOptions(**names))})
    made = asked.scenario(api.load_cluster(CLUSTER), api.load_model(MODEL))
    return made, parse_restrictions(restricted)


def in_process(
    case: Case, arguments: tuple[str, ...], hash_seed: str
) -> subprocess.CompletedProcess[str]:
    """The program as a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONWARNINGS": "error"}
    environment.pop(DEBUG, None)
    case.commands.append(arguments)
    return subprocess.run(
        [sys.executable, "-m", "planner", *arguments],
        cwd=case.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


CHANGES = (
    _restricted,
    _restricted,
    _restricted,
    _faster,
    _faster,
    _better_device,
    _exhaustive,
    _exhaustive,
    _roomier,
    _renamed,
    _split,
    _one_best,
    _repeated,
)
