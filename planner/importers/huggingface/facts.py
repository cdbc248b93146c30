"""What transformers says of its classes, read from `facts.json`.

`tests/importers/count_with_transformers.py` writes that file from the installed package: for every
type that can be read the class and its defaults, the text model of every wrapper, and the types
that are encoders or encoder-decoders.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("facts.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`classes`: type → name of its class and defaults of its keys. `text_types`: type of a
    wrapper → type of its language model."""

    transformers: str
    classes: Mapping[str, tuple[str, Mapping[str, Any]]]
    text_types: Mapping[str, str]
    encoders: frozenset[str]
    encoder_decoders: frozenset[str]


@cache
def facts() -> Facts:
    tree = json.loads(_FILE.read_text(encoding="utf-8"))
    return Facts(
        transformers=tree["transformers"],
        classes={name: (one["class"], one["defaults"]) for name, one in tree["classes"].items()},
        text_types=tree["text_types"],
        encoders=frozenset(tree["encoders"]),
        encoder_decoders=frozenset(tree["encoder_decoders"]),
    )
