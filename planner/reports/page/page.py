"""The page as a whole: head, policy, style, sections, the document it was made from, script."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from planner import __version__
from planner.plan_document.page import embedded
from planner.reports.page.bars import lengths_css
from planner.reports.page.colours import colours_css, stages_css
from planner.reports.page.html import Html, element, join
from planner.reports.page.sections.answer import answer, header
from planner.reports.page.sections.basis import assumptions, confidence
from planner.reports.page.sections.cloud import cloud
from planner.reports.page.sections.cluster import cluster
from planner.reports.page.sections.launch import launch
from planner.reports.page.sections.links import links
from planner.reports.page.sections.memory import memory
from planner.reports.page.sections.pipeline import pipeline
from planner.reports.page.sections.ranking import ranking
from planner.reports.page.sections.scaling import scaling
from planner.reports.page.sections.time import time

if TYPE_CHECKING:
    from planner.reports.page.content import PageContent

SECTIONS = (
    ("answer", "Answer", answer),
    ("plans", "Plans", ranking),
    ("cloud", "Time × memory", cloud),
    ("time", "Time", time),
    ("memory", "Memory", memory),
    ("scaling", "Scaling", scaling),
    ("pipeline", "Pipeline", pipeline),
    ("cluster", "Cluster", cluster),
    ("links", "Links", links),
    ("accuracy", "Accuracy", confidence),
    ("assumptions", "Assumptions", assumptions),
    ("launch", "Launch", launch),
)
"""Names, what links to them say, and what makes them, in the order of the page."""


def page_text(content: PageContent) -> str:
    """The text of the HTML file; the same content gives the same text."""
    made = [(name, said, make(content)) for name, said, make in SECTIONS]
    shown = [(name, said, html) for name, said, html in made if html is not None]
    body = join(
        header(content),
        element(
            "nav",
            element(
                "ul",
                *(element("li", element("a", said, href=f"#{name}")) for name, said, _ in shown),
            ),
            aria_label="Sections",
        ),
        element("main", *(html for _, _, html in shown)),
        _footer(),
    )
    inputs = content.answer.inputs
    title = f"{inputs.model.name} on {inputs.cluster.name}: planner report"
    return shell(title, body, embedded(content.text))


def shell(title: str, body: Html, document: str = "") -> str:
    """An HTML file with this body; `document` is what programs read back from it, as markup."""
    style = f"{colours_css()}{_asset('page.css')}{lengths_css(body)}{stages_css(body)}"
    script = _asset("page.js")
    head = join(
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(style, script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"planner {__version__}"),
        element("title", title),
        element("style", Html(style)),
    )
    page = element(
        "html",
        element("head", head),
        element("body", body, Html(document), element("script", Html(script))),
        lang="en",
    )
    return f"<!doctype html>\n{page}\n"


def policy(style: str, script: str) -> str:
    """The Content-Security-Policy: this style, this script, nothing else, and no request."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    found = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest())
    return f"sha256-{found.decode('ascii')}"


def _asset(name: str) -> str:
    return files("planner.reports.page").joinpath(name).read_text(encoding="utf-8")


def _footer() -> Html:
    return element(
        "footer",
        element(
            "noscript",
            element(
                "p",
                "Without JavaScript the table does not sort, and pictures drawn by it are missing.",
                class_="noscript",
            ),
        ),
        element(
            "p",
            f"planner {__version__}. This file holds all it shows and needs no network; planner "
            "check, estimate and export read its plans back. It needs a browser of 2023 or later.",
        ),
    )
