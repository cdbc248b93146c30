"""Device files: what one accelerator can do, every constant with its basis and source."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import PrivateAttr, model_validator

from planner.specs.device_parts import (
    Attention,
    CollectiveLinks,
    DeviceHost,
    DeviceMemory,
    GroupedMatmulConstants,
    MatmulConstants,
    NodeLinks,
    Peak,
    Sustained,
)
from planner.specs.files.fields import Constant, Fraction, Input, Name, Seconds, Text, Watts
from planner.specs.files.general import general
from planner.specs.files.source import SourceFile
from planner.specs.library import CollectiveLibrary, LibraryReference, usual_library, vendor_library
from planner.specs.like import flop_per_s_each, peak_of, spelled_out, stand_ins

Precision = Literal["fp32", "tf32", "fp16", "bf16", "fp8", "mxfp8", "nvfp4"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Generation = Literal[
    "volta", "turing", "ampere", "ada", "hopper", "blackwell", "cdna2", "cdna3", "cdna4"
]


class DeviceSpec(Input):
    """One accelerator: memory, peak rates, and the few constants of its kernels and links. Name,
    memory, 16-bit peak and generation suffice."""

    name: Name
    """The name cluster files use. Default with `like`: like-NAME."""
    like: Text | None = None
    """A shipped device, or a device file: what is left out here is as there. A stated `peak`
    replaces all of its number formats."""
    generation: Generation | None = None
    """Kernels and links that are left out are inferred from a shipped device of this generation."""
    vendor: Text = "nvidia"
    family: Text | None = None
    """Devices with kernels like those of this one, such as hopper: confidence ranges count their
    measured runs as runs of like devices. Default: that of the device it is `like`, or of the
    device that stands for its `generation`, else none."""
    collectives: LibraryReference | None = None
    """The collective library that moves data between devices. Default: the one shipped for the
    vendor."""
    power: Constant[Watts] | None = None
    """Electrical power that the data sheet states, of one device."""
    memory: DeviceMemory
    peak: Peak
    matmul: MatmulConstants
    grouped_matmul: GroupedMatmulConstants = GroupedMatmulConstants()
    attention: Attention = Attention()
    host: DeviceHost = DeviceHost()
    kernel_latency: Constant[Seconds] = general("device", "kernel_latency", Constant[Seconds])
    """Start and drain of one kernel on the device."""
    intra_node: NodeLinks | None = None
    links: CollectiveLinks = CollectiveLinks()
    sustained: Sustained = Sustained()
    speed_variation: Constant[Fraction] = general("device", "speed_variation", Constant[Fraction])
    """Relative standard deviation of step speed among devices of the type."""

    _source: SourceFile | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _in_few_figures(cls, given: object) -> object:
        """A bare memory is its capacity, a bare peak that of 16 bits; without multiprocessors the
        peak tells about how many."""
        if not isinstance(given, dict):
            return given
        peak, matmul = given.get("peak"), given.get("matmul", {})
        tree = spelled_out(given)
        if isinstance(peak, str):
            tree["peak"] = {"fp16": peak, "bf16": peak}
        if isinstance(matmul, dict) and "multiprocessors" not in matmul:
            count = {
                "value": max(1, round((peak_of(given) or 0) / flop_per_s_each())),
                "basis": "default",
                "source": "inferred from the 16-bit peak, at the rate of one of "
                f"{stand_ins().multiprocessor}",
            }
            tree["matmul"] = {**matmul, "multiprocessors": count}
        return tree

    @property
    def inferred(self) -> str | None:
        """Where figures come from that the file leaves out, in words; None where it leaves none."""
        if self.like is not None:
            return f"device {self.name}: what it does not state is as of {self.like}"
        if self.generation is not None:
            stands = stand_ins().generations[self.generation]
            return f"device {self.name}: kernels and links inferred from {stands}"
        if self.matmul.multiprocessors.basis == "default":
            return f"device {self.name}: general values for kernels and links (no generation given)"
        return None

    @property
    def library(self) -> CollectiveLibrary:
        """The collective library: the one named, else the vendor's, else the usual one."""
        return self.collectives or vendor_library(self.vendor) or usual_library()

    @property
    def source(self) -> SourceFile | None:
        """The file the device was read from; None when it was written inline."""
        return self._source
