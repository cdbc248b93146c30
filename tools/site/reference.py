"""Reference pages made from the code: commands, keys of files, rules, shipped files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import typer
import yaml

from planner import api
from planner.checks.registry import rules
from planner.cli.commands import COMMANDS, Program
from planner.specs.files.catalog import list_shipped, resolve
from planner.specs.load import load_device
from tools.site.keys import Key, keys_of, stated

ROOT = Path(__file__).parents[2]
FILES_PAGE = ROOT / "docs" / "files.md"
LONGEST_EXAMPLE = 60
LONGEST_DEFAULT = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of file. `inside`: keys whose content has a table of its own. `stated`: patterns of
    the files that are examples."""

    inside: tuple[str, ...]
    stated: tuple[str, ...]


KINDS: Mapping[str, Kind] = {
    "cluster": Kind(
        inside=("node_groups[].device", "node_groups[].collectives"),
        stated=("clusters/*.yaml", "defaults/cluster.yaml"),
    ),
    "device": Kind(
        inside=("collectives",), stated=("clusters/devices/*.yaml", "defaults/device.yaml")
    ),
    "model": Kind(inside=(), stated=("models/*.yaml",)),
    "software": Kind(
        inside=tuple(
            f"expert.dispatchers.{name}" for name in ("alltoall", "allgather", "hybridep", "ncclep")
        ),
        stated=("software/*.yaml", "defaults/software.yaml"),
    ),
    "runs": Kind(
        inside=(
            "cluster",
            "model",
            "software",
            "defaults",
            "runs[].cluster",
            "runs[].model",
            "runs[].software",
        ),
        stated=("runs/*.yaml",),
    ),
    "library": Kind(inside=(), stated=("libraries/*.yaml",)),
    "load": Kind(inside=(), stated=()),
}


def examples(kind: str) -> dict[str, Any]:
    """A value of every key that docs/files.md or a shipped file states, by its path; the page's
    own come first."""
    trees = [yaml.safe_load(text) for title, text in _fenced() if title.startswith(f"{kind}-")]
    for pattern in KINDS[kind].stated:
        trees += [
            yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(ROOT.glob(pattern))
        ]
    found: dict[str, Any] = {}
    for tree in trees:
        for path, value in stated(tree):
            found.setdefault(path, value)
    return found


def example_of(path: str, shown: Mapping[str, Any]) -> Any:
    """The example of a key, or of the key of that name in a sibling; None without any."""
    parts = path.split(".")
    siblings = (".".join([*parts[:i], "*", *parts[i + 1 :]]) for i in range(len(parts) - 1))
    return next((shown[one] for one in (path, *siblings) if one in shown), None)


def _fenced() -> Iterator[tuple[str, str]]:
    """Title and text of the YAML blocks of docs/files.md."""
    for block in FILES_PAGE.read_text(encoding="utf-8").split("```yaml ")[1:]:
        title, _, text = block.partition("\n")
        yield title, text.partition("\n```")[0]


def pages() -> dict[str, str]:
    """Text of every reference page by its file name."""
    return {
        "commands.md": _commands(),
        "keys.md": _keys(),
        "rules.md": _rules(),
        "devices.md": _devices(),
        "shipped.md": _shipped(),
    }


def _commands() -> str:
    lines = [
        "# Commands",
        "",
        "What `--help` prints; [shell.md](../shell.md) makes the shell complete it.",
    ]
    for name in COMMANDS:
        for words, command in _leaves(name, Program(name="planner").get_command(None, name)):
            context = typer.Context(command, info_name=f"planner {words}")
            help_text = command.get_help(context).rstrip()
            lines += ["", f"## planner {words}", "", "```text", help_text, "```"]
    return "\n".join(lines) + "\n"


def _leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield words, command
        return
    for name, one in inner.items():
        yield from _leaves(f"{words} {name}", one)


