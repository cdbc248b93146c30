"""The three inputs of every estimate, brought together: cluster, model and job."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from planner.hardware.described import topology_from_spec
from planner.hardware.host import HostRates, host_of
from planner.hardware.ideal import IdealTopology, SlowedTopology, ideal_topology
from planner.hardware.links import Topology
from planner.hardware.sustained import in_training
from planner.specs.cluster.segments import in_segments
from planner.specs.settings import Settings
from planner.workload.layers import layer_kinds
from planner.workload.parameters import check_parameters
from planner.workload.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.hardware.device import Device
    from planner.hardware.fabric import Hop
    from planner.plan import Plan
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.job import JobSpec
    from planner.specs.model.spec import ModelSpec
    from planner.workload.shard import Shard


UNFUSED = "unfused attention: "
"""Start of the assumption that attention is computed in parts although the profile has fused
kernels."""


_UNTREATED = "untreated"
"""Under which name a scenario keeps the job without chosen modules."""
_LAYERS = "layers"
"""The same of what layers cost."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A job on the first `job.devices` devices of a cluster, in the order of its file. `given` is
    the cluster as its file has it, `cluster` what a job of this size finds of it: segments of its
    scale-up domains."""

    given: ClusterSpec
    cluster: ClusterSpec
    model: ModelSpec
    job: JobSpec
    topology: Topology

    @cached_property
    def device_types(self) -> tuple[Device, ...]:
        return self.topology.device_types()

    @cached_property
    def ideal(self) -> Scenario:
        """The job with the best links for every group, and the best devices for every stage, that
        any placement on the cluster could give. The scenario itself where all placements are alike,
        and where nodes cannot change places."""
        topology = ideal_topology(self.topology)
        return self if topology is None else replace(self, topology=topology)

    @cached_property
    def outgrown(self) -> tuple[Scenario, ...]:
        """On the ideal topology: the job when every hop leaves the blocks that the job outgrows,
        those of a tier or of the wider links. Empty on other topologies."""
        topology = self.topology
        if not isinstance(topology, IdealTopology):
            return ()
        return tuple(self.slowed(hop) for hop in topology.outgrown_hops())

    def slowed(self, hop: Hop, *, stride: int | None = None) -> Scenario:
        """The job on the ideal topology with this hop in place of every hop between domains; with
        `stride`, only in place of hops of pairs of ranks and of groups whose ranks lie that far
        apart."""
        topology: IdealTopology = self.topology  # type: ignore[assignment]
        found = self._slowed.get((hop, stride))
        if found is None:
            slow = SlowedTopology(topology, hop, stride=stride)
            found = self._slowed[hop, stride] = replace(self, topology=slow)
        return found

    @cached_property
    def kept(self) -> dict[str, Any]:
        """What other modules work out once for this scenario, by name."""
        return {}

    @property
    def kept_of_layers(self) -> dict[str, Any]:
        """The same of layers alone, which `sharing_layers` shares."""
        known: dict[str, Any] = self.kept.setdefault(_LAYERS, {})
        return known

    def sharing_layers(self, like: Scenario) -> Scenario:
        """This job, which keeps what layers cost together with another one: on as many equal nodes
        or more, or with another batch."""
        if self is not like:
            self.kept[_LAYERS] = like.kept_of_layers
        return self

    @cached_property
    def _slowed(self) -> dict[tuple[Hop, int | None], Scenario]:
        return {}

    @cached_property
    def by_type(self) -> tuple[Scenario, ...]:
        """On the ideal topology of several device types: for each of `candidate_devices`, the job
        on that type alone, with the best links of that type. Otherwise the scenario itself."""
        topology = self.topology
        if not isinstance(topology, IdealTopology) or len(topology.real_devices) == 1:
            return (self,) * len(self.candidate_devices)
        return tuple(
            replace(self, topology=topology.of_type(device)) for device in topology.real_devices
        )

    @cached_property
    def candidate_devices(self) -> tuple[Device, ...]:
        """Devices whose kernels are priced: one for each of `device_types`. On the ideal topology
        these are all types of the cluster, and the best counts, layer by layer."""
        topology = self.topology
        return topology.real_devices if isinstance(topology, IdealTopology) else self.device_types

    @cached_property
    def mean_peak_flop_per_s(self) -> float:
        """Dense peak of the job's number format, the mean over its devices."""
        precision = self.job.precision
        if len(self.device_types) == 1:
            return self.device_types[0].peak(precision)
        devices = self.topology.devices
        return sum(self.topology.device(r).peak(precision) for r in range(devices)) / devices

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Distinct layer kinds, the transformer's first: the columns of every cost table."""
        kinds = dict.fromkeys(layer_kinds(self.model))
        if self.model.mtp_num_layers:
            kinds["mtp"] = None
        return (*kinds, "embedding", "head")

    @cached_property
    def host(self) -> HostRates:
        """What a device finds in the memory of its host, on the worst node of the cluster."""
        return host_of(self.cluster, self.job.devices)

    @cached_property
    def node_devices(self) -> int:
        """Devices of the smallest node."""
        return min(group.devices_per_node for group in self.cluster.node_groups)

    @cached_property
    def in_domains(self) -> bool:
        """Whether nodes share scale-up domains, so that a smaller job may find longer segments."""
        groups = self.given.node_groups
        return any(group.scale_up is not None and group.scale_up.nodes > 1 for group in groups)

    def stage_types(self, pipeline: int) -> tuple[tuple[int, ...], ...]:
        """For every stage of the default rank order, the device types (indices into
        `device_types`) on its contiguous ranks."""
        if len(self.device_types) == 1:
            return ((0,),) * pipeline
        stage_devices = self.job.devices // pipeline
        index = {device: i for i, device in enumerate(self.device_types)}
        return tuple(
            tuple(
                sorted(
                    {
                        index[self.topology.device(rank)]
                        for rank in range(stage * stage_devices, (stage + 1) * stage_devices)
                    }
                )
            )
            for stage in range(pipeline)
        )

    def placed(self, hosts: Sequence[str]) -> Scenario:
        """The same job with host `hosts[i]` at position i of the rank grid's nodes; any hosts of
        the cluster will do. On fewer hosts it is the job on their devices. The scenario itself when
        it has this order already, or without hosts."""
        names = self.cluster.host_names()
        if not hosts or tuple(hosts) == tuple(names[node] for node in self.topology.order):
            return self
        index = {host: node for node, host in enumerate(names)}
        topology = self.topology.ordered([index[host] for host in hosts])
        job = self.job
        if len(hosts) < self.topology.nodes:
            job = replace(job, devices=topology.devices)
        return replace(self, topology=topology, job=job)

    def running(self, plan: Plan) -> Scenario:
        """The job as a plan runs it: on its hosts, with the modules that it chooses. Raises:
        InputError for modules that the framework cannot treat so."""
        return self.treating(plan.recompute_modules, plan.offload_modules).placed(
            plan.placement.hosts
        )

    def treating(
        self, recompute: tuple[str, ...] | None, offload: tuple[str, ...] | None
    ) -> Scenario:
        """The job with these modules computed again and offloaded, where they are given. Raises:
        InputError for those that the framework cannot treat so."""
        settings = Settings(recompute_modules=recompute, offload_modules=offload)
        if not settings.modules_stated:
            return self
        found: Scenario | None = self._treated.get(settings)
        if found is None:
            job = self.job
            changed = settings.applied(job.software, job.optimizer)
            filled = settings.filled(job.settings)
            if changed is job.software and filled == job.settings:
                return self
            job = replace(job, software=changed, settings=filled)
            found = self._treated[settings] = replace(self, job=job)
            found.kept[_UNTREATED] = self
        return found

    @property
    def untreated(self) -> Scenario:
        """The job without what `treating` chose."""
        usual: Scenario = self.kept.get(_UNTREATED, self)
        return usual

    @cached_property
    def _treated(self) -> dict[Settings, Scenario]:
        return {}

    def workload(self, shard: Shard) -> Workload:
        return Workload(
            model=self.model,
            software=self.job.software,
            precision=self.job.precision,
            seq_length=self.job.seq_length,
            expert_imbalance=self.job.expert_imbalance,
            shard=shard,
            packed_length=self.job.settings.packed_length,
        )


