"""The rehearsal with PyTorch itself, where it is installed: real torchrun, gloo process groups.

Hosts are names only: every process runs here, and rendezvous is at 127.0.0.1.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from planner.exporters.launchers.torchrun import as_script
from planner.exporters.verify import verify_program

if TYPE_CHECKING:
    from planner.exporters.job import ExportJob
    from tests.exporters.conftest import Jobs

pytest.importorskip("torch")

CLUSTER = {
    "name": "small",
    "node_groups": [
        {
            "name": "h100",
            "count": 4,
            "device": "h100-sxm-80gb",
            "devices_per_node": 2,
            "intra_node": {"bandwidth": "450 GB/s"},
            "network": {"cards": 2, "bandwidth": "50 GB/s"},
        }
    ],
}

TORCHRUN = """\
import os, sys
words = [w if not w.startswith("--master-addr=") else "--master-addr=127.0.0.1"
         for w in sys.argv[1:]]
if os.environ.get("REVERSED"):
    nodes = next(int(w.partition("=")[2]) for w in words if w.startswith("--nnodes="))
    words = [w if not w.startswith("--node-rank=")
             else f"--node-rank={nodes - 1 - int(w.partition('=')[2])}" for w in words]
os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *words])
"""

TRAINING = """\
import itertools, os, sys
import torch, torch.distributed as dist
import verify_placement

dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
sizes = dict(tensor=2, data=2, pipeline=2)

def group_of(axis):
    # Megatron-LM's order tp-cp-ep-dp-pp, the ranks of every group by brute force
    places = {r: (r % 2, r // 2 % 2, r // 4) for r in range(world)}
    at = ("tensor", "data", "pipeline").index(axis)
    found = None
    for key in itertools.product(range(2), repeat=2):
        members = [r for r, p in places.items() if p[:at] + p[at + 1:] == key]
        group = dist.new_group(members)
        if rank in members:
            found = group
    return found

met = {}
for axis in sizes:
    group = group_of(axis)
    seen = [torch.zeros(1, dtype=torch.int64) for _ in range(sizes[axis])]
    dist.all_gather(seen, torch.tensor([rank]), group=group)
    met[axis] = [int(one) for one in seen]
verify_placement.check_groups(rank, met)
dist.barrier()
os.write(1, f"trained {rank} {met['pipeline']}\\n".encode())
dist.destroy_process_group()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    programs = tmp_path / "bin"
    programs.mkdir()
    path = programs / "torchrun"
    path.write_text(f"#!{sys.executable}\n{TORCHRUN}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "train.py").write_text(TRAINING)
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(CLUSTER))
    return tmp_path


@pytest.fixture
def job(jobs: Jobs, folder: Path) -> ExportJob:
    made = jobs.make(
        str(folder / "cluster.yaml"),
        "gpt-1.7b",
        tensor=2,
        pipeline=2,
        hosts=("h100-2", "h100-0", "h100-3", "h100-1"),
    )
    (folder / "verify_placement.py").write_text(verify_program(made))
    (folder / "torchrun.sh").write_text(as_script(made))
    return made


def launch(
    folder: Path, job: ExportJob, **variables: str
) -> list[subprocess.CompletedProcess[str]]:
    """The script on every host at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    common = {**os.environ, "PATH": path, "MASTER_PORT": port, "OMP_NUM_THREADS": "1",
              "GLOO_SOCKET_IFNAME": "lo", **variables}  # fmt: skip

    def on(host: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "torchrun.sh", "train.py"],
            cwd=folder,
            env={**common, "PLANNER_HOST": host},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    with ThreadPoolExecutor(len(job.hosts)) as pool:
        return list(pool.map(on, [host.name for host in job.hosts]))


def test_process_groups_are_those_of_the_plan(folder: Path, job: ExportJob) -> None:
    ran = launch(folder, job)
    assert [one.returncode for one in ran] == [0] * 4, "".join(one.stderr for one in ran)
    found = re.findall(r"^trained (\d) \[(\d), (\d)\]$", "".join(one.stdout for one in ran), re.M)
    assert sorted(map(tuple, found)) == [(str(r), str(r % 4), str(r % 4 + 4)) for r in range(8)]


def test_hosts_in_another_order_stop_the_job(folder: Path, job: ExportJob) -> None:
    """Node ranks that are not those of the plan, as a rendezvous that sorts addresses gives."""
    ran = launch(folder, job, REVERSED="1")
    assert all(one.returncode == 1 for one in ran)
    assert not any("trained" in one.stdout for one in ran)
    said = "".join(one.stderr for one in ran)
    assert (
        "verify_placement: rank 0 runs on h100-1 device 0, the plan has it on h100-2 device 0: "
        "the placement was not applied"
    ) in said
