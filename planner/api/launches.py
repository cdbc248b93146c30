"""Launch files in place of plans: Megatron-LM scripts, DeepSpeed configurations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from planner.api.inputs import load_cluster, load_hosts, load_model
from planner.api.keywords import (
    AxisKeywords,
    EstimateKeywords,
    LayoutKeywords,
    ScriptKeywords,
    names_of,
    option_name,
    takes,
)
from planner.api.scenarios import AskedJob
from planner.errors import InputError
from planner.importers import launch
from planner.specs import ranges
from planner.training.search.space.restrictions import restrictions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Unpack

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.importers.launch import LaunchedPlan
    from planner.training.search.space.restrictions import Restrictions


@takes(EstimateKeywords)
def read_launch(
    path: str | Path,
    cluster: ClusterLike,
    model: ModelLike | None = None,
    **options: Unpack[EstimateKeywords],
) -> LaunchedPlan:
    """What a launch file describes: its scenario and plan (whether it can run or not: `check()`
    says), its notes, and the place where each field was decided.

    A Megatron-LM script states its model; options fill in what a file leaves open and may not
    contradict it. Nothing of a script is run. Raises: InputError with file, line and column.

    >>> from planner import api
    >>> launched = api.read_launch("tests/importers/data/gpt3_175b.sh", "dgx-a100-128")
    >>> launched.plan.degrees.tensor, launched.place("degrees.tensor").line
    (8, 16)
    """
    asked = AskedJob.of(options)
    return launch.read_launch(
        str(path),
        load_cluster(cluster),
        None if model is None else load_model(model),
        launch.LaunchOptions(
            decisions=decisions_of(options),
            nodes=asked.nodes,
            devices=asked.devices,
            global_batch_size=asked.global_batch_size,
            seq_length=asked.seq_length,
            precision=asked.precision,
            software=asked.software,
            headroom=asked.headroom,
            **layout_of(options),
            variables=_variables(options.get("variables")),
            command=ranges.whole("--command", options.get("command"), most=ranges.MOST_COMMANDS),
            vocabulary=ranges.whole(
                "--vocab-size", options.get("vocab_size"), most=ranges.LARGEST_VOCABULARY
            ),
        ),
    )


def say_notes(launched: LaunchedPlan, note: Callable[[str], None] | None) -> None:
    """What was read and left out; what was assumed is among the job's assumptions."""
    for line in launched.notes.lines() if note is not None else ():
        if note is not None and not line.startswith("assumed: "):
            note(f"{launched.name}: {line}")


def decisions_of(options: Mapping[str, Any]) -> Restrictions:
    """The axes among the keywords. Raises: InputError."""
    return restrictions_of({name: options.get(name) for name in names_of(AxisKeywords)})


def layout_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The layout among the keywords, as plans are built from it. Raises: InputError."""
    hosts = options.get("hosts")
    return {
        "stage_layers": _layers(options.get("stage_layers")),
        "recompute_layers": ranges.whole(
            "--recompute-layers", options.get("recompute_layers"), most=ranges.MOST_LAYERS
        ),
        "hosts": None if hosts is None else load_hosts(hosts),
    }


def refuse_script(options: Mapping[str, Any], plan: object) -> None:
    """Raises: InputError for a keyword about launch scripts where none is read."""
    for name in names_of(ScriptKeywords):
        if options.get(name) is not None:
            instead = f"; {plan} is none" if plan is not None else ", which --plan gives"
            raise InputError(f"{option_name(name)} is for a launch script{instead}")


def refuse_decisions(options: Mapping[str, Any], path: str | None) -> None:
    """Raises: InputError for a keyword that would decide what a given plan decides already."""
    for name in (*names_of(AxisKeywords), *names_of(LayoutKeywords)):
        if options.get(name) is not None:
            what = "plan" if path is None else "plan file"
            raise InputError(
                f"{option_name(name)} is given, and the {what} decides it already", path=path
            )


def _layers(given: Iterable[int] | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"--stage-layers: {given!r} is not the layers of every chunk in order")
    most = ranges.MOST_LAYERS
    found = (ranges.whole("--stage-layers", one, most=most, least=0) for one in given)
    return tuple(one for one in found if one is not None)


def _variables(given: Mapping[str, str] | None) -> dict[str, str]:
    variables = {} if given is None else dict(given)
    for name, value in variables.items():
        if not (isinstance(name, str) and name.isidentifier() and isinstance(value, str)):
            raise InputError(f"--set: {name!r}: {value!r} is not a variable and its text")
    return variables
