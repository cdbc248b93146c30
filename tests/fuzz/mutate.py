"""Damage to files: bytes, lines, numbers, keys, types, depth, length."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

SCRAPS = (
    "", " ", "\n", "\t", "\\\n", ",", ":", ": ", "=", "-", "- ", "#", "*", "/", "%", "|", "||", ">",
    "&", "&&", ";", ";;", "(", ")", "((", "))", "$((", "[", "]", "[[", "]]", "{", "}", "${", "$",
    "`", "'", '"', "<", "<<EOF\n", "EOF", "if ", "fi", "case x in", "esac", "do", "done", "eval ",
    "export ", "exit", "${A[@]}", "${A//a/b}", "${#A}", "$1", "[0]*99999999", "--num-layers",
    "--hidden-size=", "model.num_layers=", "node[1-99999999]", "GPU0", "NV999",
    "<!DOCTYPE a [<!ENTITY b 'c'>]>", "&b;", "<system>", "null", "true", "~", "NaN", "Infinity",
    "1e999", "-1", "0", ".inf", "0x1", "1_000", "99999999999999999999999999", "1.5.2", "---", "...",
    "? ", "<<", "&a", "*a", "!!int", "!!python/object:os.system", "%YAML 1.1", "25 GB/s", "GiB",
    "\x00", "\x1b[4m", "\x07", "\x85", "\u2028", "\ufeff", "é", "\U0001f600", "\u0661", "a\u0301",
)  # fmt: skip
NUMBERS = (
    "0", "-1", "-0", "1", "2", "3", "7", "0.5", "1e-300", "1e300", "1e308", "1e309", "-1e9", "1e9",
    "4294967296", "9223372036854775808", "1" + "0" * 60, "9" * 5000, "0.1e-400", "NaN", "1,5",
    "007", "1e", "+3",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 10**6, 10**9, 10**12, 10**30, -(10**30), 0.5, -0.5, 1e-9,
    1e300, float("inf"), float("nan"), "", " ", "x", "a" * 3000, "25 GB/s", "1e300 GB/s", "0 us",
    "1 us", "80 GiB", "5%", "none", "full", "fp8", "1f1b", "interleaved", "zb-v", "dualpipe", "é\n",
    "\x1b[31m", "node[1-99]", "../../etc/passwd", "/dev/zero", [], {}, [0], [1, 1], [[0, 8]],
    [None], {"": 0}, {"value": 1}, ["a"] * 300,
)  # fmt: skip

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
MOST_CHARACTERS = 8_000_000


def damaged(rng: Random, text: str) -> bytes:
    """The text after one to four changes."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 4])):
        text = rng.choice(TEXT_CHANGES)(rng, text)[:MOST_CHARACTERS]
    data = text.encode("utf-8", errors="surrogatepass")
    return _flipped(rng, data) if rng.random() < 0.1 else data


def damaged_tree(rng: Random, tree: Any, *, as_json: bool) -> bytes:
    """The file of a tree after one to three changes; the odd one as text too."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice([1, 1, 2, 3])):
        tree = _changed_tree(rng, tree)
    if as_json:
        text = json.dumps(tree, indent=rng.choice([None, 1]))
    else:
        text = yaml.dump(tree, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=200)
    if rng.random() < 0.1:
        return damaged(rng, text)
    return text.encode("utf-8", errors="surrogatepass")


class PlainDumper(yaml.CSafeDumper):
    """Without anchors, which the reader refuses before it sees anything else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _span(rng: Random, text: str, longest: int = 40) -> tuple[int, int]:
    start = rng.randint(0, len(text))
    return start, min(len(text), start + rng.randint(0, longest))


def _cut(rng: Random, text: str) -> str:
    return text[: rng.randint(0, len(text))]


def _delete(rng: Random, text: str) -> str:
    start, end = _span(rng, text)
    return text[:start] + text[end:]


def _insert(rng: Random, text: str) -> str:
    start, _ = _span(rng, text)
    return text[:start] + rng.choice(SCRAPS) + text[start:]


def _replace(rng: Random, text: str) -> str:
    start, end = _span(rng, text, 10)
    return text[:start] + rng.choice(SCRAPS) + text[end:]


