"""`planner validate` on tables of measured serving runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from planner.specs.serving import serving_defaults

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DENSE = ("llama-3-70b", "qwen3-32b")
HEADER = (
    "id,model,device,devices,mode,tensor,framework,weight_format,input_length,output_length,"
    "load_kind,load,speculative,tpot_mean_ms,ttft_mean_ms,output_tokens_per_s_per_device"
)
GOOD = "a,llama-3.1-70b,h200-sxm,8,agg,8,vllm,fp8,1024,1024,concurrency,16,none,9.0,90,200"


def table(folder: Path, *rows: str, header: str = HEADER) -> str:
    path = folder / "runs.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return str(path)


def test_the_shipped_runs_are_compared(planner: Callable[..., Any]) -> None:
    told = planner("validate", "--serving", "--json")
    assert told.code == 0
    document = json.loads(told.stdout)
    summary = document["summary"]
    assert summary["tpot"]["count"] > 100
    assert summary["tpot"]["median_abs_error"] < 0.25
    dense = [cell for cell in summary["cells"] if cell["model"] == "llama-3-70b"]
    assert len(dense) == 3
    assert all(cell["tpot"]["mean_abs_error"] < 0.10 for cell in dense)
    assert {"tpot", "ttft", "output_tokens_per_s_per_device"} <= set(summary)
    assert all(run["devices"] >= 1 for run in document["runs"])
    for kind in ("dense", "mixture"):
        shares = getattr(serving_defaults().ranges, kind)
        runs = [one for one in document["runs"] if (one["model"] in DENSE) == (kind == "dense")]
        assert shares.runs >= len(runs)
        for name in ("tpot", "ttft", "output_tokens_per_s_per_device"):
            low, high = getattr(shares, name)
            measured = [
                one[name]["measured"] / one[name]["predicted"] for one in runs if name in one
            ]
            inside = sum(low <= share <= high for share in measured)
            assert inside >= 0.8 * len(measured)


def test_a_table_is_compared_row_by_row(planner: Callable[..., Any], tmp_path: Path) -> None:
    told = planner("validate", table(tmp_path, GOOD), "--json")
    assert told.code == 0
    document = json.loads(told.stdout)
    (run,) = document["runs"]
    assert run["tpot"]["measured"] == pytest.approx(0.009)
    error = run["tpot"]["predicted"] / run["tpot"]["measured"] - 1
    assert run["tpot"]["error"] == pytest.approx(error)
    assert document["summary"]["ttft"]["count"] == 1
    assert document["summary"]["ttft_p99"]["count"] == 0
    (cell,) = document["summary"]["cells"]
    assert (cell["model"], cell["device"], cell["engine"]) == ("llama-3-70b", "h200-sxm", "vllm")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("llama-3.1-70b", "gpt-9"), "no model file is shipped as 'gpt-9'"),
        (("h200-sxm", "abacus"), "no device file is shipped as 'abacus'"),
        ((",vllm,", ",own,"), "no engine profile is shipped as 'own'"),
        (("agg,8,", "agg,,"), "tensor is not stated"),
        (("agg,8,", "agg,4,"), "are not the 8 devices"),
        (("agg,8,", "agg,x,"), "tensor is 'x', not a number"),
        (("concurrency", "rate"), "arrivals over time are not stated"),
        (("none", "mtp"), "how many are accepted is not stated"),
        ((",fp8,", ",nvfp4,"), "vllm has no products in nvfp4"),
        (("9.0,90,200", ",,"), "no figure to compare"),
        (("9.0,", "fast,"), "tpot_mean_ms is 'fast', not a number"),
        (("9.0,", "-9,"), "tpot_mean_ms is '-9', not a number of 0 or more"),
        (("8,agg,8", "0,agg,8"), "devices is 0"),
        ((",16,", ",1e12,"), "load is 1,000,000,000,000; at most 100,000"),
        (("1024,1024", "1e15,1024"), "input_length is 1,000,000,000,000,000; at most"),
        (("8,agg,8", "6,agg,6"), "tensor degree 6 does not divide the 64 attention heads"),
        (("agg,", "disagg,"), "decode_devices is not stated"),
    ],
)
def test_rows_that_lack_something_say_what(
    planner: Callable[..., Any], tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    told = planner("validate", table(tmp_path, GOOD.replace(*change)), "--json")
    assert told.code == 0
    (error,) = json.loads(told.stdout)["errors"]
    assert error["id"] == "a"
    assert reason in error["message"]


def test_published_launches_are_known_by_their_table(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    """The benchmark's script makes prompts wait for each other for 20 steps; the same row of
    another table is of an engine with its defaults."""
    header = HEADER + ",lengths,source"
    row = GOOD.replace(",vllm,", ",trtllm,").replace("8,agg,8", "2,agg,2")
    drawn = '"uniform in [0.8, 1], 10 requests per unit of concurrency"'
    own = f"{row},{drawn},ours"
    published = f"{row.replace('a,', 'b,', 1)},{drawn},inferencex-via-aiconfigurator"
    told = planner("validate", table(tmp_path, own, published, header=header), "--json")
    ours, theirs = (run["ttft"]["predicted"] for run in json.loads(told.stdout)["runs"])
    tpot_s = json.loads(told.stdout)["runs"][0]["tpot"]["predicted"]
    assert 10 * tpot_s < theirs - ours < 25 * tpot_s


def test_published_launches_know_rounds_drafts_and_blocks(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    """Until 21 January 2026 the runners of the MI355X sent 50 requests a client, of which the
    opening burst is a smaller part, and none to warm an engine up; an image that only runs drafts
    is refused; weights of DeepSeek in fp8 have a scale for every block, whatever a table calls
    them."""
    header = HEADER + ",source,framework_version,measured,lengths"
    row = (
        "{id},deepseek-r1,mi355x,8,agg,8,{engine},{weights},8192,1024,concurrency,16,none,16,400,90,"
        'inferencemax-artifact,,{when},"uniform in [0.8, 1]"'
    )
    drafted = (
        "d,deepseek-r1,b200-sxm,8,agg,8,trtllm,fp8,1024,1024,concurrency,16,,9,200,90,"
        "inferencex-via-aiconfigurator,1.2.0rc6.post3,2026-02-05,"
    )
    told = planner(
        "validate",
        table(
            tmp_path,
            row.format(id="a", weights="fp8", engine="atom", when="2026-01-10"),
            row.format(id="b", weights="fp8-block", engine="atom", when="2026-01-10"),
            row.format(id="c", weights="fp8-block", engine="atom", when="2026-03-01"),
            row.format(id="e", weights="fp8-block", engine="sglang", when="2026-01-10"),
            drafted,
            header=header,
        ),
        "--json",
    )
    document = json.loads(told.stdout)
    *warm, cold = document["runs"]
    first, second, third = (run["ttft"]["predicted"] for run in warm)
    assert first == second
    assert first < 0.8 * third
    assert "ttft" not in cold
    assert cold["tpot"]["measured"] == pytest.approx(0.016)
    (left_out,) = document["left_out_as_measured"]
    assert left_out["id"] == "e"
    assert "kernels to be compiled" in left_out["message"]
    assert document["summary_with_left_out"]["ttft"]["count"] == 4
    (error,) = document["errors"]
    assert error["id"] == "d"
    assert "decodes with drafts" in error["message"]


def test_pools_and_offline_work_are_compared(planner: Callable[..., Any], tmp_path: Path) -> None:
    header = HEADER + (
        ",prefill_workers,prefill_devices,prefill_tensor,decode_workers,decode_devices,decode_tensor"
    )
    pools = GOOD.replace("agg,8", "disagg,") + ",2,8,4,1,8,8"
    offline = GOOD.replace("concurrency,16", "offline,all at once (100 to 300)").replace(
        "a,", "b,", 1
    )
    told = planner("validate", table(tmp_path, pools, offline + ",,,,,,", header=header), "--json")
    first, second = json.loads(told.stdout)["runs"]
    assert set(first) >= {"tpot"}
    assert "ttft" not in first
    assert second["concurrency"] == 200
    assert second["output_tokens_per_s_per_device"]["predicted"] > 0


def test_published_launches_know_offline_work_and_limits_of_pools(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    """The page of TensorRT-LLM had 1,500 requests of 8,192 tokens. A recipe of InferenceX let each
    of four workers take 4 requests, of 24 too. Where a table says that attention is data-parallel,
    its ranks may be counted in the tensor degree."""
    pools = (
        "source,prefill_workers,prefill_devices,prefill_tensor,prefill_attention_data,"
        "decode_workers,decode_devices,decode_tensor,decode_expert,decode_attention_data"
    )
    offline = "a,llama-3.1-70b,h200-sxm,2,agg,2,trtllm,fp8,8192,1024,offline,1000 to 3000,,,,500"
    pool = "{id},deepseek-r1,gb300,36,disagg,,trtllm,fp8,1024,1024,concurrency,{load},,9,,,"
    four = "{table},1,4,4,1,4,32,8,8,1"
    rows = [f"{offline},tensorrt-llm-perf-overview,,,,,,,,,"]
    rows += [
        pool.format(id=f"{table[:5]}{load}", load=load) + four.format(table=table)
        for load in (16, 24)
        for table in ("inferencex-via-aiconfigurator", "ours")
    ]
    rows += [
        pool.format(id=f"c{tensor}", load=16) + f"ours,1,4,4,false,1,8,{tensor},8,true"
        for tensor in (1, 8)
    ]
    told = planner("validate", table(tmp_path, *rows, header=f"{HEADER},{pools}"), "--json")
    work, sixteen, ours_sixteen, limited, ours, ranks, counted = json.loads(told.stdout)["runs"]
    assert work["concurrency"] == 1500
    assert sixteen["tpot"]["predicted"] == ours_sixteen["tpot"]["predicted"]
    assert limited["tpot"]["predicted"] == pytest.approx(sixteen["tpot"]["predicted"], rel=0.02)
    assert limited["tpot"]["predicted"] < 0.95 * ours["tpot"]["predicted"]
    assert ranks["tpot"]["predicted"] == counted["tpot"]["predicted"]


def test_pools_over_several_nodes_are_slower_than_in_one_fabric(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    """Sixteen H200 are two nodes, sixteen GB200 share a fabric; a recipe of InferenceX says that
    attention of Kimi's pools on GB200 is data-parallel, where the table counts tensor ranks."""
    pools = (
        "source,prefill_workers,prefill_devices,prefill_tensor,prefill_attention_data,"
        "decode_workers,decode_devices,decode_tensor,decode_expert,decode_attention_data"
    )
    row = (
        "{id},{model},{device},20,disagg,,{engine},{weights},1024,1024,concurrency,4,,9,,,{table},"
        "1,4,4,1,{split}"
    )
    rows = [
        row.format(
            id=f"{device[:2]}{split[0]}",
            model="deepseek-r1",
            device=device,
            engine="sglang",
            weights="fp8",
            table="ours",
            split=split,
        )
        for device in ("h200-sxm", "gb200")
        for split in ("1,16,16,16,1", "2,16,8,8,1")
    ] + [
        row.format(
            id=table[:3],
            model="kimi-k2.5",
            device="gb200",
            engine="vllm",
            weights="fp4",
            table=table,
            split="1,16,16,16,1",
        )
        for table in ("ours", "inferencex-via-aiconfigurator")
    ]
    told = planner("validate", table(tmp_path, *rows, header=f"{HEADER},{pools}"), "--json")
    found = [run["tpot"]["predicted"] for run in json.loads(told.stdout)["runs"]]
    hopper_wide, hopper, rack_wide, rack, summed, parted = found
    assert hopper_wide > hopper + 1e-3
    assert rack_wide < rack + 1e-3
    assert parted != pytest.approx(summed, rel=0.02)


