"""Training logs of each framework, whole and damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.calibration.logs import StepSize, TrainingLog, read_log
from planner.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

SIZE = StepSize(sequences=128, tokens=128 * 2048, devices=16)


def megatron(*milliseconds: object, batch: object = 128) -> str:
    lines = [
        "using world size: 16, data-parallel size: 2, tensor-model-parallel size: 8",
        "[Rank 0] (after 1 iterations) memory (MB) | allocated: 10770.37 | max allocated: "
        "15754.88818359375 | reserved: 16334.0 | max reserved: 16384.0",
        "[Rank 4] (after 1 iterations) memory (MB) | allocated: 9334.3 | max allocated: 20480.0 | "
        "reserved: 10998.0 | max reserved: 10998.0",
    ]
    lines += [
        f" [2025-08-01 07:19:37] iteration {index:8d}/    5000 | consumed samples: 128 | elapsed "
        f"time per iteration (ms): {value} | throughput per GPU (TFLOP/s/GPU): 80.2 | learning "
        f"rate: 6.97E-08 | global batch size: {batch:5} | lm loss: 1.04E+01 | loss scale: 1.0 |"
        for index, value in enumerate(milliseconds, start=1)
    ]
    return "\n".join(lines)


def torchtitan(*tokens_per_s: object) -> str:
    red, blue, reset = "\x1b[31m", "\x1b[34m", "\x1b[39m"
    lines = ["[rank0]:[titan] 2025-01-01 10:00:00,000 - root - INFO - CUDA capacity: NVIDIA H100"]
    lines += [
        f"[rank0]:[titan] 2025-01-01 10:00:{index:02d},123 - root - INFO - {red}step: {index:2}  "
        f"loss: {12.0 - index:7.4f}  grad_norm:  1.2  memory: {40 + index:5.2f}GiB(59.77%)  "
        f"{blue}tps: {value}  tflops: 387.12  mfu: 39.13%{reset}"
        for index, value in enumerate(tokens_per_s, start=1)
    ]
    lines.append("validate step: 99  loss: 1.0  memory: 90.00GiB(99.00%)  tps: 9,999,999")
    return "\n".join(lines)


def deepspeed(*samples_per_s: object) -> str:
    lines = ["[2024-01-01 10:00:00,000] [INFO] [utils.py:786:see_memory_usage] after init"]
    lines += [
        "[2024-01-01 10:00:00,001] [INFO] [utils.py:787:see_memory_usage] MA 14.34 GB         "
        "Max_MA 34.5 GB         CA 40.1 GB         Max_CA 40 GB"
    ]
    for index, value in enumerate(samples_per_s, start=1):
        lines += [
            f"[2024-01-01 10:00:{index:02d},001] [INFO] [logging.py:96:log_dist] [Rank 0] "
            f"step={index}, skipped=0, lr=[0.0001], mom=[(0.9, 0.95)]",
            f"[2024-01-01 10:00:{index:02d},002] [INFO] [timer.py:260:stop] epoch=0/micro_step="
            f"{index}/global_step={index}, RunningAvgSamplesPerSec=9.9, CurrSamplesPerSec={value}, "
            f"MemAllocated=6.01GB, MaxMemAllocated=36.25GB",
        ]
    return "\n".join(lines)


def pipeline(*step_s: object) -> str:
    return "\n".join(
        f"steps: {index} loss: 5.55 lm loss: 5.51 moe loss: 0.04 iter time (s): {value} "
        "samples/sec: 136.706"
        for index, value in enumerate(step_s, start=1)
    )


def read(tmp_path: Path, text: str | bytes) -> TrainingLog:
    path = tmp_path / "train.log"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_log(path, SIZE)


def message(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'train.log'}: ")
    return str(error.value).removeprefix(f"{tmp_path / 'train.log'}: ")


def test_megatron_milliseconds_and_peaks_of_all_ranks(tmp_path: Path) -> None:
    found = read(tmp_path, megatron(19138.8, 2500.0, 2000.0, 2100.0, 1900.0))
    assert (found.framework, found.steps) == ("Megatron-LM", 4)
    assert found.measured.step_s == pytest.approx(2.05)
    assert found.measured.peak_allocated_gib == 20.0
    assert found.measured.peak_reserved_gib == 16.0
    assert found.measured.peak_device_gib is None


def test_torchtitan_tokens_of_one_device_and_its_reserved_memory(tmp_path: Path) -> None:
    found = read(tmp_path, torchtitan("1,201", "8,000", "8,192", "8,400"))
    assert (found.framework, found.steps) == ("torchtitan", 3)
    assert found.measured.step_s == pytest.approx(128 * 2048 / (8192 * 16))
    assert found.measured.peak_reserved_gib == 44.0
    assert found.measured.peak_allocated_gib is None


def test_older_torchtitan_says_wps(tmp_path: Path) -> None:
    assert read(tmp_path, torchtitan(1, 8192, 8192).replace("tps:", "wps:")).measured.step_s == 2.0


def test_deepspeed_sequences_of_the_global_batch(tmp_path: Path) -> None:
    found = read(tmp_path, deepspeed(10.0, 64.0, 64.0, 32.0))
    assert (found.framework, found.steps) == ("DeepSpeed", 3)
    assert found.measured.step_s == 2.0
    assert found.measured.peak_allocated_gib == 36.25
    assert found.measured.peak_reserved_gib == 40.0


def test_deepspeed_pipelines_say_seconds(tmp_path: Path) -> None:
    found = read(tmp_path, pipeline(30.1, 0.936, 0.937, 0.938))
    assert (found.framework, found.measured.step_s) == ("DeepSpeed", 0.937)


def test_megatron_deepspeed_writes_both_and_the_whole_iteration_counts(tmp_path: Path) -> None:
    found = read(tmp_path, f"{deepspeed(64.0, 64.0, 64.0)}\n{megatron(9000, 3000.0, 3000.0)}")
    assert (found.framework, found.measured.step_s) == ("Megatron-LM", 3.0)


def test_warm_up_is_a_fifth_and_at_least_one_step(tmp_path: Path) -> None:
    ten = read(tmp_path, megatron(*([9000.0] * 2), *([1000.0] * 8)))
    assert (ten.steps, ten.measured.step_s) == (8, 1.0)


def test_steps_of_another_batch_are_left_out(tmp_path: Path) -> None:
    ramp = f"{megatron(1, 1, 1, batch=32)}\n{megatron(5000, 4000.0, 4000.0)}"
    assert read(tmp_path, ramp).measured.step_s == 4.0
    assert message(tmp_path, megatron(1, 2, 3, batch=64)) == (
        "the log is of a global batch of 64, the plan's is 128"
    )


def test_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    text = megatron(9999, "nan", "12", 2000.0, "", 2000.0, "-5.0", "1.2.3", 2000.0)
    cut = text + "\n iteration       10/ 5000 | elapsed time per iteration (ms): 77"
    garbled = cut.encode() + b"\n\xff\xfe iteration \x1b[31m elapsed time per iteration (ms):\n"
    assert read(tmp_path, garbled).measured.step_s == 2.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no step time of Megatron-LM (elapsed time per iteration), torchtitan (tps) or "),
        ("hello\n" * 100, "no step time of Megatron-LM"),
        (megatron(), "no step time of Megatron-LM"),
        (megatron("nan", "inf", "-"), "no step time of Megatron-LM"),
        (megatron(2000.0), "1 logged steps of Megatron-LM with a time; 3 are needed"),
        (megatron(2000.0, "nan", "?"), "1 logged steps of Megatron-LM with a time, 2 lines with "),
        (megatron(0, 0.0, 0), "0 logged steps of Megatron-LM with a time, 3 lines with one are "),
        (torchtitan("0", "0", "1,000"), "1 logged steps of torchtitan with a time, "),
        (deepspeed("0.0", "1e-99", "nan"), "0 logged steps of DeepSpeed with a time, "),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried", "the run ran out of memory before "),
        (b"\x00\x01\x02binary", "is not text; is this a binary file?"),
    ],
)
def test_logs_that_say_too_little(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert message(tmp_path, text).startswith(expected)


def test_a_log_without_one_good_number_names_a_line(tmp_path: Path) -> None:
    assert message(tmp_path, "starting\n" + megatron("nan", "inf", "-")).endswith(
        "; line 5 has 'elapsed time per iteration (ms):' without a number that can be one"
    )


def test_a_missing_log(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_log(tmp_path / "none.log", SIZE)
    with pytest.raises(InputError, match="is a folder"):
        read_log(tmp_path, SIZE)


def test_zero_peaks_are_no_measurement(tmp_path: Path) -> None:
    text = deepspeed(64.0, 64.0, 64.0).replace("36.25GB", "0.0GB").replace("34.5 GB", "0 GB")
    assert read(tmp_path, text).measured.peak_allocated_gib is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cut_and_shuffled_logs_never_crash(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = data.draw(
        st.sampled_from(
            [megatron(9, 2000.0, 2000.0, 2000.0), torchtitan(1, 8, 8, 8), deepspeed(1, 2, 2, 2)]
        )
    )
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    junk = data.draw(st.text(max_size=30))
    path = tmp_path_factory.mktemp("logs") / "train.log"
    path.write_text(text[:start] + junk + text[end:], encoding="utf-8", errors="replace")
    try:
        found = read_log(path, SIZE)
    except InputError:
        return
    assert found.measured.step_s is not None
    assert found.measured.step_s > 0
