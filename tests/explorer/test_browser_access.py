"""The explorer by keyboard, by screen reader, and in the dark."""

from __future__ import annotations

import re

import pytest

TABBABLE = """() => [...document.querySelectorAll('button, input, select, [tabindex="0"]')].filter((e) =>
  e.offsetParent && !e.disabled && (e.type !== 'radio' || e.checked)).map((e, i) => e.dataset.place = String(i))"""
FOCUSED = """() => { const e = document.activeElement, s = getComputedStyle(e);
  return [e.dataset.place ?? null, s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1]; }"""
# Contrast of WCAG 2 between the text of every element that has some of its own, and the nearest background behind it.
CONTRAST = """() => {
  const rgb = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const paper = (e) => rgb(getComputedStyle(e).backgroundColor);
  const behind = (e) => { while (paper(e)[3] === 0) e = e.parentElement; return paper(e).slice(0, 3); };
  const seen = (e) => e.getClientRects().length && !e.closest('.unseen, option');
  return [...document.querySelectorAll('body *')].filter((e) => seen(e) &&
      [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())).map((e) => {
    const s = getComputedStyle(e), ink = rgb(e instanceof SVGElement ? s.fill : s.color).slice(0, 3);
    const [p, q] = [light(ink), light(behind(e))].sort((a, b) => b - a);
    return [(p + .05) / (q + .05), e.textContent.trim().slice(0, 30)];
  });
}"""


def test_every_control_is_reached_by_tab_and_is_seen(explored):
    places = explored.evaluate(TABBABLE)
    assert len(places) > 30
    reached, unseen = set(), []
    for _ in range(2 * len(places)):
        explored.keyboard.press("Tab")
        place, visible = explored.evaluate(FOCUSED)
        if place is not None:
            reached.add(place)
            if not visible:
                unseen.append(place)
    assert reached == set(places)
    assert unseen == []


def test_map_and_sliders_are_moved_by_keys_and_what_is_decoded_is_said(explored):
    explored.focus("#over")
    a, b = explored.evaluate("axes()")
    z, view = explored.evaluate("[...z]"), explored.evaluate("[view.x, view.y]")
    before = explored.get_attribute("#decoded img", "src")
    for _ in range(5):
        explored.keyboard.press("ArrowRight")
    explored.keyboard.press("ArrowUp")
    after = explored.evaluate("z")
    assert after[a] - z[a] == pytest.approx((view[0][1] - view[0][0]) / 10)
    assert after[b] - z[b] == pytest.approx((view[1][1] - view[1][0]) / 50)
    explored.wait_for_function("old => document.querySelector('#decoded img').src !== old", arg=before)
    where = f"z{a} = {after[a]:.2f}, z{b} = {after[b]:.2f}"
    explored.wait_for_function("w => document.getElementById('heard').textContent.includes(w)", arg=where)
    assert re.search(r"nearest datum: row \d+, label \d, \d+\.\d away", explored.inner_text("#heard"))
    assert where in explored.get_attribute("#decoded img", "alt")

    explored.keyboard.press("Shift+ArrowRight")
    explored.keyboard.press("+")
    x = explored.evaluate("view.x")
    assert sum(x) / 2 == pytest.approx(sum(view[0]) / 2 + (view[0][1] - view[0][0]) / 10)
    assert x[1] - x[0] == pytest.approx((view[0][1] - view[0][0]) / 1.25)
    explored.keyboard.press("0")
    assert explored.evaluate("[view.x, view.y]") == [pytest.approx(v) for v in view]

    explored.focus("#sliders input >> nth=2")
    j = int(explored.locator("#sliders input").nth(2).get_attribute("data-latent"))
    before = explored.evaluate("z")[j]
    explored.keyboard.press("ArrowRight")
    assert explored.evaluate("z")[j] > before

    explored.focus("#over")
    explored.keyboard.press("Enter")
    explored.wait_for_function("document.getElementById('heard').textContent.startsWith('Row ')")
    assert "log p at least" in explored.inner_text("#heard")


def test_a_screen_reader_is_told_what_is_what(explored):
    said = explored.locator("body").aria_snapshot()
    latents = explored.evaluate("about.latents")
    for words in (
        'heading "digits" [level=1]',
        'application "Map of the latent space"',
        'radiogroup "What dragging does"',
        'radio "move z" [checked]',
        'combobox "across"',
        'button "zoom in"',
        f'slider "z{latents[0]}"',
        'img "The mean of x at ',
        'img "Drawing pad: draw with the pointer"',
        'textbox "row"',
        'spinbutton "temperature"',
        'img "ELBO by epoch, in nats per datum; at epoch 3: ',
    ):
        assert words in said, said
    described = explored.get_attribute("#over", "aria-describedby").split()
    assert "Arrow keys move z" in " ".join(explored.inner_text(f"#{name}") for name in described)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(explored, scheme):
    """Contrast of 4.5 (WCAG AA), figures included; a change of the scheme is followed without reloading."""
    explored.click("#sample")
    explored.wait_for_selector("#sheet img")
    explored.emulate_media(color_scheme=scheme)
    ink = {"light": "rgb(27, 39, 51)", "dark": "rgb(227, 233, 239)"}[scheme]
    for chart in ("map", "curves"):
        tick = f"#{chart} .xtick text"
        explored.wait_for_function(
            "([at, ink]) => getComputedStyle(document.querySelector(at)).fill === ink", arg=[tick, ink]
        )
    found = explored.evaluate(CONTRAST)
    assert len(found) > 60
    assert [text for ratio, text in found if ratio < 4.5] == []