def test_rows_that_contradict_each_other_are_left_out(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    fast = GOOD.replace("9.0", "4.5").replace("a,", "b,", 1)
    other = GOOD.replace(",16,", ",32,").replace("a,", "c,", 1)
    told = planner("validate", table(tmp_path, GOOD, fast, other), "--json")
    document = json.loads(told.stdout)
    assert [run["id"] for run in document["runs"]] == ["c"]
    left_out = document["left_out_as_measured"]
    assert [one["id"] for one in left_out] == ["a", "b"]
    assert all("differ by 2.00 times" in one["message"] for one in left_out)
    assert document["summary"]["tpot"]["count"] == 1
    assert document["summary_with_left_out"]["tpot"]["count"] == 3
    said = planner("validate", table(tmp_path, GOOD, fast, other)).stdout
    assert "Left out because of what was measured: 2 runs" in said
    assert "With them the time of an output token is" in said


def test_rows_of_one_name_are_told_apart_by_their_lines(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    bad = GOOD.replace("vllm", "own")
    path = table(tmp_path, bad, bad, bad.replace("a,", ",", 1))
    errors = json.loads(planner("validate", path, "--json").stdout)["errors"]
    assert [one["id"] for one in errors] == ["a (line 2)", "a (line 3)", "line 4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column id"),
        (HEADER.replace("tensor", "tp") + "\n" + GOOD[:-4] + "\n", "15 cells, the header has 16"),
        (HEADER.replace("model", "modell") + "\n", "no column model"),
    ],
)
def test_what_is_no_table_is_refused(
    planner: Callable[..., Any], tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text)
    told = planner("validate", str(path))
    assert told.code == 2
    assert message in told.stderr


