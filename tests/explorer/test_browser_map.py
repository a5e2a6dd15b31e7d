"""The map of 60,000 points in a real browser: what is moved, what is drawn, and what is said of it."""

from __future__ import annotations

import pytest

from tests.explorer.conftest import ready, served

WATCH = """() => {
  window.drawings = 0; window.axesDrawn = 0;
  document.getElementById('points').on('plotly_relayout', () => { drawings += 1; });
  document.getElementById('map').on('plotly_relayout', () => { axesDrawn += 1; });
}"""
SEEN = "[view.x, view.y, ...['map', 'points'].map((id) => document.getElementById(id).layout.xaxis.range)]"
# Where on the screen the picture shows a point of the plane: Plotly's own scale, then the transform of its figure.
PLACE = """([x, y]) => {
  const p = document.getElementById('points'), box = p.getBoundingClientRect(), {xaxis, yaxis} = p._fullLayout;
  return [box.left + box.width * xaxis.r2p(x) / p.offsetWidth, box.top + box.height * yaxis.r2p(y) / p.offsetHeight];
}"""
WITHOUT_GL = """const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  return /gl/.test(kind) ? null : get.call(this, kind, ...more);
}"""

# Every context that was ever lent, held so that none is given back by chance.
HOLDING_GL = """window.lent = new Set();
const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  const found = get.call(this, kind, ...more);
  if (found && /gl/.test(kind)) lent.add(found);
  return found;
}"""


@pytest.fixture
def many(page, table):
    from minamo.explorer.session import Session

    with served(Session(table)) as port:
        yield ready(page, port)


def middle(page):
    box = page.locator("#over").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box


def test_every_point_is_there(many):
    assert many.evaluate("document.getElementById('points').data.map(t => t.x.length)") == [60_000]
    assert many.inner_text("#count") == "60,000 rows."
    colors = "[...new Set(document.getElementById('points').data[0].marker.color)].length"
    assert many.evaluate(colors) == 3
    many.click("#legend button >> nth=1")
    left = many.evaluate("document.getElementById('points').data[0].x.length")
    assert left == many.evaluate("points.label.filter((v) => v !== '1').length") < 60_000
    assert many.inner_text("#count") == f"60,000 rows. {left:,} are drawn."


def test_panning_moves_the_picture_and_draws_the_points_once_at_rest(many):
    """A point stays under the pointer; no step of the drag draws 60,000 points anew."""
    many.check("#pan")
    many.evaluate(WATCH)
    x, y, box = middle(many)
    held = many.evaluate("[(view.x[0] + view.x[1]) / 2, (view.y[0] + view.y[1]) / 2]")
    before = many.evaluate(SEEN)
    assert many.evaluate(PLACE, held) == pytest.approx([x, y], abs=1.5)
    many.mouse.move(x, y)
    many.mouse.down()
    for i in range(1, 31):
        many.mouse.move(x + 4 * i, y + 2 * i)
    many.wait_for_timeout(600)  # it may rest, while it is held
    assert many.evaluate(PLACE, held) == pytest.approx([x + 120, y + 60], abs=1.5)
    assert many.evaluate("drawings") == 0
    many.mouse.up()
    many.wait_for_function("drawings > 0")
    assert many.evaluate("drawings") == 1
    assert 1 <= many.evaluate("axesDrawn") <= 30
    after, wide = many.evaluate(SEEN), before[0][1] - before[0][0]
    assert after[0][0] == pytest.approx(before[0][0] - 120 / box["width"] * wide)
    assert after[2] == pytest.approx(after[0])
    assert after[3] == pytest.approx([after[0][0] - wide / 2, after[0][1] + wide / 2])
    assert many.evaluate(PLACE, held) == pytest.approx([x + 120, y + 60], abs=1.5)


def test_zooming_keeps_what_is_under_the_pointer(many):
    many.check("#pan")
    many.evaluate(WATCH)
    x, y, _ = middle(many)
    x, y = x + 60, y - 40
    many.mouse.move(x, y)
    held, before = many.evaluate("([x, y]) => at({clientX: x, clientY: y})", [x, y]), many.evaluate(SEEN)
    for _ in range(5):
        many.mouse.wheel(0, -100)
    many.wait_for_function("drawings > 0")
    after = many.evaluate(SEEN)
    times = (before[0][1] - before[0][0]) / (after[0][1] - after[0][0])
    assert times == pytest.approx((before[1][1] - before[1][0]) / (after[1][1] - after[1][0]))
    assert 1.5 < times < 10
    assert many.evaluate(PLACE, held) == pytest.approx([x, y], abs=1.5)
    many.click("#all")
    assert many.evaluate(SEEN)[0] == pytest.approx(before[0])


def test_without_webgl_the_page_says_how_many_points_it_draws(page, table):
    from minamo.explorer.session import Session

    page.add_init_script(WITHOUT_GL)
    with served(Session(table)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_function("document.getElementById('count').textContent")
        assert page.inner_text("#count") == "60,000 rows. Of these 4,000 are drawn: this browser has no WebGL."


def test_drawing_again_takes_no_context_of_webgl(page, table):
    """A browser lends 16, and takes the oldest back: 20 drawings leave those in which Plotly draws, and no other."""
    from minamo.explorer.session import Session

    page.add_init_script(HOLDING_GL)
    with served(Session(table)) as port:
        ready(page, port)
        if page.evaluate("document.getElementById('points').data[0].type") != "scattergl":
            pytest.skip("this browser has no WebGL")
        plotlys = page.evaluate("[...lent].map((gl) => gl.canvas.closest('#points') !== null)")
        assert any(plotlys)
        page.evaluate("async () => { for (let i = 0; i < 20; i++) await react(); }")
        assert page.evaluate("[...lent].map((gl) => !gl.isContextLost())") == plotlys
