"""`planner list`: what is shipped and may be called by name."""

from typing import Annotated, Literal

import typer

from planner import api
from planner.cli.options import Json
from planner.cli.output import write_stdout
from planner.errors import InputError
from planner.specs.files.spelling import did_you_mean

LISTED: dict[str, Literal["cluster", "model", "device", "library", "software", "engine"]] = {
    "clusters": "cluster",
    "models": "model",
    "devices": "device",
    "libraries": "library",
    "software": "software",
    "engines": "engine",
}
"""What is listed, in the order of the report, and the kind of file it is."""


def list_shipped_files(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help=f"One of {', '.join(LISTED)}; without it, all.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List what is shipped and can be named."""
    names = {
        title: api.list_shipped(LISTED[title])
        for title in (LISTED if kind is None else (_title(kind),))
    }
    if json:
        write_stdout(
            api.to_text({title: [{"name": name} for name in names[title]] for title in names})
        )
        return

    from planner.reports.console import show
    from planner.reports.shipped import shipped_report
    from planner.specs.engine import load_engine
    from planner.workload.parameters import total_parameters

    models = [api.load_model(name) for name in names.get("models", ())]
    show(
        shipped_report(
            clusters=[api.load_cluster(name) for name in names.get("clusters", ())],
            models=[(model, total_parameters(model)) for model in models],
            devices=[api.load_device(name) for name in names.get("devices", ())],
            libraries=[api.load_library(name) for name in names.get("libraries", ())],
            software=[api.load_software(name) for name in names.get("software", ())],
            engines=[load_engine(name) for name in names.get("engines", ())],
        )
    )


def _title(kind: str) -> str:
    """`clusters` for clusters and for cluster. Raises: InputError."""
    for title, single in LISTED.items():
        if kind in (title, single):
            return title
    raise InputError(
        f"{kind[:40]!r} is nothing that is listed: {', '.join(LISTED)}",
        hint=did_you_mean(kind, LISTED),
    )
