"""What serves what: a model in some formats on one replica of devices under an engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from planner.errors import RuleError
from planner.serving.heads import check_heads
from planner.specs.serving import serving_defaults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.hardware.links import ProcessGroup
    from planner.serving.placement import ExpertRouting, PlacedExperts
    from planner.specs.device import DeviceSpec
    from planner.specs.engine import EngineProfile
    from planner.specs.engine_kernels import (
        ExpertLaw,
        KernelLaw,
        KernelTable,
        PromptLaw,
        ReadingLaw,
    )
    from planner.specs.model.spec import ModelSpec

L = TypeVar("L")

WEIGHT_BYTES = {
    "bf16": 2.0,
    "fp8": 1.0,
    "fp8-block": 1.0 + 4 / 128**2,
    "int8": 1.0,
    "mxfp4": 0.5 + 1 / 32,
    "nvfp4": 0.5 + 1 / 16,
    "int4": 0.5 + 2 / 32,
}
"""Bytes of one weight, scales included: one fp32 scale for 128 x 128 weights of fp8-block, one byte
for 32 (mxfp4) or 16 weights (nvfp4), two bytes for 32 (int4)."""
DRAFT_WEIGHTS = "bf16"
"""Format of the weights of a model that drafts, as such checkpoints are published."""
KV_BYTES = {"bf16": 2.0, "fp8": 1.0}
"""Bytes of one element of the KV cache."""


PROMPT_ARITHMETIC = "bf16"
"""Attention of prompts multiplies in 16 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingDegrees:
    """How one replica is divided. Attention is divided `tensor` ways in each of `attention_data`
    ranks that hold requests of their own; experts are divided over all of a stage's devices, first
    `expert` ways by whole experts."""

    tensor: int = 1
    pipeline: int = 1
    attention_data: int = 1
    expert: int = 1

    @property
    def stage_devices(self) -> int:
        return self.tensor * self.attention_data

    @property
    def devices(self) -> int:
        return self.stage_devices * self.pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafting:
    """Drafts of `tokens` tokens, of which a step keeps `tokens_per_step` - 1. `model` writes them:
    another model, or the one `own_layer` of the same that is for later tokens; None: they cost
    nothing."""

    tokens: int
    tokens_per_step: float
    model: ModelSpec | None = None
    own_layer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLink:
    """Between two stages of a replica: bytes/s of one device, and the latency of a message."""

    bytes_per_s: float
    latency_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ServingScenario:
    """One replica. `weights` and `kv` are formats of weights and of the KV cache. Compared by
    identity, so that its prices are kept at no cost. Raises: RuleError."""

    model: ModelSpec
    device: DeviceSpec
    engine: EngineProfile
    weights: str
    kv: str
    degrees: ServingDegrees
    stated_link_bytes_per_s: float | None = None
    """Of one device, one direction; None: what the device file says."""
    stage_link: StageLink | None = None
    """None: sends between stages take no time."""
    stage_group: ProcessGroup | None = None
    """The devices of a stage, where they lie in several fast fabrics; None: one holds them."""
    drafting: Drafting | None = None
    """Drafts of tokens; None: one token for each sequence in a step."""
    routing: ExpertRouting | None = None
    """How tokens choose experts; None: each as often as any other."""

    def __post_init__(self) -> None:
        degrees = self.degrees
        if degrees.stage_devices % degrees.expert:
            raise RuleError(
                "expert",
                f"expert degree {degrees.expert} does not divide the {degrees.stage_devices} "
                "devices of a stage",
            )
        check_heads(self.model, degrees.tensor)
        laws = [self.product_law(part) for part in (self.attention_format, self.shared_format)]
        if self.model.moe is not None:
            laws.append(self.expert_law())
        if self.model.mla is None:
            self.attention_law()
        else:
            laws.append(self.latent_law())
        self.prompt_law()
        for law in laws:
            self.peak(law.arithmetic)

    @property
    def queries(self) -> int:
        """Tokens of each decoding sequence in a step."""
        return 1 if self.drafting is None else 1 + self.drafting.tokens

    @cached_property
    def drafter(self) -> ServingScenario | None:
        """What writes drafts on the same devices, layer for layer; None where nothing does. Raises:
        RuleError."""
        if self.drafting is None or self.drafting.model is None:
            return None
        model = self.drafting.model
        weights = self.weights if self.drafting.own_layer else DRAFT_WEIGHTS
        degrees = self.degrees if model.moe is not None else replace(self.degrees, expert=1)
        return replace(
            self,
            model=model,
            weights=weights,
            degrees=replace(degrees, pipeline=1),
            stage_link=None,
            drafting=None,
            routing=None,
        )

    @cached_property
    def placed(self) -> PlacedExperts | None:
        """Experts on the devices of a stage; None where their counts are not known. Raises:
        InputError."""
        return None if self.routing is None else self.routing.on(self.degrees.expert)

    @cached_property
    def table(self) -> KernelTable:
        """Kernels of the engine on this device, or else on its family. Raises: RuleError."""
        family = self.device.family
        table = self.engine.table_of(self.device.name, family)
        if table is None:
            raise RuleError(
                "engine",
                f"{self.engine.name} has no kernels for {self.device.name} "
                f"(family {family or 'not stated'})",
                hint=f"it has those of {', '.join(self.engine.kernels)}",
            )
        return table

    def peak(self, arithmetic: str) -> float:
        """Dense flop/s of the device in a number format. Raises: RuleError."""
        rate = self.device.peak.by_format().get(arithmetic)
        if rate is None:
            raise RuleError("format", f"{self.device.name} states no peak rate in {arithmetic}")
        return rate

    def sustained_peak(self, arithmetic: str) -> float:
        """The same as products find it that follow each other without a pause, at the power that
        the device may take: as in training steps. Raises: RuleError."""
        return self.peak(arithmetic) * self.device.sustained.matmul.value

    @property
    def prompt_flop_per_s(self) -> float:
        """Attention of prompts multiplies in 16 bits, one prompt after the other. Raises:
        RuleError."""
        return self.peak(PROMPT_ARITHMETIC) * self.device.sustained.attention.value

    def product_law(self, number_format: str) -> KernelLaw:
        """Products with weights in a format. Raises: RuleError."""
        return self._law("products", self.table.products, number_format)

    def expert_law(self) -> ExpertLaw:
        """Raises: RuleError."""
        return self._law("experts", self.table.experts, self.expert_format)

    def attention_law(self) -> ReadingLaw:
        """Decode attention over a cache of keys and values. Raises: RuleError."""
        return self._law("attention", self.table.attention, self.kv)

    def latent_law(self) -> KernelLaw:
        """Decode attention over a compressed cache. Raises: RuleError."""
        return self._law("latent attention", self.table.latent_attention, self.kv)

    def prompt_law(self) -> PromptLaw:
        """Attention of prompts, over either kind of cache. Raises: RuleError."""
        if self.model.mla is None:
            return self._law("attention of prompts", self.table.prefill_attention, self.kv)
        laws = self.table.latent_prefill_attention
        return self._law("latent attention of prompts", laws, self.kv)

    def _law(self, part: str, laws: Mapping[str, L], number_format: str) -> L:
        law = laws.get(number_format)
        if law is None:
            raise RuleError(
                "format",
                f"{self.engine.name} has no {part} in {number_format} on {self.device.name}",
                hint=f"it has {', '.join(laws)}",
            )
        return law

    @property
    def expert_format(self) -> str:
        """Of routed experts; of all weights in a model without any."""
        return self.weights

    @property
    def attention_format(self) -> str:
        return self._mixture("attention")

    @property
    def shared_format(self) -> str:
        """Of dense layers and shared experts."""
        return self._mixture("shared")

    def _mixture(self, part: str) -> str:
        formats = serving_defaults().mixtures.get(self.weights)
        if self.model.moe is None or formats is None:
            return self.weights
        return str(getattr(formats, part))

    @cached_property
    def memory_bytes_per_s(self) -> float:
        return self.device.memory.bandwidth.value

    @cached_property
    def link_bytes_per_s(self) -> float:
        """Of one device, one direction. Raises: RuleError."""
        if self.stated_link_bytes_per_s is not None:
            return self.stated_link_bytes_per_s
        links = self.device.intra_node
        if links is None:
            raise RuleError("device", f"{self.device.name} states no links inside a node")
        return links.bandwidth.value

    @cached_property
    def kv_heads(self) -> int:
        """KV heads that one rank of the tensor group holds."""
        return -(-self.model.num_query_groups // self.degrees.tensor)

    @cached_property
    def heads(self) -> int:
        """Query heads of one rank."""
        return -(-self.model.num_attention_heads // self.degrees.tensor)
