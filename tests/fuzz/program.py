"""One call of the program inside this process: what it left on both streams, and what it took.

Streams are caught at their file descriptors, so that what a solver's C code prints counts too.
Python's warnings are errors. A call that takes more processor time than it may is cut short.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from planner.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

PACKAGE = str(Path(__file__).parents[2])
DEBUG = "PLANNER_DEBUG"
TERMINAL = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE")
MOST_MEMORY_BYTES = 6 * 2**30


class OutOfTime(BaseException):
    """Raised in the middle of a call that takes too much processor time. No `Exception`, so that
    nothing but the caller of `time_limit` catches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """`code` is None where the call raised: then `raised` is the error and its last place in the
    package, `trace` the whole traceback. `cpu_s` and `wall_s` are seconds."""

    arguments: tuple[str, ...]
    code: int | None
    stdout: str
    stderr: str
    raised: str
    trace: str
    cpu_s: float
    wall_s: float

    @property
    def errors(self) -> str:
        """What is wrong, without notes on what the program finds doubtful in the files."""
        lines = self.stderr.splitlines(keepends=True)
        return self.raised or "".join(line for line in lines if not line.startswith("note: "))

    @property
    def took_s(self) -> float:
        """Seconds that a busy machine does not lengthen, nor a second thread."""
        return min(self.cpu_s, self.wall_s)


@contextmanager
def time_limit(cpu_s: float) -> Iterator[None]:
    """Raises OutOfTime in the block once it has taken so many seconds of processor time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def memory_limit(most_bytes: int = MOST_MEMORY_BYTES) -> Iterator[None]:
    """MemoryError, rather than a machine that swaps, for whoever asks for more in the block."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def more_memory(more_bytes: int) -> Iterator[None]:
    """The same for whoever asks for so much more than the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    with memory_limit(pages * resource.getpagesize() + more_bytes):
        yield


def call(arguments: Sequence[str], *, cpu_s: float) -> Ran:
    """Runs the program in the current folder, for `cpu_s` seconds of processor time at most."""
    code: int | None = None
    raised = trace = ""
    started, started_cpu = time.monotonic(), time.process_time()
    with _clean_environment(), _caught_streams() as streams:
        try:
            with warnings.catch_warnings(), time_limit(cpu_s):
                warnings.simplefilter("error")
                code = run(arguments)
        except OutOfTime:
            raised = f"took more than {cpu_s:g} s of processor time in {last_place()}"
            trace = traceback.format_exc()
        except Exception as error:
            raised = f"{type(error).__name__}: {error} in {last_place()}"
            trace = traceback.format_exc()
    return Ran(
        arguments=tuple(arguments),
        code=code,
        stdout=streams[0].text,
        stderr=streams[1].text,
        raised=raised,
        trace=trace,
        cpu_s=time.process_time() - started_cpu,
        wall_s=time.monotonic() - started,
    )


def last_place() -> str:
    """File and function of the package that the error in hand was raised in."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    ours = [frame for frame in frames if frame.filename.startswith(f"{PACKAGE}/planner/")]
    if not ours:
        return "no place of the package"
    return f"{ours[-1].filename.removeprefix(PACKAGE + '/')}:{ours[-1].name}"


class _Stream:
    text = ""


@contextmanager
def _caught_streams() -> Iterator[tuple[_Stream, _Stream]]:
    caught = (_Stream(), _Stream())
    before = (sys.stdout, sys.stderr)
    for stream in before:
        stream.flush()
    saved = (os.dup(1), os.dup(2))
    files = (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115
    try:
        for number, file in enumerate(files, start=1):
            os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = (
            TextIOWrapper(os.fdopen(os.dup(number), "wb", buffering=0), write_through=True)
            for number in (1, 2)
        )
        yield caught
    finally:
        ours = (sys.stdout, sys.stderr)
        sys.stdout, sys.stderr = before
        for number, (stream, file, kept) in enumerate(
            zip(ours, files, saved, strict=True), start=1
        ):
            stream.close()
            os.dup2(kept, number)
            os.close(kept)
            file.seek(0)
            caught[number - 1].text = file.read().decode("utf-8", errors="replace")
            file.close()


@contextmanager
def _clean_environment() -> Iterator[None]:
    before = {name: os.environ.pop(name) for name in TERMINAL if name in os.environ}
    debug = os.environ.get(DEBUG)
    os.environ[DEBUG] = "1"
    try:
        yield
    finally:
        os.environ.update(before)
        if debug is None:
            del os.environ[DEBUG]
        else:
            os.environ[DEBUG] = debug
