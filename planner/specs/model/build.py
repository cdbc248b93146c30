"""From a model file to a `ModelSpec`: rules between fields, and every gap filled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.specs.files.problems import in_order, validate
from planner.specs.model.architecture import ARCHITECTURES, Architecture
from planner.specs.model.file import ModelInput
from planner.specs.model.spec import (
    IndexerSpec,
    MlaSpec,
    ModelSpec,
    MoeSpec,
    Norm,
    ParameterCounts,
    TrainingDefaults,
)
from planner.specs.names import as_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.specs.files.document import Document
    from planner.specs.files.source import SourceFile


def build_model(document: Document, *, name: str, source: SourceFile | None = None) -> ModelSpec:
    """The model a document describes; `name` is taken when the document gives none,
    with dashes for characters that a name cannot hold.

    Raises: InputError with every problem and its place.
    """
    given = validate(document, ModelInput)
    problems = list(_broken_rules(document, given))
    if problems:
        raise InputError.of(in_order(problems))
    return _Filled(given).spec(given.name or as_name(name, otherwise="unnamed"), source)


def _broken_rules(document: Document, given: ModelInput) -> Iterator[InputError]:
    heads, hidden = given.num_attention_heads, given.hidden_size
    groups = given.num_query_groups
    if groups is not None and heads % groups:
        yield document.error(
            f"num_attention_heads {heads} is not a multiple of {groups} query groups",
            ("num_query_groups",),
        )
    if given.head_dim is None and given.mla is None and hidden % heads:
        yield document.error(
            f"hidden_size {hidden} is not a multiple of {heads} attention heads",
            ("num_attention_heads",),
            hint="give head_dim where heads do not divide the hidden size",
        )
    if given.attention_window is not None and given.attention_chunk is not None:
        yield document.error(
            f"attention_window {given.attention_window} is given too; a local layer has either",
            ("attention_chunk",),
        )
    yield from _broken_moe_rules(document, given)


def _broken_moe_rules(document: Document, given: ModelInput) -> Iterator[InputError]:
    moe, architecture = given.moe, ARCHITECTURES[given.architecture]
    if moe is None:
        if architecture.mixture:
            yield document.error(
                f"moe is missing; architecture {given.architecture} is a mixture of experts and "
                "needs moe: {num_experts, top_k}"
            )
        elif given.ffn_hidden_size is None and _is_gated(given):
            yield document.error("ffn_hidden_size is missing; a gated MLP has no usual size")
        return
    if moe.top_k > moe.num_experts:
        yield document.error(
            f"top_k {moe.top_k} is more than the {moe.num_experts} experts", ("moe", "top_k")
        )
    if moe.num_experts % moe.num_groups:
        yield document.error(
            f"num_groups {moe.num_groups} does not divide the {moe.num_experts} experts",
            ("moe", "num_groups"),
        )
    elif moe.group_top_k is not None and moe.group_top_k > moe.num_groups:
        yield document.error(
            f"group_top_k {moe.group_top_k} is more than the {moe.num_groups} groups",
            ("moe", "group_top_k"),
        )
    elif (
        moe.group_top_k is not None
        and moe.group_top_k * (moe.num_experts // moe.num_groups) < moe.top_k
    ):
        yield document.error(
            f"{moe.group_top_k} groups of {moe.num_experts // moe.num_groups} experts hold fewer "
            f"than top_k {moe.top_k}",
            ("moe", "group_top_k"),
        )
    if moe.first_dense_layers > given.num_layers:
        yield document.error(
            f"{moe.first_dense_layers} dense layers are more than the {given.num_layers} layers",
            ("moe", "first_dense_layers"),
        )
    if given.ffn_hidden_size is None and _is_gated(given):
        if moe.ffn_hidden_size is None:
            yield document.error("ffn_hidden_size is missing, and so is moe.ffn_hidden_size")
        elif moe.first_dense_layers or moe.layer_frequency > 1:
            yield document.error("ffn_hidden_size is missing; some layers are not mixtures")


def _is_gated(given: ModelInput) -> bool:
    architecture = ARCHITECTURES[given.architecture]
    return architecture.gated_mlp if given.gated_mlp is None else given.gated_mlp


class _Filled:
    """A model input with every gap filled, remembering what was filled in."""

    def __init__(self, given: ModelInput) -> None:
        self._given = given
        self._architecture = ARCHITECTURES[given.architecture]
        self._from_architecture: list[str] = []
        self._derived: list[str] = []

    def spec(self, name: str, source: SourceFile | None) -> ModelSpec:
        given = self._given
        norm: Norm = self._default("norm")
        norm_bias = self._rare("norm_bias", norm == "layernorm")
        spec = ModelSpec(
            name=name,
            architecture=given.architecture,
            num_layers=given.num_layers,
            hidden_size=given.hidden_size,
            ffn_hidden_size=self._ffn_hidden_size(),
            num_attention_heads=given.num_attention_heads,
            num_query_groups=self._num_query_groups(),
            head_dim=self._head_dim(),
            vocab_size=given.vocab_size,
            seq_length=given.seq_length,
            norm=norm,
            norm_bias=norm_bias,
            norm_scale=self._rare("norm_scale"),
            norms_per_layer=self._default("norms_per_layer"),
            gated_mlp=self._default("gated_mlp"),
            activation=self._default("activation"),
            tie_embeddings=self._default("tie_embeddings"),
            position_embedding=self._default("position_embedding"),
            qkv_bias=self._qkv_bias(),
            attention_bias=self._default("attention_bias"),
            linear_bias=self._default("linear_bias"),
            parallel_attention=self._default("parallel_attention"),
            embedding_norm=self._default("embedding_norm"),
            post_norm=self._rare("post_norm"),
            head_bias=self._rare("head_bias"),
            qk_norm=self._default("qk_norm"),
            qk_norm_scale=self._rare("qk_norm_scale"),
            qk_norm_bias=self._rare("qk_norm_bias", norm_bias),
            dropout=self._architecture.dropout if given.dropout is None else given.dropout,
            activation_clamp=self._default("activation_clamp"),
            attention_sinks=self._default("attention_sinks"),
            attention_window=given.attention_window,
            attention_chunk=given.attention_chunk,
            full_attention_frequency=self._full_attention_frequency(),
            mtp_num_layers=given.mtp_num_layers,
            make_vocab_size_divisible_by=given.make_vocab_size_divisible_by,
            moe=self._moe(),
            mla=self._mla(),
            training=TrainingDefaults(**given.training.model_dump()),
            stated_parameters=None
            if given.parameters is None
            else ParameterCounts(**given.parameters.model_dump()),
            source=source,
        )
        return replace(spec, assumptions=self._assumptions())

    def _assumptions(self) -> tuple[str, ...]:
        if not self._from_architecture:
            return tuple(self._derived)
        fields = ", ".join(self._from_architecture)
        architecture = f"model: {fields} (defaults of architecture {self._given.architecture})"
        return (*self._derived, architecture)

    def _default(self, field: str) -> Any:
        value = getattr(self._given, field)
        if value is None:
            value = getattr(self._architecture, field)
            shown = str(value).lower() if isinstance(value, bool) else value
            self._from_architecture.append(f"{field} {shown}")
        return value

    def _rare(self, field: str, usual: Any = None) -> Any:
        """As `_default`, for a field that few architectures set; `usual` where its usual value
        follows from others."""
        if getattr(self._given, field) is None and self._is_usual(field):
            value = getattr(self._architecture, field)
            return usual if value is None else value
        return self._default(field)

    def _is_usual(self, field: str) -> bool:
        usual: object = Architecture.__dataclass_fields__[field].default
        return bool(getattr(self._architecture, field) == usual)

    def _derive(self, field: str, value: int, reason: str) -> int:
        self._derived.append(f"model: {field} {value} ({reason})")
        return value

    def _qkv_bias(self) -> bool:
        if self._given.qkv_bias is None and self._given.attention_bias is not None:
            return self._given.attention_bias
        chosen: bool = self._default("qkv_bias")
        return chosen

    def _full_attention_frequency(self) -> int:
        if self._given.attention_window is None and self._given.attention_chunk is None:
            return self._given.full_attention_frequency or 0
        chosen: int = self._default("full_attention_frequency")
        return chosen

    def _ffn_hidden_size(self) -> int:
        given = self._given
        if given.ffn_hidden_size is not None:
            return given.ffn_hidden_size
        if given.moe is not None and given.moe.ffn_hidden_size is not None and _is_gated(given):
            return self._derive("ffn_hidden_size", given.moe.ffn_hidden_size, "that of the experts")
        return self._derive("ffn_hidden_size", 4 * given.hidden_size, "4 · hidden_size")

    def _num_query_groups(self) -> int:
        given, usual = self._given, self._architecture.num_query_groups
        if given.num_query_groups is not None:
            return given.num_query_groups
        if given.mla is not None:
            return given.num_attention_heads
        if usual is not None:
            return self._derive("num_query_groups", usual, "one pair of keys and values for all")
        return self._derive(
            "num_query_groups", given.num_attention_heads, "keys and values for every head"
        )

    def _head_dim(self) -> int:
        given = self._given
        if given.mla is not None:
            return given.mla.qk_head_dim + given.mla.qk_rope_head_dim
        if given.head_dim is not None:
            return given.head_dim
        return self._derive(
            "head_dim", given.hidden_size // given.num_attention_heads, "hidden_size / heads"
        )

    def _moe(self) -> MoeSpec | None:
        moe = self._given.moe
        if moe is None:
            return None
        size = moe.ffn_hidden_size
        if size is None:
            size = self._derive(
                "moe.ffn_hidden_size", self._ffn_hidden_size(), "that of dense layers"
            )
        bias = moe.router_bias
        return MoeSpec(
            num_experts=moe.num_experts,
            top_k=moe.top_k,
            ffn_hidden_size=size,
            shared_expert_ffn_hidden_size=moe.shared_expert_ffn_hidden_size,
            first_dense_layers=moe.first_dense_layers,
            layer_frequency=moe.layer_frequency,
            router_bias=self._architecture.router_bias if bias is None else bias,
            shared_expert_gate=moe.shared_expert_gate,
            num_groups=moe.num_groups,
            group_top_k=moe.group_top_k or moe.num_groups,
            score_function=moe.score_function or self._architecture.score_function,
        )

    def _mla(self) -> MlaSpec | None:
        mla = self._given.mla
        if mla is None:
            return None
        indexer = None if mla.indexer is None else IndexerSpec(**mla.indexer.model_dump())
        return MlaSpec(**{**mla.model_dump(), "indexer": indexer})
