"""The bandwidth between every two nodes of plan 1, and the traffic on the slowest links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.reports.page.html import Html, element
from planner.reports.page.parts import note, section, table
from planner.training.traffic import MATRIX, JobLinks, Traffic, traffic
from planner.wording.units import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from planner.reports.page.content import PageContent

GB = 1e9
LARGEST = 128
"""Nodes up to which every pair is drawn."""
CLASSES = 6
"""Bandwidths that are told apart by colour."""
ALIKE = 1e-6
"""Bandwidths that differ by less than this share are one."""
SLOW = 8
"""Links that the table lists."""
SIDE = 360
"""Pixels of the picture."""


def links(content: PageContent) -> Html | None:
    """None for a document without plans, or where its inputs are not at hand (the map says so)."""
    if not content.answer.plans or content.inputs is None:
        return None
    scenario, plan = content.inputs.scenario, content.best.plan
    placed = scenario.running(plan)
    known = JobLinks.of(placed)
    nodes = placed.topology.nodes
    if nodes == 1:
        return section("links", "Links", note("One node: there are no links."), wide=True)
    title = "Links between nodes"
    if nodes > MATRIX:
        said = f"{count(nodes)} nodes are too many for a picture of every pair"
        return section(
            "links",
            title,
            note(f"{said}; the table of the cluster has the narrowest link of each kind."),
            wide=True,
        )
    apart = known.domain[:, None] != known.domain
    rates = known.bytes_per_s[apart]
    if not rates.size:
        return section("links", title, note("All nodes share one scale-up domain."), wide=True)
    if rates.max() <= rates.min() * (1 + ALIKE):
        said = f"All pairs of nodes are alike: {_gb(rates.max())} GB/s a node each way"
        return section("links", title, note(f"{said}, so there is no picture of them."), wide=True)
    kinds = traffic(scenario, plan)
    hosts = plan.placement.hosts
    drawn = nodes <= LARGEST
    return section(
        "links",
        title,
        note(
            f"From {_gb(rates.min())} to {_gb(rates.max())} GB/s a node. "
            + (
                "A row sends, a column receives, nodes in the order of the plan; dots are "
                "neighbours in the pipeline."
                if drawn
                else f"{count(nodes)} nodes are too many for a picture of every pair."
            )
        ),
        element(
            "div",
            element("div", *_picture(known.bytes_per_s, apart, kinds)) if drawn else None,
            _slowest(known, kinds, hosts),
            class_="beside" if drawn else None,
        ),
        wide=True,
    )


def classes(rates: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Up to `CLASSES` ranges of bandwidth that hold all, the slowest first: every value its own
    where there are so few, else equally many links each."""
    distinct = np.unique(rates)
    kept = distinct[np.concatenate(([True], np.diff(distinct) > ALIKE * distinct[1:]))]
    if len(kept) <= CLASSES:
        ends = [*kept[1:].tolist(), np.inf]
        return list(zip(kept.tolist(), ends, strict=True))
    edges = np.unique(np.quantile(rates, np.linspace(0, 1, CLASSES + 1)))
    ends = [*edges[1:-1].tolist(), np.inf]
    return list(zip(edges[:-1].tolist(), ends, strict=True))


def _picture(
    rates: NDArray[np.float64], apart: NDArray[np.bool_], kinds: Sequence[Traffic]
) -> Iterable[Html]:
    """A path for each class, and its swatch."""
    found = classes(rates[apart])
    nodes = len(rates)
    paths, entries = [], []
    for at, (low, end) in enumerate(found):
        inside = apart & (rates >= low * (1 - ALIKE)) & (rates < end * (1 - ALIKE))
        name = f"bandwidth{round(at * (CLASSES - 1) / max(len(found) - 1, 1))}"
        shown = rates[inside]
        if not shown.size:
            continue
        words = _gb(shown.min())
        if shown.max() > shown.min() * (1 + ALIKE):
            words += f"–{_gb(shown.max())}"
        paths.append(element("path", d=_squares(inside), class_=name))
        entries.append(element("li", element("i", class_=f"swatch back-{name}"), f"{words} GB/s"))
    neighbours = [pair for one in kinds if one.axis == "pipeline" for pair in one.pairs]
    dots = [
        f"M{b + 0.35:g} {a + 0.35:g}h.3v.3h-.3z"
        for one, other in neighbours
        for a, b in ((one, other), (other, one))
    ]
    paths.append(element("path", d="".join(dots), class_="dots"))
    yield element(
        "div",
        element(
            "svg",
            *paths,
            viewBox=f"0 0 {nodes} {nodes}",
            width=SIDE,
            height=SIDE,
            role="img",
            aria_label=f"Bandwidth between {nodes} nodes; the table lists the slowest links.",
        ),
        class_="heat",
    )
    yield element("ul", *entries, class_="legend")


def _squares(inside: NDArray[np.bool_]) -> str:
    """Runs of cells of a row as one rectangle each."""
    parts = []
    for row in range(len(inside)):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], inside[row].astype(np.int8), [0]))))
        parts += [
            f"M{start} {row}h{end - start}v1h-{end - start}z"
            for start, end in edges.reshape(-1, 2).tolist()
        ]
    return "".join(parts)


def _slowest(known: JobLinks, kinds: Sequence[Traffic], hosts: Sequence[str]) -> Html:
    """The slowest links that anything runs over."""
    carries: dict[tuple[int, int], list[str]] = {}
    for one in kinds:
        for pair in one.pairs:
            if known.domain[pair[0]] != known.domain[pair[1]]:
                carries.setdefault(pair, []).append(one.axis)

    rates = np.minimum(known.bytes_per_s, known.bytes_per_s.T)
    slow = sorted(carries, key=lambda pair: (rates[pair], pair))[:SLOW]
    return table(
        f"The slowest of {count(len(carries))} links that the plan uses",
        ["between", "class", "carries", "GB/s a node"],
        [
            (
                f"{hosts[a]} and {hosts[b]}",
                known.tier((a, b)),
                ", ".join(carries[a, b]),
                _gb(rates[a, b]),
            )
            for a, b in slow
        ],
        text_columns=3,
    )


def _gb(bytes_per_s: float) -> str:
    return f"{bytes_per_s / GB:.4g}"
