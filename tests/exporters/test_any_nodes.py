"""On alike nodes a job gets any of them; where the order counts, hosts have names or there is no
launcher. The launchers and folders that `planner export` writes run here on stand-ins."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.exporters.stand_ins import prepare, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Golden
    from tests.exporters.conftest import Outcome

    Run = Callable[..., Outcome]

NODES = "rack7-[02,11],spare,rack2-05"
"""Those that a job got; no cluster file has their names."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(tmp_path)
    return tmp_path


@pytest.fixture
def export(planner: Run, folder: Path) -> Callable[..., Outcome]:
    """`export("slurm", "slurm.sh", "--cluster", …)`: the plan of these options, in a format."""

    def run(format: str, file: str, *options: str, hosts: str | None = None) -> Outcome:
        plan = folder / "plan.json"
        written = planner("estimate", *options, "--json")
        assert written.code == 0, written.stderr
        plan.write_text(written.stdout)
        named = () if hosts is None else ("--hosts", hosts)
        return planner("export", str(plan), "--format", format, "-o", str(folder / file), *named)

    return run


ALIKE = (
    *("--cluster", "dgx-h100-16", "--model", "llama-3-8b", "--nodes", "4"),
    *("--tensor", "8", "--pipeline", "2"),
)


def trained(output: str) -> list[int]:
    return sorted(int(rank) for rank in re.findall(r"^trained (\d+) ", output, re.MULTILINE))


def test_slurm_takes_the_nodes_that_the_job_got(
    export: Callable[..., Outcome], folder: Path
) -> None:
    assert export("slurm", "slurm.sh", *ALIKE).stderr == ""
    assert export("verify", "verify_placement.py", *ALIKE).stderr == ""
    ran = start(
        folder, "sbatch", "slurm.sh", "train.py", STAND_IN_NODES=NODES, EXPECTED_MASTER="rack7-02"
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert trained(ran.stdout) == list(range(32))
    assert "verify_placement: 32 ranks, rank 0 as planned" in ran.stdout
    fewer = start(folder, "sbatch", "slurm.sh", "train.py", STAND_IN_NODES="rack7-[02,11]")
    assert (fewer.returncode, fewer.stderr) == (1, "the job has 2 nodes, the plan takes 4\n")


def test_hosts_of_torchrun_find_each_other(export: Callable[..., Outcome], folder: Path) -> None:
    export("torchrun", "torchrun.sh", *ALIKE)
    export("verify", "verify_placement.py", *ALIKE)

    def on(host: str) -> subprocess.CompletedProcess[str]:
        return start(
            folder, "bash", "torchrun.sh", "train.py", PLANNER_HOST=host, MASTER_ADDR="spare"
        )

    with ThreadPoolExecutor(4) as pool:
        ran = list(pool.map(on, ["spare", "rack7-02", "rack7-11", "rack2-05"]))
    assert [(one.returncode, one.stderr) for one in ran] == [(0, "")] * 4
    assert trained("".join(one.stdout for one in ran)) == list(range(32))
    alone = start(folder, "bash", "torchrun.sh", "train.py")
    assert (alone.returncode, alone.stderr) == (
        2,
        "set MASTER_ADDR to one of the hosts, on all\n",
    )


def test_one_node_needs_no_address(export: Callable[..., Outcome], folder: Path) -> None:
    one = ("--cluster", "dgx-h100-16", "--model", "llama-3-8b", "--nodes", "1", "--tensor", "8")
    export("torchrun", "torchrun.sh", *one)
    export("verify", "verify_placement.py", *one)
    ran = start(folder, "bash", "torchrun.sh", "train.py")
    assert (ran.returncode, ran.stderr, trained(ran.stdout)) == (0, "", list(range(8)))


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"LOCAL_WORLD_SIZE": "4"}, "rank 9: 4 ranks run on its node, the plan has 8"),
        (
            {"GROUP_RANK": "3"},
            "rank 9 runs on node 3 of the job, the plan has it on node 1",
        ),
        (
            {"LOCAL_RANK": "5"},
            "rank 9 runs on node 1 device 5, the plan has it on node 1 device 1: the placement "
            "was not applied",
        ),
        ({"WORLD_SIZE": "16"}, "rank 9: 16 ranks run, the plan has 32"),
    ],
)
def test_counts_are_checked_where_hosts_are_not(
    export: Callable[..., Outcome], folder: Path, variables: dict[str, str], line: str
) -> None:
    export("verify", "verify_placement.py", *ALIKE)
    place = {
        "RANK": "9",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "32",
        "LOCAL_WORLD_SIZE": "8",
        "GROUP_RANK": "1",
        "PLANNER_HOST": "anywhere",
    }
    good = start(folder, sys.executable, "verify_placement.py", **place)
    assert (good.returncode, good.stderr) == (0, "")
    ran = start(folder, sys.executable, "verify_placement.py", **{**place, **variables})
    assert (ran.returncode, ran.stderr) == (1, f"verify_placement: {line}\n")


