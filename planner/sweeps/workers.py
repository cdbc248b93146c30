"""Where searches run: in this process, in processes of this machine, or on a cluster of Dask or
Ray. All of them by joblib, so that there is one way to hand work out."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from planner.sweeps.answers import Solved
    from planner.sweeps.series import SeriesTask

SCHEDULERS = ("dask", "ray")


@dataclass(slots=True)
class Workers:
    """Hands tasks to workers; answers come in the order of the tasks. `scheduler`: the address of
    a cluster, `dask://HOST:PORT` or `ray://HOST:PORT`; `ray://` alone starts Ray on this
    machine."""

    jobs: int = 1
    scheduler: str | None = None
    _parallel: Any = None
    _stack: ExitStack | None = None

    @property
    def shares_files(self) -> bool:
        """Whether workers can keep answers in a folder of this machine."""
        return self.scheduler is None

    def __enter__(self) -> Self:
        """Raises: InputError for what is not installed, or not reached."""
        if self.scheduler is None and self.jobs == 1:
            return self
        joblib = needed("joblib", "sweep")
        with ExitStack() as stack:
            if self.scheduler is not None:
                stack.enter_context(_backend(joblib, self.scheduler, stack))
                self._parallel = stack.enter_context(joblib.Parallel(n_jobs=-1))
            else:
                stack.callback(_end_processes)
                self._parallel = stack.enter_context(joblib.Parallel(n_jobs=self.jobs))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stack is not None:
            self._stack.__exit__(kind, error, traceback)

    def map(
        self, solve: Callable[[SeriesTask], tuple[Solved, ...]], tasks: Sequence[SeriesTask]
    ) -> list[tuple[Solved, ...]]:
        """What `solve` makes of every task. One task alone runs here where it can."""
        if self._parallel is None or (len(tasks) == 1 and self.shares_files):
            return [solve(task) for task in tasks]
        joblib = needed("joblib", "sweep")
        found: list[tuple[Solved, ...]] = self._parallel(
            joblib.delayed(solve)(task) for task in tasks
        )
        return found


def _end_processes() -> None:
    """joblib keeps its processes for later calls; then they would outlive the program, and hold its
    streams open."""
    needed("joblib.externals.loky", "sweep").get_reusable_executor().shutdown(wait=True)


def _backend(joblib: Any, scheduler: str, stack: ExitStack) -> Any:
    """The backend of joblib for a cluster. Raises: InputError."""
    kind, mark, address = scheduler.partition("://")
    if not mark or kind not in SCHEDULERS:
        raise InputError(
            f"--scheduler: {scheduler!r} is no address of a scheduler",
            hint="write dask://HOST:8786 or ray://HOST:10001",
        )
    try:
        if kind == "dask":
            distributed = needed("distributed", "dask")
            stack.enter_context(distributed.Client(f"tcp://{address}", timeout=10))
            return joblib.parallel_backend("dask")
        ray = needed("ray", "ray")
        if not ray.is_initialized():
            ray.init(
                address=scheduler if address else None, include_dashboard=False, log_to_driver=False
            )
            stack.callback(ray.shutdown)
        needed("ray.util.joblib", "ray").register_ray()
        return joblib.parallel_backend("ray")
    except (OSError, TimeoutError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"--scheduler: {scheduler} is not reached: {reason}") from error


def needed(module: str, extra: str) -> Any:
    """A package that not everybody installs. Raises: InputError that says how to get it."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise InputError(
            f"{module.partition('.')[0]} is not installed",
            hint=f"pip install 'planner[{extra}]'",
        ) from None


def workers_here() -> int:
    """Processes that this machine runs at once; 1 without joblib."""
    from importlib.util import find_spec

    return int(needed("joblib", "sweep").cpu_count()) if find_spec("joblib") else 1
