"""Tells launch files from plan documents by their beginning."""

from __future__ import annotations

import re

_SHELL_TEST = re.compile(r"\[\[? +(?:[$!-]|\"\$)")
_TOML_TABLE = re.compile(r"\[{1,2}[A-Za-z_][\w.-]*\]{1,2}[ \t]*(?:#.*)?(?:\r?\n|$)")
_PLAN_MARK = b"planner/plans/"
_DEEPSPEED_MARKS = (
    b'"zero_optimization"',
    b'"train_micro_batch_size_per_gpu"',
    b'"train_batch_size"',
)
_YAML = (".yml", ".yaml")
"""Endings of files that are no JSON, though mappings of YAML may begin as JSON does."""
_PAGE = b"<!doctype html>"
_BEGINNING = 2**16


def is_json(text: str) -> bool:
    """Whether a text starts as JSON does, and not with a shell test, [ -z … ] or [[ … ]], or with
    a table of TOML, [model]."""
    start = text.lstrip()
    other = _SHELL_TEST.match(start) or _TOML_TABLE.match(start)
    return start[:1] in ("{", "[") and other is None


def is_launch(path: str) -> bool:
    """True for a file that is no JSON, such as a script or YAML, and for a DeepSpeed configuration;
    False for plan documents, pages that hold one, other JSON, and what is no file at all."""
    try:
        with open(path, "rb") as file:
            beginning = file.read(_BEGINNING)
    except (OSError, ValueError):
        return False
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    if path.lower().endswith(_YAML) or not is_json(text.decode("utf-8", "replace")):
        return bool(text) and text[: len(_PAGE)].lower() != _PAGE
    return _PLAN_MARK not in text and any(mark in text for mark in _DEEPSPEED_MARKS)
