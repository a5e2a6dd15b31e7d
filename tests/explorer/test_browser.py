"""Both pages in a real browser: `make browser` installs what they need; without it they are skipped."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from minamo import VAE, load
from tests.explorer.conftest import ready, served

WIDE, NARROW = {"width": 1280, "height": 1000}, {"width": 390, "height": 1000}
DROP = """([name, type, bytes, text]) => {
  const data = new DataTransfer();
  if (name) data.items.add(new File([Uint8Array.from(bytes)], name, {type})); else data.setData('text/plain', text);
  document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


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


def stroke(page, points):
    """A line drawn on the pad by the mouse, in its pixels."""
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + points[0][0], box["y"] + points[0][1])
    page.mouse.down()
    for x, y in points[1:]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=5)
    page.mouse.up()


def landed(page, words: str) -> np.ndarray:
    """The z to which the page has gone, once the datum called `words` is told of."""
    page.wait_for_function("words => document.querySelector('#point h3')?.textContent === words", arg=words)
    return np.array(page.evaluate("z"))


def ink(page) -> np.ndarray:
    """The pad's pixels, as the file that is sent."""
    url = page.evaluate("document.getElementById('pad').toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("L"))


def test_a_drawing_lands_on_the_map_with_its_surprise(explored, session):
    stroke(explored, [(70, 15), (70, 125)])
    assert 0.05 < (ink(explored) > 200).mean() < 0.2
    explored.click("#use-pad")
    z = landed(explored, "Your drawing")
    told = session.encode_image(np.asarray(Image.fromarray(ink(explored)).resize((8, 8), Image.Resampling.BOX)))
    assert z == pytest.approx(told["z"], abs=1e-6)
    said = explored.inner_text("#point")
    assert f"less likely than {100 * told['lower_than']:.0f} %" in said
    assert f"{told['log_p']:.2f}" in said
    dot, over = explored.locator("#dot").bounding_box(), explored.locator("#over").bounding_box()
    a, low, high = explored.evaluate("[axes()[0], ...view.x]")
    assert (dot["x"] + dot["width"] / 2 - over["x"]) / over["width"] == pytest.approx(
        (told["z"][a] - low) / (high - low), abs=0.01
    )
    explored.click("#clear-pad")
    assert ink(explored).max() == 0


def test_a_finger_draws(explored):
    explored.locator("#pad").scroll_into_view_if_needed()
    box, touch = explored.locator("#pad").bounding_box(), explored.context.new_cdp_session(explored)
    places = [{"x": box["x"] + 70, "y": box["y"] + y} for y in range(20, 120, 10)]
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
    for place in places[1:]:
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert (ink(explored)[20:110, 70] > 200).all()


def test_an_image_or_a_row_that_is_dropped_is_encoded(explored, session):
    """Row 5 of the digits, as a picture and as numbers, lands where its point is."""
    x, told = load("digits").x[5].reshape(8, 8), session.datum(5)
    file = io.BytesIO()
    Image.fromarray((x / 16 * 255).round().astype(np.uint8)).save(file, "PNG")
    explored.evaluate(DROP, ["five.png", "image/png", list(file.getvalue()), ""])
    assert landed(explored, "five.png") == pytest.approx(told["z"], abs=0.05)
    explored.evaluate(DROP, ["", "", [], ", ".join(f"{v / 16:g}" for v in x.ravel())])
    assert landed(explored, "The row that was dropped") == pytest.approx(told["z"], abs=1e-4)
    assert "surprise" in explored.inner_text("#point")
    assert explored.is_hidden("#said")
    assert explored.inner_text("#point h3") == "The row that was dropped"


def test_a_row_of_a_table_is_dropped_as_a_file(page, table):
    from minamo.explorer.session import Session

    session = Session(table)
    with served(session) as port:
        ready(page, port)
        assert page.is_hidden("#pad-box")
        page.evaluate(DROP, ["one.csv", "text/csv", list(b"a,b,c,d\n1,2,3,4\n"), ""])
        assert landed(page, "one.csv") == pytest.approx(session.encode(np.array([1.0, 2.0, 3.0, 4.0]))["z"], abs=1e-6)
        assert page.locator("#point table").first.locator("td:nth-child(2)").all_inner_texts() == ["1", "2", "3", "4"]
        page.fill("#row", "1, 2")
        page.evaluate("document.getElementById('row-form').requestSubmit()")
        page.wait_for_selector("#said:not([hidden])")
        assert "expected 4 numbers, got 2" in page.inner_text("#said")
        assert len(page.errors) == 1
        assert "400" in page.errors.pop()


def test_an_image_is_chosen_and_what_is_decoded_is_downloaded(explored, digits):
    picture, file = Image.new("L", (40, 40), 0), io.BytesIO()
    picture.paste(255, (15, 5, 25, 35))
    picture.save(file, "PNG")
    explored.set_input_files("#file", {"name": "one.png", "mimeType": "image/png", "buffer": file.getvalue()})
    z = landed(explored, "one.png")
    explored.wait_for_function("!waiting")
    with explored.expect_download() as png:
        explored.click("#save-png")
    with explored.expect_download() as npz:
        explored.click("#save-npz")
    with np.load(npz.value.path(), allow_pickle=False) as found:
        assert {k: v.shape for k, v in found.items()} == {"z": (1, 6), "x": (1, 8, 8)}
        x, vae = found["x"][0], VAE.load(digits / "model.safetensors")
        assert found["z"][0] == pytest.approx(z, abs=0)
        assert x == pytest.approx(vae.inverse_transform(z[None]).reshape(8, 8), abs=1e-4)
    assert shown_on(png.value.path(), 1)[0] == pytest.approx(np.clip(x, 0, 1), abs=0.01)


def shown_on(path, n: int) -> np.ndarray:
    """The data on a sheet of n pictures of 8 x 8, each pixel 7 x 7 large, with gaps of 2: [n, 8, 8] in [0, 1]."""
    picture, across = np.asarray(Image.open(path).convert("L")) / 255, round(n**0.5)
    middles = [2 + 58 * i + 7 * j + 3 for i in range(across) for j in range(8)]
    return picture[np.ix_(middles, middles)].reshape(across, 8, across, 8).transpose(0, 2, 1, 3).reshape(n, 8, 8)


@pytest.mark.parametrize("draw", [False, True], ids=["means", "draws"])
def test_a_great_circle_is_downloaded_as_it_is_shown(explored, digits, draw):
    """Equal angles, lengths that change evenly, and the very pictures of the sheet."""
    explored.evaluate("z = [2, 0, 0, 0, 0, 0]; moved()")
    explored.click("#from")
    explored.evaluate("z = [0, 1, 0, 0, 0, 0]; moved()")
    explored.click("#to")
    explored.set_checked("#draw", draw)
    explored.select_option("#how", "circle")
    explored.click("#go")
    explored.wait_for_selector("#sheet img")
    with explored.expect_download() as npz:
        explored.click("#sheet-npz")
    with explored.expect_download() as png:
        explored.click("#sheet-png")
    with np.load(npz.value.path(), allow_pickle=False) as found:
        z, x = found["z"], found["x"]
    assert np.linalg.norm(z, axis=1) == pytest.approx(np.linspace(2, 1, 16), abs=1e-12)
    assert np.arctan2(z[:, 1], z[:, 0]) == pytest.approx(np.linspace(0, np.pi / 2, 16), abs=1e-12)
    mean = VAE.load(digits / "model.safetensors").inverse_transform(z).reshape(-1, 8, 8)
    apart = np.abs(x - mean).max()
    assert apart > 0.1 if draw else apart < 1e-4
    assert shown_on(png.value.path(), 16) == pytest.approx(np.clip(x, 0, 1), abs=0.01)


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
