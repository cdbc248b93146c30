"""Golden files, hand-made plans and small files of measured runs that many tests share."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from planner.budget import Stopped
from planner.placement import truth
from planner.plan import (
    Confidence,
    Degrees,
    Estimate,
    Evidence,
    Interval,
    MemoryComponents,
    MemoryEstimate,
    Placement,
    Plan,
    RankedPlan,
    Recompute,
    Stage,
    StageMemory,
    TimeBreakdown,
)
from planner.plan_document import RecordedFile, RecordedInputs, RecordedJob
from planner.solver import SolverRecord
from planner.training.search.result import (
    Change,
    Dimension,
    Exclusion,
    NearMiss,
    SearchResult,
    Space,
)

GOLDEN = Path(__file__).parent / "golden"
GIB = 2**30

# Compiled modules are kept whatever the environment says: hundreds of processes that tests start
# would compile the program anew, and every worker all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The same examples in every run, so that a red run says something of the change and not of the
# dice; `make test-random` throws them anew. No time limit for one example: a loaded machine is
# not a failure.
settings.register_profile("same", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("random", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("same")


def pytest_configure() -> None:
    truth.STRICT = True
    # A shell has what it runs in the background ignore Ctrl-C, and so would programs of the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew from the output"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was left out, and why, a line for each reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.items():
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.write_line(f"left out: {tests} ({reason})")


class Golden:
    """Compares text with a file under tests/golden, or writes that file under --update-golden."""

    def __init__(self, *, update: bool) -> None:
        self.update = update

    def check(self, name: str, text: str) -> None:
        path = GOLDEN / name
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path} is missing: run pytest --update-golden and read the file"
        assert text == path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(update=request.config.getoption("--update-golden"))


CLUSTER = {
    "node_groups": [
        {
            "device": "a100-sxm-80gb",
            "devices_per_node": 8,
            "intra_node": {"bandwidth": "300 GB/s"},
            "network": {"cards": 8, "bandwidth": "25 GB/s"},
        }
    ]
}
MODEL = {
    "architecture": "gpt",
    "num_layers": 6,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "vocab_size": 51200,
}
DEFAULTS = {"seq_length": 1024, "global_batch_size": 16, "micro_batch_size": 2, "precision": "fp16"}

WriteRuns = Callable[..., Path]


@pytest.fixture
def write_runs(tmp_path: Path) -> WriteRuns:
    """`write_runs({"id": …}, …, software=…)` writes a file of runs on eight A100 and returns its
    path. JSON is YAML, so that no test formats text."""

    def write(*runs: dict[str, Any], name: str = "runs.yaml", **top: Any) -> Path:
        document = {
            "source": "a test",
            "cluster": CLUSTER,
            "software": "megatron-lm-2021",
            "model": MODEL,
            "defaults": {"devices": 8, **DEFAULTS},
            "runs": [{"id": f"run-{index}", **one} for index, one in enumerate(runs)],
        } | top
        path = tmp_path / name
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return write


class Samples:
    """Hand-made values of a 96-layer model; no number in them comes from the estimator."""

    def plan(
        self,
        *,
        tensor: int = 8,
        pipeline: int = 4,
        data: int = 16,
        expert: int = 1,
        virtual_stages: int = 1,
        micro_batch_size: int = 1,
        recompute: str = "selective",
        data_sharding: str = "optimizer",
    ) -> Plan:
        layers = 96 // (pipeline * virtual_stages)
        full = 3 if recompute == "full" else 0
        return Plan(
            degrees=Degrees(tensor=tensor, pipeline=pipeline, data=data, expert=expert),
            micro_batch_size=micro_batch_size,
            num_microbatches=1536 // (data * micro_batch_size),
            schedule="1f1b" if virtual_stages == 1 else "interleaved",
            virtual_stages=virtual_stages,
            sequence_parallel=True,
            data_sharding=data_sharding,
            recompute=Recompute(
                granularity=recompute, layers_per_stage=(full,) + (0,) * (pipeline - 1)
            ),
            stages=tuple(
                Stage(
                    index=stage,
                    chunks=tuple(
                        (
                            (chunk * pipeline + stage) * layers,
                            (chunk * pipeline + stage + 1) * layers,
                        )
                        for chunk in range(virtual_stages)
                    ),
                    embedding=stage == 0,
                    head=stage == pipeline - 1,
                )
                for stage in range(pipeline)
            ),
            placement=Placement(
                order="tp-cp-ep-dp-pp",
                hosts=tuple(f"a100-{i}" for i in range(tensor * pipeline * data // 8)),
                ranks="rank r runs on hosts[r // 8], device r mod 8",
            ),
        )

    def estimate(
        self,
        plan: Plan,
        *,
        step_s: float = 30.0,
        activations_gib: float = 22.0,
        capacity_gib: float = 80.0,
        memory_high: float = 1.05,
    ) -> Estimate:
        capacity = int(capacity_gib * GIB)
        return Estimate(
            time=TimeBreakdown(
                compute_s=0.7 * step_s,
                recompute_s=0.02 * step_s,
                tensor_comm_s=0.12 * step_s,
                context_comm_s=0.0,
                expert_comm_s=0.0,
                pipeline_comm_s=0.01 * step_s,
                bubble_s=0.08 * step_s,
                data_comm_s=0.04 * step_s,
                optimizer_s=0.02 * step_s,
                jitter_s=0.01 * step_s,
            ),
            time_detail={"data_comm_hidden_s": 0.011 * step_s},
            memory=MemoryEstimate(
                per_stage=tuple(
                    self.stage_memory(
                        stage.index,
                        head=stage.head,
                        activations=int(activations_gib * GIB) - stage.index * 3 * GIB,
                        capacity=capacity,
                    )
                    for stage in plan.stages
                )
            ),
            tokens_per_step=1536 * 2048,
            devices=plan.degrees.devices,
            model_flops_per_step=3.3e18,
            peak_flop_per_s=312e12,
            assumptions=(
                "experts receive equal numbers of tokens",
                "the layers that do not divide evenly go one each to the middle chunks of the "
                "pipeline, as no layout was given",
                "no measured run with schedule 1f1b",
            ),
            confidence=Confidence(
                level=0.9,
                step=Interval(low=0.93, high=1.08),
                memory=Interval(low=0.96, high=memory_high),
                notes=("no measured run with schedule 1f1b",),
                evidence=Evidence(steps=469, steps_alike=2, peaks=106, device_peaks=52),
            ),
        )

    def stage_memory(
        self, stage: int, *, head: bool, activations: int, capacity: int
    ) -> StageMemory:
        return StageMemory(
            stage=stage,
            peak_phase="backward",
            components=MemoryComponents(
                weights=11 * GIB + GIB // 3,
                gradients=22 * GIB,
                optimizer=8 * GIB + 1,
                activations=max(activations, GIB),
                logits=2 * GIB if head else 0,
                buffers=GIB // 2,
                fixed=GIB + GIB // 10,
                slack=2 * GIB,
            ),
            capacity_bytes=capacity,
            headroom_bytes=capacity // 20,
            other_components=MemoryComponents(
                weights=11 * GIB + GIB // 3,
                gradients=22 * GIB,
                optimizer=8 * GIB + 1,
                activations=0,
                logits=0,
                buffers=3 * GIB,
                fixed=GIB + GIB // 10,
                slack=GIB,
            ),
        )

    def inputs(self) -> RecordedInputs:
        return RecordedInputs(
            cluster=RecordedFile(name="dgx-a100-128", sha256="a" * 64),
            model=RecordedFile(name="gpt3-175b", sha256="b" * 64),
            job=RecordedJob(
                devices=512,
                global_batch_size=1536,
                seq_length=2048,
                precision="bf16",
                optimizer="adam",
                software="megatron-core",
                software_sha256="c" * 64,
                headroom=0.05,
                expert_imbalance=1.0,
            ),
            assumptions=("vocabulary padded to a multiple of 128 · tensor",),
        )

    def ranked(self) -> tuple[RankedPlan, ...]:
        plans = (
            self.plan(),
            self.plan(pipeline=8, data=8, virtual_stages=2),
            self.plan(pipeline=8, data=8, recompute="full", micro_batch_size=2),
        )
        return tuple(
            RankedPlan(
                rank=rank,
                plan=plan,
                estimate=self.estimate(plan, step_s=29.0 + rank * rank),
                tied_with_best=rank < 3,
            )
            for rank, plan in enumerate(plans, start=1)
        )

    def space(self) -> Space:
        return Space(
            dimensions=(
                Dimension(name="tensor", values=(1, 2, 4, 8), restricted_by_user=False),
                Dimension(name="pipeline", values=(4, 8), restricted_by_user=True),
                Dimension(name="recompute", values=("none", "full"), restricted_by_user=False),
            ),
            exclusions=(
                Exclusion(
                    rule="heads",
                    sentence="the tensor degree divides the attention heads",
                    excluded=12,
                ),
            ),
        )

    def found(self) -> SearchResult:
        return SearchResult(
            plans=self.ranked(),
            candidates=23412,
            fitting=1203,
            refined=31,
            settled=True,
            combination_gap=0.0,
            layout_gap=0.0,
            placement_gap=0.0,
            best_gap=0.0,
            bound_s=31.0,
            stopped=Stopped.PROVEN,
            tied_within=0.1,
            space=self.space(),
            solver=SolverRecord(),
            nearest=(),
            changes=(),
        )

    def nothing(self) -> SearchResult:
        plan = self.plan()
        near = self.estimate(plan, activations_gib=61.3)
        other = self.plan(pipeline=8, data=8)
        return replace(
            self.found(),
            plans=(),
            fitting=0,
            refined=0,
            bound_s=None,
            nearest=(
                NearMiss(plan=plan, estimate=near, reason="stage 0 needs 106.2 GiB of 80.0"),
                NearMiss(
                    plan=other,
                    estimate=self.estimate(other, activations_gib=70.0),
                    reason="stage 0 needs 114.9 GiB of 80.0",
                ),
            ),
            changes=(
                Change(
                    description="recompute all layers (--recompute full)",
                    plan=self.plan(recompute="full"),
                    estimate=self.estimate(plan, step_s=38.2),
                ),
                Change(
                    description="run on 128 nodes instead of 64 (--nodes 128)",
                    plan=self.plan(data=32),
                    estimate=self.estimate(self.plan(data=32), step_s=15.9),
                ),
            ),
        )


@pytest.fixture(scope="session")
def samples() -> Samples:
    return Samples()
