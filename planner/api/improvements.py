"""A launch script with a better plan in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import unified_diff
from io import StringIO
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.api.comparisons import side_by_side
from planner.api.inputs import load_cluster, load_model
from planner.api.keywords import ImproveKeywords, takes
from planner.api.launches import launch_options, say_notes
from planner.budget import Budget
from planner.comparison.side import Side
from planner.errors import InputError, NothingFits, PlannerError
from planner.importers.deepspeed.statement import SETTINGS
from planner.importers.launch import LARGEST_BYTES, read_source
from planner.importers.megatron.script import launch_in
from planner.importers.megatron.statement import COMMAND
from planner.importers.source import STDIN, load_source
from planner.improvement.change import changed_texts
from planner.improvement.document import to_document
from planner.improvement.same import what_else_changed
from planner.improvement.settings_text import FOLLOWING, changed_settings
from planner.improvement.wanted import needed_variables, wanted_flags
from planner.specs import ranges
from planner.specs.files.text_file import decode, read_bytes
from planner.specs.files.writing import write_files
from planner.training.confidence.interval import between_plans
from planner.training.estimate import estimate as price
from planner.training.search import search as engine
from planner.training.search.space.restrictions import Restrictions
from planner.wording.labels import one_line
from planner.wording.units import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from planner.api.comparisons import PlanComparison
    from planner.api.inputs import ClusterLike, ModelLike
    from planner.importers.launch import LaunchedPlan
    from planner.importers.launch_options import LaunchOptions
    from planner.importers.megatron.launch import Launch
    from planner.importers.source import Source
    from planner.plan import RankedPlan
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.model.spec import ModelSpec
    from planner.training.scenario import Scenario
    from planner.training.search.best_first.run import Progress

SWITCHES = (
    "data_sharding",
    "expert_overlap",
    "optimizer_offload",
    "weight_offload",
    "activation_offload",
)
_OF_THE_CODE = ("schedule", "virtual_stages", "sequence_parallel")
_AXES = ("tensor", "pipeline", "context", "expert", "expert_tensor")
"""What a DeepSpeed configuration leaves to the training code stays as the user says it is."""
TRIED = 12
"""Plans of the search that are written into the script, the fastest first, until one is safe."""
_TIGHT = "fits tightly, the range of its peak reaches into the headroom"
SHOWN_TIGHT = 3
"""Tight plans that are named where all of the fastest are."""
WORTH = 5e-4
"""Shares of a step below this are no gain."""


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
    source = _source(str(script))
    asked = _Asked(
        cluster=load_cluster(cluster),
        model=None if model is None else load_model(model),
        options=launch_options(options),
    )
    launched = asked.read(source)
    if launched.statement.kind not in (COMMAND, SETTINGS):
        raise InputError(
            "is neither a Megatron-LM script nor a DeepSpeed configuration, and only those are "
            "edited",
            path=source.path,
        )
    say_notes(launched, note)
    launched.check()
    now = _side(launched, source.path)
    budget = Budget.lasting(ranges.duration_s("--time-limit", time_limit_s))

    def searched(scenario: Scenario) -> tuple[RankedPlan, ...]:
        kept = _kept(launched)
        return engine.search(
            scenario, restrictions=kept, top=TRIED, budget=budget, progress=progress, idle=False
        ).plans

    plans = searched(launched.scenario)
    if not plans:
        raise NothingFits(f"no plan that fits was found for the job of {source.path}")
    if all(one.estimate.fit_class == "tight" for one in plans) and not budget.late:
        plans = (*plans[:SHOWN_TIGHT], *searched(_roomier(launched.scenario, plans)))
    return _best(asked, source, launched, now, plans)


def _roomier(scenario: Scenario, plans: tuple[RankedPlan, ...]) -> Scenario:
    """The job with so much headroom that what fits is not tight: the range of such a peak ends
    below the headroom of the job."""
    high = max(one.estimate.confidence.memory.high for one in plans if one.estimate.confidence)
    job = replace(scenario.job, headroom=1 - (1 - scenario.job.headroom) / high)
    return replace(scenario, job=job)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a script is read with."""

    cluster: ClusterSpec
    model: ModelSpec | None
    options: LaunchOptions

    def read(self, source: Source) -> LaunchedPlan:
        return read_source(source, self.cluster, self.model, self.options)

    def launch(self, source: Source) -> Launch:
        """The training command with the places of its flags, and the files it was read from."""
        return launch_in(
            source,
            given=self.options.variables,
            command=self.options.command,
            vocabulary=self.options.vocabulary,
            usual_vocabulary=None if self.model is None else self.model.vocab_size,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """Changed texts by path, and what the script launches with them."""

    files: Mapping[str, str]
    launched: LaunchedPlan
    look_at: tuple[str, ...]


def _kept(launched: LaunchedPlan) -> Restrictions:
    """Decisions of the script that are switches of its framework, and stay as they are. Without
    expert parallelism a plan has no dispatcher; its framework has one all the same."""
    plan = launched.plan
    kept = {name: (getattr(plan, name),) for name in SWITCHES}
    if launched.statement.kind == SETTINGS:
        kept |= {name: (getattr(plan, name),) for name in _OF_THE_CODE}
        kept |= {axis: (getattr(plan.degrees, axis),) for axis in _AXES}
        kept["recompute"] = (plan.recompute.granularity,)
        if plan.shard_over is None:
            del kept["data_sharding"]
        else:
            kept["shard_over"] = (plan.shard_over,)
    if launched.scenario.model.moe is not None:
        sends_by = launched.scenario.job.software.expert.sends_by
        kept["dispatcher"] = (launched.plan.dispatcher or sends_by,)
    return Restrictions(**kept)


def _source(path: str) -> Source:
    """Raises: InputError for text that would not be written as it was read."""
    if path == STDIN:
        raise InputError("standard input cannot be changed; give a file")
    source = load_source(path, largest=LARGEST_BYTES)
    if decode(read_bytes(Path(path), largest=LARGEST_BYTES), path) != source.text:
        raise InputError(
            "holds carriage returns or control codes, which a change would lose",
            path=path,
            hint="`dos2unix` takes carriage returns out",
        )
    return source


def _best(
    asked: _Asked, source: Source, launched: LaunchedPlan, now: Side, plans: tuple[RankedPlan, ...]
) -> Improvement:
    """The fastest of the plans that the script can say. Raises: InputError where there are faster
    ones and none of them can be written."""
    problems: list[InputError] = []
    left_out: list[str] = []
    tightly: list[str] = []
    best: tuple[Side, _Written] | None = None
    tight: tuple[Side, _Written] | None = None
    anywhere = launched.scenario.ideal is launched.scenario
    for ranked in plans:
        if not _better(ranked.estimate.step_s, now, best):
            continue
        try:
            written = _written(asked, source, launched, ranked)
            side = _side(written.launched, source.path)
        except PlannerError as error:
            left_out.append(f"{seconds(ranked.estimate.step_s)}/step: {error}")
            problems.append(error if isinstance(error, InputError) else InputError(str(error)))
            continue
        if not side.estimate.memory.fits or not _better(side.estimate.step_s, now, best):
            continue
        if side.estimate.fit_class != "fits":
            tight = tight or (side, written)
            tightly.append(
                f"{seconds(side.estimate.step_s)}/step ({one_line(side.plan)}): {_TIGHT}"
            )
            continue
        best = side, written
        if anywhere and isclose(side.estimate.step_s, ranked.estimate.step_s):
            break
    if best is None and tight is None and problems:
        raise problems[0]
    if best is None and now.estimate.fit_class != "fits":
        best, tightly = tight, []
    then = None if best is None else best[0]
    files = {} if best is None else best[1].files
    return Improvement(
        path=source.path,
        now=now,
        then=then,
        files=files,
        diff="".join(_diff(_source(path).text, text, path) for path, text in files.items()),
        look_at=() if best is None else best[1].look_at,
        left_out=(*left_out, *tightly),
    )


def _better(step_s: float, now: Side, best: tuple[Side, _Written] | None) -> bool:
    """Whether a step is worth a change; where the script does not fit, any that does is."""
    if best is not None:
        return step_s < best[0].estimate.step_s
    return not now.estimate.memory.fits or step_s < now.estimate.step_s * (1 - WORTH)


def _written(asked: _Asked, source: Source, launched: LaunchedPlan, ranked: RankedPlan) -> _Written:
    """The script with the plan in it. Raises: InputError where its flags cannot be changed safely,
    and where the changed script says anything else; RuleError where it cannot run."""
    settings = launched.statement.kind == SETTINGS
    look_at: list[str] = []
    texts = {source.path: source.text}
    if settings:
        files = {source.path: changed_settings(source, launched.plan, ranked.plan)}
    else:
        launch = asked.launch(source)
        texts |= {path: _source(path).text for path in launch.files}
        wanted = wanted_flags(launch.flags, launched.scenario, launched.plan, ranked.plan)
        files, look_at = changed_texts(texts, launch.flags, wanted)
    read = asked.read(replace(source, text=files.get(source.path, source.text), beside=files))
    read.check()
    follows = FOLLOWING if settings else ()
    otherwise = what_else_changed(launched, read, ranked.plan, follows=follows)
    if otherwise is not None:
        place = launched.place(otherwise)
        raise InputError(
            f"a changed flag takes {otherwise.replace('_', ' ')} along",
            path=place.path,
            line=place.line,
            column=place.column,
            hint="`planner compare` shows the flags to change by hand",
        )
    said = "".join((texts | files).values())
    needed = () if settings else needed_variables(launched.plan, ranked.plan, said)
    return _Written(files=files, launched=read, look_at=(*look_at, *needed))


def _side(launched: LaunchedPlan, name: str) -> Side:
    return Side(
        name=name,
        scenario=launched.scenario,
        plan=launched.plan,
        estimate=price(launched.scenario, launched.plan),
    )


def _diff(before: str, after: str, path: str) -> str:
    """A unified diff that `patch -p0` applies. Lines end at line feeds only."""
    both = ([*StringIO(before)], [*StringIO(after)])
    lines = []
    for line in unified_diff(*both, fromfile=path, tofile=path):
        lines.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(lines)
