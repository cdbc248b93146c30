"""What must hold of every scenario, checked through the commands a user has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import chdir
from copy import deepcopy
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

import yaml

from planner import api
from planner.api.scenarios import AskedJob
from planner.cli.inputs import job_keywords
from planner.cli.options import WorkloadOptions
from planner.specs.files.catalog import resolve
from planner.training.search.search import search as search_plans
from planner.training.search.space.restrictions import Restrictions, parse_restrictions
from planner.training.search.space.rules import RULES
from tests.fuzz.contracts import DECISIONS, broken_contracts
from tests.fuzz.exports import broken_exports
from tests.fuzz.program import DEBUG, Ran, call
from tests.fuzz.scenario import CLUSTER, MODEL, Options, Scenario, as_yaml
from tests.training.search.conftest import all_fitting_plans

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CPU_S = 40.0
"""Processor time of one command, after which it counts as hanging."""
GRACE_S = 1.0
"""What a search may take beyond its time limit."""
MOST_ENUMERATED = 150
PLANS = "plans.json"
ROUNDING = 1e-8
"""Documents keep nine digits."""

_RULE = re.compile(r"^error: ([a-z-]+): ")
_MESSAGE = re.compile(r"^(note|error): |^[a-z ]+: [0-9,]+ combinations, ")
RULE_NAMES = {rule.name for rule in RULES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`property` names what does not hold, `detail` says what was seen."""

    property: str
    detail: str


@dataclass(slots=True)
class Case:
    """A scenario in a folder of its own: the commands that were run there, what they ended with,
    and what did not hold."""

    scenario: Scenario
    folder: Path
    rng: Random
    commands: list[tuple[str, ...]] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)

    def run(self, *arguments: str, cpu_s: float = CPU_S) -> Ran:
        """Runs a command and checks what holds of all: no error of its own, one document on
        stdout, messages on stderr."""
        with chdir(self.folder):
            ran = call(arguments, cpu_s=cpu_s)
        self.commands.append(tuple(arguments))
        outcome = "raised" if ran.code is None else f"exit {ran.code}"
        self.codes[f"{arguments[0]}: {outcome}"] += 1
        if ran.raised:
            kind = "hang" if ran.raised.startswith("took more") else "internal error"
            self.fail(kind, ran.raised)
        elif ran.code not in (0, 1, 2):
            self.fail("exit code", f"{ran.code}")
        for line in ran.stderr.splitlines():
            if not _MESSAGE.match(line):
                self.fail("stderr", line)
                break
        if ran.code == 2 and ran.stdout:
            self.fail("stdout", f"an error, and on stdout: {ran.stdout[:200]}")
        return ran

    def fail(self, what: str, detail: str) -> None:
        self.failures.append(Failure(property=what, detail=detail))

    def holds(self, what: str, ok: bool, detail: str) -> None:
        """Counts a check, and what does not hold."""
        self.checked[what] += 1
        if not ok:
            self.fail(what, detail)

    def document(self, ran: Ran) -> Any:
        """The plan document that a command printed; None where it printed none or a broken one."""
        if ran.code not in (0, 1):
            return None
        self.checked["contracts"] += 1
        broken = list(broken_contracts(ran.stdout))
        if broken:
            self.fail("contracts", "; ".join(broken[:3]))
        if broken and broken[0].startswith(("stdout", "schema")):
            return None
        return json.loads(ran.stdout)


def check_scenario(case: Case, *, deep: bool = True) -> None:
    """Runs the commands of a scenario and records what does not hold; `deep` also changes the
    scenario in ways whose effect is known."""
    case.scenario.write(case.folder)
    ran = case.run(*case.scenario.search("--json", "--output", PLANS))
    _check_time_limit(case, ran)
    if ran.code == 2:
        _check_refusal(case, ran)
        return
    document = case.document(ran)
    if document is None:
        return
    if case.rng.random() < 0.08:
        _check_text(case, ran)
    if document["plans"]:
        _check_estimates(case, document)
        _check_check(case, document)
        for what, detail in broken_exports(case, document["plans"][0]):
            case.fail(what, detail)
    if deep and case.scenario.time_limit_s is None and case.rng.random() < 0.7:
        case.rng.choice(CHANGES)(case, document)


