"""Names from data that would run if they were taken for markup: both pages show them as text, in a real browser."""

from __future__ import annotations

import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from minamo.cli.main import run
from tests.explorer.conftest import served

HOSTILE = (
    "<script>window.ran=1</script>",
    "<img src=x onerror=window.ran=1>",
    '"><svg onload=window.ran=1>',
    "a&amp;b",
)


def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(120, len(HOSTILE))).round(3)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A table whose columns, file and folder are called what would run, and images with labels that would."""
    folder = tmp_path_factory.mktemp("hostile")
    x = table()
    quoted = ",".join('"' + name.replace('"', '""') + '"' for name in HOSTILE)
    named = folder / f"{HOSTILE[1]}.csv"
    named.write_text("\n".join([quoted, *(",".join(map(str, row)) for row in x)]) + "\n")
    np.savez(folder / "x.npz", x=np.random.default_rng(1).random((120, 6, 6)), y=np.array(HOSTILE)[np.arange(120) % 4])
    found = {}
    for name, source, more in (("table", named, ["--prior", "mixture", "--components", "3"]), ("images", "x.npz", [])):
        found[name] = folder / f"{name}{HOSTILE[1]}"
        words = ["--latent", "2", "--hidden", "8", "--max-epochs", "2", "--compile", "off"]
        assert run(["fit", str(folder / source), "-o", str(found[name]), *words, *more]) == 0
    return found


def seen(page) -> str:
    """All that can be read on a page, in figures too, with what is folded away."""
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        chart.locator(".plot-container").wait_for()
    texts = page.evaluate("[...document.querySelectorAll('svg text')].map((e) => e.textContent)")
    return "\n".join([page.inner_text("body"), *texts])


def nothing_ran(page) -> None:
    """What was given as a name became no element, and what it would have done has not been done."""
    assert page.evaluate("window.ran") is None
    assert page.locator("img[src=x], [onload], [onerror]").count() == 0
    assert not [s for s in page.locator("script").all_inner_texts() if re.match(r"\s*window\.ran", s)]


@pytest.mark.parametrize("kind", ["table", "images"])
def test_a_report_shows_names_that_would_run_as_text(page, hostile, kind):
    page.goto((hostile[kind] / "report.html").as_uri())
    text = seen(page)
    for name in HOSTILE:
        assert name in text, name
    assert page.inner_text("h1") == hostile[kind].name
    if kind == "table":
        titles = page.locator(".xtitle").all_text_contents()
        assert set(HOSTILE) <= set(titles)
        assert set(HOSTILE) <= set(page.locator(".values th").all_text_contents())
        assert f"data {HOSTILE[1]}.csv: 120 rows" in text
    else:
        assert set(HOSTILE) <= set(page.locator(".legendtext").all_text_contents())
    nothing_ran(page)


def test_runs_side_by_side_too(page, hostile, tmp_path):
    place, again = tmp_path / "c.html", tmp_path / HOSTILE[1]
    shutil.copytree(hostile["table"], again)
    assert run(["report", str(hostile["table"]), str(again), "-o", str(place)]) == 0
    page.goto(place.as_uri())
    assert f"{hostile['table'].name} and {HOSTILE[1]}" == page.inner_text("h1")
    seen(page)
    nothing_ran(page)


@pytest.mark.parametrize("kind", ["table", "images"])
def test_the_explorer_shows_names_that_would_run_as_text(page, hostile, kind):
    from minamo.explorer.session import Session

    with served(Session(hostile[kind])) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("body[data-ready=yes]")
        page.focus("#over")
        page.keyboard.press("Enter")
        page.wait_for_selector("#point table")
        page.click("#sample")
        page.wait_for_selector("#sheet table, #sheet img")
        text = seen(page)
        for name in HOSTILE:
            assert name in text, name
        assert page.inner_text("h1") == page.title() == hostile[kind].name
        if kind == "table":
            assert set(HOSTILE) <= set(page.locator("#decoded th").all_text_contents())
            assert set(HOSTILE) <= set(page.locator("#sheet th").all_text_contents())
            row = int(page.inner_text("#point h3").removeprefix("Row "))
            given = page.locator("#point table").first.locator("tbody td:nth-child(2)").all_text_contents()
            assert [float(value) for value in given] == table()[row].tolist()
        else:
            assert set(HOSTILE) == set(page.locator("#legend button").all_inner_texts())
            assert any(name in page.inner_text("#point") for name in HOSTILE)
            picture = io.BytesIO()
            Image.new("L", (6, 6)).save(picture, "PNG")
            page.set_input_files("#file", {"name": HOSTILE[1], "mimeType": "image/png", "buffer": picture.getvalue()})
            page.locator("#point h3", has_text=HOSTILE[1]).wait_for()
        nothing_ran(page)
