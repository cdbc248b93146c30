"""Training logs of Megatron-LM, torchtitan and DeepSpeed: the median step time after warm-up, and
the largest peaks of memory.

What the lines look like, and their units:
- Megatron-LM, `training_log`: `… elapsed time per iteration (ms): 12936.1 | … global batch size:
  128 | …`; `report_memory`: `[Rank 0] … memory (MB) | … max allocated: … | … max reserved: …`, MB
  of 2^20.
- torchtitan, `MetricsProcessor.log`: `step: 10  loss: …  memory: 47.28GiB(59.77%)  tps: 6,512 …`;
  tokens a second of one device, the reserved peak.
- DeepSpeed, `PipelineEngine.train_batch`: `steps: 10 loss: … iter time (s): 12.345 …`;
  `ThroughputTimer`: `global_step=10, … CurrSamplesPerSec=12.5, … MaxMemAllocated=34.5GB`, sequences
  of the global batch; `see_memory_usage`: `… Max_MA 34.5 GB … Max_CA 40 GB`, GB of 2^30.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.files.text_file import read_bytes
from planner.specs.runs.file import MeasuredInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGEST_BYTES = 256 * 2**20
LONGEST_LINE = 4000
"""Characters of a line that are looked at."""
FEWEST_STEPS = 3
WARM_UP = 5
"""One step in this many, and at least one, is warm-up at the start."""
LONGEST_STEP_S = 1e6
MIB_PER_GIB = 1024
ALLOCATED, RESERVED = "allocated", "reserved"
LARGEST_GIB = 1e6

_NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![0-9.])"
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BATCH = re.compile(r"\bglobal batch size: *([0-9]{1,9})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFormat:
    """One kind of line that tells the time of a step. `marker` is in every such line, `figure`
    finds the number; `seconds` makes the step's seconds of it, given the sequences and tokens of a
    step and its devices."""

    framework: str
    marker: str
    figure: re.Pattern[str]
    seconds: Callable[[float, StepSize], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSize:
    """What one step of the plan works through, and on how many devices."""

    sequences: int
    tokens: int
    devices: int


FORMATS = (
    LogFormat(
        framework="Megatron-LM",
        marker="elapsed time per iteration (ms):",
        figure=re.compile(rf"elapsed time per iteration \(ms\): *{_NUMBER} *\|"),
        seconds=lambda figure, _: figure / 1000,
    ),
    LogFormat(
        framework="torchtitan",
        marker="step:",
        figure=re.compile(r"(?<!validate )\bstep: .*\b(?:tps|wps): *([0-9][0-9,]*)\b"),
        seconds=lambda figure, size: size.tokens / (figure * size.devices),
    ),
    LogFormat(
        framework="DeepSpeed",
        marker="iter time (s):",
        figure=re.compile(rf"\bsteps?: .*\biter time \(s\): *{_NUMBER}"),
        seconds=lambda figure, _: figure,
    ),
    LogFormat(
        framework="DeepSpeed",
        marker="CurrSamplesPerSec=",
        figure=re.compile(rf"\bglobal_step=[0-9]+,.*\bCurrSamplesPerSec={_NUMBER}"),
        seconds=lambda figure, size: size.sequences / figure,
    ),
)
"""In the order in which they are trusted: a run may write several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakFormat:
    """A kind of line with a peak of memory, and the GiB in its unit."""

    kind: str
    marker: str
    value: re.Pattern[str]
    gib: float = 1.0


