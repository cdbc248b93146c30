"""A real browser for the page of `planner report`. `make test-browser` runs these tests; elsewhere
they are left out, and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from planner import api

WANTED = "PLANNER_BROWSER_TESTS"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

Page = Any
"""A `playwright.sync_api.Page`, which is not installed where these tests are left out."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if WANTED not in os.environ:
        pytest.skip("needs a browser: make test-browser")
    from playwright.sync_api import sync_playwright

    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    assert program is not None, "no Chromium is installed"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page that was opened, and what it complained about or asked for until now."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture
def opened(chromium: Any) -> Iterator[Open]:
    """`opened(path, width=400, scheme="dark")`; every complaint of the page fails the test."""
    contexts: list[Any] = []
    all_opened: list[Opened] = []

    def open_page(
        path: Path, *, width: int = 1280, height: int = 800, scheme: str = "light", **more: Any
    ) -> Opened:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **more
        )
        contexts.append(context)
        page = context.new_page()
        found = Opened(page)
        page.on("console", lambda message: found.complaints.append(message.text))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(path.as_uri())
        if more.get("java_script_enabled", True):
            page.wait_for_function(
                "!document.querySelector('#pipeline-shown') || "
                "document.querySelector('#pipeline-shown').textContent !== ''"
            )
        all_opened.append(found)
        return found

    yield open_page
    for context in contexts:
        context.close()
    for one in all_opened:
        assert one.complaints == []
        assert [url for url in one.requests if not url.startswith("file:")] == []
        assert len(one.requests) == 1


@dataclass(frozen=True)
class Pages:
    """Files to open, and the documents that they show."""

    uniform: Path
    plans: Path
    sites: Path
    largest: Path
    nothing: Path


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Pages:
    folder = tmp_path_factory.mktemp("pages")

    def written(name: str, text: str) -> Path:
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return path

    found = api.search(
        "dgx-a100-8", "gpt-7.5b", nodes=2, top=30, cloud=True, scaling=(1, 2), recompute=None
    )
    mine = api.estimate("dgx-a100-8", "gpt-7.5b", nodes=2, tensor=4, pipeline=2)
    plans = folder / "plans.json"
    api.write_plans(found, plans)
    sites = api.estimate("two-site-a100-32", "llama-2-70b", tensor=8, pipeline=4)
    largest = api.estimate(
        "dgx-h100-2048", "gpt-1t", tensor=8, pipeline=16, virtual_stages=8, global_batch_size=16384
    )
    nothing = api.search("dgx-a100-8", "gpt3-175b", nodes=1)
    return Pages(
        uniform=written("uniform.html", api.report(found, mine=mine)),
        plans=plans,
        sites=written("sites.html", api.report(sites)),
        largest=written("largest.html", api.report(largest)),
        nothing=written("nothing.html", api.report(nothing)),
    )