def _repeat(rng: Random, text: str) -> str:
    start, end = _span(rng, text)
    return text[:end] + text[start:end] * rng.choice([1, 2, 100, 3000]) + text[end:]


def _nest(rng: Random, text: str) -> str:
    start, _ = _span(rng, text)
    opening = rng.choice(["[", "{", "(", "$(", "${a:-", '"', "<a>", "- ", "{a: ", '{"a":', "`"])
    return text[:start] + opening * rng.choice([3, 50, 5000]) + text[start:]


def _number(rng: Random, text: str) -> str:
    found = list(_NUMBER.finditer(text))
    if not found:
        return text
    one = rng.choice(found)
    return text[: one.start()] + rng.choice(NUMBERS) + text[one.end() :]


def _line(rng: Random, text: str) -> str:
    """A line left out, doubled, or changed with another."""
    lines = text.splitlines(keepends=True)
    if not lines:
        return text
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    change = rng.choice(["delete", "double", "swap", "indent", "join"])
    if change == "delete":
        del lines[at]
    elif change == "double":
        lines.insert(other, lines[at])
    elif change == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    elif change == "indent":
        lines[at] = rng.choice([" ", "  ", "\t"]) + lines[at]
    else:
        lines[at] = lines[at].rstrip("\n")
    return "".join(lines)


def _word(rng: Random, text: str) -> str:
    """A word of the file in place of another."""
    words = list(re.finditer(r"[^\s,:=\[\]{}]+", text))
    if not words:
        return text
    one, other = rng.choice(words), rng.choice(words)
    return text[: one.start()] + other[0] + text[one.end() :]


def _flipped(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 5]) if changed else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


TEXT_CHANGES: tuple[Callable[[Random, str], str], ...] = (
    _cut, _delete, _insert, _insert, _replace, _replace, _repeat, _nest, _number, _number, _number,
    _line, _line, _word, _word,
)  # fmt: skip


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = list(value) if isinstance(value, dict) else []
    if isinstance(value, list):
        keys = list(range(min(len(value), 50)))
    found: list[tuple[Any, ...]] = []
    for key in keys:
        found.append((*above, key))
        found += _places(value[key], (*above, key))
    return found


def _at(tree: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        tree = tree[key]
    return tree


def _changed_tree(rng: Random, tree: Any) -> Any:
    places = _places(tree)
    if not places:
        return copy.deepcopy(rng.choice(VALUES))
    place = rng.choice(places)
    around, key = _at(tree, place[:-1]), place[-1]
    old = around[key]
    change = rng.choice(["value", "value", "value", "scale", "scale", "delete", "copy", "rename",
                         "wrap", "many"])  # fmt: skip
    if change == "delete":
        del around[key]
    elif change == "copy":
        around[key] = copy.deepcopy(_at(tree, rng.choice(places)))
    elif change == "rename" and isinstance(around, dict):
        around[rng.choice([f"{key}s", str(key)[:-1], rng.choice(places)[-1], "x"])] = around.pop(
            key
        )
    elif change == "wrap":
        for _ in range(rng.choice([1, 3, 60])):
            old = rng.choice([[old], {"a": old}])
        around[key] = old
    elif change == "many":
        around[key] = [copy.deepcopy(old) for _ in range(rng.choice([2, 20, 2000]))]
        if len(json.dumps(old, default=str)) > 500:
            around[key] = around[key][:20]
    elif change == "scale":
        around[key] = _scaled(rng, old)
    else:
        around[key] = copy.deepcopy(rng.choice(VALUES))
    return tree


def _scaled(rng: Random, old: Any) -> Any:
    """Another number of the same sort: what is checked least is what looks right."""
    factor = rng.choice([0, -1, 1e-9, 1e-3, 0.5, 2, 3, 7, 1000, 10**6, 10**9, 10**15])
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return int(old * factor) + rng.choice([0, 0, 0, 1, -1])
    if isinstance(old, float):
        return old * factor
    if isinstance(old, str):
        number = _NUMBER.match(old)
        if number is not None:
            return f"{float(number[0]) * factor:g}{old[number.end() :]}"
    return copy.deepcopy(rng.choice(VALUES))
