"""What an exporter is given: a plan with the model, the job and the hosts it was made for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.exporters.errors import Inexpressible
from planner.plan import recomputed_per_chunk
from planner.schedule.registry import kind_of
from planner.specs.cluster.spec import default_hosts
from planner.specs.names import check_host
from planner.training.estimate import ahead_of
from planner.training.search.layouts.default import layers_of_chunks
from planner.wording.printable import printable

if TYPE_CHECKING:
    from planner.plan import Plan
    from planner.specs.cluster.spec import ClusterSpec, NodeGroup
    from planner.specs.job import JobSpec
    from planner.specs.model.spec import ModelSpec
    from planner.specs.software import SoftwareProfile
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A node of the job: its name, the devices of it that run ranks, its group in the cluster."""

    name: str
    devices: int
    group: NodeGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """`hosts` are in rank order: rank r runs on device r of the hosts laid end to end. `listed`
    says whether their names come from the user; otherwise they are the planner's own. `named`: the
    user named these very hosts for this job."""

    plan: Plan
    rank: int
    model: ModelSpec
    job: JobSpec
    cluster: ClusterSpec
    hosts: tuple[Host, ...]
    listed: bool
    named: bool = False
    ahead: tuple[int, ...] | None = None
    """Microbatches that stages run ahead over every boundary, where the links decide that."""

    @property
    def software(self) -> SoftwareProfile:
        return self.job.software

    @property
    def title(self) -> str:
        """One line for the head of a file, without control characters."""
        return printable(
            f"plan {self.rank}: {self.model.name} on {self.cluster.name}, "
            f"{self.plan.degrees.devices} devices"
        )

    @property
    def recomputes_some(self) -> bool:
        """Whether full recomputation is of some layers of a chunk alone."""
        plan = self.plan
        if plan.recompute.granularity != "full":
            return False
        count = recomputed_per_chunk(plan.stages, plan.recompute.layers_per_stage) or 0
        return count < max(layers_of_chunks(plan))

    @property
    def slug(self) -> str:
        """A name for the job that Kubernetes and Slurm take."""
        words = re.sub(r"[^a-z0-9]+", "-", self.model.name.lower()).strip("-")
        return f"planner-{words[:32].strip('-') or 'model'}"

    @property
    def devices_per_host(self) -> int | None:
        """None where hosts differ."""
        sizes = {host.devices for host in self.hosts}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def reordered(self) -> bool:
        """Whether the plan takes the hosts in another order than the cluster file."""
        order = [name for group in self.cluster.node_groups for name in group.hosts or ()]
        return list(self.plan.placement.hosts) != order[: len(self.hosts)]

    def renamed(self, names: Sequence[str]) -> ExportJob:
        """The same job with position i taken by the host called `names[i]`.

        Raises: InputError unless there is one name for each host, each once.
        """
        if len(names) != len(self.hosts):
            raise InputError(
                f"--hosts: {len(names)} host names for the {len(self.hosts)} hosts of the plan"
            )
        for name, times in Counter(names).items():
            try:
                check_host(name)
            except ValueError as error:
                raise InputError(f"--hosts: {error}") from error
            if times > 1:
                raise InputError(f"--hosts: {name} is listed {times} times")
        hosts = tuple(
            replace(host, name=name) for host, name in zip(self.hosts, names, strict=True)
        )
        return replace(self, hosts=hosts, listed=True, named=True)


def export_job(scenario: Scenario, plan: Plan, *, rank: int = 1) -> ExportJob:
    """A plan, ready to export; `planner.training.search.plans.build.check_plan` has accepted it for
    the scenario."""
    scenario = scenario.treating(plan.recompute_modules, plan.offload_modules)
    groups = {name: group for group in scenario.cluster.node_groups for name in group.hosts or ()}
    hosts: list[Host] = []
    left = plan.degrees.devices
    for name in plan.placement.hosts:
        group = groups[name]
        used = min(left, group.devices_per_node)
        hosts.append(Host(name=name, devices=used, group=group))
        left -= used
    return ExportJob(
        plan=plan,
        rank=rank,
        model=scenario.model,
        job=scenario.job,
        cluster=scenario.cluster,
        hosts=tuple(hosts),
        listed=not all(_invented(group) for group in scenario.cluster.node_groups),
        ahead=ahead_of(scenario, plan) if kind_of(plan.schedule).runs_ahead else None,
    )


def _invented(group: NodeGroup) -> bool:
    """Whether its hosts have the names that the planner gives; segments leave some of them out."""
    named = set(group.hosts or ())
    last = max((int(host.rpartition("-")[2]) for host in named if _NUMBER.search(host)), default=-1)
    return named <= set(default_hosts(group.name, min(last, _MOST) + 1))


_NUMBER = re.compile(r"-\d{1,6}$")
_MOST = 10**6


def needs_framework(job: ExportJob, target: str, *frameworks: str) -> None:
    """Raises Inexpressible when the software profile is one of another framework: what it says
    about kernels, gradients and overlap would not be what runs."""
    found = job.software.framework
    if found not in frameworks:
        raise Inexpressible(
            target,
            "job.software",
            f"profile {job.software.name} is of {found}, {target} runs {' or '.join(frameworks)}",
            hint="plan with a --software profile of that framework",
        )


def refuse_unsayable(job: ExportJob, target: str) -> None:
    """Raises: Inexpressible where replicas differ in their microbatches, or tokens travel to their
    experts in pieces: no framework that has a format can be told so."""
    plan = job.plan
    if plan.dispatch_pieces > 1:
        raise Inexpressible(
            target,
            "dispatch_pieces",
            f"it has no switch for tokens that travel in {plan.dispatch_pieces} pieces",
            hint="write ranks and launchers, and divide the tokens in your own framework",
        )
    if job.job.global_batch_size % (plan.micro_batch_size * plan.degrees.data):
        most = plan.num_microbatches
        raise Inexpressible(
            target,
            "num_microbatches",
            f"some replicas run {most} microbatches, others {most - 1}",
            hint="write ranks and launchers, and divide the batch in your own framework",
        )