def _check_refusal(case: Case, ran: Ran) -> None:
    """Every file and option is valid, so that only a rule of the framework may refuse them."""
    rule = _RULE.match(ran.stderr)
    named = rule is not None and rule[1] in RULE_NAMES
    case.holds("refusals name a rule", named, ran.stderr[:400])


def _check_time_limit(case: Case, ran: Ran) -> None:
    limit_s = case.scenario.time_limit_s
    if limit_s is not None:
        case.holds(
            "time limit is kept",
            ran.took_s <= limit_s + GRACE_S,
            f"{ran.took_s:.1f} s for a limit of {limit_s:g} s",
        )


def _check_text(case: Case, ran: Ran) -> None:
    """The report has the exit code of the document."""
    report = case.run(*case.scenario.search())
    case.holds("reports", report.code == ran.code and bool(report.stdout), f"exit {report.code}")


def _check_estimates(case: Case, document: dict[str, Any]) -> None:
    """A plan estimated alone costs what the search says."""
    ranks = {1, len(document["plans"]), case.rng.randint(1, len(document["plans"]))}
    for rank in sorted(ranks):
        reference = f"{PLANS}#{rank}"
        ran = case.run("estimate", *case.scenario.files, "--plan", reference, "--json")
        found = case.document(ran)
        wanted = document["plans"][rank - 1]
        if found is None:
            case.fail("estimates repeat", f"{reference}: {ran.stderr[:300] or ran.raised}")
            continue
        ours = found["plans"][0]
        different = [
            *differences({key: ours[key] for key in DECISIONS}, {k: wanted[k] for k in DECISIONS}),
            *differences(ours["estimate"], wanted["estimate"]),
        ]
        case.holds("estimates repeat", not different, f"{reference}: {'; '.join(different[:4])}")


