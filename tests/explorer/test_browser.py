"""Both pages in a real browser: `make browser` installs what they need; without it they are skipped."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright and chromium: make browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: make browser")
WIDE, NARROW = {"width": 1280, "height": 1000}, {"width": 390, "height": 1000}


@pytest.fixture
def page():
    """A page that fails its test if anything was logged as an error."""
    with playwright.sync_playwright() as opened:
        browser = opened.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        made, said = browser.new_page(viewport=WIDE), []
        made.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        made.on("pageerror", lambda error: said.append(str(error)))
        yield made
        browser.close()
    assert said == []


@pytest.fixture
def explored(page, port):
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("#decoded img")
    page.wait_for_selector("#map .plot-container")
    return page


def after_a_change(page, before: str) -> str:
    """The decoded image, once it is another than `before`."""
    page.wait_for_function("before => document.querySelector('#decoded img').src !== before", arg=before)
    return page.get_attribute("#decoded img", "src")


def test_dragging_on_the_map_and_a_slider_change_what_is_decoded(explored):
    before, box = explored.get_attribute("#decoded img", "src"), explored.locator("#over").bounding_box()
    explored.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    explored.mouse.down()
    explored.mouse.move(box["x"] + box["width"] / 5, box["y"] + box["height"] / 3)
    explored.mouse.up()
    before = after_a_change(explored, before)
    explored.locator("#sliders input").nth(2).evaluate("e => { e.value = e.max; e.dispatchEvent(new Event('input')) }")
    after_a_change(explored, before)


def test_an_image_of_ones_own_is_encoded_and_downloads_open(explored):
    picture, file = Image.new("L", (40, 40), 0), io.BytesIO()
    picture.paste(255, (15, 5, 25, 35))
    picture.save(file, "PNG")
    explored.set_input_files("#file", {"name": "one.png", "mimeType": "image/png", "buffer": file.getvalue()})
    explored.wait_for_function("() => document.querySelector('#point').innerText.includes('surprise')")
    with explored.expect_download() as png:
        explored.click("#save-png")
    assert min(Image.open(png.value.path()).size) > 8
    with explored.expect_download() as npz:
        explored.click("#save-npz")
    assert {k: v.shape for k, v in np.load(npz.value.path()).items()} == {"z": (1, 6), "x": (1, 8, 8)}


def test_the_explorer_fits_a_narrow_screen(explored):
    explored.set_viewport_size(NARROW)
    # The map is drawn again for the new width.
    explored.wait_for_function("most => document.documentElement.scrollWidth <= most", arg=NARROW["width"])


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_a_report_draws_every_chart_in_its_own_place(page, digits, size):
    page.set_viewport_size(size)
    page.goto((digits / "report.html").as_uri())
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        chart.locator(".plot-container").wait_for()
    assert page.locator(".chart .plot-container").count() == page.locator(".plot-container").count()
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
