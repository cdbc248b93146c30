"""`planner import cluster` on benchmarks and topologies that were cut, moved about or mistaken: a
number is right, or there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]
    Write = Callable[[str], str]

HEAD = "#       size         count      type   redop    root     time   algbw   busbw #wrong\n"
GIB = 2**30


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(text: str) -> str:
        path = tmp_path / "found.txt"
        path.write_text(text)
        return str(path)

    return write


def row(
    ranks: int, gb_per_s: float, *, size: int = GIB, root: str = "-1 ", moved: float = 1
) -> str:
    """One size of an all-reduce at an algorithm bandwidth; `moved` spoils the time."""
    time_us = size / gb_per_s / 1e3 * moved
    bus = gb_per_s * 2 * (ranks - 1) / ranks
    numbers = f"{time_us:.1f} {gb_per_s:.2f} {bus:.2f} 0"
    return f"{size} {size // 4} float sum {root}{numbers} {numbers}\n"


def ranks(first: int, last: int, product: str = "NVIDIA H100 80GB HBM3") -> str:
    return "".join(
        f"#  Rank {rank} Group 0 Pid {100 + rank} on host-{rank // 8} device {rank % 8} [0x01] "
        f"{product}\n"
        for rank in range(first, last + 1)
    )


def group(done: Outcome) -> dict[str, Any]:
    assert done.code == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)["node_groups"][0]
    return found


@pytest.mark.parametrize("first", [3, 8, 12, 15])
def test_a_list_of_ranks_whose_start_was_cut_off(planner: Run, written: Write, first: int) -> None:
    """The rows say how many there were; the hosts of those listed are not all."""
    text = ranks(first, 15) + HEAD + row(16, 190)
    done = planner("import", "cluster", written(text))
    whole = planner("import", "cluster", written(ranks(0, 15) + HEAD + row(16, 190)))
    assert "all-reduce over 16 devices" in done.stderr
    assert "its list of ranks was cut" in done.stderr
    found, expected = group(done), group(whole)
    assert found["devices_per_node"] == expected["devices_per_node"] == 8
    assert found["network"] == expected["network"]
    assert "hosts" not in found


def test_a_list_of_ranks_whose_end_was_cut_off(planner: Run, written: Write) -> None:
    path = written(ranks(0, 7) + HEAD + row(16, 190))
    done = planner("import", "cluster", path)
    assert done.code == 2
    assert f"{path}:10: lists 8 devices, but busbw / algbw = 1.875 means 16" in done.stderr
    assert "--ranks" in done.stderr
    assert "all-reduce over 16 devices" in planner("import", "cluster", path, "--ranks=16").stderr
    wrong = planner("import", "cluster", path, "--ranks=8")
    assert "--ranks 8, but busbw / algbw = 1.875 means 16" in wrong.stderr
    few = planner("import", "cluster", written(ranks(0, 31) + HEAD + row(2000, 20)), "--ranks=16")
    assert "--ranks 16, but it lists rank 31" in few.stderr


def test_more_ranks_than_the_bandwidths_tell(planner: Run, written: Write) -> None:
    """2(n-1)/n of thousands of devices is 2 in two decimals."""
    path = written(ranks(2040, 2047) + HEAD + row(2048, 20))
    done = planner("import", "cluster", path)
    assert done.code == 2
    assert "its list of ranks was cut" in done.stderr
    assert "over 2048 devices" in planner("import", "cluster", path, "--ranks=2048").stderr


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (row(16, 190, moved=3), r"algbw says 190"),
        (row(16, 190) + row(64, 190, size=2 * GIB), "busbw / algbw is 1.969 here and 1.875"),
        (row(16, 190) + row(16, 90), "elsewhere; keep the rows of the run that counts"),
    ],
)
def test_rows_that_contradict(planner: Run, written: Write, rows: str, message: str) -> None:
    done = planner("import", "cluster", written(HEAD + rows), "--device=h100-sxm-80gb")
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr
    assert "found.txt:2: " in done.stderr or "found.txt:3: " in done.stderr


def test_repeated_rows_are_one_measurement(planner: Run, written: Write) -> None:
    rows = row(16, 190) + row(16, 180) + row(16, 188)
    once = group(planner("import", "cluster", written(HEAD + row(16, 188)), "--device=h200-sxm",
                         "--cards=8"))  # fmt: skip
    again = group(planner("import", "cluster", written(HEAD + rows), "--device=h200-sxm",
                          "--cards=8"))  # fmt: skip
    assert again["network"] == once["network"]


def test_before_there_was_a_column_for_the_root(planner: Run, written: Write) -> None:
    """nccl-tests before 2.11, also with a whole number of microseconds, and without its header."""
    old = HEAD.replace("root", "    ").replace("#wrong", "error")
    listed = ranks(0, 15)
    for size in (GIB, 10**9):
        new = group(planner("import", "cluster", written(listed + HEAD + row(16, 100, size=size))))
        text = old + row(16, 100, size=size, root="").replace(" 0 ", " 2e-07 ")
        found = group(planner("import", "cluster", written(listed + text)))
        assert found["network"] == new["network"]
    bare = listed + f"{10**9} {10**9 // 4} float sum 10000 100.00 187.50 0 10000 100.00 187.50 0\n"
    done = planner("import", "cluster", written(bare), "--format=nccl-tests")
    assert "over 16 devices: 953.674 MiB in 10 ms" in done.stderr


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (row(8, 900), ("--device=h100-sxm-80gb",), "h100-sxm-80gb has 450 GB/s in one direction"),
        (row(8, 190), ("--device=a100-sxm-80gb",), "a100-sxm-80gb has 300 GB/s in one direction"),
        (row(8, 400), ("--device=h800",), "h800 has 200 GB/s in one direction"),
        (row(16, 900), ("--device=h100-sxm-80gb", "--cards=1"), "1 card of 100 GB/s carry"),
    ],
)
def test_faster_than_the_hardware(
    planner: Run, written: Write, text: str, options: tuple[str, ...], message: str
) -> None:
    done = planner("import", "cluster", written(HEAD + text), *options)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr


def test_every_bandwidth_is_compared_with_that_of_the_part(planner: Run, written: Write) -> None:
    done = planner("import", "cluster", written(ranks(0, 7) + HEAD + row(8, 100)))
    assert "of the nominal 450 GB/s" in done.stderr
    across = planner("import", "cluster", written(ranks(0, 15) + HEAD + row(16, 100)))
    assert "of the fastest card's 100 GB/s" in across.stderr
    stated = planner("import", "cluster", written(ranks(0, 7) + HEAD + row(8, 100)),
                     "--intra-node-bandwidth=900 GB/s")  # fmt: skip
    assert "doubtful: " in stated.stderr
    assert "900 GB/s is more than h100-sxm-80gb has in one direction (450 GB/s)" in stated.stderr


def topology(*parts: str) -> str:
    return f'<system version="1"><cpu numaid="0">{"".join(parts)}</cpu></system>'


def pci(number: int, kind: str, inside: str = "", **attributes: str) -> str:
    named = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return (
        f'<pci busid="000{number}:00:00.0" class="{kind}" link_speed="32 GT/s" link_width="16"'
        f"{named}>{inside}</pci>"
    )


@pytest.mark.parametrize("device", ["a100-sxm-80gb", "h100-sxm-80gb", "mi300x", "h20"])
def test_a_device_on_a_board_is_never_joined_by_pci_express(
    planner: Run, written: Write, device: str
) -> None:
    """Topology files of virtual machines list PCI devices and no NVLink."""
    text = topology(*(pci(number, "0x030200") for number in range(8)), pci(8, "0x020700"))
    found = group(planner("import", "cluster", written(text), f"--device={device}"))
    nominal = {"a100-sxm-80gb": "300", "h100-sxm-80gb": "450", "mi300x": "448", "h20": "450"}
    assert found["intra_node"]["bandwidth"] == f"{nominal[device]} GB/s"


def test_network_cards_without_their_speed_are_counted(planner: Run, written: Write) -> None:
    """InfiniBand counts before the Ethernet of a virtual machine; the speed is that of usual nodes,
    and left out where none are known."""
    cards = [pci(number, "0x020700") for number in (4, 5)]
    text = topology(*(pci(number, "0x030200") for number in range(4)), *cards, pci(6, "0x020000"))
    done = planner("import", "cluster", written(text), "--device=a100-sxm-80gb")
    assert group(done)["network"] == {"cards": 2, "bandwidth": "25 GB/s"}
    assert "2 network cards in a node, without their speed" in done.stderr
    assert "network" not in group(planner("import", "cluster", written(text), "--device=rtx-5090"))


def test_a_card_is_joined_by_pci_express(planner: Run, written: Write) -> None:
    text = topology(*(pci(number, "0x030200") for number in range(8)))
    found = group(planner("import", "cluster", written(text), "--device=rtx-5090"))
    assert found["intra_node"]["bandwidth"] == "63 GB/s"


@pytest.mark.parametrize(
    ("vendor", "part", "kind", "device"),
    [
        ("0x10de", "0x2330", "0x030200", "h100-sxm-80gb"),
        ("0x10de", "0x20b0", "0x030200", "a100-sxm-40gb"),
        ("0x10de", "0x26B9", "0x030200", "l40s"),
        ("0x1002", "0x74a1", "0x120000", "mi300x"),
        ("0x1002", "0x74a5", "0x120000", "mi325x"),
    ],
)
def test_the_device_of_a_pci_id(
    planner: Run, written: Write, vendor: str, part: str, kind: str, device: str
) -> None:
    text = topology(*(pci(n, kind, vendor=vendor, device=part) for n in range(2)))
    assert group(planner("import", "cluster", written(text)))["device"] == device


def test_a_pci_id_without_a_device_file(planner: Run, written: Write) -> None:
    text = topology(pci(0, "0x030200", vendor="0x10de", device="0x20b7"))
    assert planner("import", "cluster", written(text)).code == 2
    known = topology(pci(0, "0x030200", vendor="0x10de", device="0x20f1"))
    done = planner("import", "cluster", written(known))
    assert "no device file is shipped for PCI ID 0x10de:0x20f1" in done.stderr


def test_the_links_of_an_rccl_topology(planner: Run, written: Write) -> None:
    def gpu(number: int) -> str:
        links = "".join('<xgmi target="0" count="1"/>' for _ in range(7))
        return pci(number, "0x120000", f'<gpu dev="{number}" sm="304" gcn="gfx942">{links}</gpu>')

    done = planner("import", "cluster", written(topology(*map(gpu, range(8)))))
    found = group(done)
    assert (found["device"], found["devices_per_node"]) == ("mi300x", 8)
    assert found["intra_node"]["bandwidth"] == "448 GB/s"
    assert "gcn gfx942 does not say more" in done.stderr
    other = planner("import", "cluster", written(topology(gpu(0))), "--device=mi250x")
    assert group(other)["intra_node"]["bandwidth"] == "350 GB/s"


def test_more_links_than_a_device_has(planner: Run, written: Write) -> None:
    cells = "\tGPU0\tGPU1\nGPU0\tX\tNV18\nGPU1\tNV18\tX\n"
    done = planner("import", "cluster", written(cells), "--device=a100-sxm-80gb")
    assert done.code == 2
    assert "450 GB/s is more than a100-sxm-80gb has in one direction (300 GB/s)" in done.stderr


def test_two_tables_take_the_device_of_the_option(planner: Run, written: Write) -> None:
    table = "\tGPU0\tGPU1\nGPU0\tX\t{0}\nGPU1\t{0}\tX\n\n"
    path = written(table.format("NV2") + table.format("NV6"))
    options = ("--device=v100-sxm-32gb", "--network-bandwidth=12 GB/s", "--cards=1")
    done = planner("import", "cluster", path, *options)
    assert done.code == 0, done.stderr
    groups = yaml.safe_load(done.stdout)["node_groups"]
    assert [one["device"] for one in groups] == ["v100-sxm-32gb"] * 2
    assert [one["intra_node"]["bandwidth"] for one in groups] == ["50 GB/s", "150 GB/s"]


SLURM = """# comment
NodeName=login[1-2] CPUs=8
NodeName=DEFAULT Sockets=2 Gres=gpu:nvidia_h100_80gb_hbm3:8(S:0-1)
NodeName=a[01-03] CPUs=192
NodeName=b[01-02] Gres=gpu:{type}:4,nic:2 \\
  CPUs=64
