"""`planner explain`: what bounds a plan, and why not another way."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from planner import api
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
from planner.cli.progress import ProgressLine
from planner.cli.serving import (
    explain_serving_plan,
    is_serving_plan,
    refuse_of_training,
    refuse_serving_plan,
)
from planner.errors import InputError
from planner.specs.files.spelling import did_you_mean
from planner.wording.labels import AXIS_ABBREVIATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.api.explanations import WhyNot


def explain(
    inputs: CheckedInputs,
    workload: WorkloadOptions,
    decisions: PlanOptions,
    script: ScriptOptions,
    plan: PlanOrScript,
    why_not: Annotated[
        str | None,
        option(
            "NAME=VALUE,...|FILE",
            "Another way, such as tensor=4,pipeline=4 (tp=4,pp=4), at its best, or another plan or "
            "launch script: what is wrong with it.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Explain what bounds a plan, what better hardware or another decision would gain, and why not
    another way; of serving plans too.

    Exit code 0: explained; 2: bad input.
    """
    if is_serving_plan(plan):
        refuse_of_training(plan, workload, decisions, script, {"headroom": inputs.headroom})
        explain_serving_plan(plan, inputs, _served_asked(why_not), json=json)
        return
    if why_not is not None:
        refuse_serving_plan(why_not, plan)
    asked = None if why_not is None else _asked(why_not)
    with ProgressLine() as line:
        found = api.explain(
            plan,
            cluster=inputs.cluster,
            model=inputs.model,
            why_not=asked,
            note=note,
            progress=line.update,
            **axis_keywords(decisions),
            **job_keywords(inputs.headroom, workload),
            **script_keywords(script),
        )
    if json:
        write_stdout(api.to_text(found))
        return
    from planner.reports.console import show
    from planner.reports.explanation import explanation_report

    show(
        explanation_report(
            found.priced.ranked,
            hardware=found.hardware,
            decisions=found.decisions,
            why_not=None if found.why_not is None else _answer(found.why_not),
        )
    )


def _answer(asked: "WhyNot") -> str:
    from planner.reports.explanation import otherwise, refused

    compared = asked.comparison
    if compared is None:
        return refused(asked.asked, asked.refused or "")
    return otherwise(asked.asked, compared.sides, compared.time, compared.memory, taken=asked.taken)


def _asked(text: str) -> "str | dict[str, Any]":
    """Decisions by name, or the reference of another plan. Raises: InputError."""
    if "=" not in text or Path(text).exists():
        return text
    from planner.training.search.space.restrictions import parse_restrictions

    flags = _flags(text, ABBREVIATIONS)
    unknown = [name for name in flags if name not in PLAN_DECISIONS]
    if unknown:
        raise InputError(
            f"--why-not: {unknown[0]!r} is no decision of a plan: {', '.join(PLAN_DECISIONS)}",
            hint=did_you_mean(unknown[0], PLAN_DECISIONS),
        )
    parsed = parse_restrictions(flags)
    return {name: getattr(parsed, name)[0] for name in flags}


def _served_asked(text: "str | None") -> "str | dict[str, str] | None":
    """The same of a serving plan."""
    if text is None or "=" not in text or Path(text.partition("#")[0]).exists():
        return text
    return {name: value or "" for name, value in _flags(text, SERVING_ABBREVIATIONS).items()}


def _flags(text: str, abbreviations: "Mapping[str, str]") -> "dict[str, str | None]":
    """Decisions by name. Raises: InputError."""
    flags: dict[str, str | None] = {}
    for entry in text.split(","):
        said, equals, value = entry.partition("=")
        name = _decision(said.strip(), abbreviations)
        if not equals or not value or name in flags:
            raise InputError(
                f"--why-not: {entry!r} is not NAME=VALUE, once for each name",
                hint="such as --why-not tensor=4,pipeline=4",
            )
        flags[name] = value.strip()
    return flags


def _decision(said: str, abbreviations: "Mapping[str, str]") -> str:
    """The name of a decision as a plan has it: `tensor` for tensor, TP and tp."""
    name = said.replace("-", "_")
    return abbreviations.get(name.lower(), name)


PLAN_DECISIONS = tuple(field.name for field in fields(PlanOptions))
ABBREVIATIONS = {
    **{short.lower(): axis for axis, short in AXIS_ABBREVIATIONS.items()},
    "vpp": "virtual_stages",
    "mbs": "micro_batch_size",
}
"""What users call decisions, in small letters."""
SERVING_ABBREVIATIONS = {"tp": "tensor", "pp": "pipeline", "ep": "expert", "dp": "attention_data"}
"""The same of serving plans."""
