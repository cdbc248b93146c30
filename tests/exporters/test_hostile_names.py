"""Names that slipped past every door are data in what is exported: they run nothing, and they read
back as they are."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from planner.errors import InputError
from planner.exporters.folder.files import launch_folder
from planner.exporters.formats import FORMATS
from planner.exporters.launchers import slurm, torchrun
from planner.exporters.verify import verify_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.exporters.job import ExportJob
    from tests.exporters.conftest import Jobs

CANARY = "canary"
"""A file in the current folder that a name would make if it were run."""
SCRAPS = [
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f";touch {CANARY};",
    f"\ntouch {CANARY}\n",
    f"' && touch {CANARY} '",
    f'" && touch {CANARY} "',
    f"\\\"; open('{CANARY}','w').close() #",
    f'"""\nopen("{CANARY}", "w").close()\n"""',
    "\nHOSTS\n",
    "HOSTS",
    "HOSTS_2",
    "@EXPORTS@",
    "@HOSTS@",
    "@TITLE@",
    "${HOME}",
    "$",
    "\\",
    "'",
    '"',
    "#",
    ")",
    "(",
    "|",
    "&",
    ">",
    "<",
    "*",
    "~",
    "!",
    ",",
    ": ",
    "- ",
    "{a}",
    "%s",
    "=1+1",
    " ",
    "\t",
    "\r",
    "\x1b[31m",
    "\x85",
    "\u2028",
    "\u202e",
    "é",
    "😀",
    "node",
    "7",
]
NAMES = st.lists(st.sampled_from(SCRAPS) | st.characters(exclude_categories=["Cs"]), min_size=1,
                 max_size=6).map("".join).filter(lambda name: "\0" not in name)  # fmt: skip


def named(jobs: Jobs, software: str, hosts: tuple[str, str], model: str, cluster: str) -> ExportJob:
    """A job whose names were never checked."""
    sharding = {"torchtitan": "full"}.get(software, "optimizer")
    job = jobs.make(
        "dgx-h100-16",
        "llama-3-8b",
        software=software,
        nodes=2,
        tensor=8,
        data_sharding=sharding,
    )
    return replace(
        job,
        hosts=tuple(replace(host, name=name) for host, name in zip(job.hosts, hosts, strict=True)),
        model=replace(job.model, name=model),
        cluster=replace(job.cluster, name=cluster),
        listed=True,
        named=True,
    )


def written(job: ExportJob) -> dict[str, str]:
    """Every file of the job; those that cannot express it or its names are left out."""
    files = {}
    for chosen in FORMATS.values():
        for style in chosen.styles.values():
            try:
                files[style.file] = style.write(job)
            except InputError:
                continue
    return files


def bash_accepts(text: str) -> None:
    checked = subprocess.run(
        ["bash", "-n"], input=text, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert checked.returncode == 0, checked.stderr


CHECKS: dict[str, Callable[[str], Any]] = {
    ".sh": bash_accepts,
    ".txt": bash_accepts,
    ".py": ast.parse,
    ".yaml": yaml.safe_load,
    ".json": json.loads,
}


@pytest.mark.parametrize("software", ["megatron-core", "torchtitan", "deepspeed"])
@settings(deadline=None, max_examples=25)
@given(hosts=st.tuples(NAMES, NAMES), model=NAMES, cluster=NAMES)
@example(hosts=("HOSTS", "a\nHOSTS"), model='"""', cluster="\n")
def test_every_format_holds_any_name(
    jobs: Jobs, software: str, hosts: tuple[str, str], model: str, cluster: str
) -> None:
    plain = written(named(jobs, software, ("a", "b"), "m", "c"))
    files = written(named(jobs, software, hosts, model, cluster))
    assert {"ranks.csv", "verify_placement.py", "torchrun.sh"} <= files.keys() <= plain.keys()
    assert plain.keys() - files.keys() <= {"slurm.sh", "mpi.rankfile"}
    for file, text in files.items():
        CHECKS.get(Path(file).suffix, str)(text)
        if file.endswith(".yaml"):
            manifest, expected = yaml.safe_load(text), yaml.safe_load(plain[file])
            assert without_its_name(manifest) == without_its_name(expected)
        if file.endswith(".json"):
            assert text == plain[file]
    rows = list(csv.reader(io.StringIO(files["ranks.csv"], newline="")))
    assert [row[1] for row in rows[1:]] == [hosts[0]] * 8 + [hosts[1]] * 8
    space: dict[str, Any] = {}
    exec(verify_program(named(jobs, software, hosts, model, cluster)), space)
    assert space["HOSTS"] == tuple((host, 8) for host in hosts)