def test_named_hosts_are_taken_in_their_order(export: Callable[..., Outcome], folder: Path) -> None:
    """The user may want these nodes of all alike ones."""
    hosts = folder / "hosts.txt"
    hosts.write_text("spare\nrack7-11\nrack7-02\nrack2-05\n")
    for format, file in (("slurm", "slurm.sh"), ("verify", "verify_placement.py")):
        assert export(format, file, *ALIKE, hosts=str(hosts)).stderr == ""
    ran = start(folder, "sbatch", "slurm.sh", "train.py", EXPECTED_MASTER="spare")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert trained(ran.stdout) == list(range(32))


def test_a_rank_file_counts_the_hosts_of_mpirun(
    export: Callable[..., Outcome], folder: Path
) -> None:
    assert export("mpi", "mpi.rankfile", *ALIKE).stderr == ""
    lines = (folder / "mpi.rankfile").read_text().splitlines()
    assert lines[1:3] == ["rank 0=+n0 slot=0", "rank 1=+n0 slot=1"]
    assert lines[32] == "rank 31=+n3 slot=7"


TIERS = """
fabric:
  tiers: [{name: leaf, nodes: 2}, {name: spine, oversubscription: 4}]
"""
OVERRIDES = """
links:
  overrides: [{between: [0, 1], bandwidth: 5 GB/s}]
"""
GROUP = """
node_groups:
  - name: h100
    count: 4
    device: h100-sxm-80gb
    devices_per_node: 8
    intra_node: {bandwidth: 450 GB/s}
    network: {cards: 8, bandwidth: 50 GB/s}
"""
SPANNED = GROUP.rstrip() + "\n    scale_up: {nodes: 2, bandwidth: 450 GB/s}\n"
LARGER = """
  - name: h200
    count: 4
    device: h200-sxm
    devices_per_node: 8
    intra_node: {bandwidth: 450 GB/s}
    network: {cards: 8, bandwidth: 50 GB/s}
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GROUP + TIERS, "links of tier spine are slower than those inside a leaf"),
        (GROUP + OVERRIDES, "links differ (links.overrides)"),
        (GROUP.rstrip() + LARGER, "nodes differ (h100, h200)"),
    ],
)
def test_where_the_order_counts_hosts_have_names(
    export: Callable[..., Outcome], folder: Path, text: str, reason: str
) -> None:
    """No launcher and no check of a placement without; with names, those are taken."""
    cluster = folder / "cluster.yaml"
    cluster.write_text(f"name: ours\n{text}")
    job = ("--cluster", str(cluster), "--model", "llama-3-8b", "--nodes", "4", "--tensor", "8")
    targets = {
        "slurm": "Slurm",
        "torchrun": "torchrun",
        "mpi": "Open MPI",
        "verify": "the check of the placement",
        "launch": "Slurm",
    }
    hosts = folder / "hosts.txt"
    hosts.write_text("a\nb\nc\nd\n")
    for format, target in targets.items():
        refused = export(format, f"{format}.out", *job)
        assert (refused.code, refused.stderr) == (
            2,
            f"error: {target} cannot express placement.hosts: {reason}, and cluster ours does not "
            "name its hosts; list hosts in the cluster file (in each node "
            "group, as in hosts: node[01-16]), or give --hosts FILE with one a line\n",
        )
        named = export(format, f"{format}.out", *job, hosts=str(hosts))
        assert named.code == 0, named.stderr
    assert "\nb\n" in (folder / "slurm.out").read_text()
    kubernetes = export("kubernetes", "job.yaml", *job, hosts=str(hosts))
    assert kubernetes.code == 2
    assert f"{reason}, and a pod's index cannot be given a node" in kubernetes.stderr


def test_scale_up_domains_are_segments_of_slurm(
    planner: Run, export: Callable[..., Outcome], folder: Path
) -> None:
    """Slurm gives nodes of one domain at a time, which no other launcher can ask for; named hosts
    are taken as named. A job in one domain may have any nodes of it."""
    cluster = folder / "cluster.yaml"
    cluster.write_text(f"name: ours\n{SPANNED}")
    job = ("--cluster", str(cluster), "--model", "llama-3-8b", "--nodes", "4", "--tensor", "8")
    assert export("launch", "run", *job).code == 0
    files = {path.name: path.read_text() for path in (folder / "run").iterdir()}
    assert "\n#SBATCH --segment=2\n" in files["slurm.sh"]
    assert "torchrun.sh" not in files
    assert "2 of each scale-up domain" in files["README.md"]
    (folder / "train.py").rename(folder / "pretrain_gpt.py")
    where = {"MEGATRON_PATH": str(folder), "MOCK_DATA": "1"}
    ran = start(folder, "bash", "run/launch.sh", "slurm", STAND_IN_NODES=NODES, **where)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert trained(ran.stdout) == list(range(32))
    by_hand = start(folder, "bash", "run/launch.sh", "torchrun", **where)
    assert by_hand.returncode == 2
    assert "only Slurm puts the nodes of a scale-up domain together" in by_hand.stderr
    for format in ("torchrun", "mpi"):
        refused = export(format, f"{format}.out", *job)
        assert "2 nodes share a scale-up domain, and cluster ours does not name" in refused.stderr
    hosts = folder / "hosts.txt"
    hosts.write_text("a\nb\nc\nd\n")
    assert export("launch", "named", *job, hosts=str(hosts)).code == 0
    named = (folder / "named" / "slurm.sh").read_text()
    assert "--nodelist=a,b,c,d\n" in named
    assert "--segment" not in named
    pair = (*job[:5], "2", *job[6:])
    assert export("torchrun", "pair.sh", *pair).code == 0
    assert "any 2 of them will do, in one scale-up domain" in (folder / "pair.sh").read_text()


def test_hosts_of_segments_have_no_names_of_their_own(
    export: Callable[..., Outcome], folder: Path
) -> None:
    """The shipped rack names no hosts: a segment of 16 of its 18 nodes does not make names of the
    planner's placeholders."""
    job = ("--cluster", "gb200-nvl72-144", "--model", "llama-3-8b", "--nodes", "32", "--tensor=4")
    assert export("slurm", "slurm.sh", *job).code == 0
    script = (folder / "slurm.sh").read_text()
    assert "\n#SBATCH --segment=16\n" in script
    assert "--nodelist" not in script
    assert "gb200-0" not in script


