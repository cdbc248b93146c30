"""What a job sets in its framework, in place of what the software profile does by default."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.specs import ranges
from planner.specs.settings_values import (
    ALLOCATORS,
    MASTERS,
    OFFLOADED,
    PLACES,
    RECOMPUTED,
    STATES,
    check_choices,
    check_together,
    modules_of,
    moments_of,
    packed_of,
    ranks_of,
)
from planner.specs.software_words import (
    MOST_STRIDE,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from planner.specs.software import SoftwareProfile
    from planner.specs.software_offload import Offload

_FIELDS: dict[str, tuple[str | None, str]] = {
    "gradients": (None, "gradient_dtype"),
    "loss_chunks": ("fused", "loss_chunks"),
    "expert_capacity": ("expert", "capacity_factor"),
    "pad_experts": ("expert", "padded"),
    "allocator": (None, "allocator"),
    "uneven_replicas": (None, "uneven_replicas"),
    "context_heads": (None, "context_heads"),
    "start_whole": ("full_sharding", "starts_whole"),
    "fp8_param_gather": ("fp8", "parameter_gather"),
    "resumes": ("resume", "counts"),
    "offload_to": ("offload", "to"),
    "update_stride": ("offload", "stride"),
}
"""The part of a profile, and its field, that a setting changes."""
_NEEDED: dict[str, Callable[[SoftwareProfile], bool]] = {
    "loss_chunks": lambda software: software.fused.chunks_loss,
    "expert_capacity": lambda software: software.expert.drops_tokens,
    "pad_experts": lambda software: software.expert.drops_tokens,
    "allocator": lambda software: True,
    "resumes": lambda software: True,
    "uneven_replicas": lambda software: True,
    "context_heads": lambda software: software.exchanges_heads,
    "offload_to": lambda software: bool(software.offload.nvme),
    "update_stride": lambda software: software.offload.interleaves,
    "start_whole": lambda software: "full" in software.data_sharding.choices,
    "fp8_param_gather": lambda software: bool(software.fp8.parameter_gather_choices),
}
"""Whether a framework has the choice."""
_OF_STATES = {
    "master_weights",
    "master_weight_dtype",
    "optimizer_state_dtype",
    "second_moment_dtype",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """None: as the profile does it.

    `master_weights`: the type of the optimizer's copy of the weights, "none" for no copy;
    `moments`: that of its first moment, and of its second where it differs; `gradients`: the type
    in which gradients are kept over the microbatches of a step; `loss_chunks`: chunks in which
    output layer and loss take the tokens of a microbatch; `expert_capacity`: tokens that an expert
    takes at most, over the mean, and `pad_experts`: always takes; `allocator`: "caching", or
    "expandable" for segments that grow; `context_heads`: context ranks that exchange heads, "all"
    or a number; `packed_length`: tokens of the sequence that a token is in, where several fill the
    job's sequence length (`planner.specs.packed`); `start_whole`: every device makes the whole
    model before it is sharded; `resumes`: the job must fit when it is resumed, too;
    `fp8_param_gather`: weights are gathered and kept in 8 bits;
    `offload_to`: "host" or "nvme", where an offloaded optimizer is;
    `update_stride`: of so many sub-groups of it one is updated on the device;
    `uneven_replicas`: whether replicas may run one microbatch more than others;
    `recompute_modules`: what selective recomputation computes again; `offload_modules`: whose
    activations offloading moves to the hosts.
    """

    master_weights: str | None = None
    moments: tuple[str, ...] | None = None
    gradients: str | None = None
    loss_chunks: int | None = None
    expert_capacity: float | None = None
    pad_experts: bool | None = None
    allocator: str | None = None
    context_heads: int | str | None = None
    packed_length: int | None = None
    longest_packed: int | None = field(default=None, compare=False)
    """Tokens of the longest of these sequences, where they are given one by one."""
    start_whole: bool | None = None
    resumes: bool | None = None
    fp8_param_gather: bool | None = None
    offload_to: str | None = None
    update_stride: int | None = None
    uneven_replicas: bool | None = None
    recompute_modules: tuple[str, ...] | None = None
    offload_modules: tuple[str, ...] | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """What keywords or the keys of a document say. Raises: InputError for a value that there
        is not."""
        return cls(
            master_weights=ranges.word("--master-weights", options.get("master_weights"), MASTERS),
            moments=moments_of(options.get("moments")),
            gradients=ranges.word("--gradients", options.get("gradients"), STATES),
            loss_chunks=ranges.whole(
                "--loss-chunks", options.get("loss_chunks"), most=ranges.MOST_CHUNKS
            ),
            expert_capacity=ranges.positive("--expert-capacity", options.get("expert_capacity")),
            pad_experts=ranges.switch("--pad-experts", options.get("pad_experts")),
            **packed_of(options),
            offload_to=ranges.word("--offload-to", options.get("offload_to"), PLACES),
            update_stride=ranges.whole(
                "--update-stride", options.get("update_stride"), most=MOST_STRIDE, least=2
            ),
            uneven_replicas=ranges.switch("--uneven-replicas", options.get("uneven_replicas")),
            resumes=ranges.switch("--resumes", options.get("resumes")),
            fp8_param_gather=ranges.switch("--fp8-param-gather", options.get("fp8_param_gather")),
            start_whole=ranges.switch("--start-whole", options.get("start_whole")),
            context_heads=ranks_of(options.get("context_heads")),
            allocator=ranges.word("--allocator", options.get("allocator"), ALLOCATORS),
            recompute_modules=modules_of(
                "--recompute-modules", options.get("recompute_modules"), RECOMPUTED
            ),
            offload_modules=modules_of(
                "--offload-modules", options.get("offload_modules"), OFFLOADED
            ),
        )

    @staticmethod
    def in_profile(software: SoftwareProfile, name: str) -> Any:
        """What a profile itself sets, in the form of a setting."""
        if name == "moments":
            both = software.optimizer_state_dtype, software.second_moment_dtype
            return tuple(one for one in both if one is not None)
        if name == "master_weights":
            return software.master_weight_dtype if software.master_weights else "none"
        if name == "packed_length":
            return None
        if name == "recompute_modules":
            return software.recompute.selective_modules
        if name == "offload_modules":
            return software.offload.modules
        part, field = _FIELDS[name]
        return getattr(getattr(software, part) if part else software, field)

    @property
    def modules_stated(self) -> bool:
        """Whether modules of layers are set."""
        return (self.recompute_modules, self.offload_modules) != (None, None)

    @property
    def stated(self) -> dict[str, Any]:
        """Those that are set, by name."""
        names = (one.name for one in fields(self) if one.name != "longest_packed")
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def filled(self, other: Settings) -> Settings:
        """The same, completed by another's."""
        longest = self.longest_packed if self.packed_length else other.longest_packed
        return replace(other, **self.stated, longest_packed=longest)

    def applied(self, software: SoftwareProfile, optimizer: str) -> SoftwareProfile:
        """The profile with these settings. Raises: InputError for what its framework lacks."""
        check_choices("--optimizer", "has", (optimizer,), software.optimizer_choices, software)
        changes = self._changes(software)
        if not changes:
            return software
        states = changes.keys() & _OF_STATES
        if states and software.state_choices.only_adam and optimizer != "adam":
            raise InputError(
                f"software profile {software.name} keeps states in other types for adam only, not "
                f"for {optimizer}"
            )
        changed = software.model_copy(update=changes)
        source = software.source_file
        if source is not None:
            changed._file = replace(source, content=changed.model_copy())
        return changed

    def _changes(self, software: SoftwareProfile) -> dict[str, Any]:
        choices, changes = software.state_choices, dict[str, Any]()
        master = self.master_weights
        if self.moments is not None:
            own = {software.optimizer_state_dtype, software.second_moment_dtype} - {None}
            check_choices(
                "--moments", "keeps moments in", self.moments, (*own, *choices.moments), software
            )
            first, *second = self.moments
            changes["optimizer_state_dtype"] = first
            changes["second_moment_dtype"] = second[0] if second and second[0] != first else None
            if choices.together and master is None and set(self.moments) != {"fp32"}:
                master = "remainders"
        if master is not None:
            kept = self.in_profile(software, "master_weights")
            masters = (kept, *choices.master_weights)
            check_choices(
                "--master-weights", "keeps master weights in", (master,), masters, software
            )
            changes["master_weights"] = master != "none"
            changes["master_weight_dtype"] = "fp32" if master == "none" else master
        if self.gradients is not None:
            kinds = (software.gradient_dtype, *choices.gradients)
            check_choices("--gradients", "keeps gradients in", (self.gradients,), kinds, software)
            changes["gradient_dtype"] = self.gradients
            if choices.reduced_as_kept:
                changes["gradient_reduce_dtype"] = self.gradients
        changes |= self._of_kernels(software)
        changes |= self._of_modules(software, changes.get("offload", software.offload))
        return {name: value for name, value in changes.items() if getattr(software, name) != value}

    def _of_modules(self, software: SoftwareProfile, offload: Offload) -> dict[str, Any]:
        """What selective recomputation and offloading are told to do."""
        found: dict[str, Any] = {}
        recompute = software.recompute
        if self.recompute_modules is not None:
            known: tuple[str, ...] = (*recompute.selective_modules, *recompute.module_choices)
            check_choices(
                "--recompute-modules", "recomputes", self.recompute_modules, known, software
            )
            found["recompute"] = recompute.model_copy(
                update={"selective_modules": self.recompute_modules}
            )
        if self.offload_modules is not None:
            known = (*offload.modules, *offload.module_choices)
            check_choices("--offload-modules", "offloads", self.offload_modules, known, software)
            check_together(self.offload_modules)
            found["offload"] = offload.of_modules(self.offload_modules)
        return found

    def _of_kernels(self, software: SoftwareProfile) -> dict[str, Any]:
        """What is neither a state of the optimizer nor a gradient."""
        if self.pad_experts and self.expert_capacity is None:
            raise InputError(
                "--pad-experts: experts are padded to --expert-capacity, which is missing"
            )
        found: dict[str, Any] = {}
        for name, has in _NEEDED.items():
            value = getattr(self, name)
            if value is None:
                continue
            if not has(software) and value != self.in_profile(software, name):
                option = ranges.option_name(name)
                raise InputError(f"{option}: software profile {software.name} has no such choice")
            part, field = _FIELDS[name]
            if part is None:
                found[field] = value
            else:
                before = found.get(part) or getattr(software, part)
                found[part] = before.model_copy(update={field: value})
        return found


AS_THE_PROFILE = Settings()
"""A job that sets nothing."""
