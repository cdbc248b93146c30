"""`planner list`: what is shipped and may be called by name."""

from planner.cli.options import Json
from planner.cli.output import write_stdout


def list_shipped_files(json: Json = False) -> None:
    """List what is shipped and can be named."""
    from planner.specs.files.catalog import list_shipped

    if json:
        from planner.plan_document import to_text

        write_stdout(
            to_text(
                {
                    "clusters": [{"name": name} for name in list_shipped("cluster")],
                    "models": [{"name": name} for name in list_shipped("model")],
                    "devices": [{"name": name} for name in list_shipped("device")],
                    "libraries": [{"name": name} for name in list_shipped("library")],
                    "software": [{"name": name} for name in list_shipped("software")],
                }
            )
        )
        return

    from planner.reports.console import show
    from planner.reports.shipped import shipped_report
    from planner.specs.library import load_library
    from planner.specs.load import load_cluster, load_device, load_model, load_software
    from planner.workload.parameters import total_parameters

    models = [load_model(name) for name in list_shipped("model")]
    show(
        shipped_report(
            clusters=[load_cluster(name) for name in list_shipped("cluster")],
            models=[(model, total_parameters(model)) for model in models],
            devices=[load_device(name) for name in list_shipped("device")],
            libraries=[load_library(name) for name in list_shipped("library")],
            software=[load_software(name) for name in list_shipped("software")],
        )
    )
