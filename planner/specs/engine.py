"""Engine profiles: what a serving engine does, every constant with its basis and source."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import PrivateAttr

from planner.specs.engine_kernels import Kernels, KernelTable
from planner.specs.files import catalog
from planner.specs.files.fields import (
    Basis,
    Bytes,
    Constant,
    Count,
    Fraction,
    Input,
    Name,
    Number,
    Seconds,
    Text,
)
from planner.specs.files.problems import validate
from planner.specs.files.source import SourceFile
from planner.specs.files.yaml_file import load_document
from planner.specs.like import completed_profile
from planner.specs.load import completed_document

if TYPE_CHECKING:
    from planner.specs.device import DeviceSpec


class LayerCounts(Input):
    """How many there are in each part of a layer."""

    basis: Basis
    source: Text
    attention: Kernels
    latent_attention: Kernels
    """Attention over a compressed KV cache."""
    mlp: Kernels
    experts: Kernels
    """A mixture, without its shared experts."""
    shared_experts: Kernels
    """Shared experts whose products are their own: with their sum."""
    indexer: Kernels
    """What picks the keys of sparse attention, beside its products."""


class HostTimes(Input):
    """What the host costs."""

    step: Constant[Seconds]
    """Scheduling, sampling and output of one step."""
    launch: Constant[Seconds]
    """One operator outside of a recorded graph."""
    late_steps: Constant[Number]
    """Steps that are already on their way when a request arrives, and before a result is seen."""
    request: Constant[Seconds]
    """From the client to the scheduler and back: network, tokens from text, text from tokens."""
    intake: Constant[Seconds]
    """What the front end takes for one request before it takes the next: they arrive one after the
    other, however many are sent at once."""
    token_intake: Constant[Seconds]
    """Added for each token of a prompt: making tokens of its text."""
    per_sequence: Constant[Seconds]
    """Added to a step for each running sequence."""


class Gather(Input):
    """Prompts wait for others to share their step."""

    steps: Count
    """At most so many decoding steps, from the first one that waits."""
    share: Fraction
    """Of `max_step_tokens`: as many tokens of prompts start at once."""


class DeviceLimits(Input):
    """Defaults on devices with less than so much memory, or of a family."""

    below: Bytes | None = None
    family: Text | None = None
    max_step_tokens: Count
    max_running: Count | None = None
    """None: as elsewhere."""

    def holds(self, capacity_bytes: float, family: str | None) -> bool:
        """Whether a device is one of them."""
        smaller = self.below is None or capacity_bytes < self.below
        return smaller and self.family in (None, family)


class Scheduler(Input):
    """Which work one step holds."""

    basis: Basis
    source: Text
    max_step_tokens: Count
    """Prompt tokens of one step, at most (with those that decode, where steps are mixed)."""
    mixed: bool
    """Prompts and decoding share a step; otherwise prompts go first and decoding waits."""
    chunked: bool
    """A prompt may be split over steps."""
    max_running: Count
    on_devices: tuple[DeviceLimits, ...] = ()
    """Other defaults of these two; the first entry about a device holds."""
    reserve_output: Fraction
    """Share of the output that must find room in the KV cache before a request starts."""
    poll_steps: Count
    """Decoding steps between two looks for new requests."""
    gather: Gather | None = None
    graph_tokens: Count
    """Steps of at most this many tokens, none of a prompt, replay a recorded graph."""


class MemoryRule(Input):
    """How much memory the KV cache gets."""

    share: Constant[Fraction]
    of: Literal["total", "free"]
    """`total`: the share holds weights, activations and KV cache together. `free`: the KV cache
    takes the share of what weights and activations leave."""
    other: Constant[Bytes] | None = None
    """Graphs and libraries, where the share holds them."""
    across: Constant[Bytes] | None = None
    """Buffers of communication besides, where a stage has several devices."""
    logits: Constant[Number] | None = None
    """Copies in fp32 of the whole vocabulary, for each of the most running sequences, that live at
    once while tokens are chosen; none where only one copy of a device's own part is counted."""
    block_tokens: Count
    prefix_cache: Constant[bool] | None = None
    """Whether blocks of earlier prompts are found again by their tokens; none where nothing is
    stated."""
    whole_context: Constant[bool] | None = None
    """Whether layers that attend to a window cache the whole context all the same; none where they
    cache the window."""


