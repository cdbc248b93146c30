"""Launch files in place of plans: Megatron-LM scripts, DeepSpeed configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.api.decisions import decisions_of, layout_of
from planner.api.inputs import load_cluster, load_model
from planner.api.keywords import EstimateKeywords, takes
from planner.api.scenarios import AskedJob
from planner.errors import InputError
from planner.specs import ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Unpack

    from planner.api.inputs import ClusterLike, ModelLike
    from planner.importers.launch import LaunchedPlan
    from planner.importers.launch_options import LaunchOptions


@takes(EstimateKeywords)
def read_launch(
    path: str | Path,
    cluster: ClusterLike,
    model: ModelLike | None = None,
    **options: Unpack[EstimateKeywords],
) -> LaunchedPlan:
    r"""What a launch file describes: its scenario and plan (whether it can run or not: `check()`
    says), its notes, and the place where each field was decided.

    A Megatron-LM script states its model; options fill in what a file leaves open and may not
    contradict it. Nothing of a script is run. Raises: InputError with file, line and column.

    >>> from planner import api
    >>> from pathlib import Path
    >>> written = Path("train.sh").write_text(
    ...     "torchrun --nproc-per-node 8 pretrain_gpt.py --tensor-model-parallel-size 4 \\\n"
    ...     "  --num-layers 24 --hidden-size 2048 --num-attention-heads 16 --vocab-size 51200 \\\n"
    ...     "  --seq-length 2048 --max-position-embeddings 2048 --micro-batch-size 1 \\\n"
    ...     "  --global-batch-size 64 --bf16"
    ... )
    >>> launched = api.read_launch("train.sh", "dgx-a100-8")
    >>> launched.plan.degrees.data, launched.place("degrees.tensor").column
    (2, 74)
    """
    from planner.importers import launch

    return launch.read_launch(
        str(path),
        load_cluster(cluster),
        None if model is None else load_model(model),
        launch_options(options),
    )


def launch_options(options: Mapping[str, Any]) -> LaunchOptions:
    """What the keywords add to a launch file. Raises: InputError for one that says nothing
    sensible."""
    from planner.importers.launch_options import LaunchOptions

    asked = AskedJob.of(options)
    return LaunchOptions(
        decisions=decisions_of(options),
        nodes=asked.nodes,
        devices=asked.devices,
        global_batch_size=asked.global_batch_size,
        seq_length=asked.seq_length,
        precision=asked.precision,
        software=asked.software,
        headroom=asked.headroom,
        optimizer=asked.optimizer,
        expert_imbalance=asked.expert_imbalance,
        settings=asked.settings,
        **layout_of(options),
        variables=_variables(options.get("variables")),
        command=ranges.whole("--command", options.get("command"), most=ranges.MOST_COMMANDS),
        vocabulary=ranges.whole(
            "--vocab-size", options.get("vocab_size"), most=ranges.LARGEST_VOCABULARY
        ),
    )


def say_notes(launched: LaunchedPlan, note: Callable[[str], None] | None) -> None:
    """Notes what was read and left out; what was assumed is among the job's assumptions."""
    if note is not None:
        for line in launched.notes.short_lines():
            note(f"{launched.name}: {line}")


def _variables(given: Mapping[str, str] | None) -> dict[str, str]:
    variables = {} if given is None else dict(given)
    for name, value in variables.items():
        if not (
            isinstance(name, str)
            and (name.isidentifier() or name.isdigit())
            and isinstance(value, str)
        ):
            raise InputError(f"--set: {name!r}: {value!r} is not a variable and its text")
    return variables