def test_a_tier_that_costs_nothing_leaves_nodes_alike(
    export: Callable[..., Outcome], folder: Path
) -> None:
    cluster = folder / "cluster.yaml"
    cluster.write_text(f"name: ours\n{GROUP}{TIERS.replace('oversubscription: 4', 'nodes: 4')}")
    job = ("--cluster", str(cluster), "--model", "llama-3-8b", "--nodes", "4", "--tensor", "8")
    assert export("slurm", "slurm.sh", *job).code == 0
    assert "scontrol show hostnames" in (folder / "slurm.sh").read_text()


def test_a_launch_folder_wants_only_paths(
    planner: Run, export: Callable[..., Outcome], folder: Path, golden: Golden
) -> None:
    """Slurm on any nodes; what the ranks are given is the plan again."""
    said = export("launch", "run", *ALIKE)
    assert (said.code, said.stdout) == (0, "")
    files = {path.name: path.read_text() for path in (folder / "run").iterdir()}
    assert set(files) == {
        *("README.md", "launch.sh", "settings.sh", "megatron-lm.sh", "slurm.sh", "torchrun.sh"),
        *("ranks.csv", "verify_placement.py"),
    }
    for name in ("README.md", "launch.sh", "settings.sh"):
        golden.check(f"export-launch-{name}", files[name])
    (folder / "train.py").rename(folder / "pretrain_gpt.py")
    where = {"STAND_IN_NODES": NODES, "MEGATRON_PATH": str(folder)}
    missing = start(folder, "bash", "run/launch.sh", "slurm", **where)
    assert (missing.returncode, missing.stderr) == (
        2,
        f"DATA_PATH is empty: fill it in in {folder}/run/settings.sh\n",
    )
    data = {"DATA_PATH": "0.3 /data/a 0.7 /data/b", "TOKENIZER_MODEL": "/data/to kens"}
    ran = start(folder, "bash", "run/launch.sh", "slurm", "--seed", "7", **where, **data)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert trained(ran.stdout) == list(range(32))
    given = re.findall(r"^trained \d+ 1 (.*)$", ran.stdout, re.MULTILINE)
    assert len(set(given)) == 1
    assert "--data-path 0.3 /data/a 0.7 /data/b --tokenizer-type HuggingFace" in given[0]
    assert given[0].endswith("--log-throughput --seed 7")
    script = folder / "given.sh"
    script.write_text(f"python pretrain_gpt.py {given[0]}\n".replace("/data/to kens", "x"))
    read = planner(
        *("estimate", "--cluster", "dgx-h100-16", "--plan", str(script), "--nodes", "4", "--json")
    )
    assert read.code == 0, read.stderr
    plans = [
        json.loads(text)["plans"][0] for text in (read.stdout, (folder / "plan.json").read_text())
    ]
    assert plans[0]["estimate"]["step_s"] == pytest.approx(plans[1]["estimate"]["step_s"])
    assert plans[0]["degrees"] == plans[1]["degrees"]


