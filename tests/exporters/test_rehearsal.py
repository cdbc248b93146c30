"""A launch without devices: the exported scripts run here, with many processes in place of ranks.

What starts ranks is a stand-in (`tests/exporters/stand_ins.py`).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner.exporters.launchers.slurm import as_script as slurm_script
from planner.exporters.launchers.torchrun import as_script as torchrun_script
from planner.exporters.verify import verify_program
from tests.exporters.stand_ins import prepare, start

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob
    from tests.exporters.conftest import Jobs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the stand-ins on its bin path, and a training program."""
    prepare(tmp_path)
    return tmp_path


@pytest.fixture
def job(jobs: Jobs) -> ExportJob:
    """Two stages on four nodes that the plan takes in an order of its own."""
    return jobs.make(
        "dgx-h100-16",
        "llama-3-8b",
        nodes=4,
        tensor=8,
        pipeline=2,
        hosts=("h100-2", "h100-0", "h100-3", "h100-1"),
    )


def trained(output: str) -> list[int]:
    return sorted(
        int(rank) for rank in re.findall(r"^trained (\d+) 1 --lr 1$", output, re.MULTILINE)
    )


def test_the_slurm_script_puts_every_rank_where_the_plan_has_it(
    folder: Path, job: ExportJob
) -> None:
    (folder / "verify_placement.py").write_text(verify_program(job))
    (folder / "slurm.sh").write_text(slurm_script(job))
    ran = start(folder, "bash", "slurm.sh", "train.py", "--lr", "1", EXPECTED_MASTER="h100-2")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert trained(ran.stdout) == list(range(32))
    assert "verify_placement: 32 ranks, rank 0 as planned" in ran.stdout


def test_the_slurm_script_stops_when_the_host_file_is_not_honoured(
    folder: Path, job: ExportJob
) -> None:
    """An srun that hands out nodes in its own order, as without --distribution=arbitrary."""
    srun = folder / "bin" / "srun"
    srun.write_text(srun.read_text().replace("read().split()", "read().split()[::-1]"))
    (folder / "verify_placement.py").write_text(verify_program(job))
    (folder / "slurm.sh").write_text(slurm_script(job))
    ran = start(folder, "bash", "slurm.sh", "train.py", "--lr", "1")
    assert ran.returncode == 1
    assert trained(ran.stdout) == []
    lines = ran.stderr.splitlines()
    assert len(lines) == 32
    assert (
        "verify_placement: rank 9 runs on h100-3 device 1, the plan has it on h100-0 device 1: "
        "the placement was not applied"
    ) in lines


def test_the_slurm_script_needs_its_check(folder: Path, job: ExportJob) -> None:
    (folder / "slurm.sh").write_text(slurm_script(job))
    assert start(folder, "bash", "slurm.sh").stderr.startswith("usage: sbatch slurm.sh PROGRAM")
    ran = start(folder, "bash", "slurm.sh", "train.py")
    assert ran.returncode == 2
    assert ran.stderr == "./verify_placement.py is missing: export it with --format verify\n"


def test_torchrun_on_every_host(folder: Path, job: ExportJob) -> None:
    (folder / "verify_placement.py").write_text(verify_program(job))
    (folder / "torchrun.sh").write_text(torchrun_script(job))

    def on(host: str) -> subprocess.CompletedProcess[str]:
        return start(folder, "bash", "torchrun.sh", "train.py", "--lr", "1", PLANNER_HOST=host)

    with ThreadPoolExecutor(4) as pool:
        ran = list(pool.map(on, ["h100-0.cluster.local", "h100-1", "h100-2", "h100-3"]))
    assert [(one.returncode, one.stderr) for one in ran] == [(0, "")] * 4
    assert trained("".join(one.stdout for one in ran)) == list(range(32))
    assert trained(ran[0].stdout) == list(range(8, 16))
    stranger = on("h100-9")
    assert (stranger.returncode, stranger.stderr) == (1, "h100-9 is no host of the plan\n")


def test_torchrun_stops_when_node_ranks_are_not_honoured(folder: Path, job: ExportJob) -> None:
    """A rendezvous that numbers hosts by itself, as torchrun's c10d one does."""
    (folder / "verify_placement.py").write_text(verify_program(job))
    (folder / "torchrun.sh").write_text(torchrun_script(job))
    ran = start(
        folder, "bash", "torchrun.sh", "train.py", "--lr", "1", PLANNER_HOST="h100-2", REVERSED="1"
    )
    assert (ran.returncode, trained(ran.stdout)) == (1, [])
    assert sorted(ran.stderr.splitlines())[1] == (
        "verify_placement: rank 25 runs on h100-2 device 1, the plan has it on h100-1 device 1: "
        "the placement was not applied"
    )


