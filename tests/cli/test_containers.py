"""The software profile that the container of a launch file tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planner.importers.containers import known_containers
from planner.specs.files.catalog import list_shipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

MEGATRON = """\
#SBATCH --nodes=2
# tested with nvcr.io/nvidia/pytorch:25.11-py3
srun --container-image={image} python pretrain_gpt.py --num-layers 32 --hidden-size 4096 \\
  --num-attention-heads 32 --seq-length 4096 --max-position-embeddings 4096 --bf16 \\
  --tensor-model-parallel-size 8 --micro-batch-size 1 --global-batch-size 64 --vocab-size 32000
"""
BRIDGE = """\
docker run {image} torchrun run.py model.num_layers=32 model.hidden_size=4096 \\
  model.num_attention_heads=32 model.seq_length=4096 model.vocab_size=32000 \\
  model.tensor_model_parallel_size=8 train.global_batch_size=64
"""


@pytest.mark.parametrize(
    ("text", "image", "profile"),
    [
        (MEGATRON, "nvcr.io/nvidia/pytorch:24.05-py3", "megatron-core-2024"),
        (MEGATRON, "/images/nvidia+nemo+24.07.sqsh", "megatron-core-2024"),
        (MEGATRON, "nvcr.io#nvidia/nemo:25.09", None),
        (BRIDGE, "nvcr.io/nvidia/nemo:26.06", "megatron-core-perf-26.06"),
        (BRIDGE, "nvcr.io/nvidia/nemo:26.04", None),
    ],
)
def test_a_container_picks_the_profile(
    planner: Callable[..., Outcome], tmp_path: Path, text: str, image: str, profile: str | None
) -> None:
    path = tmp_path / "train.sh"
    path.write_text(text.format(image=image))
    asked = ("check", str(path), "--cluster", "dgx-h100-16", "--nodes", "2")
    told = planner(*asked)
    assert told.code == 0, told.stderr
    assert ("which software profile" in told.stderr) == (profile is not None)
    if profile is not None:
        assert f"which software profile {profile} describes" in told.stderr
        assert "which software profile" not in planner(*asked, "--software", "megatron-core").stderr


def test_containers_name_shipped_profiles() -> None:
    for one in known_containers().containers:
        assert {one.instead_of, one.profile} <= set(list_shipped("software"))
        assert one.first <= one.last