def test_a_launch_folder_without_slurm(export: Callable[..., Outcome], folder: Path) -> None:
    export("launch", "run", *ALIKE)
    (folder / "train.py").rename(folder / "pretrain_gpt.py")

    def on(host: str) -> subprocess.CompletedProcess[str]:
        return start(
            *(folder, "bash", "run/launch.sh", "torchrun"),
            PLANNER_HOST=host,
            MASTER_ADDR="a",
            MEGATRON_PATH=str(folder),
            MOCK_DATA="1",
        )

    with ThreadPoolExecutor(4) as pool:
        ran = list(pool.map(on, "abcd"))
    assert [(one.returncode, one.stderr) for one in ran] == [(0, "")] * 4
    assert trained("".join(one.stdout for one in ran)) == list(range(32))
    assert "--mock-data --tokenizer-type NullTokenizer" in ran[0].stdout


TITAN = """\
import importlib, os, sys
words = sys.argv[1:]
module = importlib.import_module(words[words.index("--module") + 1])
config = getattr(module, words[words.index("--config") + 1])()
degree = config.parallelism.tensor_parallel_degree
os.write(1, f"trained {os.environ['RANK']} {degree} {words[-1]}\\n".encode())
"""
REGISTRY = """\
from types import SimpleNamespace
class Section(SimpleNamespace):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, Section())
        return getattr(self, name)
def llama3_8b():
    return Section()
"""


def test_a_torchtitan_folder_runs_the_planned_configuration(
    export: Callable[..., Outcome], folder: Path
) -> None:
    package = folder / "titan" / "torchtitan"
    registry = package / "models" / "llama3"
    registry.mkdir(parents=True)
    for path in (package, package / "models", registry, package / "distributed"):
        path.mkdir(exist_ok=True)
        (path / "__init__.py").write_text("")
    (registry / "config_registry.py").write_text(REGISTRY)
    (package / "distributed" / "activation_checkpoint.py").write_text(
        "class SelectiveAC:\n    class Config: ...\nclass FullAC:\n    class Config: ...\n"
    )
    (package / "trainer.py").write_text("class Trainer:\n    class Config: ...\n")
    (package / "train.py").write_text(TITAN)
    job = (
        *("--cluster", "dgx-h100-16", "--model", "llama-3-8b", "--nodes", "1"),
        *("--software", "torchtitan", "--tensor", "4", "--recompute", "full"),
    )
    assert export("launch", "run", *job).code == 0
    assert {path.name for path in (folder / "run").iterdir()} >= {"planned_config.py", "launch.sh"}
    ran = start(
        *(folder, "bash", "run/launch.sh", "torchrun"),
        HF_ASSETS_PATH="/data/llama",
        TORCHTITAN_PATH=str(folder / "titan"),
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert trained(ran.stdout) == list(range(8))
    assert "trained 3 4 50" in ran.stdout


def test_a_deepspeed_folder_runs_the_users_program(
    export: Callable[..., Outcome], folder: Path
) -> None:
    job = (
        *("--cluster", "dgx-h100-16", "--model", "gpt-1.7b", "--nodes", "1"),
        *("--software", "deepspeed", "--recompute", "full"),
    )
    said = export("launch", "run", *job)
    assert (said.code, "recomputation is code" in said.stderr) == (0, True)
    ran = start(folder, "bash", "run/launch.sh", "torchrun", PROGRAM=str(folder / "train.py"))
    assert trained(ran.stdout) == list(range(8))
    given = re.findall(r"--deepspeed_config (\S+)", ran.stdout)[0]
    with open(given) as file:
        assert json.load(file)["zero_optimization"]["stage"] >= 0


def test_a_framework_without_an_exporter_has_no_folder(export: Callable[..., Outcome]) -> None:
    job = (
        *("--cluster", "dgx-h100-16", "--model", "llama-3-8b", "--nodes", "1"),
        *("--software", "composer-fsdp"),
    )
    refused = export("launch", "run", *job)
    assert refused.code == 2
    assert "a launch folder cannot express job.software: profile composer-fsdp is of composer" in (
        refused.stderr
    )
