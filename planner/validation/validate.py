"""All runs of some files against their estimates, and what that says in sum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError, PlannerError
from planner.specs.files.spelling import did_you_mean
from planner.specs.runs.build import References, load_runs
from planner.specs.runs.spec import RunError
from planner.validation.compare import RunResult, compare_run
from planner.validation.statistics import mean
from planner.validation.summary import Summary, summarize_results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.device import DeviceSpec
    from planner.specs.runs.spec import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResult:
    """The runs of one file. `errors` are the runs that cannot be planned."""

    name: str
    source: str | None
    results: tuple[RunResult, ...]
    errors: tuple[RunError, ...]

    @property
    def summary(self) -> Summary:
        return summarize_results([self.results])


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySummary:
    """Mean over families, the runs of one file each, of the mean absolute error of the step time
    and of the best constant MFU of that file."""

    count: int
    mean_abs_error: float | None
    constant_mfu_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Runs of several files compared with their estimates."""

    sources: tuple[SourceResult, ...]

    @property
    def results(self) -> tuple[RunResult, ...]:
        return tuple(result for source in self.sources for result in source.results)

    @property
    def errors(self) -> tuple[RunError, ...]:
        return tuple(error for source in self.sources for error in source.errors)

    @property
    def families(self) -> FamilySummary:
        """Each file counts once, however many runs it has."""
        timed = [source.summary for source in self.sources]
        errors = [one.step.mean_abs_error for one in timed if one.step.mean_abs_error is not None]
        constants = [one.constant_mfu_error for one in timed if one.constant_mfu_error is not None]
        return FamilySummary(
            count=len(errors),
            mean_abs_error=mean(errors) if errors else None,
            constant_mfu_error=mean(constants) if constants else None,
        )

    @property
    def summary(self) -> Summary:
        """Over all files; a group is of one file."""
        return summarize_results([source.results for source in self.sources])


def validate_files(
    paths: Sequence[Path],
    *,
    device: DeviceSpec | None = None,
) -> Validation:
    """Every run of the files compared with its estimate; `device` stands in for the device of its
    name.

    Raises: InputError for a file that cannot be read as runs, or a `device` that no run uses.
    """
    references = References()
    files = [load_runs(path, references) for path in paths]
    if device is not None:
        _check_used(device, [run for file in files for run in file.runs])
    sources = []
    for path, file in zip(paths, files, strict=True):
        results: list[RunResult] = []
        errors = [*file.errors]
        for run in file.runs:
            outcome = _outcome(_on(run, device))
            if isinstance(outcome, RunError):
                errors.append(outcome)
            else:
                results.append(outcome)
        sources.append(
            SourceResult(
                name=path.stem, source=file.source, results=tuple(results), errors=tuple(errors)
            )
        )
    return Validation(sources=tuple(sources))


def with_device(cluster: ClusterSpec, device: DeviceSpec) -> ClusterSpec:
    """The cluster whose devices of that name are `device`."""
    groups = tuple(
        replace(group, device=device) if group.device.name == device.name else group
        for group in cluster.node_groups
    )
    return replace(cluster, node_groups=groups)


def _on(run: Run, device: DeviceSpec | None) -> Run:
    return run if device is None else replace(run, cluster=with_device(run.cluster, device))


def _outcome(run: Run) -> RunResult | RunError:
    """One run that fails, even through a fault of ours, does not take the others with it."""
    try:
        return compare_run(run)
    except PlannerError as error:
        return RunError(id=run.id, message=str(error))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return RunError(id=run.id, message=f"internal error: {type(error).__name__}: {error}")


def _check_used(device: DeviceSpec, runs: Sequence[Run]) -> None:
    used = {name for run in runs for name in _device_names(run.cluster)}
    if device.name not in used:
        listed = ", ".join(sorted(used)) or "none"
        raise InputError(
            f"--device-file: no run is on {device.name}; their devices are {listed}",
            hint=did_you_mean(device.name, used),
        )


def _device_names(cluster: ClusterSpec) -> tuple[str, ...]:
    return tuple(group.device.name for group in cluster.node_groups)
