"""A launch script with a better plan in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import unified_diff
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.api.comparisons import side_by_side
from planner.api.inputs import load_cluster, load_model
from planner.api.keywords import ImproveKeywords, takes
from planner.api.launches import launch_options, say_notes
from planner.budget import Budget
from planner.comparison.side import Side
from planner.errors import InputError, NothingFits
from planner.importers.deepspeed.statement import SETTINGS
from planner.importers.megatron.statement import COMMAND
from planner.improvement.choose import best_written, side_of
from planner.improvement.document import to_document
from planner.improvement.kept import kept_decisions
from planner.improvement.writing import ScriptReading, changeable
from planner.specs import ranges
from planner.specs.files.writing import write_files
from planner.training.confidence.interval import between_plans
from planner.training.search import search as engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from planner.api.comparisons import PlanComparison
    from planner.api.inputs import ClusterLike, ModelLike
    from planner.plan import RankedPlan
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.run import Progress

TRIED = 12
"""Plans of the search that are written into the script, the fastest first, until one is safe."""
SHOWN_TIGHT = 3
"""Tight plans that are named where all of the fastest are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """A launch script and a better one. `now` is the plan of the script, `then` that of the script
    with `files`, as it reads back; without a better plan `then` is None. `files`: new texts of the
    script and of files that it reads, by path, those that change. `diff` turns the old texts into
    the new.
    `look_at`: what else may follow from the changes. `left_out`: faster plans of the search that
    the script could not be given, and why."""

    path: str
    now: Side
    then: Side | None
    files: Mapping[str, str]
    diff: str
    look_at: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def gain(self) -> float:
        """Share of the step that is saved, 0 without a better plan."""
        if self.then is None:
            return 0.0
        return 1 - self.then.estimate.step_s / self.now.estimate.step_s

    @property
    def gain_range(self) -> tuple[float, float]:
        """Between which the gain lies for nine of ten pairs of measured runs."""
        low, high = between_plans().around(1 - self.gain)
        return 1 - high, 1 - low

    @property
    def comparison(self) -> PlanComparison | None:
        """Both plans side by side."""
        return None if self.then is None else side_by_side((self.now, self.then))

    @property
    def document(self) -> dict[str, Any]:
        """What `planner improve --json` prints."""
        compared = self.comparison
        return to_document(
            script=self.path,
            files=list(self.files),
            gain=self.gain,
            gain_range=self.gain_range,
            diff=self.diff,
            look_at=self.look_at,
            left_out=self.left_out,
            comparison=None if compared is None else compared.document,
        )

    def write(self) -> None:
        """Puts the new texts in place of the old ones, all of them or none. Raises: InputError
        when one cannot be written."""
        write_files(self.files)


@takes(ImproveKeywords)
def improve(
    script: str | Path,
    cluster: ClusterLike,
    model: ModelLike | None = None,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    note: Callable[[str], None] | None = None,
    **options: Unpack[ImproveKeywords],
) -> Improvement:
    r"""A better plan for the job of a Megatron-LM script, as changes of its text. Its model, batch,
    devices, framework and all other flags stay. Of a DeepSpeed configuration, micro-batch size,
    accumulation steps and ZeRO stage change, and the model is given.

    Every change is read back: what `then` promises is the estimate of the changed script. Raises:
    InputError, with its place, for a script that cannot be read, cannot run, or cannot be changed
    safely; NothingFits where no plan does.

    >>> from planner import api
    >>> from pathlib import Path
    >>> written = Path("train.sh").write_text(
    ...     "torchrun --nproc-per-node 8 pretrain_gpt.py --tensor-model-parallel-size 8 \\\n"
    ...     "  --num-layers 24 --hidden-size 2048 --num-attention-heads 16 --vocab-size 51200 \\\n"
    ...     "  --seq-length 2048 --max-position-embeddings 2048 --micro-batch-size 1 \\\n"
    ...     "  --global-batch-size 64 --bf16"
    ... )
    >>> better = api.improve("train.sh", "dgx-a100-8")
    >>> better.gain > 0.1, better.diff.splitlines()[3][:20]
    (True, '-torchrun --nproc-pe')
    """
    source = changeable(str(script))
    reading = ScriptReading(
        cluster=load_cluster(cluster),
        model=None if model is None else load_model(model),
        options=launch_options(options),
    )
    launched = reading.read(source)
    if launched.statement.kind not in (COMMAND, SETTINGS):
        raise InputError(
            "is neither a Megatron-LM script nor a DeepSpeed configuration, and only those are "
            "edited",
            path=source.path,
        )
    say_notes(launched, note)
    launched.check()
    now = side_of(launched, source.path)
    budget = Budget.lasting(ranges.duration_s("--time-limit", time_limit_s))

    def searched(scenario: Scenario) -> tuple[RankedPlan, ...]:
        kept = kept_decisions(launched)
        return engine.search(
            scenario, restrictions=kept, top=TRIED, budget=budget, progress=progress, idle=False
        ).plans

    plans = searched(launched.scenario)
    if not plans:
        raise NothingFits(f"no plan that fits was found for the job of {source.path}")
    if all(one.estimate.fit_class == "tight" for one in plans) and not budget.late:
        plans = (*plans[:SHOWN_TIGHT], *searched(_roomier(launched.scenario, plans)))
    best = best_written(reading, source, launched, now, plans)
    return Improvement(
        path=source.path,
        now=now,
        then=best.then,
        files=best.files,
        diff="".join(_diff(changeable(path).text, text, path) for path, text in best.files.items()),
        look_at=best.look_at,
        left_out=best.left_out,
    )


def _roomier(scenario: Scenario, plans: tuple[RankedPlan, ...]) -> Scenario:
    """The job with so much headroom that what fits is not tight: the range of such a peak ends
    below the headroom of the job."""
    high = max(one.estimate.confidence.memory.high for one in plans if one.estimate.confidence)
    job = replace(scenario.job, headroom=1 - (1 - scenario.job.headroom) / high)
    return replace(scenario, job=job)


def _diff(before: str, after: str, path: str) -> str:
    """A unified diff that `patch -p0` applies. Lines end at line feeds only."""
    both = ([*StringIO(before)], [*StringIO(after)])
    lines = []
    for line in unified_diff(*both, fromfile=path, tofile=path):
        lines.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(lines)
