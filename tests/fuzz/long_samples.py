"""Long files of the kinds that people have: benchmark and training logs, lists of 10,000 nodes,
topologies of 5 MB, generated scripts."""

from __future__ import annotations

import json
from functools import cache

from tests.fuzz.samples import DATA, GROUP, Sample, as_yaml, logs

NODES = 10_000
ROWS = 40_000
TOPOLOGY_BYTES = 5_000_000


@cache
def long_cluster_files() -> tuple[Sample, ...]:
    """For `planner import cluster`."""
    return (
        Sample(name="nccl.txt", text=_benchmark()),
        Sample(name="system.xml", text=_topology()),
        Sample(name="slurm.conf", text=_slurm_nodes()),
        Sample(name="topology.conf", text=_slurm_switches()),
        Sample(name="topograph.json", text=_topograph()),
        Sample(name="matrix.csv", text=_matrix(500)),
    )


@cache
def long_clusters() -> tuple[Sample, ...]:
    listed = {**GROUP, "count": NODES, "hosts": _hosts()}
    groups = [{**GROUP, "name": f"g{i}", "count": 1, "hosts": [name]} for i, name in
              enumerate(_hosts()[:300])]  # fmt: skip
    overrides = [{"between": [a, b], "bandwidth": "5 GB/s"} for a, b in
                 zip(_hosts()[:2000:2], _hosts()[1:2000:2], strict=True)]  # fmt: skip
    trees = (
        {"name": "c", "node_groups": [listed]},
        {"name": "c", "node_groups": groups},
        {"name": "c", "node_groups": [listed], "links": {"overrides": overrides}},
    )
    return tuple(Sample(name="file.yaml", text=as_yaml(tree)) for tree in trees)


@cache
def long_hosts() -> tuple[Sample, ...]:
    return (Sample(name="hosts.txt", text="\n".join(_hosts()) + "\n"),)


@cache
def long_logs() -> tuple[Sample, ...]:
    """Training logs of 40,000 steps, with what else a job prints between them."""
    return tuple(
        Sample(name=one.name, text=_repeated(one.text.splitlines(), ROWS)) for one in logs()
    )


@cache
def long_scripts() -> tuple[Sample, ...]:
    script = (DATA / "gpt3_175b.sh").read_text()
    settings = "".join(f"export SETTING_{i}=${{SETTING_{i - 1}:-{i}}}\n" for i in range(5_000))
    first, rest = script.split("\n", 1)
    flags = " ".join(f"--unknown-{i} {i}" for i in range(20_000))
    sizes = "--num-layers 8 --hidden-size 1024 --num-attention-heads 16 --seq-length 1024"
    return (
        Sample(name="train.sh", text=f"{first}\n{settings}{rest}"),
        Sample(name="train.sh", text=f"torchrun pretrain_gpt.py {sizes} {flags} --bf16\n"),
    )


def _hosts() -> list[str]:
    return [f"node-{index:05d}" for index in range(NODES)]


def _repeated(lines: list[str], count: int) -> str:
    return "\n".join(lines[index % len(lines)] for index in range(count)) + "\n"


def _benchmark() -> str:
    """The table of a real benchmark, again and again between what other ranks print."""
    lines = (DATA / "nccl_two_nodes.txt").read_text().splitlines()
    rows = [line for line in lines if line[:1] == " "]
    chatter = [f"worker-{i % 64}: NCCL INFO Channel {i:02d} : 0[0] -> 1[1]" for i in range(500)]
    mixed = [line for pair in zip(chatter, rows * 500, strict=False) for line in pair]
    return "\n".join(lines) + "\n" + _repeated(mixed, ROWS)


def _topology() -> str:
    text = (DATA / "system.xml").read_text()
    at = text.index("    </pci>\n  </cpu>")
    other = '      <pci busid="{:04x}:{:02x}:00.0" class="0x040300" vendor="0x8086"/>\n'
    more = [other.format(i // 256, i % 256) for i in range(TOPOLOGY_BYTES // len(other))]
    return text[:at] + "".join(more) + text[at:]


def _slurm_nodes() -> str:
    return "".join(f"NodeName={name} Gres=gpu:a100:8 CPUs=64\n" for name in _hosts())


def _slurm_switches() -> str:
    leaves = NODES // 4
    lines = [f"SwitchName=s{i} Nodes=node[{4 * i}-{4 * i + 3}]" for i in range(leaves)]
    return "\n".join([*lines, f"SwitchName=top Switches=s[0-{leaves - 1}]", ""])


def _topograph() -> str:
    document = json.loads((DATA / "topograph.json").read_text())
    instances = document["instances"]
    many = [
        {**instances[index % len(instances)], "id": name} for index, name in enumerate(_hosts())
    ]
    return json.dumps({**document, "instances": many}, indent=1)


def _matrix(hosts: int) -> str:
    names = [f"h{i}" for i in range(hosts)]
    rows = [f"{name},{','.join(str(20_000 + i) for i in range(hosts))}" for name in names]
    return "\n".join([f"MB/s,{','.join(names)}", *rows, ""])
