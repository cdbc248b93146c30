"""`planner simulate`: a plan over the months that it runs."""

from typing import Annotated

from planner import api
from planner.api.simulations import MOST_DAYS, MOST_LIVES, MOST_SPARES
from planner.cli import values
from planner.cli.decisions import PlanOptions
from planner.cli.inputs import axis_keywords, job_keywords, script_keywords
from planner.cli.options import (
    CheckedInputs,
    Json,
    PlanOrScript,
    ScriptOptions,
    WorkloadOptions,
    option,
)
from planner.cli.output import note, write_stdout


def simulate(
    inputs: CheckedInputs,
    workload: WorkloadOptions,
    decisions: PlanOptions,
    script: ScriptOptions,
    plan: PlanOrScript,
    days: Annotated[str, option("N", "How long the job runs. [default: 30]")] = "30",
    seeds: Annotated[str, option("N", "How many lives are simulated. [default: 1000]")] = "1000",
    spares: Annotated[
        str | None,
        option("N,...", "Numbers of spare nodes to try. [default: those that may matter]"),
    ] = None,
    json: Json = False,
) -> None:
    """Simulate the failures of a plan's months: nodes fail, are repaired, and come back; spare
    nodes replace them, or the job goes on with fewer.

    Exit code 0: simulated; 2: bad input.
    """
    found = api.simulate(
        plan,
        cluster=inputs.cluster,
        model=inputs.model,
        days=values.whole("--days", days, most=MOST_DAYS) or 1,
        seeds=values.whole("--seeds", seeds, most=MOST_LIVES) or 1,
        spares=values.wholes("--spares", spares, most=MOST_SPARES, least=0),
        note=note,
        **axis_keywords(decisions),
        **job_keywords(inputs.headroom, workload),
        **script_keywords(script),
    )
    if json:
        write_stdout(api.to_text(found.document))
        return
    from planner.reports.console import show
    from planner.reports.simulation import simulation_report

    show(simulation_report(found))
