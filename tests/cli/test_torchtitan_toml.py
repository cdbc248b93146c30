"""Configuration files of torchtitan in place of a plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

TOML = """
[model]
name = "llama3"
flavor = "8B"
converters = ["float8"]

[training]
local_batch_size = 4
seq_len = 4096

[parallelism]
data_parallel_replicate_degree = 2
data_parallel_shard_degree = -1
fsdp_reshard_after_forward = "default" # default / never / always
tensor_parallel_degree = 2
enable_async_tensor_parallel = true
pipeline_parallel_degree = 2
pipeline_parallel_schedule = "Interleaved1F1B"
pipeline_parallel_layers_per_stage = 4
context_parallel_degree = 1

[activation_checkpoint]
mode = "selective"
selective_ac_option = "op"

[compile]
enable = true
components = ["model", "loss"]

[quantize.linear.float8]
enable_fsdp_float8_all_gather = true
"""


@pytest.fixture
def estimated(planner: Run, tmp_path: Path) -> Callable[[str], Outcome]:
    def run(text: str) -> Outcome:
        path = tmp_path / "train.toml"
        path.write_text(text)
        return planner("estimate", "--cluster", "dgx-h100-16", "--nodes", "2", "--plan", str(path),
                       "--json")  # fmt: skip

    return run


def plan(done: Outcome) -> dict[str, Any]:
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    return {**document["plans"][0], "job": document["inputs"]["job"]}


def test_a_configuration_is_a_plan(estimated: Callable[[str], Outcome]) -> None:
    """32 layers by 4 are 8 chunks; pipelines keep weights gathered; 4 replicas of 4 sequences."""
    found = plan(estimated(TOML))
    wanted = {"tensor": 2, "pipeline": 2, "data": 4, "context": 1}
    assert {axis: found["degrees"][axis] for axis in wanted} == wanted
    assert (found["schedule"], found["virtual_stages"]) == ("interleaved", 4)
    assert (found["micro_batch_size"], found["num_microbatches"]) == (1, 4)
    assert (found["data_sharding"], found["shard_over"]) == ("optimizer+gradients", 2)
    assert (found["recompute"]["granularity"], found["sequence_parallel"]) == ("selective", True)
    job = found["job"]
    assert (job["precision"], job["global_batch_size"], job["seq_length"]) == ("fp8", 16, 4096)


def test_degrees_where_older_files_have_them(estimated: Callable[[str], Outcome]) -> None:
    text = (
        '[model]\nname = "llama3"\nflavor = "8B"\n[training]\nbatch_size = 2\nseq_len = 8192\n'
        "data_parallel_shard_degree = 8\ntensor_parallel_degree = 2\ncompile = true\n"
        "[experimental]\ncontext_parallel_degree = 1\n[activation_checkpoint]\nmode = 'full'\n"
    )
    found = plan(estimated(text))
    assert (found["degrees"]["tensor"], found["degrees"]["data"]) == (2, 8)
    assert (found["data_sharding"], found["micro_batch_size"]) == ("full", 2)
    assert (found["job"]["precision"], found["job"]["software"]) == ("bf16", "torchtitan-2024-12")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"8B"', '"debugmodel"', "train.toml:4:10: model.flavor: no flavor 'debugmodel'"),
        ('"op"', '"2"', "selective_ac_option: whole layers, every n-th, are not planned"),
        ('"Interleaved1F1B"', '"Best"', "expected a schedule of torch.distributed.pipelining"),
        ("tensor_parallel_degree = 2", "tensor_parallel_degree = 0", "from 1 to"),
        ("seq_len = 4096", "seq_len =", "train.toml:9:10: not valid TOML: Invalid value"),
        ("_degree = 2\npipeline_parallel_s", "_degree = 3\npipeline_parallel_s", "does not divide"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(
    estimated: Callable[[str], Outcome], before: str, after: str, said: str
) -> None:
    assert before in TOML
    done = estimated(TOML.replace(before, after))
    assert done.code == 2
    assert said in done.stderr


def test_the_model_of_a_configuration(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text(TOML)
    done = planner("import", "model", str(path))
    assert "8,030,261,248 in all" in done.stderr
