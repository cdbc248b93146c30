"""Which commands there are. Each is imported when it is called, so that `planner --help` stays
quick however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from planner.cli.groups import SectionedCommand, grouped


@dataclass(frozen=True)
class CommandEntry:
    """A command: where its function (or, with subcommands, its `typer.Typer`) is, and the line
    that `planner --help` has about it. `grouped`: some parameters are dataclasses of options.
    `examples`: what its own `--help` ends with."""

    place: str
    summary: str
    grouped: bool = False
    examples: tuple[str, ...] = ()


COMMANDS = {
    "search": CommandEntry(
        "planner.cli.search:search",
        "Find the best plans for a model on a cluster.",
        grouped=True,
        examples=(
            "planner search --cluster dgx-h100-16 --model llama-3-70b",
            "planner search --cluster dgx-a100-8 --model llama-3-8b --output plans.json",
        ),
    ),
    "estimate": CommandEntry(
        "planner.cli.estimate:estimate",
        "Estimate memory and time of one plan.",
        grouped=True,
        examples=(
            "planner estimate --cluster dgx-h100-16 --plan train.sh",
            "planner estimate --cluster dgx-a100-8 --model llama-3-8b --tensor 2",
        ),
    ),
    "check": CommandEntry(
        "planner.cli.check:check",
        "Check that plans or launch scripts fit and can run.",
        grouped=True,
        examples=(
            "planner check plans.json",
            "planner check train.sh --cluster dgx-h100-16 --within-of-best 5%",
        ),
    ),
    "compare": CommandEntry(
        "planner.cli.compare:compare",
        "Compare plans or launch scripts, also with the best plan.",
        grouped=True,
        examples=(
            "planner compare plans.json#1 plans.json#2",
            "planner compare train.sh best --cluster dgx-h100-16",
        ),
    ),
    "explain": CommandEntry(
        "planner.cli.explain:explain",
        "Explain what bounds a plan, and why not another way.",
        grouped=True,
        examples=(
            "planner explain plans.json",
            "planner explain plans.json --why-not tensor=4,pipeline=4",
        ),
    ),
    "improve": CommandEntry(
        "planner.cli.improve:improve",
        "Change a launch script to a better plan.",
        grouped=True,
        examples=(
            "planner improve train.sh --cluster dgx-h100-16",
            "planner improve train.sh --cluster dgx-h100-16 --write",
        ),
    ),
    "replan": CommandEntry(
        "planner.cli.replan:replan",
        "Go on after nodes were lost or became slow.",
        grouped=True,
        examples=(
            "planner replan plans.json --lost node-7",
            "planner replan plans.json --slow node-3:0.6 --spares 2 -o next.json",
        ),
    ),
    "sweep": CommandEntry(
        "planner.cli.sweep:sweep",
        "Search for every point of a study of clusters and jobs.",
        examples=(
            "planner sweep study.yaml --out results",
            "planner sweep study.yaml --scheduler dask://head:8786",
        ),
    ),
    "compare-clusters": CommandEntry(
        "planner.cli.sweep:compare_clusters",
        "Compare clusters by the best plan for a model on each.",
        examples=(
            "planner compare-clusters dgx-a100-16 dgx-h100-16 --model llama-3-8b",
            "planner compare-clusters a.yaml b.yaml --model llama-3-8b --nodes 4,8,16",
        ),
    ),
    "simulate": CommandEntry(
        "planner.cli.simulate:simulate",
        "Simulate the failures of a plan's months: how many spares?",
        grouped=True,
        examples=(
            "planner simulate plans.json --days 90",
            "planner simulate plans.json --spares 0,1,2,4 --seeds 10000",
        ),
    ),
    "size": CommandEntry(
        "planner.cli.size:size",
        "Find the fewest devices for a job.",
        grouped=True,
        examples=(
            "planner size --model llama-3-70b --device h100-sxm-80gb",
            "planner size --model llama-3-8b --device h200-sxm --tokens 1T --within 30d",
        ),
    ),
    "rule": CommandEntry(
        "planner.cli.rule:rule",
        "Explain a rule of `planner check`, or list all of them.",
        examples=(
            "planner rule",
            "planner rule PL001",
        ),
    ),
    "report": CommandEntry(
        "planner.cli.report:report",
        "Show plans as one HTML page that opens anywhere.",
        examples=(
            "planner report plans.json -o report.html",
            "planner report plans.json --mine train.sh -o report.html",
        ),
    ),
    "export": CommandEntry(
        "planner.cli.export:export",
        "Write a plan as what a framework or a launcher reads.",
        examples=(
            "planner export plans.json --format launch -o run",
            "planner export plans.json#2 --format megatron-lm",
        ),
    ),
    "validate": CommandEntry(
        "planner.cli.validate:validate",
        "Compare estimates with measured runs.",
        examples=(
            "planner validate",
            "planner validate runs.yaml --json",
        ),
    ),
    "calibrate": CommandEntry(
        "planner.cli.calibrate:calibrate",
        "Refit the constants of a device file to measured runs.",
        examples=(
            "planner calibrate runs.yaml --device-file mine.yaml",
            "planner calibrate log.txt --plan plans.json --device-file mine.yaml",
        ),
    ),
    "init": CommandEntry(
        "planner.cli.init:init",
        "Write a cluster file to start from.",
        examples=("planner init h100-sxm-80gb --nodes 32 -o cluster.yaml",),
    ),
    "show": CommandEntry(
        "planner.cli.show:show",
        "Print a shipped file, to read or to start from.",
        examples=("planner show dgx-h100-16", "planner show megatron-core"),
    ),
    "list": CommandEntry(
        "planner.cli.list:list_shipped_files",
        "List what is shipped and can be named.",
        examples=("planner list", "planner list devices"),
    ),
    "schema": CommandEntry(
        "planner.cli.schema:schema",
        "Print the JSON Schema of a file format.",
        examples=(
            "planner schema cluster",
            "planner schema plan",
        ),
    ),
    "import": CommandEntry(
        "planner.cli.import_:app",
        "Import a model or a cluster from files of other programs.",
    ),
}


class Program(TyperGroup):
    """The group of all commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        names: dict[str, Any] = dict.fromkeys(COMMANDS)
        self.commands = names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else _load(cmd_name, entry)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@cache
def _load(name: str, entry: CommandEntry) -> Any:
    """The command as the option parser has it."""
    module, _, attribute = entry.place.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        command = get_command(found)
        command.name = name
        return command
    if entry.grouped:
        found = grouped(found)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=SectionedCommand, epilog="\n".join(entry.examples))(found)
    return get_command(alone)
