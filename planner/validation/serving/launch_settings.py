"""What a launch sets of an engine, where its profile has something else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from planner.specs.engine import EngineProfile, Gather
    from planner.specs.engine_kernels import ExpertLaw, KernelTable, Untuned


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSettings:
    """What a launch sets; None where an engine's profile holds."""

    kv_format: Literal["bf16", "fp8"] | None = None
    max_step_tokens: int | None = None
    max_running: int | None = None
    mixed: bool | None = None
    chunked: bool | None = None
    poll_steps: int | None = None
    gather: Gather | None = None
    memory_share: float | None = None
    step_s: float | None = None
    """What the host adds to a step."""
    rounds: int | None = None
    """Requests of each client."""
    least: float | None = None
    """Lengths are uniform from this share of the stated ones on."""
    drafts: bool = False
    untuned: Untuned | None = None
    """Products in `weights` that the image had no tuned kernels for."""
    experts: ExpertLaw | None = None
    """Of mixtures in `weights`."""
    weights: str = ""
    """The format that `untuned` and `experts` are about."""

    def applied(self, engine: EngineProfile) -> EngineProfile:
        """The engine as it was launched."""
        names = ("max_step_tokens", "max_running", "mixed", "chunked", "poll_steps", "gather")
        stated = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        scheduler = engine.scheduler.model_copy(update=stated)
        memory = engine.memory
        if self.memory_share is not None:
            share = memory.share.model_copy(update={"value": self.memory_share})
            memory = memory.model_copy(update={"share": share})
        host = engine.host
        if self.step_s is not None:
            step = host.step.model_copy(update={"value": self.step_s})
            host = host.model_copy(update={"step": step})
        kv_format = self.kv_format or engine.kv_format
        changed: dict[str, object] = {
            "scheduler": scheduler,
            "memory": memory,
            "host": host,
            "kv_format": kv_format,
        }
        if self.untuned is not None or self.experts is not None:
            tables = engine.kernels.items()
            changed["kernels"] = {name: self._launched(table) for name, table in tables}
        return engine.model_copy(update=changed)

    def _launched(self, table: KernelTable) -> KernelTable:
        """Kernels of a table as far as it has some for the weights."""
        changed: dict[str, object] = {}
        law = table.products.get(self.weights)
        if self.untuned is not None and law is not None:
            slow = law.model_copy(update={"untuned": self.untuned})
            changed["products"] = table.products | {self.weights: slow}
        if self.experts is not None and self.weights in table.experts:
            changed["experts"] = table.experts | {self.weights: self.experts}
        return table.model_copy(update=changed)


AS_STATED = LaunchSettings()
"""What an engine's profile has."""
