"""Stand-ins for the programs that start ranks, so that exported launchers run without devices.

They do what the real ones do to ranks. srun gives line i of SLURM_HOSTFILE to task i, or under its
own distribution node i of the job; torchrun numbers its processes from node rank times their count,
and its c10d rendezvous numbers nodes as they come; sbatch starts a script with the nodes of
STAND_IN_NODES; hostname is that of PLANNER_HOST.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SRUN = """\
import os, subprocess, sys
command = sys.argv[1:]
values = {}
while command[0].startswith("--"):
    name, _, value = command.pop(0)[2:].partition("=")
    values[name] = value
if "distribution" in values:
    assert values["distribution"] == "arbitrary"
    hosts = open(os.environ["SLURM_HOSTFILE"]).read().split()
else:
    assert values["ntasks-per-node"] == "1"
    names = subprocess.run(["scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]],
                           capture_output=True, text=True, check=True)
    hosts = names.stdout.split()
assert len(hosts) == int(values["ntasks"]) == int(values["nodes"])
tasks = [
    subprocess.Popen(
        command,
        env={**os.environ, "SLURM_PROCID": str(task), "SLURMD_NODENAME": host,
             "SLURM_NODEID": str(sorted(hosts).index(host))},
    )
    for task, host in enumerate(hosts)
]
sys.exit(max(task.wait() for task in tasks))
"""

TORCHRUN = """\
import itertools, os, subprocess, sys
options = {}
words = sys.argv[1:]
while words and words[0].startswith("--"):
    name, _, value = words.pop(0)[2:].partition("=")
    options[name] = value

def met():
    for number in itertools.count():
        try:
            os.close(os.open(f"{options['rdzv-id']}.{number}", os.O_CREAT | os.O_EXCL))
            return number
        except FileExistsError:
            pass

each = int(options["nproc-per-node"])
if "standalone" in options:
    nodes = node = 1
    node = 0
elif "rdzv-backend" in options:
    assert options["rdzv-backend"] == "c10d"
    assert options["rdzv-endpoint"].rpartition(":")[0] == os.environ["MASTER_ADDR"]
    nodes, node = int(options["nnodes"]), met()
    assert node < nodes
else:
    assert options["master-addr"] == os.environ.get("EXPECTED_MASTER", options["master-addr"])
    nodes, node = int(options["nnodes"]), int(options["node-rank"])
node = nodes - 1 - node if os.environ.get("REVERSED") else node
ranks = [
    subprocess.Popen(
        [sys.executable, "-u", *words],
        env={**os.environ, "RANK": str(node * each + local), "LOCAL_RANK": str(local),
             "WORLD_SIZE": str(nodes * each), "GROUP_RANK": str(node),
             "LOCAL_WORLD_SIZE": str(each)},
    )
    for local in range(each)
]
sys.exit(max(rank.wait() for rank in ranks))
"""

SCONTROL = """\
import sys
from planner.specs.cluster.hostlist import expand_hosts
assert sys.argv[1:3] == ["show", "hostnames"]
print("\\n".join(expand_hosts(sys.argv[3])))
"""

SBATCH = """\
import os, re, subprocess, sys
options, words = {}, sys.argv[1:]
text = open(words[0]).read()
for name, value in re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", text, re.MULTILINE):
    options[name] = value
nodes = options.get("nodelist") or os.environ["STAND_IN_NODES"]
environment = {**os.environ, "SLURM_JOB_NODELIST": nodes, "SLURM_SUBMIT_DIR": os.getcwd()}
sys.exit(subprocess.run(["bash", *words], env=environment).returncode)
"""

TRAINING = """\
import os, sys
found = [os.environ["RANK"], os.environ.get("CUDA_DEVICE_MAX_CONNECTIONS", "-"), *sys.argv[1:]]
os.write(1, f"trained {' '.join(found)}\\n".encode())
"""

PROGRAMS = {"srun": SRUN, "torchrun": TORCHRUN, "scontrol": SCONTROL, "sbatch": SBATCH}


def prepare(folder: Path) -> None:
    """Puts the stand-ins on the folder's bin path, and a training program into it."""
    programs = folder / "bin"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        path = programs / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (folder / "train.py").write_text(TRAINING)


def start(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in the folder, with the stand-ins in front of the programs there are."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM", "RANK", "LOCAL_RANK", "WORLD_SIZE", "CUDA", "PLANNER"))
    }
    path = f"{folder / 'bin'}{os.pathsep}{clean['PATH']}"
    return subprocess.run(
        command,
        cwd=folder,
        env={**clean, "PATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
