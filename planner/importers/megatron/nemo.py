"""NeMo 1's configuration of a GPT model as Megatron-LM's flags.

Keys as in NVIDIA/NeMo 2.0.0, examples/nlp/language_modeling/conf/megatron_gpt_config.yaml, which
NVIDIA/NeMo-Framework-Launcher's launcher_scripts/conf/training/ and cloud recipes state in full.
What most keys mean is what Megatron-LM's flags of nearly the same names do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from planner.importers.megatron import nemo_keys as keys
from planner.importers.megatron.command import Command, CommandWord, Flag
from planner.importers.megatron.nemo_references import HydraFile
from planner.importers.megatron.unread import NOT_MODELLED

if TYPE_CHECKING:
    from planner.importers.source import Source
    from planner.specs.files.document import Document, Location

_MARKS = (
    re.compile(r"^model:[ \t]*(?:#.*)?$", re.MULTILINE),
    re.compile(r"^trainer:[ \t]*(?:#.*)?$", re.MULTILINE),
    re.compile(r"^  encoder_seq_length:", re.MULTILINE),
    re.compile(r"^  num_layers:", re.MULTILINE),
)


def looks_like_nemo(text: str) -> bool:
    """Whether a text is a configuration of NeMo 1 that states a model's sizes."""
    return all(mark.search(text) for mark in _MARKS)


def nemo_command(source: Source) -> Command:
    """The command that NeMo 1's configuration stands for. Raises: InputError for what is not YAML,
    a reference to what the file does not hold, and a model or a way of training that is not
    read."""
    return _Reading(source.yaml()).command()