def ranks(job: ExportJob) -> Iterator[dict[str, str]]:
    """The environment of every rank as the plan has it."""
    rank = 0
    for host in job.hosts:
        for device in range(host.devices):
            yield {
                "RANK": str(rank),
                "LOCAL_RANK": str(device),
                "WORLD_SIZE": str(job.plan.degrees.devices),
                "PLANNER_HOST": host.name,
            }
            rank += 1


@pytest.fixture
def check(folder: Path, jobs: Jobs) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`check(RANK="1", …)` runs the program for a rank of a plan on two nodes of that name."""
    job = jobs.make("gb200-nvl72-18", "llama-3-8b", nodes=2, tensor=4)
    job = job.renamed(["gb200-0", "gb200-1"])
    (folder / "verify_placement.py").write_text(verify_program(job))

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        return start(folder, sys.executable, "verify_placement.py", **variables)

    return run


def test_every_rank_of_a_plan_passes_in_its_place(folder: Path, jobs: Jobs) -> None:
    job = jobs.make("gb200-nvl72-18", "llama-3-8b", nodes=2, tensor=4)
    (folder / "verify_placement.py").write_text(verify_program(job))
    with ThreadPoolExecutor(4) as pool:
        ran = list(
            pool.map(
                lambda at: start(folder, sys.executable, "verify_placement.py", **at), ranks(job)
            )
        )
    assert [(one.returncode, one.stderr) for one in ran] == [(0, "")] * 8
    assert ran[0].stdout == "verify_placement: 8 ranks, rank 0 as planned\n"
    assert {one.stdout for one in ran[1:]} == {""}


PLANNED = "the plan has it on gb200-1 device 1: the placement was not applied"
UNSET = "is unknown: none of"


@pytest.mark.parametrize(
    ("variables", "code", "line"),
    [
        ({"PLANNER_HOST": "gb200-0"}, 1, f"rank 5 runs on gb200-0 device 1, {PLANNED}"),
        ({"LOCAL_RANK": "2"}, 1, f"rank 5 runs on gb200-1 device 2, {PLANNED}"),
        ({"CUDA_VISIBLE_DEVICES": "3,2,1,0"}, 1, f"rank 5 runs on gb200-1 device 2, {PLANNED}"),
        ({"WORLD_SIZE": "16"}, 1, "rank 5: 16 ranks run, the plan has 8"),
        ({"RANK": "8"}, 1, "rank 8 of 8 ranks: there is no such rank"),
        (
            {"RANK": ""},
            2,
            f"the rank {UNSET} RANK, SLURM_PROCID, OMPI_COMM_WORLD_RANK is set to a number",
        ),
        (
            {"LOCAL_RANK": "first"},
            2,
            f"the local rank {UNSET} LOCAL_RANK, SLURM_LOCALID, OMPI_COMM_WORLD_LOCAL_RANK is "
            "set to a number",
        ),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3", "PLANNER_HOST": "gb200-1.rack"}, 0, ""),
    ],
)
def test_one_clear_line_when_a_rank_is_elsewhere(
    check: Callable[..., subprocess.CompletedProcess[str]],
    variables: dict[str, str],
    code: int,
    line: str,
) -> None:
    place = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "PLANNER_HOST": "gb200-1"}
    ran = check(**{**place, **variables})
    assert ran.returncode == code
    assert ran.stderr == (f"verify_placement: {line}\n" if line else "")


def test_groups_are_those_of_the_rank_table(jobs: Jobs, folder: Path) -> None:
    """`members` and `check_groups`, which a training program may call with its process groups."""
    job = jobs.make(
        "dgx-h100-16", "mixtral-8x7b", nodes=4, tensor=2, pipeline=2, expert=8, expert_tensor=1
    )
    (folder / "verify_placement.py").write_text(verify_program(job))
    stage = job.plan.degrees.stage_devices
    asked = """\
import verify_placement as v
print([v.members(axis, 21) for axis in ("tensor", "data", "pipeline", "expert", "expert_data")])
v.check_groups(21, {"tensor": [20, 21], "expert": list(range(16, 24))})
v.check_groups(21, {"data": [21, 22]})
"""
    ran = start(folder, sys.executable, "-c", asked)
    expected = [
        [20, 21],
        list(range(16 + 1, 16 + stage, 2)),
        [21 - stage, 21],
        list(range(16, 24)),
        [21, 29],
    ]
    assert ran.stdout == f"{expected}\n"
    assert ran.returncode == 1
    assert ran.stderr == (
        f"verify_placement: rank 21: its data group is [21, 22], the plan has {expected[1]}\n"
    )
