"""The observations of a calibration: measured step times with their plans."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.files.spelling import did_you_mean
from planner.training.estimate import point_estimate
from planner.training.scenario import build_scenario
from planner.validation.compare import compare_memory
from planner.validation.figures import measured_step_s
from planner.validation.planned import plan_run
from planner.validation.validate import with_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.plan import Plan
    from planner.specs.device import DeviceSpec
    from planner.specs.runs.file import MeasuredInput
    from planner.specs.runs.spec import Run
    from planner.training.scenario import Scenario
    from planner.validation.compare import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A plan with its measured step time. `source` is the file it is from, `group` the runs that
    differ from it in their plan only; `memory` holds the peaks measured, by kind."""

    id: str
    source: str
    group: str | None
    scenario: Scenario
    plan: Plan
    measured_s: float
    memory: dict[str, Comparison]
    weight: float = 1.0

    @property
    def run(self) -> str:
        """It was measured in one way."""
        return self.id

    @property
    def model(self) -> str:
        """The model by its shape: files of runs often leave it unnamed."""
        model = self.scenario.model
        sizes = (model.num_layers, model.hidden_size, model.ffn_hidden_size, model.vocab_size)
        return f"{model.architecture} {' '.join(map(str, sizes))}"

    def predicted_s(self, device: DeviceSpec) -> float:
        """The step time with `device` in place of the device of its name."""
        scenario = self.scenario
        cluster = with_device(scenario.cluster, device)
        changed = build_scenario(cluster, scenario.model, scenario.job)
        return point_estimate(changed, self.plan).step_s


def observed_run(run: Run, source: str) -> Observation | None:
    """A run of a file; None when it states no step time. Raises: PlannerError when it cannot be
    planned."""
    planned = plan_run(run)
    return observed(
        planned.scenario,
        planned.plan,
        run.measured,
        id=run.id,
        source=source,
        group=run.group,
    )


def observed(
    scenario: Scenario,
    plan: Plan,
    measured: MeasuredInput,
    *,
    id: str,
    source: str,
    group: str | None = None,
) -> Observation | None:
    """A plan and what was measured; None when no step time was."""
    cost = point_estimate(scenario, plan)
    step_s = measured_step_s(measured, scenario, plan, cost)
    if step_s is None:
        return None
    compared = compare_memory(cost, measured)
    return Observation(
        id=id,
        source=source,
        group=group,
        scenario=scenario,
        plan=plan,
        measured_s=step_s,
        memory={kind: one for kind, one in compared.items() if one is not None},
    )


def device_of(observations: Sequence[Observation], name: str | None) -> DeviceSpec:
    """The device to calibrate: the one of that name, or the only one there is.

    Raises: InputError when there are several and none is named, when no run is on it, or when
    files describe it differently.
    """
    found: dict[str, list[tuple[str, DeviceSpec]]] = {}
    for one in observations:
        for group in one.scenario.cluster.node_groups:
            found.setdefault(group.device.name, []).append((one.source, group.device))
    if name is None and len(found) > 1:
        raise InputError(
            f"the runs are on {', '.join(sorted(found))}; --device says which of them to calibrate"
        )
    chosen = name or next(iter(found))
    if chosen not in found:
        raise InputError(
            f"--device: no run with a step time is on {chosen}; they are on "
            f"{', '.join(sorted(found))}",
            hint=did_you_mean(chosen, found),
        )
    source, device = found[chosen][0]
    for other_source, other in found[chosen]:
        if other.model_dump() != device.model_dump():
            raise InputError(
                f"{source} and {other_source} describe {chosen} differently; calibrate them apart"
            )
    return device


def on_device(observations: Sequence[Observation], device: DeviceSpec) -> list[Observation]:
    """Those that use the device, each with an id of its own."""
    used = [
        one
        for one in observations
        if any(group.device.name == device.name for group in one.scenario.cluster.node_groups)
    ]
    seen: dict[str, int] = {}
    named = []
    for one in used:
        seen[one.id] = seen.get(one.id, 0) + 1
        times = seen[one.id]
        named.append(one if times == 1 else replace(one, id=f"{one.id} ({times})"))
    return named