class _Reading:
    """One file."""

    def __init__(self, document: Document) -> None:
        self.file = HydraFile(document)

    def command(self) -> Command:
        flags = (
            *self._others(),
            *self._plain(),
            *self._switches(),
            *self._model(),
            *self._precision(),
            *self._optimizer(),
            *self._tokenizer(),
            *self._unread(),
        )
        return Command(
            script="",
            origin=self.file.place(("model",)),
            condition="",
            flags=flags,
            launcher=(tuple(self._launcher()),),
        )

    def _others(self) -> Iterator[Flag]:
        """Raises: InputError for what is not read; flags of models that are refused by name."""
        for key, why in keys.REFUSED.items():
            value = self.file.value("model", key)
            if any(value.values()) if isinstance(value, dict) else value:
                raise self.file.error(why, ("model", key))
        if self.file.value("model", "megatron_amp_O2") is False and keys.PRECISIONS.get(
            str(self.file.value("trainer", "precision"))
        ):
            raise self.file.error(
                "weights in fp32 beside layers in 16 bits are not planned",
                ("model", "megatron_amp_O2"),
            )
        for key, flag in keys.OTHERS.items():
            if self.file.value("model", key) is not None:
                yield self._flag(flag, ("model", key), "given")
        scheme = self.file.value("model", "peft", "peft_scheme")
        if scheme not in (None, "none", "null"):
            yield self._flag("--lora-rank", ("model", "peft", "peft_scheme"), str(scheme))

    def _plain(self) -> Iterator[Flag]:
        recomputes = self.file.value("model", "activations_checkpoint_granularity") is not None
        names = {name: "--" + name.replace("_", "-") for name in keys.VALUES.split()} | keys.RENAMED
        for name, flag in names.items():
            value = self.file.value("model", name)
            if value is None or (name.startswith("activations_") and not recomputes):
                continue
            words = value if isinstance(value, tuple) else (value,)
            yield self._flag(flag, ("model", name), *(str(word) for word in words))
            if name == "num_query_groups":
                yield self._flag("--group-query-attention", ("model", name))

    def _switches(self) -> Iterator[Flag]:
        quantised = self.file.value("model", "fp8") is True
        for name, flag in keys.ON.items():
            if self.file.value("model", name) is True and (quantised or name != "fp8_params"):
                yield self._flag(flag, ("model", name))
        for name, flag in keys.OFF.items():
            if self.file.value("model", name) is False:
                yield self._flag(flag, ("model", name))
        several = (self.file.value("model", "tensor_model_parallel_size") or 1) > 1
        at = ("model", "ub_tp_comm_overlap")
        if (
            several
            and self.file.value("model", "sequence_parallel")
            and self.file.value(*at) is True
        ):
            yield self._flag("--tp-comm-overlap", at)

    def _model(self) -> Iterator[Flag]:
        activation = self.file.value("model", "activation")
        if activation is not None:
            flag = self._word(keys.ACTIVATIONS, "activation")
            if flag is not None:
                yield self._flag(flag, ("model", "activation"))
        elif self.file.value("model", "gated_linear_unit"):
            yield self._flag("--quick-geglu", ("model", "gated_linear_unit"))
        at = ("model", "normalization")
        norm = self.file.value(*at)
        if norm is not None:
            yield self._flag("--normalization", at, keys.NORMS.get(str(norm).lower(), str(norm)))
        at = ("model", "position_embedding_type")
        position = self.file.value(*at)
        if position is not None:
            yield self._flag("--position-embedding-type", at, str(position).lower())

    def _precision(self) -> Iterator[Flag]:
        stated = self.file.value("trainer", "precision")
        if stated is None:
            return
        if str(stated) not in keys.PRECISIONS:
            names = ", ".join(keys.PRECISIONS)
            raise self.file.error(
                f"{str(stated)[:20]!r} is not one of {names}", ("trainer", "precision")
            )
        flag = keys.PRECISIONS[str(stated)]
        if flag is not None:
            yield self._flag(flag, ("trainer", "precision"))

    def _optimizer(self) -> Iterator[Flag]:
        """Whether the optimizer is sharded, and what of it is overlapped."""
        optim = ("model", "optim")
        name = self.file.value(*optim, "name")
        if name not in keys.SHARDED:
            return
        yield self._flag("--use-distributed-optimizer", (*optim, "name"))
        for key, flag in (
            ("overlap_grad_sync", "--overlap-grad-reduce"),
            ("overlap_param_sync", "--overlap-param-gather"),
        ):
            if self.file.value(*optim, key) is True:
                yield self._flag(flag, (*optim, key))
        if self.file.value(*optim, "grad_sync_dtype") == "bf16":
            yield self._flag("--grad-reduce-in-bf16", (*optim, "grad_sync_dtype"))

    def _tokenizer(self) -> Iterator[Flag]:
        at = ("model", "tokenizer")
        stated = self.file.value(*at)
        stated = stated if isinstance(stated, dict) else {}
        kind, model = stated.get("type"), stated.get("model")
        library = keys.LIBRARIES.get(str(self.file.value(*at, "library")))
        if library == "HuggingFaceTokenizer" and kind is not None:
            yield self._flag("--tokenizer-type", (*at, "type"), library)
            yield self._flag("--tokenizer-model", (*at, "type"), str(kind))
            return
        kind = kind or library
        if kind is not None:
            yield self._flag("--tokenizer-type", (*at, "library"), str(kind))
        if model is not None:
            yield self._flag("--tokenizer-model", (*at, "model"), str(model))

    def _unread(self) -> Iterator[Flag]:
        """The other keys by their own names, which no flag has, or as the flags that are known not
        to be modelled."""
        known = {
            *keys.VALUES.split(),
            *keys.RENAMED,
            *keys.ON,
            *keys.OFF,
            *keys.OTHERS,
            *keys.REFUSED,
            *keys.READ_BESIDE,
        }
        known |= {*keys.WITHOUT_EFFECT.split()}
        for key, value in self.file.document.tree["model"].items():
            if key in known or value in (None, False) or isinstance(value, dict | tuple):
                continue
            words = () if value is True else (str(value),)
            flag = "--" + key.replace("_", "-")
            name = flag if flag in NOT_MODELLED else f"model.{key}"
            yield self._flag(name, ("model", key), *words)

    def _launcher(self) -> Iterator[CommandWord]:
        """Nothing where the number of nodes is left to the launcher."""
        if self.file.value("trainer", "num_nodes") is None:
            return
        for key, flag in (("num_nodes", "--nnodes"), ("devices", "--nproc-per-node")):
            value = self.file.value("trainer", key)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                place = self.file.place(("trainer", key))
                yield CommandWord(flag, place)
                yield CommandWord(str(value), place)

    def _word(self, choices: dict[str, str | None], key: str) -> str | None:
        value = str(self.file.value("model", key))
        if value not in choices:
            raise self.file.error(
                f"{value[:40]!r} is not one of {', '.join(choices)}", ("model", key)
            )
        return choices[value]

    def _flag(self, name: str, at: Location, *words: str) -> Flag:
        place = self.file.place(at)
        return Flag(name, tuple(CommandWord(word, place) for word in words), place)
