"""Devices and software profiles that say only what differs from another.

What a description leaves out comes from the file of another one. `like` takes everything from it.
A device's `generation` takes its kernels and links, inferred, and leaves memory and peaks to be
stated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import PurePath
from typing import Any

from planner.specs.files.catalog import general_file, resolve
from planner.specs.files.fields import Input, Text
from planner.specs.files.problems import validate
from planner.specs.files.yaml_file import load_document
from planner.specs.units import UnitError, parse_flop_per_second

Tree = Any
_KERNELS = ("matmul", "grouped_matmul", "attention", "kernel_latency", "links")
_DEEPEST = 5


def completed(tree: Tree, find: Callable[[str], Tree], depth: int = 0) -> Tree:
    """A description with what it leaves out; `find` gives the content of a named device's file.

    Raises: ValueError for names that are unknown and for both ways at once.
    """
    if not isinstance(tree, dict):
        return tree
    like, generation = tree.get("like"), tree.get("generation")
    if like is not None and generation is not None:
        raise ValueError("like and generation are both given; one of them says where the rest is")
    if isinstance(like, str):
        if depth == _DEEPEST:
            raise ValueError(f"device {like} is like a device that is like another, without end")
        base = completed(find(like), find, depth + 1)
        return _laid_over(base, {"name": f"like-{PurePath(like).stem}", **spelled_out(tree)})
    if isinstance(generation, str) and generation in stand_ins().generations:
        base = find(stand_ins().generations[generation])
        return _of_generation(spelled_out(tree), generation, base)
    return tree


def completed_profile(tree: Tree, find: Callable[[str], Tree], depth: int = 0) -> Tree:
    """A software or engine profile with what it leaves to the one it is `like`; `find` gives the
    content of a named profile's file. Lists and constants that it states replace the other's whole.

    Raises: ValueError for names that are unknown.
    """
    like = tree.get("like") if isinstance(tree, dict) else None
    if not isinstance(like, str):
        return tree
    if depth == _DEEPEST:
        raise ValueError(f"profile {like} is like a profile that is like another, without end")
    return _laid_over(completed_profile(find(like), find, depth + 1), tree)


class StandIns(Input):
    """Shipped devices that stand for devices described in a few figures (`generations.yaml`)."""

    generations: dict[str, Text]
    """By generation: the device from which kernels and links are inferred."""
    multiprocessor: Text
    """The device whose 16-bit rate of one multiprocessor counts where no generation is stated."""


@cache
def stand_ins() -> StandIns:
    return validate(load_document(general_file("generations")), StandIns)


@cache
def flop_per_s_each() -> float:
    """16-bit rate of one multiprocessor of a device that states no generation."""
    base = _shipped(stand_ins().multiprocessor)
    peak = peak_of(base)
    assert peak is not None
    return peak / int(base["matmul"]["multiprocessors"]["value"])


def _shipped(name: str) -> Tree:
    return load_document(resolve("device", name)).tree


def spelled_out(tree: Tree) -> Tree:
    """A bare memory is its capacity."""
    memory = tree.get("memory")
    return tree if not isinstance(memory, str) else {**tree, "memory": {"capacity": memory}}


def _laid_over(base: Tree, over: Tree) -> Tree:
    """Entry by entry, but constants and peaks whole: formats of another peak are another's."""
    if not isinstance(base, dict) or not isinstance(over, dict) or "value" in over:
        return over
    merged = {key: value for key, value in base.items() if key not in ("like", "generation")}
    for key, value in over.items():
        merged[key] = value if key == "peak" else _laid_over(base.get(key), value)
    return merged


def _of_generation(tree: Tree, generation: str, base: Tree) -> Tree:
    source = f"inferred from {base['name']}, of the {generation} generation"
    inferred = {key: _inferred(base[key], source) for key in _KERNELS if key in base}
    inferred |= {key: base[key] for key in ("vendor", "family") if key in base}
    inferred["memory"] = {"efficiency": _inferred(base["memory"]["efficiency"], source)}
    ours, theirs = peak_of(tree), peak_of(base)
    count = base["matmul"]["multiprocessors"]["value"]
    if ours and theirs:
        inferred["matmul"]["multiprocessors"] = {
            "value": max(1, round(count * ours / theirs)),
            "basis": "default",
            "source": f"{source}, by the 16-bit peak",
        }
    return _laid_over(inferred, tree)


def _inferred(part: Tree, source: str) -> Tree:
    if not isinstance(part, dict):
        return part
    if "value" in part:
        return {"value": part["value"], "basis": "default", "source": source}
    return {key: _inferred(one, source) for key, one in part.items()}


def peak_of(tree: Tree) -> float | None:
    """The 16-bit peak that a description states, in flop/s."""
    peak = tree.get("peak")
    stated = peak
    if isinstance(peak, dict):
        stated = peak.get("bf16", peak.get("fp16"))
    if isinstance(stated, dict):
        stated = stated.get("value")
    try:
        return parse_flop_per_second(stated)
    except (UnitError, ValueError, TypeError):
        return None
