"""Device constants refitted to measured runs and training logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.api.plans import GivenPlan
from planner.api.scenarios import AskedJob
from planner.calibration import calibrate as fitting
from planner.calibration import device_file, engine_file
from planner.calibration.logs import StepSize, read_log
from planner.calibration.observations import device_of, observed, observed_run, on_device
from planner.calibration.serving.constants import constants_of
from planner.calibration.serving.document import to_document
from planner.calibration.serving.observations import holder_of, observed_rows, only
from planner.errors import InputError, PlannerError
from planner.specs.engine import load_engine
from planner.specs.files.catalog import list_shipped, looks_like_path, resolve
from planner.specs.runs.build import load_runs
from planner.specs.runs.spec import RunError
from planner.validation.serving.named import OwnEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.api.plans import PlanLike
    from planner.calibration.calibrate import Calibration
    from planner.calibration.observations import Observation
    from planner.calibration.serving.constants import EngineOnDevice
    from planner.calibration.serving.observations import ServedObservation
    from planner.specs.device import DeviceSpec

RUNS_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """The result of a calibration. `left_out` are the runs that cannot be planned."""

    calibration: Calibration[DeviceSpec]
    left_out: tuple[RunError, ...]

    @property
    def device_file(self) -> str | None:
        """The text of the refitted device file; None when the calibration is refused, which
        `calibration.refusal` explains."""
        found = self.calibration.calibrated
        return None if found is None else device_file.device_file(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedEngine:
    """The result of a calibration to serving runs. `left_out` are the rows that are not used."""

    calibration: Calibration[EngineOnDevice]
    left_out: tuple[RunError, ...]

    @property
    def engine_file(self) -> str | None:
        """The text of the refitted engine file; None when the calibration is refused, which
        `calibration.refusal` explains."""
        found = self.calibration.calibrated
        return None if found is None else engine_file.engine_file(found)

    @property
    def document(self) -> dict[str, Any]:
        """What `planner calibrate --json` prints of serving runs, before a file is written."""
        return to_document(self.calibration, written=None, left_out=self.left_out)


def calibrate(
    runs: Sequence[str | Path],
    *,
    device: str | None = None,
    plan: PlanLike | Sequence[PlanLike] | None = None,
    cluster: ClusterLike | None = None,
    model: ModelLike | None = None,
    note: Callable[[str], None] | None = None,
) -> Calibrated:
    """The constants of a device, refitted to files of measured runs and to training logs.

    `plan` is the plan of every log: one for all, or one for each; `cluster` and `model` are those
    it was made for unless they are given. `device` names the device when the runs are on several.
    `note` is called with what was read from each log. Raises: InputError.

    >>> from planner import api
    >>> api.calibrate(["flagperf-a800"]).calibration.holder.name
    'a800-sxm-80gb'
    """
    names = [str(name) for name in runs]
    for name in names:
        if Path(name).is_dir():
            raise InputError(f"{name} is a folder; name the files of measured runs or logs in it")
    logs = [name for name in names if _is_log(name)]
    plans = _plans(plan, logs)
    observations, left_out = _of_files([name for name in names if name not in logs])
    observations += [
        _of_log(log, given, cluster, model, note) for log, given in zip(logs, plans, strict=True)
    ]
    if not observations:
        raise InputError("no run with a step time is given")
    chosen = device_of(observations, device)
    found = fitting.calibrate(on_device(observations, chosen), chosen)
    return Calibrated(calibration=found, left_out=tuple(left_out))


def calibrate_serving(
    tables: Sequence[str | Path], *, engine: str | Path | None = None, device: str | None = None
) -> CalibratedEngine:
    """The constants of an engine on a device, refitted to tables of measured serving runs: how fast
    its kernels and its host are. `engine` (a name, or an engine file to start from) and `device`
    say which, where the runs are of several. Raises: InputError.

    >>> from planner import api
    >>> from planner.specs.files.catalog import folder
    >>> table = folder("runs") / "serving" / "published.csv"
    >>> found = api.calibrate_serving([table], engine="vllm", device="h100-sxm-80gb")
    >>> found.calibration.refusal is None      # too few of these runs to refit anything
    False
    """
    own = None if engine is None or not looks_like_path(str(engine)) else load_engine(engine)
    named = own.name if own is not None else engine
    observations: list[ServedObservation] = []
    left_out: list[RunError] = []
    for table in tables:
        found, others = observed_rows(Path(table), None if own is None else OwnEngine(own))
        observations, left_out = observations + found, left_out + others
    if not observations:
        raise InputError("no row with a TPOT or TTFT can be estimated", hint=_first(left_out))
    name, where, chosen = only(
        observations, engine=None if named is None else str(named), device=device
    )
    holder = holder_of(own or load_engine(name), chosen, where)
    scenarios = {id(one): one for seen in chosen for one in seen.scenarios}
    constants = constants_of(holder, scenarios.values())
    return CalibratedEngine(
        calibration=fitting.refit(chosen, holder, constants), left_out=tuple(left_out)
    )


def _first(left_out: Sequence[RunError]) -> str | None:
    return None if not left_out else f"{left_out[0].id}: {left_out[0].message}"


def _is_log(name: str) -> bool:
    """Whether a name refers to a training log: a file that is neither YAML nor shipped."""
    if name.lower().endswith(RUNS_SUFFIXES) or name in list_shipped("runs"):
        return False
    return looks_like_path(name) or bool(Path(name).suffix) or Path(name).exists()


def _plans(given: PlanLike | Sequence[PlanLike] | None, logs: list[str]) -> list[GivenPlan]:
    """The plan of each log."""
    if given is None:
        if logs:
            raise InputError(
                f"{logs[0]} is a training log; --plan says which plan it is of",
                hint="such as --plan plans.json#1, or a plan.json from `planner estimate … --json`",
            )
        return []
    if not logs:
        raise InputError("--plan is given but no training log; runs of a file state their own plan")
    listed = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    plans = [GivenPlan.of(one) for one in listed]
    if len(plans) == 1:
        return plans * len(logs)
    if len(plans) != len(logs):
        raise InputError(f"--plan names {len(plans)} plans for {len(logs)} training logs")
    return plans


def _of_files(names: list[str]) -> tuple[list[Observation], list[RunError]]:
    """Runs of files that state a step time: those that can be planned, and those that cannot."""
    observations: list[Observation] = []
    left_out: list[RunError] = []
    for name in names:
        file = load_runs(resolve("runs", name))
        left_out += file.errors
        for run in file.runs:
            try:
                observation = observed_run(run, name)
            except PlannerError as error:
                left_out.append(RunError(id=run.id, message=str(error)))
                continue
            if observation is not None:
                observations.append(observation)
    return observations, left_out


def _of_log(
    log: str,
    given: GivenPlan,
    cluster: ClusterLike | None,
    model: ModelLike | None,
    note: Callable[[str], None] | None,
) -> Observation:
    """The measured run that a training log describes."""
    scenario = given.scenario(given.cluster(cluster), given.model(model), AskedJob())
    given.check(scenario)
    job = scenario.job
    found = read_log(
        Path(log),
        StepSize(
            sequences=job.global_batch_size,
            tokens=job.global_batch_size * job.seq_length,
            devices=job.devices,
        ),
    )
    if note is not None:
        step_s = found.measured.step_s
        note(f"{log}: {found.framework}, {step_s:.4g} s, median of {found.steps} steps")
    observation = observed(scenario, given.plan, found.measured, id=Path(log).stem, source=log)
    assert observation is not None
    return observation