NodeName=b[03-04] Gres=gpu:{type}:4
PartitionName=main Nodes=ALL
"""


def test_the_nodes_of_slurm_conf(planner: Run, written: Write, tmp_path: Path) -> None:
    lines = (
        "NodeName=gpu[001-064] CPUs=192 \\\n  Gres=gpu:h100:8 \\\n State=UNKNOWN\nPartitionName=x\n"
    )
    path = written(lines)
    done = planner("import", "cluster", path, f"--output={tmp_path / 'c.yaml'}")
    assert done.code == 0, done.stderr
    assert "device h100-sxm-80gb (Gres says gpu:h100)" in done.stderr
    read = yaml.safe_load((tmp_path / "c.yaml").read_text())["node_groups"]
    assert (read[0]["count"], read[0]["devices_per_node"]) == (64, 8)
    assert read[0]["hosts"] == "gpu[001-064]"
    found = planner("search", f"--cluster={tmp_path / 'c.yaml'}", "--model=llama-3-8b", "--nodes=2",
                    "--top=1", "--global-batch-size=64", "--tensor=2", "--pipeline=1",
                    "--recompute=none")  # fmt: skip
    assert found.code == 0


def test_several_kinds_of_nodes_in_slurm_conf(planner: Run, written: Write) -> None:
    done = planner("import", "cluster", written(SLURM.format(type="a100")))
    assert done.code == 0, done.stderr
    groups = yaml.safe_load(done.stdout)["node_groups"]
    assert [(one["device"], one["count"], one["hosts"]) for one in groups] == [
        ("h100-sxm-80gb", 3, "a[01-03]"),
        ("a100-sxm-80gb", 4, "b[01-04]"),
    ]
    assert "2 nodes without devices" in done.stderr
    unknown = planner("import", "cluster", written(SLURM.format(type="mine")))
    assert (unknown.code, "none of the files says which devices" in unknown.stderr) == (2, True)
    twice = written("NodeName=a1 Gres=gpu:8\nNodeName=a[1-2] Gres=gpu:8\n")
    assert ":2: node a1 has two NodeName lines" in planner("import", "cluster", twice).stderr


@pytest.mark.parametrize(
    ("title", "rates", "card"),
    [
        ("# OSU MPI Bandwidth Test v7.3", (1000, 24000.5), "24 GB/s"),
        ("# OSU MPI-CUDA Bi-Directional Bandwidth Test v7.3", (1000, 48000), "24 GB/s"),
        ("# OSU MPI Multiple Bandwidth / Message Rate Test v7.3\n# [ pairs: 4 ]",
         (1000, 24000), "24 GB/s"),
    ],
)  # fmt: skip
def test_osu_bandwidth(
    planner: Run, written: Write, title: str, rates: tuple[float, ...], card: str
) -> None:
    rows = "".join(f"{4**i:<10}{rate:>12.2f}\n" for i, rate in enumerate(rates))
    text = f"{title}\n# Size      Bandwidth (MB/s)\n{rows}"
    done = planner("import", "cluster", written(text), "--device=a100-sxm-80gb", "--cards=4")
    network = group(done)["network"]
    assert network["cards"] == 4
    assert network["bandwidth"].startswith(card.split()[0])
    latency = planner("import", "cluster", written("# OSU MPI Latency Test v7.3\n1 2.0\n"))
    assert "measures no bandwidth" in latency.stderr


def test_the_topology_of_rocm_smi(planner: Run, written: Write) -> None:
    names = [f"GPU{number}" for number in range(4)]
    rows = "\n".join(
        f"{name}   " + "   ".join("0" if other == name else "XGMI" for other in names)
        for name in names
    )
    text = (
        "======== Link Type between two GPUs ========\n       " + "  ".join(names) + f"\n{rows}\n\n"
        "GPU[0]\t\t: Card Series: \t\tAMD Instinct MI300X\n"
    )
    found = group(planner("import", "cluster", written(text)))
    assert (found["device"], found["devices_per_node"]) == ("mi300x", 4)
    cut = text.replace(rows, rows.rpartition("\n")[0])
    assert "was the output cut?" in planner("import", "cluster", written(cut)).stderr