def differences(ours: Any, theirs: Any, at: str = "") -> Iterator[str]:
    """Where two values differ by more than rounding."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys((*ours, *theirs)):
            yield from differences(ours.get(key), theirs.get(key), f"{at}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{at}[{index}]")
    elif isinstance(ours, float) and isinstance(theirs, (int, float)):
        if abs(ours - theirs) > ROUNDING * max(abs(ours), abs(theirs)):
            yield f"{at}: {ours} != {theirs}"
    elif ours != theirs:
        yield f"{at}: {str(ours)[:80]} != {str(theirs)[:80]}"


def _check_check(case: Case, document: dict[str, Any]) -> None:
    """A plan that a search found passes its own check."""
    ran = case.run("check", *case.scenario.files, f"{PLANS}#1", "--json")
    case.holds("plans pass the check", ran.code == 0, (ran.stdout + ran.stderr)[:1500])
    if ran.code in (0, 1):
        json.loads(ran.stdout)
    if case.rng.random() < 0.1:
        name = case.rng.choice(["rich", "concise", "github", "gitlab", "junit", "sarif"])
        case.run("check", *case.scenario.files, f"{PLANS}#1", "--format", name)


def _best_s(document: Mapping[str, Any] | None) -> float:
    """Seconds that the search ranked its best plan by; infinite without any."""
    if not document or not document["plans"]:
        return float("inf")
    best = document["plans"][0]
    return float(best.get("worst_step_s", best["estimate"]["step_s"]))


def _search(case: Case, scenario: Scenario, cluster: str = CLUSTER) -> Any:
    """The document of a changed scenario, its cluster in a file of its own."""
    if cluster != CLUSTER:
        (case.folder / cluster).write_text(as_yaml(scenario.cluster.content))
    arguments = list(scenario.search("--json"))
    arguments[arguments.index("--cluster") + 1] = cluster
    ran = case.run(*arguments)
    return case.document(ran) if ran.code != 2 else None


def _not_slower(case: Case, what: str, before: Any, after: Any) -> None:
    """The best step of `after` is no longer than that of `before`, exactly where `after` is
    proven; where it is not, that is a property of its own."""
    if before is None or after is None:
        return
    old_s, new_s = _best_s(before), _best_s(after)
    proven = after["search"]["proven"]
    name = what if proven else f"{what} (not proven)"
    case.holds(
        name,
        new_s <= old_s * (1 + ROUNDING),
        f"{new_s:.9g} s after {old_s:.9g} s; stopped {after['search']['stopped']}, "
        f"gap {after['search']['gap']:.3g}, placement gap {after['search']['placement_gap']:.3g}, "
        f"layout gap {after['search']['layout_gap']:.3g}",
    )


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
        _not_slower(case, "restricting never improves", after, document)


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
    _not_slower(
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
    _not_slower(
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
    _not_slower(case, "more memory", document, after)
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
    _same_steps(case, "names change nothing", document, after)


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
    _same_steps(case, "a group split in two is the same", document, after)


def _same_steps(case: Case, what: str, before: Any, after: Any) -> None:
    if after is None:
        case.fail(what, "refused")
        return
    steps = [[plan["estimate"]["step_s"] for plan in one["plans"]] for one in (before, after)]
    detail = f"{steps[0]} became {steps[1]}"
    same = not list(differences(steps[0][:1], steps[1][:1]))
    case.holds(what, same, detail)
    if same:
        case.holds(f"{what}, later ranks", not list(differences(steps[0], steps[1])), detail)


def _one_best(case: Case, document: dict[str, Any]) -> None:
    """The best plan is the best however many are asked for."""
    options = case.scenario.options | {"--top": "1"}
    after = _search(case, replace(case.scenario, options=options))
    if after is None or not document["search"]["proven"] or not after["search"]["proven"]:
        return
    ours, theirs = _best_s(document), _best_s(after)
    case.holds(
        "top 1 is the first of top K",
        close(ours, theirs),
        f"{ours} and {theirs}",
    )


def _repeated(case: Case, document: dict[str, Any]) -> None:
    """Another process with other hashes writes the same bytes."""
    before = (case.folder / PLANS).read_bytes() if (case.folder / PLANS).exists() else b""
    arguments = case.scenario.search("--json", "--output", "again.json")
    for seed in ("0", "1234"):
        ran = in_process(case, arguments, seed)
        written = case.folder / "again.json"
        again = written.read_bytes() if written.exists() else b""
        case.holds("same bytes", ran.stderr == "" or _clean(ran.stderr), ran.stderr[:500])
        case.holds("same bytes", again == before, f"differs under PYTHONHASHSEED={seed}")


def _exhaustive(case: Case, document: dict[str, Any]) -> None:
    """A proven best is that of all combinations, estimated one by one, where the enumeration is
    small: no worse than with default layouts on the nodes in order, which it tries."""
    search = document["search"]
    if not search["proven"] or not 0 < search["candidates"] <= MOST_ENUMERATED:
        return
    if "--robust" in case.scenario.options or case.scenario.cluster.unequal:
        return
    with chdir(case.folder):
        scenario, restrictions = as_values(case.scenario)
        number, plans = all_fitting_plans(scenario, restrictions)
        found = search_plans(scenario, restrictions=restrictions, top=1, improve=None)
    case.holds(
        "as many combinations as enumerated",
        number == search["candidates"],
        f"{search['candidates']} for {number}",
    )
    best_s = plans[0][1].step_s if plans else float("inf")
    ours_s = found.plans[0].estimate.step_s if found.plans else float("inf")
    case.holds(
        "proven is the enumerated best", close(ours_s, best_s), f"{ours_s} s, enumerated {best_s} s"
    )
    case.holds(
        "layouts only improve",
        _best_s(document) <= best_s * (1 + ROUNDING),
        f"{_best_s(document)} s, without {best_s} s",
    )


def close(one: float, other: float) -> bool:
    return one == other or abs(one - other) <= ROUNDING * max(one, other)


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


def _clean(stderr: str) -> bool:
    return all(_MESSAGE.match(line) for line in stderr.splitlines())


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