@settings(deadline=None, max_examples=10)
@given(model=NAMES, cluster=NAMES)
@example(model='"""', cluster="\n")
def test_a_launch_folder_holds_any_name(jobs: Jobs, model: str, cluster: str) -> None:
    job = replace(named(jobs, "megatron-core", ("a", "b"), model, cluster), named=False)
    files = launch_folder(job).files
    for file, text in files.items():
        CHECKS.get(Path(file).suffix, str)(text)
    plain = launch_folder(replace(named(jobs, "megatron-core", ("a", "b"), "m", "c"), named=False))
    assert files["settings.sh"] == plain.files["settings.sh"]
    assert len(files["launch.sh"].split("\n")) == len(plain.files["launch.sh"].split("\n"))


def without_its_name(manifest: dict[str, Any]) -> str:
    """The manifest without the name of the job, which is made of the model's."""
    name = manifest.get("metadata", {}).get("name")
    text = json.dumps(manifest)
    return text if name is None else text.replace(name, "planner-m")


@pytest.fixture(scope="session")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs for PATH: torchrun prints its arguments, srun runs the command for every node."""
    folder = tmp_path_factory.mktemp("stubs")
    for name in ("bash", "cat", "rm", "mktemp", "dirname"):
        (folder / name).symlink_to(shutil.which(name) or name)
    torchrun_stub = '#!/bin/bash\nprintf "%s\\0" "$@"\n'
    srun_stub = (
        "#!/bin/bash\n"
        'while [[ $1 == -* ]]; do shift; done\ncat "$SLURM_HOSTFILE"\nSLURM_PROCID=0 "$@"\n'
    )
    for name, text in (("torchrun", torchrun_stub), ("srun", srun_stub)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def run_script(script: str, folder: Path, stubs: Path, **variables: str) -> bytes:
    """What a launcher prints, run with stand-ins for the programs it starts."""
    (folder / "script.sh").write_text(script, encoding="utf-8", newline="")
    (folder / "verify_placement.py").touch()
    ran = subprocess.run(
        ["bash", "script.sh", "train.py"],
        cwd=folder,
        env={"PATH": str(stubs), "SLURM_SUBMIT_DIR": str(folder), "TMPDIR": str(folder)}
        | variables,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert {path.name for path in folder.iterdir()} == {"script.sh", "verify_placement.py"}
    return ran.stdout


@settings(deadline=None, max_examples=60)
@given(hosts=st.tuples(NAMES, NAMES), model=NAMES, cluster=NAMES)
@example(hosts=(f"$(touch {CANARY})", "b"), model="m", cluster="c")
@example(hosts=("a", "b"), model=f"\ntouch {CANARY}", cluster=f"\r\ntouch {CANARY}")
def test_torchrun_launchers_run_nothing_else(
    jobs: Jobs,
    stubs: Path,
    tmp_path_factory: pytest.TempPathFactory,
    hosts: tuple[str, str],
    model: str,
    cluster: str,
) -> None:
    assume(hosts[0] != hosts[1] and hosts[1].split(".")[0] != hosts[0])
    job = named(jobs, "megatron-core", hosts, model, cluster)
    folder = tmp_path_factory.mktemp("run")
    printed = run_script(torchrun.as_script(job), folder, stubs, PLANNER_HOST=hosts[1])
    arguments = [part.decode() for part in printed.split(b"\0")]
    assert f"--master-addr={hosts[0]}" in arguments
    assert "--node-rank=1" in arguments


@settings(deadline=None, max_examples=40)
@given(name=NAMES, model=NAMES, cluster=NAMES)
@example(name=f"a\nHOSTS\ntouch {CANARY}", model="m", cluster="c")
def test_slurm_launchers_run_nothing_else(
    jobs: Jobs,
    stubs: Path,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    model: str,
    cluster: str,
) -> None:
    """A list of hosts for sbatch cannot quote a name; without one every name is data."""
    job = replace(named(jobs, "megatron-core", (name, "b"), model, cluster), listed=False)
    folder = tmp_path_factory.mktemp("run")
    printed = run_script(slurm.as_script(job), folder, stubs)
    assert printed.startswith(f"{name}\nb\n".encode())
    assert f"--master-addr={name}" in printed.decode().split("\0")
    script = slurm.as_script(job)
    directives = [line for line in script.split("\n") if line.startswith("#SBATCH")]
    assert len(directives) == 5


def test_sbatch_and_rank_files_refuse_what_they_cannot_quote(jobs: Jobs) -> None:
    job = named(jobs, "megatron-core", ("a\nrank 0=b slot=0", "b"), "m", "c")
    for format_name in ("slurm", "mpi"):
        (style,) = FORMATS[format_name].styles.values()
        with pytest.raises(InputError, match=r"placement\.hosts: .* is not a host name"):
            style.write(job)


def test_names_of_no_text_are_refused(jobs: Jobs) -> None:
    for name in ("a\0b", os.fsdecode(b"a\xff")):
        with pytest.raises(InputError, match=r"shell script"):
            torchrun.as_script(named(jobs, "megatron-core", (name, "b"), "m", "c"))