PEAKS = (
    PeakFormat(
        kind=ALLOCATED,
        marker="memory (MB)",
        value=re.compile(rf"\bmax allocated: *{_NUMBER}"),
        gib=1 / MIB_PER_GIB,
    ),
    PeakFormat(
        kind=RESERVED,
        marker="memory (MB)",
        value=re.compile(rf"\bmax reserved: *{_NUMBER}"),
        gib=1 / MIB_PER_GIB,
    ),
    PeakFormat(
        kind=RESERVED,
        marker="memory:",
        value=re.compile(rf"(?<!validate )\bstep: .*\bmemory: *{_NUMBER}GiB"),
    ),
    PeakFormat(
        kind=ALLOCATED,
        marker="MaxMemAllocated=",
        value=re.compile(rf"\bMaxMemAllocated={_NUMBER} *GB"),
    ),
    PeakFormat(
        kind=ALLOCATED,
        marker="Max_MA",
        value=re.compile(rf"\bMax_MA {_NUMBER} GB"),
    ),
    PeakFormat(
        kind=RESERVED,
        marker="Max_CA",
        value=re.compile(rf"\bMax_CA {_NUMBER} GB"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLog:
    """What a log says: of which framework, from how many steps after warm-up."""

    framework: str
    steps: int
    measured: MeasuredInput


def read_log(path: Path, size: StepSize) -> TrainingLog:
    """The figures of a log whose steps are of that size.

    Raises: InputError for a file that cannot be read, that holds too few readable steps, or whose
    global batch is another.
    """
    lines = list(_lines(path))
    for kind in FORMATS:
        marked = [line for line in lines if kind.marker in line]
        found = [match for line in marked if (match := kind.figure.search(line))]
        if found:
            of_size = [match for match in found if _batch_of(match) in (None, size.sequences)]
            if not of_size:
                raise InputError(
                    f"the log is of a global batch of {_batch_of(found[-1])}, the plan's is "
                    f"{size.sequences}",
                    path=path,
                )
            times = _times(of_size, kind, size)
            return _measured(path, kind, times, unreadable=len(marked) - len(times), lines=lines)
    raise InputError(_nothing(lines), path=path, hint=_damaged(lines))


def _lines(path: Path) -> Iterator[str]:
    """Lines without colour codes; of very long ones the beginning."""
    data = read_bytes(path, largest=LARGEST_BYTES)
    if b"\0" in data:
        raise InputError("is not text; is this a binary file?", path=path)
    for line in data.decode("utf-8", errors="replace").splitlines():
        yield _COLOUR.sub("", line[:LONGEST_LINE])


def _batch_of(match: re.Match[str]) -> int | None:
    """The global batch that a line states."""
    stated = _BATCH.search(match.string)
    return None if stated is None else int(stated[1])


def _times(found: list[re.Match[str]], kind: LogFormat, size: StepSize) -> list[float]:
    """Seconds of the steps whose figure makes sense."""
    figures = [float(match[1].replace(",", "")) for match in found]
    times = [kind.seconds(figure, size) for figure in figures if figure > 0]
    return [step_s for step_s in times if 0 < step_s < LONGEST_STEP_S]


def _measured(
    path: Path, kind: LogFormat, times: list[float], *, unreadable: int, lines: list[str]
) -> TrainingLog:
    if len(times) < FEWEST_STEPS:
        damaged = f", {unreadable} lines with one are not readable" if unreadable else ""
        raise InputError(
            f"{len(times)} logged steps of {kind.framework} with a time{damaged}; "
            f"{FEWEST_STEPS} are needed",
            path=path,
        )
    settled = times[max(1, len(times) // WARM_UP) :]
    peaks = _peaks(lines)
    return TrainingLog(
        framework=kind.framework,
        steps=len(settled),
        measured=MeasuredInput(
            step_s=median(settled),
            peak_allocated_gib=peaks.get(ALLOCATED),
            peak_reserved_gib=peaks.get(RESERVED),
        ),
    )


def _peaks(lines: list[str]) -> dict[str, float]:
    """GiB of the largest peak of each kind that any rank states."""
    peaks: dict[str, float] = {}
    for format_ in PEAKS:
        for line in lines:
            if format_.marker in line:
                found = [float(match[1]) * format_.gib for match in format_.value.finditer(line)]
                peaks[format_.kind] = max(peaks.get(format_.kind, 0.0), *found, 0.0)
    return {kind: peak for kind, peak in peaks.items() if 0 < peak < LARGEST_GIB}


def _damaged(lines: list[str]) -> str | None:
    """Says where a step time would be, if it were a number."""
    for kind in FORMATS:
        for number, line in enumerate(lines, 1):
            if kind.marker in line and kind.marker != "step:":
                return f"line {number} has {kind.marker!r} without a number that can be one"
    return None


def _nothing(lines: list[str]) -> str:
    if any("out of memory" in line.lower() for line in lines):
        return "the run ran out of memory before it logged a step"
    return (
        "no step time of Megatron-LM (elapsed time per iteration), torchtitan (tps) or DeepSpeed "
        "(iter time, CurrSamplesPerSec) is in the log"
    )
