"""What constants rest on: `python -m benchmarks.constants [--write] [PART OF A NAME …]`.

Constants that training runs decide are tried at several ratios of their shipped values on the run
files of their devices or software profiles, each file weighted alike, then with every publication
left out in turn. A row says how many publications there are, the ratio with the least mean error,
the ratios that the others choose without one of them, and the error of the publication left out at
their choice, beside its error at the shipped value. A second table names the families, a file of
runs each, and gives every family's error at the ratio that the other publications choose. `--write`
puts both into docs/constants.md.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.specs.files.catalog import list_shipped, resolve
from planner.specs.load import load_device
from planner.specs.runs.build import References, load_runs
from planner.validation.compare import compare_run
from planner.validation.residuals import publication
from planner.validation.statistics import mean
from planner.validation.validate import with_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.specs.device import DeviceSpec
    from planner.specs.runs.spec import Run

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "constants.md"
HEADING = """# What constants rest on

Made by `python -m benchmarks.constants --write`, which takes some minutes. Constants of devices and
software profiles that training runs decide are tried at 0.85 to 1.15 times their shipped values on
all published runs (`runs/`) with their device or profile, every publication weighted alike.

*Best ratio* has the least mean error over all of them; *without one* are the ratios that the others
choose when one publication is left out; *left out* is the mean error of the publication left out at
their choice, *shipped* the error at the shipped value.

"""
FAMILIES = """
## By family

The families, one file of runs each, that a constant was tried on, and every family's mean error of
the step time at the ratio that the publications other than its own choose. All constants but the
tried one are as shipped; they have seen the family.

"""
RATIOS = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15)
DEVICES = {
    "a100-sxm-80gb": ("sustained.matmul", "sustained.links", "memory.efficiency"),
    "h100-sxm-80gb": (
        "sustained.matmul",
        "sustained.attention",
        "matmul.efficiency_8bit",
        "sustained.links",
        "memory.efficiency",
    ),
    "b200-sxm": ("matmul.efficiency", "matmul.efficiency_8bit"),
    "gb200": ("matmul.efficiency", "matmul.efficiency_8bit"),
    "gb300": ("matmul.efficiency_8bit",),
}
SOFTWARE = {
    "megatron-core": (
        "host_launch",
        "collective_launch",
        "expert.product_launch",
        "expert.overlapped_share",
    ),
    "megatron-core-perf": ("expert.quantized_launch",),
    "megatron-core-mlperf": ("step_overhead",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """`path` of a value in the file `name` of a device or a software profile."""

    kind: str
    name: str
    path: str

    @property
    def words(self) -> str:
        """As a row begins."""
        return f"`{self.path}` of {self.name}"

    def scaled(self, run: Run, ratio: float) -> Run:
        """The run with the constant at that ratio of its shipped value."""
        if self.kind == "device":
            return replace(run, cluster=with_device(run.cluster, _device(self, ratio)))
        software = _scaled(run.job.software, self.path.split("."), ratio)
        return replace(run, job=replace(run.job, software=software))

    def counts(self, run: Run) -> bool:
        """Whether the run has the device or the profile."""
        if self.kind == "software":
            return run.job.software.name == self.name
        return {group.device.name for group in run.cluster.node_groups} == {self.name}


@cache
def _device(constant: Constant, ratio: float) -> DeviceSpec:
    device: DeviceSpec = _scaled(load_device(constant.name), constant.path.split("."), ratio)
    return device


def _scaled(part: Any, path: Sequence[str], ratio: float) -> Any:
    if not path:
        return part.model_copy(update={"value": part.value * ratio})
    name, *rest = path
    return part.model_copy(update={name: _scaled(getattr(part, name), rest, ratio)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Mean errors of the step time at every ratio, by publication and file of runs."""

    by_file: dict[str, dict[str, list[float]]]

    @property
    def by_source(self) -> dict[str, list[float]]:
        """By publication: of its files, each weighted alike."""
        return {
            source: [mean(column) for column in zip(*files.values(), strict=True)]
            for source, files in self.by_file.items()
        }


def tried(constant: Constant, files: dict[str, tuple[str, list[Run]]]) -> Tried:
    """The errors of every file with runs that the constant counts for."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, (source, runs) in files.items():
        counted = [run for run in runs if constant.counts(run)]
        each = [_errors([constant.scaled(run, ratio) for run in counted]) for ratio in RATIOS]
        if all(each):
            found.setdefault(source, {})[name] = [mean(one) for one in each]
    return Tried(by_file=found)


def _errors(runs: list[Run]) -> list[float]:
    """Of those whose step was measured."""
    steps = [compare_run(run).step for run in runs]
    return [abs(step.error) for step in steps if step is not None]


def best(by_source: dict[str, list[float]], without: str | None = None) -> int:
    """The place of the ratio with the least mean error over the publications but one."""
    kept = [row for source, row in by_source.items() if source != without]
    sums = [sum(column) for column in zip(*kept, strict=True)]
    return min(range(len(RATIOS)), key=lambda place: (sums[place], abs(RATIOS[place] - 1)))


def row(constant: Constant, by_source: dict[str, list[float]]) -> str:
    """A constant's row of the first table."""
    shipped, chosen = RATIOS.index(1.0), best(by_source)
    cells = [constant.words, str(len(by_source)), f"{RATIOS[chosen]:g}"]
    if len(by_source) > 1:
        others = {source: best(by_source, source) for source in by_source}
        spread = sorted({RATIOS[place] for place in others.values()})
        left_out = mean([by_source[source][place] for source, place in others.items()])
        ends = [f"{spread[0]:g}", f"{spread[-1]:g}"]
        cells += [" to ".join(dict.fromkeys(ends)), f"{left_out:.1%}"]
    else:
        cells += ["-", "-"]
    cells.append(f"{mean([errors[shipped] for errors in by_source.values()]):.1%}")
    return "| " + " | ".join(cells) + " |"


def families_row(constant: Constant, found: Tried) -> str:
    """A constant's row of the second table."""
    by_source = found.by_source
    said = []
    for source, files in found.by_file.items():
        place = best(by_source, source) if len(by_source) > 1 else RATIOS.index(1.0)
        said += [f"{name} {errors[place]:.1%}" for name, errors in files.items()]
    return f"| {constant.words} | {', '.join(sorted(said))} |"


def constants(wanted: list[str]) -> Iterator[Constant]:
    for kind, listed in (("device", DEVICES), ("software", SOFTWARE)):
        for name, paths in listed.items():
            for path in paths:
                if not wanted or any(word in f"{path} of {name}" for word in wanted):
                    yield Constant(kind=kind, name=name, path=path)


def main(arguments: list[str]) -> None:
    references, files = References(), {}
    for name in list_shipped("runs"):
        loaded = load_runs(resolve("runs", name), references)
        files[name] = (publication(loaded.source), list(loaded.runs))
    first = [
        "| constant | publications | best ratio | without one | left out | shipped |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    second = ["| constant | families, each as if left out |", "|---|---|"]
    for constant in constants([word for word in arguments if word != "--write"]):
        found = tried(constant, files)
        first.append(row(constant, found.by_source))
        second.append(families_row(constant, found))
        print(first[-1], second[-1], sep="\n", flush=True)
    if "--write" in arguments:
        tables = "\n".join(first) + "\n" + FAMILIES + "\n".join(second) + "\n"
        DOCUMENT.write_text(HEADING + tables, encoding="utf-8")
        print(f"{DOCUMENT} is new")


if __name__ == "__main__":
    main(sys.argv[1:])