class Handover(Input):
    """Which replicas may continue what others read: how degrees of decode replicas stand to those
    of prefill replicas."""

    basis: Basis
    source: Text
    tensor: Literal["multiple", "divisible"]
    """`multiple`: the decode degree is a multiple of the prefill degree. `divisible`: one of them
    divides the other."""
    pipeline: Literal["one", "same or one", "any"]
    """`one`: neither has stages. `same or one`: decode replicas have as many stages, or one."""


class EngineProfile(Input):
    """One serving engine at some version."""

    name: Name
    like: Text | None = None
    """Another engine file that has what this one does not state."""
    arguments_of: Name | None = None
    """The engine whose arguments it takes, where that has another name: exports are those of it."""
    version: Text
    description: Text
    source: Text
    kv_format: Literal["bf16", "fp8"]
    """Of the KV cache where a run does not state it."""
    kv_source: Text
    scheduler: Scheduler
    memory: MemoryRule
    handover: Handover | None = None
    """Between prefill and decode replicas; none where nothing is known to be refused."""
    expert_location: Constant[bool] | None = None
    """Whether it takes a file that says which device holds which experts; none where nothing is
    stated."""
    host: HostTimes
    small_kernels: LayerCounts
    """Elementwise kernels of a recorded graph: norms, rotation, KV write, activation, selection."""
    reduces_norms: Constant[bool] | None = None
    """Whether the all-reduce at the end of a part holds the norm after it. Where one rank has
    nothing to reduce, each part has one kernel more; none: norms are among the kernels."""
    launches: LayerCounts
    """Everything that the host launches for a step with a prompt, which no graph holds."""
    kernels: dict[str, KernelTable]
    """By device, or by family of devices."""
    blend: Constant[Number]
    """The exponent x of products and attention."""
    expert_blend: Constant[Number]
    """The exponent x of experts, whose tiles differ in load."""

    _file: SourceFile | None = PrivateAttr(default=None)

    def on(self, device: DeviceSpec) -> EngineProfile:
        """The engine with its defaults on a device."""
        capacity_bytes, rule = device.memory.capacity.value, self.scheduler
        for one in rule.on_devices:
            if one.holds(capacity_bytes, device.family):
                running = one.max_running or rule.max_running
                limits = {"max_step_tokens": one.max_step_tokens, "max_running": running}
                scheduler = rule.model_copy(update=limits)
                return self.model_copy(update={"scheduler": scheduler})
        return self

    def table_of(self, device: str, family: str | None) -> KernelTable | None:
        """Kernels on a device, or else on its family; None without any."""
        return self.kernels.get(device) or self.kernels.get(family or "")

    @property
    def spoken_to_as(self) -> str:
        """The engine whose arguments it takes."""
        return self.arguments_of or self.name

    @property
    def keeps_prefixes(self) -> bool:
        """Whether blocks of earlier prompts are found again."""
        stated = self.memory.prefix_cache
        return stated is not None and stated.value

    @property
    def reads_placement(self) -> bool:
        """Whether experts may lie otherwise than in their order."""
        stated = self.expert_location
        return stated is not None and stated.value

    @property
    def source_file(self) -> SourceFile | None:
        """The file that it was read from."""
        return self._file


def load_engine(name_or_path: str | Path) -> EngineProfile:
    """A serving engine. Raises: InputError."""
    document = load_document(catalog.resolve("engine", name_or_path))
    refer = partial(catalog.refer, "engine")
    document = completed_document(document, completed_profile, refer)
    engine = validate(document, EngineProfile)
    engine._file = SourceFile(path=document.path, sha256=document.sha256)
    return engine
