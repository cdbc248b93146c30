"""Studies: many searches that differ in some fields of their inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.specs import ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.sweeps.answers import PointAnswer
    from planner.sweeps.curves import Crossover, Curve
    from planner.sweeps.sweep import SweepProgress, SweepResult

MOST_JOBS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptStudy:
    """The answers of a study: every point in the order of its file, and the front.

    >>> from planner import api
    >>> study = {"model": "gpt-1.7b", "cluster": "dgx-a100-8", "sweep": {"nodes": [1, 2]}}
    >>> swept = api.sweep(study)
    >>> [one.outcome for one in swept.points], len(swept.front)
    (['planned', 'planned'], 2)
    """

    result: SweepResult

    @property
    def points(self) -> tuple[PointAnswer, ...]:
        return self.result.points

    @property
    def front(self) -> tuple[PointAnswer, ...]:
        """Points that no other one beats in every objective."""
        return self.result.front

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Points that differ in their nodes alone, where the study sweeps nodes."""
        from planner.sweeps.curves import curves

        return curves(self.result)

    @property
    def crossovers(self) -> tuple[Crossover, ...]:
        """Where the better of two curves changes."""
        from planner.sweeps.curves import crossovers

        return crossovers(self.result)

    @property
    def document(self) -> dict[str, Any]:
        """What `planner sweep --json` prints."""
        from planner.sweeps.document import sweep_document

        return sweep_document(self.result)

    @property
    def page(self) -> str:
        """The text of an HTML file that shows the front, the curves and where the better changes;
        it needs no network."""
        from planner.reports.page.study import study_page

        return study_page(self.result)


def sweep(
    study: str | Path | Mapping[str, object],
    *,
    out: str | Path | None = None,
    jobs: int | None = 1,
    scheduler: str | None = None,
    every_point: bool = False,
    progress: Callable[[SweepProgress], None] | None = None,
) -> SweptStudy:
    """A search for every point of a study, given by the path of its file or as a mapping in the
    form of the file.

    Points that differ in their number of nodes alone share prices, bounds and the best plan so far.
    A point is left out where a bound shows that another is better in every objective, unless
    `every_point`. With `out`, answers are kept in that folder as they come, and a sweep that was
    ended goes on there without repeating a search; the folder then holds `results.csv`,
    `points.jsonl`, `front.csv`, a page `report.html`, and a plan file for every point with a plan.
    `jobs` processes work at the same time (None: as many as the machine has cores), or those of a
    `scheduler`, such as "dask://host:8786" or "ray://host:10001". Every way gives the same answers
    in the same order.

    Raises: InputError for anything wrong in the study or the files it names, with its place.

    >>> from planner import api
    >>> study = {"model": "gpt-1.7b", "sweep": {"cluster": ["dgx-a100-8"], "nodes": "1..2"}}
    >>> api.sweep(study).front[0].axes["nodes"]
    '1'
    """
    from planner.specs.files.writing import write_file
    from planner.specs.study.build import load_study
    from planner.sweeps.document import csv_text, json_lines
    from planner.sweeps.store import Store
    from planner.sweeps.sweep import run_study
    from planner.sweeps.workers import Workers, workers_here

    count = ranges.whole("--jobs", jobs, most=MOST_JOBS) or workers_here()
    loaded = load_study(study)
    store = None if out is None else Store(str(out))
    if store is not None:
        store.open()
    result = run_study(
        loaded,
        workers=Workers(jobs=count, scheduler=scheduler),
        store=store,
        every_point=every_point,
        progress=progress,
    )
    swept = SweptStudy(result=result)
    if out is not None:
        texts = {
            "results.csv": csv_text(result, result.points),
            "front.csv": csv_text(result, result.front),
            "points.jsonl": json_lines(result.points),
            "report.html": swept.page,
        }
        for name, text in texts.items():
            write_file(str(Path(out) / name), text, option="--out")
    return swept


def compare_clusters(
    *clusters: str,
    model: str,
    tokens: int | str | None = None,
    nodes: Iterable[int] | str | None = None,
    global_batch_size: int | None = None,
    seq_length: int | None = None,
    precision: str | None = None,
    software: str | None = None,
    jobs: int | None = 1,
    out: str | Path | None = None,
    progress: Callable[[SweepProgress], None] | None = None,
) -> SweptStudy:
    """The best plan for a model on each of several clusters: the short form of a study. `nodes`
    compares them on several numbers of nodes, `[8, 16]` or `"8..16"`; otherwise each is taken
    whole. Costs are compared where all cluster files state prices, else devices.

    Raises: InputError.

    >>> from planner import api
    >>> swept = api.compare_clusters("dgx-a100-8", "dgx-h100-16", model="gpt-1.7b", nodes=[2])
    >>> [one.axes["cluster"] for one in swept.front]
    ['dgx-h100-16']
    """
    from planner.api.inputs import load_cluster, load_model, load_software
    from planner.api.scenarios import tokens_of
    from planner.plan import PRECISIONS

    load_model(model)
    if software is not None:
        load_software(software)
    repeated = next((one for one in clusters if clusters.count(one) > 1), None)
    if repeated is not None:
        raise InputError(f"cluster {repeated} is given twice")
    job = {
        "tokens": tokens_of(tokens),
        "global_batch_size": global_batch_size,
        "seq_length": seq_length,
        "precision": ranges.word("--precision", precision, PRECISIONS),
        "software": software,
    }
    axes: dict[str, object] = {"cluster": list(clusters)}
    if nodes is not None:
        axes["nodes"] = nodes if isinstance(nodes, str) else list(nodes)
    priced = all(load_cluster(one).prices is not None for one in clusters)
    study: dict[str, object] = {
        "name": "compare-clusters",
        "model": model,
        "job": {key: value for key, value in job.items() if value is not None},
        "sweep": axes,
        "objectives": ["time", "cost"] if priced else ["time", "devices"],
    }
    return sweep(study, out=out, jobs=jobs, every_point=True, progress=progress)