def test_training_and_serving_runs_are_compared_apart(planner: Callable[..., Any]) -> None:
    told = planner("validate", "--serving", "megatron-sc21")
    assert told.code == 2
    assert "megatron-sc21 is not a table of serving runs" in told.stderr


def test_the_report_names_cells_and_reasons(planner: Callable[..., Any], tmp_path: Path) -> None:
    bad = GOOD.replace("h200-sxm", "abacus").replace("a,", "b,", 1)
    told = planner("validate", table(tmp_path, GOOD, bad))
    assert told.code == 0
    assert "llama-3-70b" in told.stdout
    assert "no device file is shipped as 'abacus'" in told.stdout


def test_a_replayed_trace_is_met_by_the_release_that_ran_it(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    """Llama 70B on two of eight H100s under vLLM 0.6.0: a token took 32.4 ms, the first one 78 ms
    (microsoft/apex_plus, vllm/results/llama_creation_025_validation_4DP2TP_1.txt)."""
    header = f"{HEADER},source,framework_version,lengths,notes"
    run = (
        "a,llama-3.1-70b,h100-sxm-80gb,2,agg,2,vllm,bf16,335.19,725.9,trace,200 requests,none,"
        "32.454,77.8554,,apex-artifact,0.6.0,trace creation_025,one replica of a data-parallel run"
    )
    other = run.replace("creation_025", "creation_1").replace("a,", "b,", 1)
    told = planner("validate", table(tmp_path, run, other, header=header), "--json")
    document = json.loads(told.stdout)
    (found,) = document["runs"]
    assert found["engine"] == "vllm-0.6"
    assert abs(found["tpot"]["error"]) < 0.1
    assert abs(found["ttft"]["error"]) < 0.1
    (error,) = document["errors"]
    assert "how often its requests come is not known" in error["message"]


def test_published_launches_know_degrees_and_kernels_of_mixtures(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    """DeepSeek in fp8 on eight B200 under TensorRT-LLM, 64 clients: InferenceX of 2 November 2025,
    launched with attention data parallelism and DeepGEMM's experts, which its table leaves out."""
    header = f"{HEADER},source,measured,expert"
    stated = GOOD.replace("llama-3.1-70b,h200-sxm", "deepseek-r1,b200-sxm").replace(
        "vllm", "trtllm"
    )
    known = stated.replace("concurrency,16", "concurrency,64") + ",inferencex-via-aiconfigurator"
    rows = (known + ",2025-11-02,1", known.replace("a,", "b,", 1) + ",2026-02-05,1")
    told = planner("validate", table(tmp_path, *rows, header=header), "--json")
    (then, later) = (one["tpot"]["predicted"] for one in json.loads(told.stdout)["runs"])
    assert then > 1.05 * later


def test_devices_of_workstations_have_kernels_of_their_own(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    """Llama 70B in nvfp4 on one RTX PRO 6000 under TensorRT-LLM: 1,708 and 296 output tokens/s
    (NVIDIA/TensorRT-LLM, docs/source/developer-guide/perf-overview.md, December 2025)."""
    header = f"{HEADER},source,pipeline"
    rows = [
        f"{name},llama-3.1-70b,rtx-pro-6000,1,agg,1,trtllm,nvfp4,{prompt},1024,offline,"
        f"1500 to 3000 requests,none,,,{measured},tensorrt-llm-perf-overview,1"
        for name, prompt, measured in (("a", 1024, 1708), ("b", 8192, 296))
    ]
    told = planner("validate", table(tmp_path, *rows, header=header), "--json")
    runs = json.loads(told.stdout)["runs"]
    assert [one["id"] for one in runs] == ["a", "b"]
    assert all(abs(one["output_tokens_per_s_per_device"]["error"]) < 0.15 for one in runs)
