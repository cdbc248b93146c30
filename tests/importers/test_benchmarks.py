"""What benchmarks print, read as facts: nccl-tests, all_reduce_bench, the sniff test, mpiGraph,
tables, links between regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planner.errors import InputError
from planner.importers.clusters.detect import read_facts
from planner.importers.clusters.facts import ClusterFacts, MeasuredCollective, NodeFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.importers.source import Source

    Sample = Callable[[str], Source]
    Written = Callable[..., Source]

ROW = "{size} 256 float {redop} -1 {time} {alg} {bus} 0 {time} {alg} {bus} 0\n"
HEADER = "#       size         count      type   redop    root     time   algbw   busbw #wrong\n"


def test_nccl_text(sample: Sample) -> None:
    facts = read_facts(sample("nccl_two_nodes.txt"))
    assert facts.collectives == (
        MeasuredCollective(
            operation="all_reduce", ranks=4, ranks_per_node=2, size_bytes=2**30, time_s=0.025
        ),
    )
    assert facts.nodes == (NodeFacts(device="h100-sxm-80gb", devices_per_node=2),)
    assert facts.measured_on == ("gpu-001", "gpu-002")
    assert facts.notes.assumed == []


def test_nccl_json_says_the_same_and_leaves_the_environment_out(sample: Sample) -> None:
    facts = read_facts(sample("nccl_report.json"))
    assert facts.collectives == read_facts(sample("nccl_two_nodes.txt")).collectives
    assert "the environment that the report holds" in facts.notes.left_out
    assert "hunter2" not in repr(facts)


def test_nccl_text_without_a_header(sample: Sample) -> None:
    """The ratio of the two bandwidths tells the operation and the number of devices."""
    facts = read_facts(sample("nccl_p4de_cut.txt"))
    assert facts.collectives == (
        MeasuredCollective(operation="all_reduce", ranks=16, size_bytes=2**31, time_s=0.051406),
    )
    assert "16 devices (busbw / algbw = 1.875)" in facts.notes.assumed


RANKS = "".join(
    f"#  Rank {rank:2d} Group  0 Pid {100 + rank} on node{rank // 8} device {rank % 8} "
    "[0x0f] NVIDIA H100 80GB HBM3\n"
    for rank in range(16)
)


def report(program: str, ratio: float, redop: str, root: int, *, wrong: str = "0") -> str:
    """Standard output of nccl-tests 2.17 over 16 ranks; 1 GiB at 100 GB/s algorithm bandwidth."""
    numbers = f"{2**30 / 1e5:.2f} 100.00 {100 * ratio:.2f} {wrong}"
    return (
        f"# nccl-tests version 2.17.6 nccl-headers=22807 nccl-library=22807\n"
        f"# Collective test starting: {program}_perf\n{RANKS}{HEADER}"
        f"  {2**30} {2**28} float {redop} {root} {numbers} {numbers}\n"
        "# Avg bus bandwidth    : 52.97\n"
    )


@pytest.mark.parametrize(
    ("program", "ratio", "redop", "root", "operation"),
    [
        ("all_reduce", 1.875, "sum", -1, "all_reduce"),
        ("all_gather", 0.9375, "none", -1, "all_gather"),
        ("reduce_scatter", 0.9375, "sum", -1, "reduce_scatter"),
        ("alltoall", 0.9375, "none", -1, "all_to_all"),
        ("sendrecv", 1.0, "none", -1, "send"),
        ("broadcast", 1.0, "none", 0, None),
        ("reduce", 1.0, "sum", 0, None),
        ("gather", 0.9375, "none", 0, None),
        ("scatter", 0.9375, "none", 0, None),
        ("hypercube", 0.9375, "none", -1, None),
    ],
)
def test_every_program_of_nccl_tests(
    written: Written, program: str, ratio: float, redop: str, root: int, operation: str | None
) -> None:
    """Operations with a root, and hypercube, are never taken for one that they look like."""
    text = report(program, ratio, redop, root, wrong="N/A" if program == "alltoall" else "0")
    facts = read_facts(written(text))
    assert [one.operation for one in facts.collectives] == ([operation] if operation else [])
    assert [one.ranks for one in facts.collectives] == ([16] if operation else [])
    assert facts.nodes == (NodeFacts(device="h100-sxm-80gb", devices_per_node=8),)
    if operation is None:
        assert f"a test of {program}" in facts.notes.left_out
    unnamed = text.replace(f"# Collective test starting: {program}_perf\n", "")
    if root == 0:
        rooted = read_facts(written(unnamed))
        assert rooted.collectives == ()
        assert "a test of an operation with a root" in rooted.notes.left_out


@pytest.mark.parametrize(
    "tag",
    ["[1,0]<stdout>:", "   [1,0]<stdout>:", "0: ", "worker-0: ", "2026-01-02T03:04:05Z "],
)
def test_lines_tagged_by_a_launcher(written: Written, tag: str) -> None:
    text = report("all_reduce", 1.875, "sum", -1)
    tagged = "".join(f"{tag}{line}\n" for line in text.splitlines())
    assert read_facts(written(tagged)).collectives == read_facts(written(text)).collectives


def test_an_all_to_all_is_told_from_an_all_gather_by_the_name_of_its_file(
    written: Written,
) -> None:
    text = HEADER + ROW.format(size=2**30, redop="none", time=10737.42, alg=100, bus=93.75)
    (one,) = read_facts(written(text, "alltoall-2n.txt")).collectives
    assert one.operation == "all_to_all"
    facts = read_facts(written(text, "nccl.txt"))
    assert facts.collectives[0].operation == "all_gather"
    assert any("an all-to-all would look the same" in clause for clause in facts.notes.assumed)


def test_wrong_elements_are_said(written: Written) -> None:
    facts = read_facts(written(report("all_reduce", 1.875, "sum", -1, wrong="17")))
    assert "times hold although 1 result has wrong elements" in facts.notes.assumed


@pytest.mark.parametrize(
    ("redop", "ratio", "operation", "ranks"),
    [
        ("sum", 1.75, "all_reduce", 8),
        ("sum", 1.0, "all_reduce", 2),
        ("sum", 0.875, "reduce_scatter", 8),
        ("none", 0.9375, "all_gather", 16),
        ("none", 1.0, "send", 2),
    ],
)
def test_operation_by_ratio(
    written: Written, redop: str, ratio: float, operation: str, ranks: int
) -> None:
    row = ROW.format(size=2**30, redop=redop, time="5368.7", alg="200.00", bus=f"{200 * ratio:.2f}")
    found = read_facts(written(HEADER + row)).collectives[0]
    assert (found.operation, found.ranks) == (operation, ranks)


def test_several_tests_in_one_output(sample: Sample, written: Written) -> None:
    text = sample("nccl_two_nodes.txt").text
    other = (
        text.replace("all_reduce_perf", "alltoall_perf")
        .replace("64.42", "32.21")
        .replace("64.37", "32.18")
    )
    found = read_facts(written(text + other)).collectives
    assert [one.operation for one in found] == ["all_reduce", "all_to_all"]


def test_groups_that_ran_at_once_are_left_out(sample: Sample, written: Written) -> None:
    text = sample("nccl_two_nodes.txt").text.replace("Rank  1 Group  0", "Rank  1 Group  1")
    facts = read_facts(written(text))
    assert facts.collectives == ()
    assert any("in 2 groups at once" in clause for clause in facts.notes.left_out)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER, "holds no results of nccl-tests"),
        (HEADER + ROW.format(size=5000, redop="sum", time=5, alg=1, bus=5), "do not tell"),
        ('{"results": []}', "results: holds no results"),
        ('{"results": [{"size": 8}]}', "holds no results"),
        ('{"results": [{"size": "8", "out_of_place": {"time": 1}}]}', r"f:1:14: .*size is not a"),
        ('{"results": [{"size": 8, "out_of_place": {"time": "nan"}}]}', "time is not a number"),
        ('{"results": 3}', "results: expected a list, found the number 3"),
    ],
)
def test_nccl_refusals(written: Written, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_facts(written(text, "f"))


def test_runs_over_different_devices_are_refused(sample: Sample, written: Written) -> None:
    text = sample("nccl_two_nodes.txt").text.replace(
        "[0000:0f:00] NVIDIA H100 80GB HBM3", "[0000:0f:00] NVIDIA A100-SXM4-80GB"
    )
    with pytest.raises(
        InputError, match="ran on different devices: NVIDIA H100 80GB HBM3, NVIDIA A"
    ):
        read_facts(written(text))


def test_all_reduce_bench(sample: Sample) -> None:
    facts = read_facts(sample("all_reduce_bench.txt"))
    assert facts.collectives == (
        MeasuredCollective(operation="all_reduce", ranks=4, size_bytes=4e9, time_s=1.2),
    )
    assert facts.nodes == (NodeFacts(devices_per_node=2, cards=4),)
    assert facts.measured_on == ("iam37", "iam41")


def test_all_reduce_bench_must_agree_with_itself(sample: Sample, written: Written) -> None:
    text = sample("all_reduce_bench.txt").text.replace("busbw: 40.", "busbw: 80.")
    with pytest.raises(InputError, match="do not belong together"):
        read_facts(written(text))


def test_sniff_test(sample: Sample) -> None:
    """268 MB is 256 MiB; bus bandwidth is 2(n-1)/n of the buffer over the time of an all-reduce."""
    facts = read_facts(sample("sniff_test.txt"))
    reduced, scattered = facts.collectives
    assert (reduced.operation, reduced.ranks, reduced.size_bytes) == ("all_reduce", 16, 2**28)
    assert reduced.time_s == pytest.approx(2 * 15 / 16 * 2**28 / 340.10e9)
    assert scattered.time_s == pytest.approx(7 / 8 * 2**28 / 330.10e9)
    assert facts.nodes == (NodeFacts(device="h100-sxm-80gb", devices_per_node=8),)
    said = "\n".join(facts.notes.left_out)
    assert "rank 11 on gpu-02 -14.3%" in said
    assert "653.21 TFLOP/s" in said


def test_mpigraph_log_and_json_of_one_run(sample: Sample) -> None:
    """The JSON has the receive table first; what rows send is what a matrix holds."""
    log, as_json = (read_facts(sample(name)) for name in ("mpigraph_log.txt", "mpigraph.json"))
    assert log.matrix == as_json.matrix
    assert log.matrix is not None
    assert (log.matrix.hosts, log.matrix.unit) == (("agpu1425", "agpu1426"), "MiB/s")
    assert log.matrix.rows == ((None, 14493.357), (11072.496, None))


def test_mpigraph_with_only_the_receive_table(sample: Sample, written: Written) -> None:
    text = sample("mpigraph_log.txt").text
    start = text.index("Send\t")
    receives = text[:start] + text[text.index("Recv max") :]
    matrix = read_facts(written(receives)).matrix
    assert matrix is not None
    assert matrix.rows == ((None, 14497.701), (11072.472, None))


def test_a_stated_unit_wins(sample: Sample) -> None:
    matrix = read_facts(sample("mpigraph.json"), unit="MB/s").matrix
    assert matrix is not None
    assert matrix.unit == "MB/s"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("14493.357", "0.000"), r"f:16:21: bandwidth: 0.000 is not a number above 0"),
        (("14493.357", "fast"), r"f:16:21: bandwidth: expected a number, found 'fast'"),
        (("agpu1426:1 to", "agpu1427:1 to"), r"f:17: the row of agpu1426:1 is missing"),
        (("agpu1426:1", "agpu1425:1"), r"agpu1425 has several rows: .* more than one process"),
    ],
)
def test_mpigraph_refusals(
    sample: Sample, written: Written, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_facts(written(sample("mpigraph_log.txt").text.replace(*change), "f"))


def test_a_log_that_was_cut_is_refused(sample: Sample, written: Written) -> None:
    text = sample("mpigraph_log.txt").text
    with pytest.raises(InputError, match="holds no Send or Recv table"):
        read_facts(written(text[: text.index("Send\t")]))
    with pytest.raises(InputError, match="is missing; was the log cut"):
        read_facts(written(text[: text.index("agpu1426:1 to")]))


def test_plain_table(sample: Sample) -> None:
    matrix = read_facts(sample("matrix.csv")).matrix
    assert matrix is not None
    assert (matrix.hosts, matrix.unit) == (("n0", "n1", "n2"), "MB/s")
    assert matrix.rows[1] == (17346.823, None, 19282.933)


def rows(facts: ClusterFacts) -> tuple[tuple[float | None, ...], ...]:
    assert facts.matrix is not None
    return facts.matrix.rows


@pytest.mark.parametrize(
    "text",
    [
        "GB/s,a,b\na,0,1\nb,2,0\n",
        "GB/s;a;b\na;0;1\nb;2;0\n",
        "GB/s\ta\tb\na\t-\t1\nb\t2\tx\n",
        "GB/s a b\na 0 1\nb 2 0\n",
        "# measured\n(GB/s), a, b,\n a, , 1,\n\n b, 2, ,\n",
        "GB/s,a,b\nb,2,0\na,0,1\n",
    ],
)
def test_ways_to_write_a_table(written: Written, text: str) -> None:
    assert rows(read_facts(written(text), format_name="matrix-csv")) == ((None, 1.0), (2.0, None))


def test_tables_cut_out_of_mpigraph_logs(written: Written) -> None:
    send = read_facts(written("Send,a:0,b:1,\na:0,0.000,1.5,\nb:1,2.5,0.000,\n"))
    receive = read_facts(written("Recv,a:0,b:1,\na:0,0.000,2.5,\nb:1,1.5,0.000,\n"))
    assert send.matrix == receive.matrix
    assert rows(send) == ((None, 1.5), (2.5, None))


def test_table_without_names(written: Written) -> None:
    facts = read_facts(written("0,1,2\n3,0,4\n5,6,0\n"), unit="GB/s")
    assert facts.hosts == ("node-0", "node-1", "node-2")
    assert rows(facts) == ((None, 1.0, 2.0), (3.0, None, 4.0), (5.0, 6.0, None))


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        (",a,b\na,0,1\nb,2,0\n", None, r"f:1:1: no unit; write one there or give --unit: "),
        ("furlong,a,b\na,0,1\nb,2,0\n", None, r"f:1:1: 'furlong' in the corner is not a unit"),
        ("GB/s,a,b\na,0,1\nb,2,0\n", "MB/s", r"the corner says GB/s, --unit MB/s"),
        ("GB/s,a,b\na,0,1\nc,2,0\n", None, r"f:3: row of 'c', which the first row lacks"),
        ("GB/s,a,b\na,0,1\n", None, r"no row for 'b'"),
        ("GB/s,a,b\na,0,1,3\nb,2,0\n", None, r"f:2: 3 values for 2 nodes"),
        ("GB/s,a,b\na,0,-1\nb,2,0\n", None, r"f:2:5: bandwidth: -1 is not a number above 0"),
        ("GB/s,a,b\na,0,1e999\nb,2,0\n", None, r"f:2:5: bandwidth: 1e999 is not a number above"),
        ("GB/s,a,b\na,0,nan\nb,2,0\n", None, r"expected a number, found 'nan'"),
        ("GB/s,a,a\na,0,1\na,2,0\n", None, r"a has several rows"),
        ("GB/s,a\na,0\n", None, r"needs two nodes or more"),
    ],
)
def test_table_refusals(written: Written, text: str, unit: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_facts(written(text, "f"), unit=unit, format_name="matrix-csv")


def test_a_typo_among_regions_is_replaced_and_said(sample: Sample) -> None:
    """Line 7 is a thousandfold too small for its latency; pairs like it have 0.1888 to 0.2425."""
    facts = read_facts(sample("regions.csv"))
    pairs = {frozenset(link.between): link for link in facts.links}
    assert len(facts.links) == 10
    link = pairs[frozenset(("Belgium", "Germany"))]
    assert (link.bytes_per_s, link.latency_s) == (0.2425 * 2**30, 0.004)
    replaced = pairs[frozenset(("NL", "London"))]
    assert 0.188 * 2**30 < replaced.bytes_per_s < 0.243 * 2**30
    assert replaced.latency_s == 0.0048
    said = [clause for clause in facts.notes.assumed if "typo" in clause]
    assert said == [
        "line 7, NL to London: 202.7 MB/s, as links of like latency have; the file's 254.3 kB/s is "
        "797 times below them and looks like a typo"
    ]


def test_correct_regions_are_all_kept(sample: Sample, written: Written) -> None:
    text = sample("regions.csv").text.replace("0.00023681640625", "0.23681640625")
    facts = read_facts(written(text))
    assert len(facts.links) == 10
    assert not any("typo" in clause for clause in facts.notes.assumed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("bandwidth_GiB_per_s", "bandwidth"), r"'bandwidth' does not say its unit; give --unit"),
        (("latency_ms", "latency"), r"'one_way_latency' does not say its unit"),
        (("Germany,4,0.2425", "Germany,4,fast"), r"f:2:19: bandwidth: expected a number"),
        (("Germany,4,0.2425", "Germany,4"), r"f:2: 3 columns; the first line has more"),
        (("Belgium,NL,3", "Belgium,Belgium,3"), r"f:3: expected two regions"),
        (("Belgium,NL,3", "Germany,Belgium,3"), r"stand on line 2 too|with another bandwidth"),
    ],
)
def test_region_refusals(
    sample: Sample, written: Written, change: tuple[str, str], message: str
) -> None:
    text = sample("regions.csv").text.replace(*change).replace("NL,3,0.2425", "NL,3,0.2")
    text = text.replace("Germany,Belgium,3,0.2425", "Germany,Belgium,3,0.2")
    with pytest.raises(InputError, match=message):
        read_facts(written(text, "f"))


def test_log_without_its_number_signs(sample: Sample, written: Written) -> None:
    """Pages that render text lose the signs that start a line."""
    text = sample("nccl_two_nodes.txt").text
    bare = read_facts(written(text.replace("#wrong", "wrong").replace("#", " ")))
    assert bare.collectives == read_facts(written(text)).collectives


def test_processes_that_tested_by_themselves(written: Written) -> None:
    """mpirun with a program that was built without MPI."""
    ranks = "".join(
        f"#  Rank  0 Pid {host} on host{host} device  0 [0x00] Tesla V100-SXM2-16GB\n"
        for host in range(2)
    )
    row = "  1310720000  327680000   float   sum  2909.7  450.47  0.00  0e+00\n"
    with pytest.raises(InputError, match=r"rank 0 2 times: every process tested by itself.*MPI=1"):
        read_facts(written("# nThread 1 nGpus 1\n" + ranks + row))


def test_nodes_as_scontrol_shows_them(written: Written) -> None:
    node = (
        "NodeName=gpu-{} Arch=x86_64 CoresPerSocket=48\n   CPUAlloc=0 CPULoad=0.05\n"
        "   Gres=gpu:h200:8(S:0-1)\n   OS=Linux 5.15.0-91 #101-Ubuntu SMP\n   State=IDLE\n\n"
    )
    facts = read_facts(written(node.format("01") + node.format("02")))
    (kind,) = facts.nodes
    assert (kind.likely_device, kind.devices_per_node) == ("h200-sxm", 8)
    assert kind.hosts == ("gpu-01", "gpu-02")
