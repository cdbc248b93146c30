from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from planner.errors import InputError
from planner.specs.job import build_job
from planner.specs.load import load_software, parse_model
from planner.specs.model.spec import TrainingDefaults

MODEL = parse_model(
    {
        "architecture": "gpt",
        "num_layers": 2,
        "hidden_size": 64,
        "num_attention_heads": 4,
        "vocab_size": 1000,
        "seq_length": 1024,
        "training": {"global_batch_size": 32, "precision": "fp16"},
    }
)
SOFTWARE = load_software("megatron-core")


def test_the_training_block_fills_in() -> None:
    job = build_job(MODEL, SOFTWARE, devices=8)

    assert (job.global_batch_size, job.seq_length, job.precision) == (32, 1024, "fp16")
    assert (job.devices, job.optimizer, job.headroom, job.expert_imbalance) == (8, "adam", 0.05, 1)
    assert job.software is SOFTWARE


def test_options_win() -> None:
    job = build_job(
        MODEL, SOFTWARE, devices=8, global_batch_size=64, seq_length=512, precision="bf16"
    )

    assert (job.global_batch_size, job.seq_length, job.precision) == (64, 512, "bf16")


def test_training_length_wins_over_the_models() -> None:
    model = replace(MODEL, training=TrainingDefaults(global_batch_size=1, seq_length=256))

    assert build_job(model, SOFTWARE, devices=1).seq_length == 256


def test_an_unstated_precision_is_assumed_and_said() -> None:
    model = replace(MODEL, training=TrainingDefaults(global_batch_size=1))

    job = build_job(model, SOFTWARE, devices=1)

    assert job.precision == "bf16"
    assert job.assumptions == ("job: precision bf16 (nothing states another)",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 0}, "devices must be at least 1, found 0"),
        ({"global_batch_size": -1}, "global batch size must be at least 1, found -1"),
        (
            {"precision": "bf8"},
            "unknown precision 'bf8'; allowed: fp32, tf32, fp16, bf16, fp8, mxfp8, nvfp4",
        ),
        (
            {"optimizer": "adagrad"},
            "unknown optimizer 'adagrad'; allowed: adam, sgd, lion, muon, adafactor",
        ),
        ({"headroom": 1.0}, "headroom must be at least 0 and below 1, found 1.0"),
        ({"headroom": float("nan")}, "headroom must be at least 0 and below 1, found nan"),
        ({"expert_imbalance": 0.5}, "expert imbalance must be between 1 and 1000, found 0.5"),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        build_job(MODEL, SOFTWARE, **{"devices": 8, **options})

    assert str(caught.value) == message


def test_nothing_states_the_batch() -> None:
    model = replace(MODEL, training=TrainingDefaults(), seq_length=None)

    with pytest.raises(InputError) as caught:
        build_job(model, SOFTWARE, devices=8)
    assert str(caught.value) == (
        "no global batch size; give --global-batch-size, or training.global_batch_size in the "
        "model file"
    )
    with pytest.raises(InputError, match="no sequence length; give --seq-length"):
        build_job(model, SOFTWARE, devices=8, global_batch_size=8)
