"""Exports of serving plans, run with stand-ins that print how they were called."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from planner.exporters.errors import Inexpressible
from planner.exporters.serving.formats import SERVING_FORMATS
from planner.exporters.serving.job import ServingExport
from planner.plan.serving import ServingPlan, ServingPool
from tests.serving.test_plan_document import DECODE as A_DECODE_POOL
from tests.serving.test_plan_document import document

if TYPE_CHECKING:
    from collections.abc import Callable

TRAINING = Path(__file__).parents[2] / "examples" / "gpt3-175b-on-dgx-a100-128.json"
POOL = replace(
    A_DECODE_POOL,
    role="aggregated",
    group="g0",
    replicas=2,
    tensor=2,
    attention_data=4,
    weights="fp8-block",
    kv_format="fp8",
    max_running=128,
    memory_share=0.85,
    hosts=(),
)
PREFILL = replace(POOL, role="prefill")
DECODE = replace(POOL, role="decode", attention_data=8, expert=16)
"""Its replicas take two nodes."""


def job(engine: str, *pools: ServingPool, **changed: Any) -> ServingExport:
    facts: dict[str, Any] = {
        "title": "deepseek-v3 on here, plan 1",
        "model": "deepseek-v3",
        "mixture": True,
        "longest": 4096,
        "node_devices": {"g0": 8},
        "block_tokens": 16,
        "chunked": True,
        **changed,
    }
    return ServingExport(plan=ServingPlan(engine=engine, pools=pools), engine=engine, **facts)


def called(script: str, folder: Path, *arguments: str, **variables: str) -> list[str]:
    """The command line that the script ends with; files that it names are put in their place."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("vllm", "python3", "trtllm-serve"):
        stand_in = tools / name
        stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "${0##*/}" "$@"\n')
        stand_in.chmod(0o755)
    path = folder / "serve.sh"
    path.write_text(script)
    search = f"{tools}:{os.environ['PATH']}"
    environment = {"PATH": search, "MODEL": "/models/my model", "TMPDIR": str(folder), **variables}
    done = subprocess.run(
        ["bash", str(path), *arguments], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_vllm_takes_limits_of_one_rank_and_experts_over_all_devices(tmp_path: Path) -> None:
    script = SERVING_FORMATS["vllm"].write(job("vllm", POOL))
    found = called(script, tmp_path, "aggregated")
    assert found[:5] == ["vllm", "serve", "/models/my model", "--port", "8000"]
    assert found[5:] == [
        "--tensor-parallel-size=2",
        "--pipeline-parallel-size=1",
        "--max-num-seqs=128",
        "--max-num-batched-tokens=8192",
        "--max-model-len=4096",
        "--gpu-memory-utilization=0.85",
        "--kv-cache-dtype=fp8",
        "--block-size=16",
        "--data-parallel-size=4",
        "--enable-expert-parallel",
    ]


def test_vllm_divides_a_replica_of_two_nodes_by_its_data_parallel_ranks(tmp_path: Path) -> None:
    script = SERVING_FORMATS["vllm"].write(job("vllm", PREFILL, DECODE))
    second = called(script, tmp_path, "decode", "9000", HEAD="node-1", NODE_RANK="1")
    assert second[3:5] == ["--port", "9000"]
    assert second[-5:] == [
        '--kv-transfer-config={"kv_connector":"NixlConnector","kv_role":"kv_both"}',
        "--data-parallel-size-local=4",
        "--data-parallel-start-rank=4",
        "--data-parallel-address=node-1",
        "--headless",
    ]
    first = called(script, tmp_path, "decode", HEAD="node-1", NODE_RANK="0")
    assert "--data-parallel-start-rank=0" in first
    assert "--headless" not in first
    assert "--nnodes" not in " ".join(called(script, tmp_path, "prefill"))


def test_vllm_replicas_of_a_node_hand_over_at_ports_of_their_own(tmp_path: Path) -> None:
    script = SERVING_FORMATS["vllm"].write(
        job("vllm", PREFILL, replace(PREFILL, role="decode"), POOL)
    )
    shown = script.replace("exec vllm", 'echo "$VLLM_NIXL_SIDE_CHANNEL_PORT"; exec vllm')
    shown = shown.replace("set -euo pipefail", "set -euo pipefail; VLLM_NIXL_SIDE_CHANNEL_PORT=")
    ports = [
        int(called(shown, tmp_path, pool, port)[0])
        for pool, port in (("prefill", "8100"), ("prefill", "8101"), ("decode", "8102"))
    ]
    assert all(b - a >= 8 for a, b in pairwise(ports))
    assert called(shown, tmp_path, "aggregated", "8103")[0] == ""


def test_sglang_counts_all_devices_and_all_ranks(tmp_path: Path) -> None:
    """It divides --max-running-requests and --chunked-prefill-size by the data-parallel ranks."""
    script = SERVING_FORMATS["sglang"].write(job("sglang", PREFILL, DECODE))
    found = called(script, tmp_path, "decode", HEAD="node-1", NODE_RANK="1")
    assert found[:3] == ["python3", "-m", "sglang.launch_server"]
    for one in (
        "--tp-size=16",
        "--dp-size=8",
        "--enable-dp-attention",
        "--ep-size=16",
        f"--max-running-requests={128 * 8}",
        f"--chunked-prefill-size={8192 * 8}",
        "--kv-cache-dtype=fp8_e4m3",
        "--disaggregation-mode=decode",
        "--nnodes=2",
        "--node-rank=1",
        "--dist-init-addr=node-1:5000",
    ):
        assert one in found
    assert "--disaggregation-mode=prefill" in called(script, tmp_path, "prefill")


def test_tensorrt_llm_finds_its_settings_in_a_file(tmp_path: Path) -> None:
    script = SERVING_FORMATS["trtllm"].write(job("trtllm", POOL, chunked=False))
    found = called(script, tmp_path, "aggregated")
    assert found[0] == "trtllm-serve"
    assert {"--tp_size=8", "--ep_size=8", "--max_batch_size=128"} <= set(found)
    with open(found[found.index("--extra_llm_api_options") + 1]) as file:
        settings = json.load(file)
    assert settings["enable_attention_dp"] is True
    assert settings["enable_chunked_prefill"] is False
    assert settings["kv_cache_config"]["free_gpu_memory_fraction"] == 0.85


def test_tensorrt_llm_finds_where_experts_lie_in_a_file(tmp_path: Path) -> None:
    """The file of the expert load balancer's README: of every layer the expert of each slot."""
    layers = ((0, 1, 2, 3), (3, 0, 2, 1))
    placed = job("trtllm", POOL, PREFILL, experts={POOL.expert: layers})
    found = called(SERVING_FORMATS["trtllm"].write(placed), tmp_path, "aggregated")
    with open(found[found.index("--extra_llm_api_options") + 1]) as file:
        where = json.load(file)["moe_config"]["load_balancer"]
    assert yaml.safe_load(Path(where).read_text()) == {
        "initial_global_assignments": {0: [0, 1, 2, 3], 1: [3, 0, 2, 1]},
        "num_slots": 4,
        "layer_updates_per_iter": 0,
    }
    assert "moe_config" not in SERVING_FORMATS["trtllm"].write(job("trtllm", POOL))


@pytest.mark.parametrize(("engine", "model"), [("vllm", "--model"), ("sglang", "--model-path")])
def test_dynamo_tells_every_worker_its_mode(engine: str, model: str) -> None:
    manifest = yaml.safe_load(SERVING_FORMATS["dynamo"].write(job(engine, PREFILL, DECODE)))
    services = manifest["spec"]["services"]
    assert list(services) == ["Frontend", "PrefillWorker", "DecodeWorker"]
    for role, nodes in (("prefill", 1), ("decode", 2)):
        worker = services[f"{role.capitalize()}Worker"]
        arguments = worker["extraPodSpec"]["mainContainer"]["args"]
        assert arguments[0] == f"{model}=MODEL"
        assert arguments.count(f"--disaggregation-mode={role}") == 1
        assert worker["subComponentType"] == role
        assert worker["resources"]["limits"]["gpu"] == "8"
        assert worker.get("multinode", {"nodeCount": 1}) == {"nodeCount": nodes}


def test_llm_d_states_degrees_once() -> None:
    values = yaml.safe_load(SERVING_FORMATS["llm-d"].write(job("vllm", POOL)))
    assert values["decode"]["parallelism"] == {"tensor": 2, "data": 4}
    assert values["decode"]["replicas"] == 2
    arguments = values["decode"]["containers"][0]["args"]
    assert not [one for one in arguments if "parallel-size=2" in one or "data-parallel" in one]


@pytest.mark.parametrize(
    ("format", "made", "said"),
    [
        ("vllm", job("sglang", POOL), "engine: the plan is for engine sglang"),
        ("vllm", job("vllm", replace(POOL, expert=2)), "expert: experts are divided 8 ways or not"),
        ("sglang", job("sglang", replace(DECODE, attention_data=6)), "12 devices leaves devices"),
        ("trtllm", job("trtllm", DECODE), "takes an MPI launcher"),
        ("dynamo", job("trtllm", POOL), "not for trtllm"),
        ("llm-d", job("vllm", DECODE), "replicas of several nodes"),
        ("llm-d", job("vllm", POOL, POOL), "pools: it has one pool of role aggregated"),
        (
            "llm-d",
            job("vllm", PREFILL, replace(PREFILL, role="decode"), POOL),
            "--disaggregated on",
        ),
    ],
)
def test_what_cannot_be_said_is_refused(format: str, made: ServingExport, said: str) -> None:
    with pytest.raises(Inexpressible) as raised:
        SERVING_FORMATS[format].write(made)
    assert said in str(raised.value)


def test_names_are_text_wherever_they_stand(tmp_path: Path) -> None:
    evil = job("vllm", POOL, title="a\nrm -rf /", model="'; touch canary; '$(touch canary)")
    script = SERVING_FORMATS["vllm"].write(evil)
    called(script, tmp_path, "aggregated")
    path = tmp_path / "serve.sh"
    done = subprocess.run(
        ["bash", str(path), "aggregated"],
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "MODEL is not set: a checkpoint of '; touch canary;" in done.stderr
    assert not (tmp_path / "canary").exists()


def test_the_command_writes_what_the_plan_file_holds(
    planner: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "plans.json"
    file.write_text(json.dumps(document(tmp_path)))
    told = planner("export", f"{file}#2", "--format", "vllm")
    assert told.code == 0
    assert "--max-model-len=1280" in told.stdout
    assert "--data-parallel-size=2" in told.stdout
    done = planner("export", f"{file}#1", "--format", "all", "-o", str(tmp_path / "all"))
    assert done.code == 0
    assert sorted(one.name for one in (tmp_path / "all").iterdir()) == [
        "dynamo.yaml",
        "llm-d.yaml",
        "vllm.sh",
    ]
    assert "no sglang.sh: sglang cannot express engine: the plan is for engine vllm" in done.stderr
    for options, said in (
        (("--format", "slurm"), "--format: 'slurm'"),
        (("--format", "vllm", "--style", "shell"), "--style: "),
        (("--format", "sglang"), "sglang cannot express engine"),
    ):
        refused = planner("export", str(file), *options)
        assert refused.code == 2
        assert said in refused.stderr
    absent = planner("export", "missing.json", "--format", "vllm")
    assert (absent.code, absent.stderr) == (2, "error: missing.json: no such file\n")
    refused = planner("export", str(TRAINING), "--format", "vllm")
    assert refused.code == 2
    assert '"planner/serving-plans/1" is needed' in refused.stderr
