"""From options to the scenario every command works on. Imports what is heavy when called."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from planner.cli import values
from planner.errors import InputError
from planner.plan import PRECISIONS

if TYPE_CHECKING:
    from planner.cli.options import InputOptions, WorkloadOptions
    from planner.plan_document import ReadPlan, RecordedJob
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.job import JobSpec
    from planner.specs.model.spec import ModelSpec
    from planner.training.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """What the options, or else a plan document, state about the job. None: nothing."""

    global_batch_size: int | None = None
    seq_length: int | None = None
    precision: str | None = None
    software: str | None = None
    optimizer: str | None = None
    headroom: float | None = None
    expert_imbalance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSize:
    """How much of the cluster is used; neither means all of it."""

    nodes: int | None = None
    devices: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedOptions:
    """What the options ask of a scenario, apart from its files."""

    size: ClusterSize
    job: JobOptions

    @classmethod
    def of(
        cls,
        headroom: str | None,
        workload: WorkloadOptions,
        *,
        recorded: RecordedJob | None = None,
        devices: int | None = None,
    ) -> AskedOptions:
        """What no option states comes from `recorded`. `devices` counts when neither --nodes nor
        --devices is given. Raises: InputError for an option."""
        return cls(size=_size(workload, devices), job=_job_options(headroom, workload, recorded))

    def sized(self, cluster: ClusterSpec) -> ClusterSpec:
        """As much of the cluster as is asked for. Raises: InputError when it has less."""
        return cluster.sized(nodes=self.size.nodes, devices=self.size.devices)

    def scenario(self, cluster: ClusterSpec, model: ModelSpec) -> Scenario:
        """The job of a model on a cluster. What nothing states comes from the model's training
        block. Raises: InputError."""
        from planner.training.scenario import build_scenario

        sized = self.sized(cluster)
        pool = sized if cluster.num_nodes is None else cluster
        return build_scenario(pool, model, _job(model, sized, self.size, self.job))


def scenario_from_options(
    inputs: InputOptions,
    workload: WorkloadOptions,
    *,
    recorded: RecordedJob | None = None,
    devices: int | None = None,
) -> Scenario:
    """Cluster, model and job. What no option states comes from `recorded`, then from the model's
    training block. `devices` counts when neither --nodes nor --devices is given.

    Raises InputError for anything wrong in options or files."""
    asked = AskedOptions.of(inputs.headroom, workload, recorded=recorded, devices=devices)

    from planner.specs.load import load_cluster, load_model

    model = load_model(inputs.model)
    return asked.scenario(load_cluster(inputs.cluster), model)


def scenario_of_plan(inputs: InputOptions, workload: WorkloadOptions, read: ReadPlan) -> Scenario:
    """The same for a plan of a file, which states what no option does.

    Raises InputError, with the place in the file when the cluster is too small for the plan."""
    degrees = read.plan.degrees
    asked = AskedOptions.of(
        inputs.headroom, workload, recorded=read.inputs.job, devices=degrees.devices
    )

    from planner.plan_document.check import placed
    from planner.specs.load import load_cluster, load_model

    cluster, model = load_cluster(inputs.cluster), load_model(inputs.model)
    try:
        asked.sized(cluster)
    except InputError as error:
        if workload.nodes is not None or workload.devices is not None:
            raise
        raise placed(error, read, "degrees") from error
    return asked.scenario(cluster, model)


def _size(workload: WorkloadOptions, devices: int | None) -> ClusterSize:
    size = ClusterSize(
        nodes=values.whole("--nodes", workload.nodes, most=values.MOST_NODES),
        devices=values.whole("--devices", workload.devices, most=values.MOST_DEVICES),
    )
    if size.nodes is not None and size.devices is not None:
        raise InputError("--nodes and --devices are both given; one of them says how many to use")
    return ClusterSize(devices=devices) if size == ClusterSize() else size


def _job_options(
    headroom: str | None, workload: WorkloadOptions, recorded: RecordedJob | None
) -> JobOptions:
    options = JobOptions(
        global_batch_size=values.whole(
            "--global-batch-size", workload.global_batch_size, most=values.MOST_SEQUENCES
        ),
        seq_length=values.whole("--seq-length", workload.seq_length, most=values.LONGEST_SEQUENCE),
        precision=values.word("--precision", workload.precision, PRECISIONS),
        software=workload.software,
        headroom=values.share("--headroom", headroom, below=1.0),
    )
    if recorded is None:
        return options
    unstated = [field.name for field in fields(options) if getattr(options, field.name) is None]
    return replace(options, **{name: getattr(recorded, name) for name in unstated})


def _job(model: ModelSpec, cluster: ClusterSpec, size: ClusterSize, options: JobOptions) -> JobSpec:
    from planner.specs.job import DEFAULT_HEADROOM, DEFAULT_SOFTWARE, build_job
    from planner.specs.load import load_software

    devices = size.devices if size.devices is not None else cluster.num_devices
    if devices is None:
        raise InputError(f"cluster {cluster.name} does not say how many nodes it has")
    software = options.software or model.training.software or DEFAULT_SOFTWARE
    return build_job(
        model,
        load_software(software),
        devices=devices,
        global_batch_size=options.global_batch_size,
        seq_length=options.seq_length,
        precision=options.precision,
        optimizer=options.optimizer,
        headroom=DEFAULT_HEADROOM if options.headroom is None else options.headroom,
        expert_imbalance=options.expert_imbalance or 1.0,
    )
