"""`planner check`: may these plans be launched?"""

from typing import TYPE_CHECKING, Annotated

import typer

from planner import api
from planner.cli import values
from planner.cli.check_targets import FORMATS, parse_targets
from planner.cli.decisions import PlanOptions
from planner.cli.inputs import axis_keywords, job_keywords, script_keywords
from planner.cli.options import CheckedInputs, Json, ScriptOptions, WorkloadOptions, option
from planner.cli.output import complain, note
from planner.cli.progress import ProgressLine
from planner.errors import InputError
from planner.specs import ranges
from planner.specs.files.writing import check_writable, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.api.keywords import CheckKeywords
    from planner.checks.check import Checked, CheckLimits
    from planner.checks.selection import RuleSelection

FAILED, BAD_INPUT = 1, 2


def check(
    inputs: CheckedInputs,
    workload: WorkloadOptions,
    decisions: PlanOptions,
    script: ScriptOptions,
    plans: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE[#RANK]...",
            help="Plan files, Megatron-LM scripts, DeepSpeed, Accelerate, AutoModel, torchtitan.",
            show_default=False,
        ),
    ],
    select: Annotated[
        str | None, option("CODE,...", "Rules or beginnings of codes, such as PL1. [default: ALL]")
    ] = None,
    ignore: Annotated[str | None, option("CODE,...", "Rules to leave out.")] = None,
    within_of_best: Annotated[
        str | None,
        typer.Option(
            "--within-of-best",
            "--within",
            metavar="SHARE",
            help="Search, and fail a plan that is slower than the best by more, such as 5%.",
            show_default=False,
        ),
    ] = None,
    time_limit: Annotated[str | None, option("S", "Stop that search after S seconds.")] = None,
    baseline: Annotated[
        str | None, option("FILE[#RANK]", "A committed plan, or a file of --write-baseline.")
    ] = None,
    max_regression: Annotated[
        str | None, option("SHARE", "How much slower than the baseline it may be. [default: 5%]")
    ] = None,
    max_imbalance: Annotated[
        str, option("SHARE", "How much busier than the mean a stage may be. [default: 15%]")
    ] = "15%",
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit with 0 even when a plan fails.")
    ] = False,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "--output-format",
            metavar="NAME[=FILE],...",
            help=f"{', '.join(FORMATS)}; several when each has a file. [default: rich]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[str | None, option("FILE", "Write the report to FILE.")] = None,
    write_baseline: Annotated[
        str | None, option("FILE", "Write what the plans cost now to FILE, for --baseline.")
    ] = None,
    json: Json = False,
) -> None:
    """Check plans against the rules that `planner rule` lists: they fit, they can run, they are of
    today's inputs, and nothing holds them up. Of a launch script, which states its model, and a
    DeepSpeed JSON, options fill in what they leave open.

    Exit code 0: all is fine; 1: a plan fails; 2: bad input.
    """
    targets = parse_targets(output_format, output, json=json)
    check_writable(write_baseline, option="--write-baseline")

    keywords: CheckKeywords = {
        **axis_keywords(decisions),
        **job_keywords(inputs.headroom, workload),
        **script_keywords(script),
    }
    _refuse_nonsense(keywords)
    limits = _limits(
        api.select_rules(select, ignore),
        within_of_best=within_of_best,
        time_limit=time_limit,
        baseline=baseline,
        max_regression=max_regression,
        max_imbalance=max_imbalance,
        strict=strict,
    )
    checked = tuple(_checked(plans, inputs, keywords, limits))
    for target in targets:
        target.write(checked)
    if write_baseline is not None:
        _write_baseline(write_baseline, checked)
    if not all(one.readable for one in checked):
        raise typer.Exit(BAD_INPUT)
    if not exit_zero and not all(one.passed for one in checked):
        raise typer.Exit(FAILED)


def _refuse_nonsense(keywords: "CheckKeywords") -> None:
    """Raises: InputError for options that contradict each other; no plan is at fault then."""
    from planner.api.scenarios import AskedJob

    AskedJob.of(keywords)


def _limits(
    selection: "RuleSelection",
    *,
    within_of_best: str | None,
    time_limit: str | None,
    baseline: str | None,
    max_regression: str | None,
    max_imbalance: str,
    strict: bool,
) -> "CheckLimits":
    """Raises: InputError, also for an option or a rule that says nothing without another one."""
    from planner.checks.check import MAX_IMBALANCE, MAX_REGRESSION
    from planner.checks.registry import rules

    given = {"--within-of-best": within_of_best, "--baseline": baseline}
    for needing, text, needed in (
        ("--time-limit", time_limit, "--within-of-best"),
        ("--max-regression", max_regression, "--baseline"),
    ):
        if text is not None and given[needed] is None:
            raise InputError(f"{needing} means nothing without {needed}")
    for code in sorted(selection.named):
        needs = rules()[code].needs
        if needs is not None and given[needs] is None:
            raise InputError(f"--select: {code} is evaluated only with {needs}")
    regression = values.share("--max-regression", max_regression, below=ranges.WIDEST_SHARE)
    imbalance = values.share("--max-imbalance", max_imbalance, below=ranges.WIDEST_SHARE)
    return api.CheckLimits(
        selection=selection,
        within_of_best=values.share("--within-of-best", within_of_best, below=ranges.WIDEST_SHARE),
        time_limit_s=values.duration_s("--time-limit", time_limit),
        baseline=None if baseline is None else api.load_baseline(baseline),
        max_regression=MAX_REGRESSION if regression is None else regression,
        max_imbalance=MAX_IMBALANCE if imbalance is None else imbalance,
        strict=strict,
    )


def _checked(
    plans: "Sequence[str]", inputs: CheckedInputs, keywords: "CheckKeywords", limits: "CheckLimits"
) -> "Iterator[Checked]":
    """Each plan checked; what cannot be read is a finding, and a complaint on stderr. Cluster and
    model of the options are loaded once for all plans."""
    from planner.checks.check import unreadable

    try:
        model = None if inputs.model is None else api.load_model(inputs.model)
        cluster = None if inputs.cluster is None else api.load_cluster(inputs.cluster)
    except InputError as error:
        complain(*error.lines)
        yield unreadable(error.path or plans[0], error)
        return
    for reference in plans:
        try:
            with ProgressLine(limit_s=limits.time_limit_s) as line:
                checked = api.check(
                    reference,
                    cluster=cluster,
                    model=model,
                    limits=limits,
                    progress=line.update,
                    note=note,
                    **keywords,
                )
        except InputError as error:
            complain(*error.lines)
            checked = unreadable(reference, error)
        yield checked


def _write_baseline(path: str, checked: "Sequence[Checked]") -> None:
    from planner.checks.baseline import baseline_document

    priced = [
        (one.subject, one.estimate)
        for one in checked
        if one.subject is not None and one.estimate is not None
    ]
    if len(priced) < len(checked):
        raise InputError(f"--write-baseline: {path!r} is not written, as not every plan can run")
    write_file(path, api.to_text(baseline_document(path, priced)), option="--write-baseline")
