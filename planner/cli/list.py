"""`planner list`: what is shipped and may be called by name."""

from planner import api
from planner.cli.options import Json
from planner.cli.output import write_stdout


def list_shipped_files(json: Json = False) -> None:
    """List what is shipped and can be named."""
    if json:
        write_stdout(
            api.to_text(
                {
                    "clusters": [{"name": name} for name in api.list_shipped("cluster")],
                    "models": [{"name": name} for name in api.list_shipped("model")],
                    "devices": [{"name": name} for name in api.list_shipped("device")],
                    "libraries": [{"name": name} for name in api.list_shipped("library")],
                    "software": [{"name": name} for name in api.list_shipped("software")],
                    "engines": [{"name": name} for name in api.list_shipped("engine")],
                }
            )
        )
        return

    from planner.reports.console import show
    from planner.reports.shipped import shipped_report
    from planner.specs.engine import load_engine
    from planner.workload.parameters import total_parameters

    models = [api.load_model(name) for name in api.list_shipped("model")]
    show(
        shipped_report(
            clusters=[api.load_cluster(name) for name in api.list_shipped("cluster")],
            models=[(model, total_parameters(model)) for model in models],
            devices=[api.load_device(name) for name in api.list_shipped("device")],
            libraries=[api.load_library(name) for name in api.list_shipped("library")],
            software=[api.load_software(name) for name in api.list_shipped("software")],
            engines=[load_engine(name) for name in api.list_shipped("engine")],
        )
    )
