"""Keys of a config.json: old and new names, defaults of the class, errors at their places."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from planner.errors import InputError
from planner.importers.notes import Notes
from planner.specs.files.document import Location
from planner.specs.files.json_file import JsonFile
from planner.specs.units import describe

MOST = 1_000_000_000
SIZE_WORD = re.compile(r"hidden|embed|dim|width|inner|ffn|head|layer|size|expert")

ALIASES: dict[str, tuple[str, ...]] = {
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "hidden_size": ("hidden_size", "n_embd", "n_embed", "d_model"),
    "num_attention_heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "num_key_value_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv"),
    "intermediate_size": ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size"),
    "max_position_embeddings": (
        "max_position_embeddings",
        "n_positions",
        "n_ctx",
        "seq_length",
        "max_seq_len",
    ),
    "hidden_act": ("hidden_act", "hidden_activation", "activation_function", "activation"),
    "num_local_experts": (
        "num_local_experts",
        "num_experts",
        "n_routed_experts",
        "moe_num_experts",
    ),
    "num_experts_per_tok": (
        "num_experts_per_tok",
        "num_experts_per_token",
        "experts_per_token",
        "moe_topk",
        "moe_k",
        "top_k_experts",
    ),
    "num_nextn_predict_layers": ("num_nextn_predict_layers", "num_mtp_layers"),
    "head_dim": ("head_dim", "kv_channels"),
}
"""Names that transformers and older files use for the same thing."""

CORE = frozenset(
    {
        "num_hidden_layers",
        "hidden_size",
        "num_attention_heads",
        "vocab_size",
        "intermediate_size",
        "moe_intermediate_size",
        "num_local_experts",
        "num_experts_per_tok",
        "kv_lora_rank",
    }
)
"""Sizes that a stand-alone config always states; only a config inside another leaves them to its
class.
"""

_DROPOUTS = (
    "attention_dropout",
    "hidden_dropout",
    "residual_dropout",
    "attn_pdrop",
    "resid_pdrop",
    "resid_dropout",
    "dropout",
)
_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "relu2": "squared_relu",
    "xielu": "gelu",
    "gelu": "gelu",
    "gelu_new": "gelu",
    "gelu_fast": "gelu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu",
}


class Keys:
    """The config's mapping (or its text part), with the class's values for missing keys."""

    def __init__(
        self,
        file: JsonFile,
        mapping: Mapping[str, Any],
        at: Location,
        *,
        defaults: Mapping[str, Any],
        class_name: str,
        notes: Notes,
    ) -> None:
        self.notes = notes
        self.read: set[str] = set()
        """Names of the file that have been read."""
        self._file = file
        self._mapping = mapping
        self._at = at
        self._defaults = defaults
        self._class_name = class_name

    def error(self, message: str, key: str, *, hint: str | None = None) -> InputError:
        return self._file.error(message, (*self._at, self._present(key) or key), hint=hint)

    def _present(self, key: str) -> str | None:
        """The name under which a key is given."""
        return next((one for one in ALIASES.get(key, (key,)) if one in self._mapping), None)

    def given(self, key: str) -> bool:
        """Whether the file has the key, with a value other than null."""
        name = self._present(key)
        return name is not None and self._mapping[name] is not None

    def _raw(self, key: str) -> Any:
        """The value of a key, or the class's value without it; None where neither exists."""
        known = ALIASES.get(key, (key,))
        names = [name for name in known if name in self._mapping]
        self.read.update(names)
        values = [self._mapping[name] for name in names if self._mapping[name] is not None]
        for other in values[1:]:
            if other != values[0]:
                raise self.error(f"says {values[0]!r} and {names[1]} says {other!r}", key)
        if names:
            return values[0] if values else None
        if key in CORE and not self._at:
            return None
        defaults = (self._defaults.get(name) for name in known)
        default = next((value for value in defaults if value is not None), None)
        if default is not None:
            shown = str(default).lower() if isinstance(default, bool) else default
            self.notes.assumed.append(f"{key} {shown} ({self._class_name}'s default)")
        return default

    def integer(self, key: str, *, least: int = 1, most: int = MOST) -> int:
        """Raises: InputError when the file lacks it and the class has no default, or says null."""
        value = self.optional(key, least=least, most=most)
        if value is None and self._present(key) is not None:
            raise self.error("is null, where a whole number is needed", key)
        if value is None:
            names = " or ".join(ALIASES.get(key, (key,)))
            others = self._strangers()
            hint = f"the file has {', '.join(others)}, which no config reads" if others else None
            raise self._file.error(f"{names} is missing", self._at, hint=hint)
        return value

    def _strangers(self) -> list[str]:
        """Keys that may stand for a missing one: sizes under names that no config has."""
        known = {name for names in ALIASES.values() for name in names} | self._defaults.keys()
        return [
            name
            for name, value in self._mapping.items()
            if type(value) is int and name not in known and SIZE_WORD.search(name)
        ][:4]

    def settled(self, *names: str) -> None:
        """Counts keys as read whose value follows from other keys."""
        self.read.update(names)

    def unread(self) -> dict[str, Any]:
        """The keys of the file that have not been read."""
        return {name: value for name, value in self._mapping.items() if name not in self.read}

    def optional(self, key: str, *, least: int = 1, most: int = MOST) -> int | None:
        value = self._raw(key)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer() and abs(value) < MOST:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(f"expected a whole number, found {describe(value)}", key)
        if not least <= value <= most:
            raise self.error(f"{value} is not between {least} and {most:,}", key)
        return value

    def in_all_layers(self, key: str) -> int | None:
        """A number, or a list with one for every layer, which has to be the same in all."""
        value = self._raw(key)
        if not isinstance(value, list):
            return self.optional(key)
        if not value or any(type(one) is not int or one != value[0] for one in value):
            raise self.error("differs from layer to layer, which cannot be described", key)
        if not 1 <= value[0] <= MOST:
            raise self.error(f"{value[0]} is not between 1 and {MOST:,}", key)
        return int(value[0])

    def word(self, key: str, allowed: Sequence[str]) -> str | None:
        """One of the words that a key may hold; None where neither file nor class states it."""
        value = self._raw(key)
        if value is None:
            return None
        if value not in allowed:
            raise self.error(f"expected {' or '.join(allowed)}, found {describe(value)}", key)
        return str(value)

    def boolean(self, key: str, otherwise: bool | None = None) -> bool:
        """`otherwise` where neither file nor class states it."""
        value = self._raw(key)
        if value is None:
            return bool(otherwise)
        if not isinstance(value, bool):
            raise self.error(f"expected true or false, found {describe(value)}", key)
        return value

    def dropout(self) -> bool:
        """Whether a layer drops anything in training: any probability above 0."""
        return max(map(self._probability, _DROPOUTS)) > 0

    def pattern(self, key: str) -> int | None:
        """Distance between layers of full attention: a number, or one letter for each layer of a
        period, L for local and G for full ("LLLG")."""
        value = self._mapping.get(key)
        if isinstance(value, str) and value.strip("L") == "G" and value.endswith("G"):
            self.read.add(key)
            return len(value)
        return self.optional(key, least=0)

    def _probability(self, key: str) -> float:
        self.read.add(key)
        value = self._mapping.get(key, self._defaults.get(key))
        if value is None:
            return 0.0
        if key not in self._mapping:
            self.notes.assumed.append(f"{key} {value} ({self._class_name}'s default)")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value <= 1:
            raise self.error(f"expected a probability, found {describe(value)}", key)
        return float(value)

    def sequence(self, key: str) -> list[Any] | None:
        value = self._mapping.get(key)
        self.read.add(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > MOST:
            raise self.error(f"expected a list, found {describe(value)}", key)
        return value

    def activation(self) -> str:
        value = self._raw("hidden_act")
        if not isinstance(value, str) or value not in _ACTIVATIONS:
            raise self.error(
                f"activation {describe(value)} is not one of {', '.join(_ACTIVATIONS)}",
                "hidden_act",
            )
        return _ACTIVATIONS[value]
