"""`planner import`: from the files users have to the planner's own."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from planner import api
from planner.cli import values
from planner.cli.groups import SectionedCommand
from planner.cli.options import Json, option
from planner.cli.output import note, write_stdout
from planner.errors import InputError
from planner.specs import ranges
from planner.specs.files.writing import check_writable, write_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.api import ImportedCluster, ImportedModel

app = typer.Typer(
    add_completion=False,
    help="Import a model or a cluster from files of other programs.",
    rich_markup_mode=None,
)

Output = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Write there, not to stdout.", show_default=False
    ),
]


@app.command(
    "model",
    cls=SectionedCommand,
    epilog="planner import model config.json -o model.yaml\nplanner import model 'llama3 8B'",
)
def model(
    described: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|NAME",
            help="config.json, launch script, override list, or a name such as 'llama3 8B'.",
            show_default=False,
        ),
    ],
    name: Annotated[str | None, option("NAME", "Name of the model.")] = None,
    assume: Annotated[
        str | None, option("TYPE", "Read a config of an unknown type as this known one.")
    ] = None,
    variables: Annotated[
        str | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE,...",
            help="Variables that a launch script leaves to its environment.",
            show_default=False,
        ),
    ] = None,
    args: Annotated[
        str | None, option("TEXT", "Arguments a launch script is started with: 'bf16 2'.")
    ] = None,
    command: Annotated[
        str | None, option("N", "The training command of a script that has several.")
    ] = None,
    vocab_size: Annotated[
        str | None, option("N", "Size of the vocabulary, where only the tokenizer knows it.")
    ] = None,
    into: Annotated[
        str | None, option("FILE", "Change this model file instead of making a new one.")
    ] = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Import a model: a Hugging Face config.json, a Megatron-LM command line or launch script, a
    list of Megatron-Bridge overrides, or the name of a torchtitan model.

    What was read, assumed and left out is said on stderr and in the file, with total and active
    parameters at the end.
    """
    number = values.whole("--command", command, most=ranges.MOST_COMMANDS)
    vocabulary = values.whole("--vocab-size", vocab_size, most=ranges.LARGEST_VOCABULARY)
    given = values.script_variables(variables, args)
    target = _target(into, output)

    imported = api.import_model(
        " ".join(described),
        name=name,
        assume=assume,
        variables=given,
        command=number,
        vocab_size=vocabulary,
        into=into,
    )
    say([*imported.notes.lines(), imported.counted])
    _write(imported, target, json=json, in_place=into is not None)


def _target(into: str | None, output: str | None) -> str | None:
    """Where the result goes; InputError now rather than later when it cannot be written."""
    if into is not None and output is not None:
        raise InputError("--into and --output are both given; --into changes its own file")
    check_writable(into or output)
    return into or output


def _write(
    imported: "ImportedModel | ImportedCluster", target: str | None, *, json: bool, in_place: bool
) -> None:
    """The YAML text, or the same content as JSON. A file that is changed stays YAML."""
    content = api.to_text(imported) if json else imported.text
    if target is None or (json and in_place):
        write_stdout(content)
    if target is not None:
        write_file(target, imported.text if in_place else content)


@app.command(
    "cluster",
    cls=SectionedCommand,
    epilog=(
        "planner import cluster topo.txt --device h100-sxm-80gb -o cluster.yaml\n"
        "planner import cluster topology.conf nccl.log -o cluster.yaml"
    ),
)
def cluster(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Output of nccl-tests, mpiGraph, nvidia-smi topo -m, Slurm topology files ….",
            show_default=False,
        ),
    ],
    device: Annotated[
        str | None,
        option("NAME|FILE", "Device of the nodes, where no file says it.", names="device"),
    ] = None,
    devices_per_node: Annotated[str | None, option("N", "Devices in a node.")] = None,
    intra_node_bandwidth: Annotated[
        str | None, option("BANDWIDTH", "Of one device in a node, one direction: '450 GB/s'.")
    ] = None,
    network_bandwidth: Annotated[
        str | None, option("BANDWIDTH", "Of one network card, one direction: '50 GB/s'.")
    ] = None,
    cards: Annotated[str | None, option("N", "Network cards of a node.")] = None,
    nodes_per_site: Annotated[
        str | None, option("N", "Nodes in each region of a file of links between regions.")
    ] = None,
    ranks: Annotated[
        str | None, option("N", "Devices that a benchmark ran over, where its output was cut.")
    ] = None,
    unit: Annotated[
        str | None, option("UNIT", "Unit of a table's figures, where it does not say: MB/s.")
    ] = None,
    format_name: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="How to read the files.", show_default=False),
    ] = None,
    name: Annotated[str | None, option("NAME", "Name of the cluster.")] = None,
    into: Annotated[
        str | None, option("FILE", "Change this cluster file instead of making a new one.")
    ] = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Import a cluster from what benchmarks, drivers and schedulers print; several files make one
    cluster.

    Formats, told apart by content: nccl-tests (text, JSON), all-reduce-bench, mpigraph (log, JSON,
    CSV), sniff-test (Megatron-LM), nvidia-smi (topo -m), rocm-smi (--showtopo), osu, nccl-xml,
    slurm-conf (topology.conf), slurm-nodes (slurm.conf), slurm-yaml, topograph, matrix-csv,
    wide-area.
    Measured bandwidth between nodes is written to a CSV file in the same folder. What was read,
    assumed and left out is said on stderr and in the file.
    """
    target = _target(into, output)

    imported = api.import_cluster(
        files,
        device=device,
        devices_per_node=values.whole(
            "--devices-per-node", devices_per_node, most=ranges.MOST_DEVICES_PER_NODE
        ),
        intra_node_bandwidth=intra_node_bandwidth,
        network_bandwidth=network_bandwidth,
        cards=values.whole("--cards", cards, most=ranges.MOST_CARDS),
        nodes_per_site=values.whole("--nodes-per-site", nodes_per_site, most=ranges.MOST_NODES),
        ranks=values.whole("--ranks", ranks, most=ranges.MOST_DEVICES),
        unit=unit,
        format=format_name,
        name=name,
        into=into,
        target=output,
    )
    say(imported.notes.lines())
    say(f"doubtful: {doubt}" for doubt in imported.spec.doubts)
    if imported.matrix is not None:
        _write_matrix(imported.matrix_file, imported.matrix, target)
    _write(imported, target, json=json, in_place=into is not None)


def _write_matrix(name: str, text: str, target: str | None) -> None:
    """In the folder of the cluster file and before it, so that no file names a matrix that is not
    there; without a file, in the current folder."""
    path = os.path.join(os.path.dirname(target) if target else "", name)
    _refuse_to_overwrite(path, text, asked=target is not None)
    write_file(path, text)
    note(f"wrote {path}")


def _refuse_to_overwrite(path: str, text: str, *, asked: bool) -> None:
    """A file in the current folder that nobody named is not replaced."""
    if asked or not os.path.exists(path):
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        if file.read() == text:
            return
    raise InputError(
        f"{path} exists and would be replaced by the measured bandwidths",
        hint="give --output FILE to choose where they go",
    )


def say(lines: "Iterable[str]") -> None:
    for line in lines:
        note(line)