def build_scenario(
    cluster: ClusterSpec, model: ModelSpec, job: JobSpec, *, hosts: Sequence[str] = ()
) -> Scenario:
    """Raises InputError when the cluster has fewer devices than the job needs, and when the model's
    file states parameter counts that differ from those of its sizes. Scale-up domains are cut into
    segments, unless the job's plan names other `hosts`."""
    check_parameters(model)
    given, cluster = cluster, in_segments(cluster, devices=job.devices, hosts=hosts)
    job = _with_kernels(cluster, job)
    return Scenario(
        given=given,
        cluster=cluster,
        model=model,
        job=job,
        topology=topology_from_spec(
            in_training(cluster), devices=job.devices, trees=job.software.collective_trees
        ),
    )


def resized(scenario: Scenario, devices: int) -> Scenario:
    """The same job on another number of devices of its cluster, which may find other segments.
    Raises: InputError when the cluster has fewer."""
    if devices == scenario.job.devices:
        return scenario
    job = replace(scenario.job, devices=devices)
    return build_scenario(scenario.given, scenario.model, job)


def with_hardware(scenario: Scenario, change: Callable[[ClusterSpec], ClusterSpec]) -> Scenario:
    """The same job on the same nodes and segments, whose devices or links are changed; on the hosts
    as listed."""
    changed = build_scenario(change(scenario.cluster), scenario.model, scenario.job)
    return replace(changed, given=change(scenario.given))


def _with_kernels(cluster: ClusterSpec, job: JobSpec) -> JobSpec:
    """The job with attention computed in parts if a device of the cluster has no fused kernels for
    it."""
    names = without_fused_attention(cluster)
    if job.software.attention == "unfused" or not names:
        return job
    return replace(
        job,
        software=job.software.model_copy(update={"attention": "unfused"}),
        assumptions=(*job.assumptions, f"{UNFUSED}{names} without fused kernels"),
    )


def without_fused_attention(cluster: ClusterSpec) -> str:
    """The devices of a cluster without fused kernels of attention, in words; empty if there are
    none."""
    groups = cluster.node_groups
    lacking = [group.device.name for group in groups if not group.device.attention.fused]
    return ", ".join(dict.fromkeys(lacking))


def with_own_kernels(job: JobSpec) -> JobSpec:
    """The job as it was before some device of its cluster took its fused kernels."""
    told = tuple(one for one in job.assumptions if not one.startswith(UNFUSED))
    if told == job.assumptions:
        return job
    software = job.software.model_copy(update={"attention": "flash"})
    return replace(job, software=software, assumptions=told)
