"""What the page does when it is used: sorting, filtering, choosing, zooming, copying."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.conftest import Open, Page, Pages

GIB = 2**30
LARGEST_OPENS_S = 2.0
REDRAW_MS = 100.0


def names(page: Page) -> list[str]:
    """Plans in the order of the table, as far as they are shown."""
    found: list[str] = page.locator("#ranking tbody tr:not([hidden])").evaluate_all(
        "rows => rows.map((row) => row.dataset.plan)"
    )
    return found


def test_figures_of_the_table_are_those_of_the_plan_file(opened: Open, pages: Pages) -> None:
    page = opened(pages.uniform).page
    rows = page.locator("#ranking tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
    )
    heads = page.locator("#ranking thead th").evaluate_all(
        "heads => heads.map((one) => one.innerText.trim())"
    )
    plans = json.loads(pages.plans.read_text())["plans"]
    at = {head.split()[0]: index for index, head in enumerate(heads)}
    assert len(rows) == len(plans) + 1
    for row, plan in zip(rows, plans, strict=False):
        estimate = plan["estimate"]
        assert float(row[at["step"]]) == pytest.approx(estimate["step_s"], abs=0.006)
        peak = row[at["peak"]].lstrip("!")
        assert peak == f"{estimate['memory']['peak_bytes'] / GIB:.1f}"
        assert row[at["tokens/s"]] == f"{estimate['tokens_per_s']:,.0f}"
        assert [int(row[at[axis]]) for axis in "tpd"] == [
            plan["degrees"][axis] for axis in ("tensor", "pipeline", "data")
        ]


def test_a_heading_sorts_both_ways(opened: Open, pages: Pages) -> None:
    page = opened(pages.uniform).page
    plans = json.loads(pages.plans.read_text())["plans"]
    peaks = {str(one["rank"]): one["estimate"]["memory"]["peak_bytes"] for one in plans}
    head = page.locator("#ranking thead th", has_text="peak")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    order = [peaks[name] for name in names(page) if name != "mine"]
    assert order == sorted(order)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    order = [peaks[name] for name in names(page) if name != "mine"]
    assert order == sorted(order, reverse=True)
    assert page.locator("#ranking thead th[aria-sort]").count() == 1


def test_the_filter_takes_words_and_mine_stays(opened: Open, pages: Pages) -> None:
    page = opened(pages.uniform).page
    plans = json.loads(pages.plans.read_text())["plans"]
    tensor = plans[-1]["degrees"]["tensor"]
    wanted = [str(one["rank"]) for one in plans if one["degrees"]["tensor"] == tensor]
    page.locator("#filter").fill(f"t{tensor}")
    assert sorted(names(page)) == sorted(["mine", *wanted])
    assert page.locator("#shown").inner_text() == f"{len(wanted) + 1} of {len(plans) + 1} plans"
    page.locator("#filter").fill("no-such-word")
    assert names(page) == ["mine"]
    page.locator("#filter").fill("")
    page.locator("#without-tight").check()
    fits = [str(one["rank"]) for one in plans if one["estimate"]["memory"]["fit_class"] == "fits"]
    assert sorted(names(page)) == sorted(["mine", *fits])


def test_arrow_keys_choose_a_plan(opened: Open, pages: Pages) -> None:
    page = opened(pages.uniform).page
    page.locator("#ranking tbody tr[tabindex='0']").focus()
    before = page.evaluate("document.querySelector('#cloud-picture').toDataURL()")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.plan") == "3"
    assert page.locator("#ranking tr[aria-current]").get_attribute("data-plan") == "3"
    assert page.evaluate("document.querySelector('#cloud-picture').toDataURL()") != before


def test_the_theme_button_switches_colours_and_redraws(opened: Open, pages: Pages) -> None:
    page = opened(pages.uniform, scheme="dark").page
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground), page.evaluate("document.querySelector('canvas').toDataURL()")
    page.locator("#theme").click()
    after = page.evaluate(ground), page.evaluate("document.querySelector('canvas').toDataURL()")
    assert before[0] != after[0]
    assert before[1] != after[1]
    page.locator("#theme").click()
    assert page.evaluate(ground) == before[0]


def test_a_dot_of_the_cloud_says_what_it_is(opened: Open, pages: Pages) -> None:
    page = opened(pages.uniform).page
    page.locator("#cloud").scroll_into_view_if_needed()
    box = page.locator("#cloud-picture").bounding_box()
    assert box is not None
    for share in range(5, 60):
        page.mouse.move(box["x"] + 40 + share * box["width"] / 100, box["y"] + box["height"] * 0.5)
        if page.locator("#cloud-readout").inner_text():
            break
    assert "at least" in page.locator("#cloud-readout").inner_text()


PIXELS = """
(name) => {
  const canvas = document.querySelector(name);
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const rows = [];
  for (let y = 0; y < height; y += 1) {
    let seen = 0;
    for (let x = 60; x < width - 8; x += 1) seen += data[4 * (y * width + x) + 3] > 200;
    rows.push(seen / (width - 68));
  }
  return rows;
}
"""


def test_the_pipeline_zooms_by_keys_and_buttons_and_comes_back(opened: Open, pages: Pages) -> None:
    page = opened(pages.sites).page
    picture, shown = page.locator("#pipeline-picture"), page.locator("#pipeline-shown")
    whole = shown.inner_text()
    first = page.evaluate("document.querySelector('#pipeline-picture').toDataURL()")
    picture.focus()
    seen = [whole]
    for key in ("+", "+", "ArrowRight", "-"):
        page.keyboard.press(key)
        page.wait_for_timeout(60)
        seen.append(shown.inner_text())
    assert len(set(seen)) == 5
    page.keyboard.press("Home")
    page.wait_for_timeout(60)
    assert shown.inner_text() == whole
    assert page.evaluate("document.querySelector('#pipeline-picture').toDataURL()") == first
    page.locator('button[data-zoom="last"]').click()
    page.wait_for_timeout(60)
    assert shown.inner_text() != whole
    page.locator('button[data-zoom="all"]').click()
    page.wait_for_timeout(60)
    assert shown.inner_text() == whole


def test_every_stage_of_the_pipeline_is_drawn(opened: Open, pages: Pages) -> None:
    page = opened(pages.sites).page
    rows = page.evaluate(PIXELS, "#pipeline-picture")
    stages = page.evaluate("JSON.parse(document.querySelector('#pipeline-picture').dataset.config)")
    count = len(stages["counts"])
    each = (len(rows) - 24) / count
    for stage in range(count):
        middle = rows[int(stage * each + each * 0.3)]
        assert 0.3 < middle < 1.0, stage  # busy most of the time, and idle some of it


def test_the_wheel_scrolls_the_page_and_zooms_with_ctrl(opened: Open, pages: Pages) -> None:
    page = opened(pages.sites).page
    picture = page.locator("#pipeline-picture")
    picture.scroll_into_view_if_needed()
    picture.hover()
    top, shown = page.evaluate("scrollY"), page.locator("#pipeline-shown").inner_text()
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") > top
    assert page.locator("#pipeline-shown").inner_text() == shown
    picture.scroll_into_view_if_needed()
    picture.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_timeout(200)
    assert page.locator("#pipeline-shown").inner_text() != shown


def test_the_legend_and_the_canvas_have_the_same_colours(opened: Open, pages: Pages) -> None:
    page = opened(pages.sites).page
    found = page.evaluate(
        """() => {
          const canvas = document.querySelector("#pipeline-picture");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const seen = new Set();
          for (let at = 0; at < data.length; at += 4) {
            const [red, green, blue, alpha] = data.slice(at, at + 4);
            if (alpha === 255) seen.add(`rgb(${red}, ${green}, ${blue})`);
          }
          return [...document.querySelectorAll("#pipeline .swatch")].map((one) =>
            [one.className, seen.has(getComputedStyle(one).backgroundColor)]);
        }"""
    )
    assert len(found) >= 3
    assert all(seen for _, seen in found), found


def test_copying_says_what_happened(opened: Open, pages: Pages) -> None:
    page = opened(pages.uniform, permissions=["clipboard-read", "clipboard-write"]).page
    button = page.locator("button.copy").first
    button.click()
    page.wait_for_timeout(100)
    assert button.inner_text() in ("Copied", "Selected")
    if button.inner_text() == "Copied":
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == page.locator("#launch-0").text_content()


def test_the_largest_job_opens_quickly_and_redraws_smoothly(opened: Open, pages: Pages) -> None:
    opened(pages.sites)
    began = time.monotonic()
    page = opened(pages.largest).page
    assert time.monotonic() - began < LARGEST_OPENS_S
    assert "16,384 devices" in page.locator("header").inner_text()
    redraws = page.evaluate(
        """async () => {
          const picture = document.querySelector("#pipeline-picture");
          picture.focus();
          const taken = [];
          for (const key of ["+", "+", "ArrowRight", "-", "Home"]) {
            const began = performance.now();
            picture.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            taken.push(performance.now() - began);
          }
          return taken.sort((a, b) => a - b);
        }"""
    )
    assert redraws[len(redraws) // 2] < REDRAW_MS, redraws
