"""The page at every width and scheme, without JavaScript, with forced colours, and on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from planner.reports.page.page import page_text
from tests.reports.test_page import content_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.conftest import Open, Page, Pages
    from tests.conftest import Golden, Samples

NAMES = ("uniform", "sites", "largest", "nothing")

SMALL_TEXT = """
() => [...document.querySelectorAll("main *")].filter((one) =>
    [...one.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()) &&
    parseFloat(getComputedStyle(one).fontSize) < 11
).map((one) => one.outerHTML.slice(0, 80))
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 400, 640, 1280])
@pytest.mark.parametrize("name", NAMES)
def test_a_view_fits_its_width_and_passes_axe(
    opened: Open, pages: Pages, name: str, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(getattr(pages, name), width=width, scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SMALL_TEXT) == []
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found] == []
    assert page.evaluate("document.querySelectorAll('*').length") < 4000


def test_forced_colours_and_reduced_motion(opened: Open, pages: Pages) -> None:
    page = opened(pages.uniform, forced_colors="active", reduced_motion="reduce").page
    assert page.locator("#answer h2").is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_without_javascript_all_but_the_canvases_is_there(opened: Open, pages: Pages) -> None:
    page = opened(pages.uniform, java_script_enabled=False).page
    assert page.locator("#ranking tbody tr").count() == 31
    assert page.locator("#time .bar").count() > 0
    assert "Without JavaScript" in page.locator("noscript").inner_text()


def test_a_screen_reader_hears_the_answer(
    opened: Open, samples: Samples, golden: Golden, tmp_path: Path
) -> None:
    path = tmp_path / "samples.html"
    path.write_text(page_text(content_of(samples, samples.found())), encoding="utf-8")
    page = opened(path).page
    golden.check("page-answer-aria.txt", page.locator("#answer").aria_snapshot() + "\n")


def test_tab_stops_are_few_and_end_at_the_copy_button(opened: Open, pages: Pages) -> None:
    page = opened(pages.uniform).page
    stops = []
    for _ in range(150):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            "document.activeElement.tagName + ' ' + (document.activeElement.dataset.plan || '')"
        )
        if stop.startswith("BODY"):
            break
        stops.append(stop)
    assert sum(stop.startswith("TR ") for stop in stops) == 1
    assert len(stops) < 100


def colour_of(page: Page, what: str) -> str:
    found: str = page.evaluate(
        f"getComputedStyle(document.querySelector('{what}')).backgroundColor"
    )
    return found


def test_paper_is_light_whole_and_has_every_section(opened: Open, pages: Pages) -> None:
    page = opened(pages.uniform, scheme="dark").page
    assert colour_of(page, "body") == "rgb(17, 20, 24)"
    page.locator('button[data-zoom="in"]').click()
    page.wait_for_timeout(100)
    zoomed = page.locator("#pipeline-shown").inner_text()
    page.emulate_media(media="print", color_scheme="dark")
    assert colour_of(page, "body") == "rgb(251, 251, 250)"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(100)
    assert page.locator("#pipeline-shown").text_content() != zoomed
    for name in page.locator("section").evaluate_all("all => all.map((one) => one.id)"):
        assert page.locator(f"#{name} h2").is_visible()
    shown = page.locator("#ranking tbody tr").evaluate_all(
        "rows => rows.filter((one) => getComputedStyle(one).display !== 'none').length"
    )
    assert shown == 26  # the first 25, and mine
    sheets = page.pdf(format="A4").count(b"/Type /Page\n")
    assert 2 <= sheets <= 14
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen", color_scheme="dark")
    assert colour_of(page, "body") == "rgb(17, 20, 24)"