def _keys() -> str:
    lines = [
        "# Keys of files",
        "",
        "Every key of every kind of file, with an example; [files.md](../files.md) explains how to",
        "write one. `[]` stands after a list, a constant is a figure or `{value, basis, source}`.",
        "Bold keys may not be left out.",
    ]
    for kind, one in KINDS.items():
        shown = examples(kind)
        lines += [
            "",
            f"## {kind}",
            "",
            "| key | is | default | example | means |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(key, shown) for key in keys_of(api.schema(kind), without=one.inside)]
    return "\n".join(lines) + "\n"


def _row(key: Key, shown: Mapping[str, Any]) -> str:
    name = f"**`{key.path}`**" if key.required else f"`{key.path}`"
    example = _short(example_of(key.path, shown), LONGEST_EXAMPLE)
    default = "" if key.required or key.default is None else _short(key.default, LONGEST_DEFAULT)
    cells = (name, key.kind, default, example, key.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _short(value: Any, longest: int) -> str:
    """The value as YAML on one line, cut where it is long."""
    if isinstance(value, Mapping) and {"value", "basis"} <= set(value):
        value = value["value"]
    if value is None:
        return ""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    text = text.removesuffix("\n").removesuffix("...").strip()
    return f"`{text if len(text) <= longest else text[: longest - 1] + '…'}`"


def _rules() -> str:
    lines = ["# Rules of planner check", "", "`planner rule CODE` prints one of them."]
    for code, rule in rules().items():
        lines += [
            "",
            f"## {code} {rule.name}",
            "",
            f"{rule.severity.capitalize()}. {rule.summary}",
            "",
            rule.why,
            "",
            f"**What helps.** {rule.fix}",
        ]
    return "\n".join(lines) + "\n"


def _devices() -> str:
    lines = [
        "# Devices",
        "",
        "Peaks are dense, in TFLOP/s. `planner show NAME` prints the file with all constants.",
        "",
        "| device | memory | bandwidth | fp16 or bf16 | fp8 | basis of its constants |",
        "|---|---:|---:|---:|---:|---|",
    ]
    sources = []
    for name in list_shipped("device"):
        device = load_device(name)
        tree = yaml.safe_load(resolve("device", name).read_text(encoding="utf-8"))
        found = list(_constants(tree))
        bases = sorted({basis for _, basis, _ in found})
        half = device.peak.bf16 or device.peak.fp16
        eight = device.peak.fp8
        lines.append(
            f"| [{name}](#{name}) | {device.memory.capacity.value / 2**30:.4g} GiB | "
            f"{device.memory.bandwidth.value / 1e9:,.0f} GB/s | "
            f"{'' if half is None else f'{half.value / 1e12:.4g}'} | "
            f"{'' if eight is None else f'{eight.value / 1e12:.4g}'} | {', '.join(bases)} |"
        )
        sources += [
            "",
            f"## {name}",
            "",
            "| constant | value | basis | source |",
            "|---|---|---|---|",
        ]
        for (path, basis, source), value in zip(found, _values(tree), strict=True):
            text = " ".join(source.split()).replace("|", "\\|")
            sources.append(f"| `{path}` | `{value}` | {basis} | {text} |")
    return "\n".join([*lines, *sources]) + "\n"


def _constants(tree: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, basis and source of every constant."""
    if not isinstance(tree, Mapping):
        return
    if {"value", "basis", "source"} <= set(tree):
        yield path, str(tree["basis"]), str(tree["source"])
        return
    for name, value in tree.items():
        yield from _constants(value, f"{path}.{name}" if path else str(name))


def _values(tree: Any) -> Iterator[Any]:
    if isinstance(tree, Mapping):
        if {"value", "basis", "source"} <= set(tree):
            yield tree["value"]
            return
        for value in tree.values():
            yield from _values(value)


def _shipped() -> str:
    lines = ["# What is shipped", "", "`planner show NAME` prints any of these files."]
    kinds: tuple[Literal["cluster", "model", "software"], ...] = ("cluster", "model", "software")
    for kind in kinds:
        lines += ["", f"## {kind}", "", "| name | first lines |", "|---|---|"]
        for name in list_shipped(kind):
            text = resolve(kind, name).read_text(encoding="utf-8")
            tree = yaml.safe_load(text)
            comment = " ".join(
                line.lstrip("# ") for line in text.splitlines() if line.startswith("#")
            )
            said = str(tree.get("description") or comment)
            lines.append(f"| `{name}` | {' '.join(said.split()).replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"
