"""From what the user asks about a job to the scenario that every answer is about."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from planner.api.inputs import load_software
from planner.errors import InputError
from planner.specs import ranges
from planner.specs.cluster.fastest import fastest_nodes, nodes_of_plan_first
from planner.specs.defaults import DEFAULT_HEADROOM, DEFAULT_SOFTWARE
from planner.specs.job import OPTIMIZERS, build_job
from planner.specs.settings import AS_THE_PROFILE, Settings
from planner.specs.units import UnitError, parse_tokens
from planner.training.scenario import build_scenario

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.api.inputs import SoftwareLike
    from planner.plan import Plan
    from planner.plan_document import RecordedJob
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.job import JobSpec
    from planner.specs.model.spec import ModelSpec
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedJob:
    """What the user asks about a job, apart from its cluster and model. None: nothing is asked.
    `nodes` or `devices` say how much of the cluster is used; neither means all of it."""

    global_batch_size: int | None = None
    seq_length: int | None = None
    precision: str | None = None
    software: SoftwareLike | None = None
    optimizer: str | None = None
    headroom: float | None = None
    expert_imbalance: float | None = None
    settings: Settings = AS_THE_PROFILE
    tokens: int | None = None
    nodes: int | None = None
    devices: int | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> AskedJob:
        """What the keywords ask for. Raises: InputError for a value that makes no sense."""
        asked = cls(
            global_batch_size=ranges.whole(
                "--global-batch-size", options.get("global_batch_size"), most=ranges.MOST_SEQUENCES
            ),
            seq_length=ranges.whole(
                "--seq-length", options.get("seq_length"), most=ranges.LONGEST_SEQUENCE
            ),
            precision=options.get("precision"),
            software=options.get("software"),
            optimizer=ranges.word("--optimizer", options.get("optimizer"), OPTIMIZERS),
            expert_imbalance=ranges.times("--expert-imbalance", options.get("expert_imbalance")),
            settings=Settings.of(options),
            headroom=ranges.share("--headroom", options.get("headroom"), below=1.0),
            tokens=tokens_of(options.get("tokens")),
            nodes=ranges.whole("--nodes", options.get("nodes"), most=ranges.MOST_NODES),
            devices=ranges.whole("--devices", options.get("devices"), most=ranges.MOST_DEVICES),
        )
        if asked.nodes is not None and asked.devices is not None:
            raise InputError(
                "--nodes and --devices are both given; one of them says how many to use"
            )
        return asked

    @classmethod
    def recorded(cls, job: RecordedJob, plan: Plan) -> AskedJob:
        """What a plan document states about the job of a plan."""
        return cls._stated(job, Settings.of(job.settings or {}), plan.degrees.devices)

    @classmethod
    def of_job(cls, job: JobSpec) -> AskedJob:
        """The job of a scenario."""
        return cls._stated(job, job.settings, job.devices)

    @classmethod
    def _stated(cls, job: JobSpec | RecordedJob, settings: Settings, devices: int) -> AskedJob:
        return cls(
            global_batch_size=job.global_batch_size,
            seq_length=job.seq_length,
            precision=job.precision,
            software=job.software,
            optimizer=job.optimizer,
            headroom=job.headroom,
            expert_imbalance=job.expert_imbalance,
            settings=settings,
            tokens=job.tokens,
            devices=devices,
        )

    @classmethod
    def of_plan(cls, plan: Plan) -> AskedJob:
        """What a plan alone states: its devices, and the sequences of its microbatches."""
        return cls(
            global_batch_size=plan.num_microbatches * plan.micro_batch_size * plan.degrees.data,
            devices=plan.degrees.devices,
        )

    @property
    def sizes(self) -> bool:
        """Whether it says how much of the cluster is used."""
        return self.nodes is not None or self.devices is not None

    def filled(self, stated: AskedJob) -> AskedJob:
        """The same, completed by what is stated; a size that is asked for replaces a stated one."""
        names = [one.name for one in fields(self) if getattr(self, one.name) is None]
        if self.sizes:
            names = [name for name in names if name not in ("nodes", "devices")]
        settings = self.settings.filled(stated.settings)
        return replace(self, settings=settings, **{name: getattr(stated, name) for name in names})

    def sized(self, cluster: ClusterSpec, *, hosts: Sequence[str] = ()) -> ClusterSpec:
        """The part of the cluster that is asked for, of the `hosts` that a plan names. Raises:
        InputError when it has less."""
        return nodes_of_plan_first(cluster, hosts).sized(nodes=self.nodes, devices=self.devices)

    def scenario(
        self, cluster: ClusterSpec, model: ModelSpec, *, hosts: Sequence[str] = ()
    ) -> Scenario:
        """The job of a model on a cluster, and on `hosts` of it where its plan names them. What
        nothing states comes from the model's training block. Raises: InputError."""
        sized = self.sized(cluster, hosts=hosts)
        pool = sized if cluster.num_nodes is None else nodes_of_plan_first(cluster, hosts)
        return build_scenario(pool, model, self._job(model, sized), hosts=hosts)

    def searched(self, cluster: ClusterSpec, model: ModelSpec) -> Scenario:
        """The same for a search, which takes the best nodes: where these differ in size, those that
        compute most. Raises: InputError."""
        if self.nodes is not None:
            precision = self._job(model, self.sized(cluster)).precision
            cluster = fastest_nodes(cluster, self.nodes, precision)
        return self.scenario(cluster, model)

    def _job(self, model: ModelSpec, cluster: ClusterSpec) -> JobSpec:
        devices = self.devices if self.devices is not None else cluster.num_devices
        if devices is None:
            raise InputError(f"cluster {cluster.name} does not say how many nodes it has")
        software = self.software or model.training.software or DEFAULT_SOFTWARE
        return build_job(
            model,
            load_software(software),
            devices=devices,
            global_batch_size=self.global_batch_size,
            seq_length=self.seq_length,
            precision=self.precision,
            optimizer=self.optimizer,
            headroom=DEFAULT_HEADROOM if self.headroom is None else self.headroom,
            expert_imbalance=self.expert_imbalance or 1.0,
            settings=self.settings,
            tokens=self.tokens,
        )


def tokens_of(given: object) -> int | None:
    """Raises: InputError for a text that is not a number of tokens."""
    if given is None:
        return None
    try:
        return parse_tokens(given)
    except UnitError as error:
        raise InputError(f"--tokens: {error}") from error
