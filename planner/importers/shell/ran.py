"""The result of following a script: the commands it runs, and what it leaves to its environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planner.errors import InputError
from planner.importers.shell.state import Value
from planner.importers.shell.text import Origin, Text

SPEAKING = ("echo", "printf", "cat", "grep", "sed", "awk", "tee", "logger")
"""Programs whose words are text to show, not something to run."""

_RUNNING = ("bash", "sh", "zsh", "dash", "source", "srun", "sbatch", "mpirun", "mpiexec", "nohup",
            "exec", "env", "time", "numactl", "sudo", "torchrun", "pdsh")  # fmt: skip
"""Programs that run the script they are given."""
_SHELLS = ("bash", "sh", "zsh", "dash", "/bin/bash", "/bin/sh", "/usr/bin/bash")


@dataclass(frozen=True, slots=True)
class Ran:
    """A command the script runs. `around` are the words of the command it was handed to as text
    (`srun … bash -c "…"`), innermost last; `condition` says what it depends on, where that cannot
    be decided."""

    words: tuple[Text, ...]
    origin: Origin
    around: tuple[tuple[Text, ...], ...]
    condition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """`environment`: names that the file leaves to the environment and that decided something; they
    were taken as not set. `files`: those that it reads and that were read, `unread`: those that
    were not. `exit_origin`: where the script exits before its end."""

    commands: tuple[Ran, ...]
    environment: tuple[str, ...]
    unread: tuple[str, ...]
    variables: Mapping[str, Value]
    exit_origin: Origin | None = None
    files: tuple[str, ...] = ()


def runs_input(name: str) -> bool:
    """Whether a program runs the script on its standard input: `sbatch <<EOF`."""
    return name in _SHELLS or name == "sbatch"


def called_script(names: Sequence[str]) -> int | None:
    """The place of the shell script that a command runs (`bash run.sh 4 2`, `srun … ./run.sh`);
    what follows it are its arguments. None where it runs none."""
    for place, name in enumerate(names):
        program = name.rpartition("/")[2]
        if program.endswith((".sh", ".slurm", ".sbatch", ".bash")):
            return place
        if name.startswith("-") and not name.startswith("--") and name.endswith("c"):
            return None
        if place == 0 and program not in _RUNNING:
            return None
    return None


def hands_over_script(names: Sequence[str], place: int) -> bool:
    """Whether a word is the script of `bash -c` (-lc, -xc …)."""
    before = names[place - 1] if place > 1 else ""
    option = before.startswith("-") and not before.startswith("--") and before.endswith("c")
    return option and any(name in _SHELLS for name in names[:place])


def too_much(message: str, origin: Origin) -> InputError:
    return InputError(
        f"shell: the script {message}", path=origin.path, line=origin.line, column=origin.column
    )
