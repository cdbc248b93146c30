"""The program, and one place where errors become messages and exit codes.

Exit codes: 0 ok, 1 the answer is no, 2 bad input or usage, 130 interrupted.
"""

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from threading import enumerate as enumerate_threads
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from planner import __version__
from planner.alarm import hush
from planner.cli.commands import Program
from planner.cli.output import complain, discard, replace_closed_streams
from planner.errors import InputError, PlannerError
from planner.reports.encoding import prepare_stream

BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
DEBUG = "PLANNER_DEBUG"
COMPLETE = "_PLANNER_COMPLETE"
"""Set by the completion of a shell, which wants words instead of a run."""

UsageProblem: type[Exception] = typer.BadParameter.__mro__[2]
"""Base of every error of the option parser; typer exports only this descendant of it."""

app = typer.Typer(
    name="planner",
    cls=Program,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"planner {__version__}")
        raise typer.Exit


@app.callback()
def planner(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Plans how to train a large model on a GPU cluster: what fits, how fast it runs, and which
    parallel degrees, schedule and layout are best."""


def main() -> NoReturn:
    """Runs the program on the arguments of the process. Its memory is given back as a whole:
    the garbage collector need not look through it once more."""
    code = run(sys.argv[1:])
    gc.freeze()
    if code == INTERRUPTED or any(thread.daemon for thread in enumerate_threads()):
        leave_at_once(code)
    sys.exit(code)


def leave_at_once(code: int) -> NoReturn:
    """Ends the process without the interpreter's farewell. A thread that was left behind in native
    code, such as a solver that hangs, may hold that up or crash it; and after an interrupt inside
    `exec` the interpreter ends by the signal, whatever the exit code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs the program and returns its exit code; whatever goes wrong is a message on stderr."""
    replace_closed_streams()
    prepare_stream(sys.stdout)
    prepare_stream(sys.stderr)
    if COMPLETE in os.environ:
        get_command(app).main(prog_name="planner")
    try:
        return _invoke(arguments)
    except UsageProblem as error:
        complain(_usage_text(error))
    except PlannerError as error:
        complain(*error.lines)
        return error.exit_code
    except KeyboardInterrupt:
        hush()
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        discard(sys.stdout)
        return BROKEN_PIPE
    except Exception as error:
        if isinstance(error, OSError):
            complain(_of_system(error))
            return BAD_INPUT
        if DEBUG in os.environ:
            raise
        complain(f"internal error: {type(error).__name__}: {error} ({DEBUG}=1 shows where)")
    return BAD_INPUT


def _of_system(error: OSError) -> str:
    """What the system refused. Without the name of a file it was to write the output."""
    reason = (error.strerror or str(error)).lower()
    if error.filename is not None:
        return f"{error.filename}: {reason}"
    discard(sys.stdout)
    return f"the output cannot be written: {reason}"


def _invoke(arguments: Sequence[str]) -> int:
    _refuse_repetition(arguments)
    command = get_command(app)
    try:
        with command.make_context("planner", list(arguments) or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as exit_:
        code = exit_.exit_code
    else:
        code = 0
    sys.stdout.flush()
    return code


def _refuse_repetition(arguments: Sequence[str]) -> None:
    """An option given twice is a contradiction, not an update."""
    seen: set[str] = set()
    for argument in arguments:
        if argument == "--":
            return
        name = argument.partition("=")[0]
        if name.startswith("--"):
            if name in seen:
                raise InputError(f"{name} is given twice")
            seen.add(name)


def _usage_text(error: Exception) -> str:
    """The parser's message as ours are written: lower case, no full stop, where to read more."""
    message = str(error.format_message() if hasattr(error, "format_message") else error)
    near: Sequence[str] = getattr(error, "possibilities", None) or ()
    if near:
        option = getattr(error, "option_name", "")
        message = f"no such option: {option}; did you mean {near[0]}?"
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "planner"
    message = message[:1].lower() + message[1:].rstrip(".")
    if context is not None and "extra argument" in message:
        takes = {name for option in context.command.params for name in option.opts}
        if "--plan" in takes:
            message += "; a plan or a launch script goes after --plan"
    return f"{message} (see {where} --help)"
