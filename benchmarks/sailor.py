"""Searches on the scenarios of Sailor (Strati et al., SOSP 2025) beside the plans that Sailor finds
for them: `python -m benchmarks.sailor [WORD …]`.

Sailor's plans are those of its planner at github.com/eth-easl/sailor, cf2c8e3, with the profiles
that ship with it. They are priced by this planner's model, with the layers and hosts that suit them
best. A plan with unequal tensor degrees in a stage, or with replicas that get shares of the batch
of their own, cannot be stated; there the fastest plan on the faster devices alone stands beside
ours, which a search must not be slower than either.

The nodes are those of its traces on Google Cloud: 4 devices; one card of 6 GB/s, which four flows
together reach between nodes of a zone; 1.09 GB/s and 17 ms between regions.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import TYPE_CHECKING, Any

from planner.specs.job import build_job
from planner.specs.load import load_software, parse_cluster, parse_model
from planner.training.scenario import build_scenario
from planner.training.search.search import search
from planner.training.search.space.restrictions import Restrictions

if TYPE_CHECKING:
    from planner.training.scenario import Scenario

A100, V100 = "a100-sxm-40gb", "v100-sxm-16gb"
DEVICES = Path(__file__).parent.parent / "clusters" / "devices"
INSIDE = {A100: "300 GB/s", V100: "150 GB/s"}
"""NVLink of a device, one direction."""

OPT = {"name": "opt-350m", "num_layers": 24, "hidden_size": 1024, "num_attention_heads": 16}
NEO = {"name": "gpt-neo-2.7b", "num_layers": 32, "hidden_size": 2560, "num_attention_heads": 20}
WITHOUT_TF32 = {
    "peak:\n": "peak:\n  tf32: {value: 15.7 TFLOP/s, basis: datasheet, source: as fp32}\n",
    "matmul:\n": "matmul:\n  efficiency_tf32: {value: 0.93, basis: measured, source: as fp32}\n",
}
"""In the file of the V100: PyTorch's switch for TF32 changes nothing before Ampere (CUDA semantics,
TF32 on Ampere and later devices), so such products run as fp32 there."""

SAME = 1 + 1e-9
"""Share by which equal steps may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`groups`: device and nodes of 4; the first has the faster devices. `theirs`: tensor, pipeline
    and data degree and microbatch of Sailor's plan, None where it cannot be stated here."""

    name: str
    groups: tuple[tuple[str, int], ...]
    model: dict[str, Any]
    batch: int
    theirs: tuple[int, int, int, int] | None
    regions: bool = False


CASES = (
    Case(
        name="OPT-350M, 32 A100",
        groups=((A100, 8),),
        model=OPT,
        batch=1024,
        theirs=(4, 1, 8, 8),
    ),
    Case(
        name="OPT-350M, 128 A100",
        groups=((A100, 32),),
        model=OPT,
        batch=1024,
        theirs=(4, 1, 32, 8),
    ),
    Case(
        name="OPT-350M, 32 A100 + 32 V100",
        groups=((A100, 8), (V100, 8)),
        model=OPT,
        batch=1024,
        theirs=None,
    ),
    Case(
        name="OPT-350M, 32 A100 + 96 V100",
        groups=((A100, 8), (V100, 24)),
        model=OPT,
        batch=1024,
        theirs=None,
    ),
    Case(
        name="OPT-350M, 2 regions of 16 A100",
        groups=((A100, 4), (A100, 4)),
        model=OPT,
        batch=1024,
        theirs=(2, 2, 8, 2),
        regions=True,
    ),
    Case(
        name="GPT-Neo-2.7B, 32 A100",
        groups=((A100, 8),),
        model=NEO,
        batch=2048,
        theirs=(2, 2, 8, 1),
    ),
    Case(
        name="GPT-Neo-2.7B, 2 regions of 16 A100",
        groups=((A100, 4), (A100, 4)),
        model=NEO,
        batch=2048,
        theirs=(2, 2, 8, 1),
        regions=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Seconds of the step of our plan and of theirs, or of ours without the slower devices; and of
    CPU until ours was found."""

    ours_s: float
    theirs_s: float
    gap: float
    cpu_s: float

    @property
    def beaten(self) -> bool:
        return self.ours_s > self.theirs_s * SAME


def scenario_of(case: Case, *, fastest_alone: bool = False) -> Scenario:
    """The job on all groups, or on the first one alone."""
    used = case.groups[: 1 if fastest_alone else None]
    groups = [
        {
            "name": f"group-{index}",
            "device": device if device != V100 else f"./{V100}.yaml",
            "count": count,
            "devices_per_node": 4,
            "intra_node": {"bandwidth": INSIDE[device]},
            "network": {"cards": 1, "bandwidth": "6 GB/s"},
        }
        for index, (device, count) in enumerate(used)
    ]
    tiers = [
        {"name": "region", "nodes": case.groups[0][1]},
        {"name": "wide-area", "bandwidth": "1.09 GB/s", "latency": "17 ms"},
    ]
    fabric = {"fabric": {"tiers": tiers}} if case.regions else {}
    with TemporaryDirectory() as folder:
        text = (DEVICES / f"{V100}.yaml").read_text(encoding="utf-8")
        for known, more in WITHOUT_TF32.items():
            text = text.replace(known, more, 1)
        (Path(folder) / f"{V100}.yaml").write_text(text, encoding="utf-8")
        given = {"name": "sailor", "node_groups": groups, **fabric}
        cluster = parse_cluster(given, folder=Path(folder)).sized()
    fixed = {"architecture": "gpt", "vocab_size": 50257, "dropout": False, "seq_length": 2048}
    model = parse_model({**case.model, **fixed})
    job = build_job(
        model,
        load_software("deepspeed-3d-2021"),
        devices=4 * sum(nodes for _, nodes in used),
        global_batch_size=case.batch,
        precision="tf32",
    )
    return build_scenario(cluster, model, job)


PLAIN = Restrictions(recompute=("none",), data_sharding=("none",), sequence_parallel=(False,))
"""What Sailor's runtime has: nothing recomputed or sharded."""


def compared(case: Case) -> Compared:
    """Our plan, of what Sailor's runtime can run apart from uneven layers, and theirs."""
    start_s = process_time()
    found = search(scenario_of(case), restrictions=PLAIN, top=1)
    cpu_s = process_time() - start_s
    if case.theirs is None:
        other = search(scenario_of(case, fastest_alone=True), restrictions=PLAIN, top=1)
    else:
        tensor, pipeline, data, microbatch = case.theirs
        theirs = replace(
            PLAIN,
            tensor=(tensor,),
            pipeline=(pipeline,),
            data=(data,),
            micro_batch_size=(microbatch,),
        )
        other = search(scenario_of(case), restrictions=theirs, top=1)
    steps_s = [found.plans[0].estimate.step_s, *(one.step_s for one in found.fewer_devices)]
    return Compared(
        ours_s=min(steps_s),
        theirs_s=other.plans[0].estimate.step_s,
        gap=found.gap,
        cpu_s=cpu_s,
    )


def main(words: list[str]) -> None:
    print(f"{'scenario':36}{'ours':>10}{'theirs':>10}{'gap':>8}{'CPU':>8}")
    for case in CASES:
        if words and not any(word in case.name for word in words):
            continue
        one = compared(case)
        print(
            f"{case.name:36}{one.ours_s:8.2f} s{one.theirs_s:8.2f} s{one.gap:8.1%}"
            f"{one.cpu_s:6.1f} s{'  beaten' if one.beaten else ''}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
