"""The page: nothing in it comes from the network, nothing from the data is run, and it is small enough to send."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from minamo import VAE
from minamo.cli.main import run
from minamo.data.labels import labels
from minamo.evidence import Measure
from minamo.report import Opened, Served, render, summarize
from minamo.report.templates import measure

EVIL = '<script>alert("x")</script>'
BREAK = "</script><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Every tag with its attributes, and the text outside of scripts."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text, self.raw, self.inside = "", [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag in ("script", "style")
        if self.inside:
            self.raw.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.raw[-1] += data
        else:
            self.text += data

    def count(self, name: str) -> int:
        return sum(tag == name for tag, _ in self.tags)


def table(path, names) -> None:
    x = np.random.default_rng(0).normal(size=(80, len(names))).round(3)
    quoted = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    path.write_text(quoted + "\n" + "\n".join(",".join(map(str, row)) for row in x) + "\n")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Two runs that differ in what their columns are called."""
    folder, found = tmp_path_factory.mktemp("runs"), []
    for i, names in enumerate(([EVIL, BREAK, "{{ 7 * 7 }}", "c"], ["a", "b", "d", "c"])):
        table(folder / f"t{i}.csv", names)
        words = "--latent 2 --hidden 8 --max-epochs 2 --prior mixture --components 3 --compile off"
        assert run(["fit", str(folder / f"t{i}.csv"), "-o", str(folder / f"r{i}"), *words.split()]) == 0
        found.append((folder / f"r{i}" / "report.html").read_text())
    return found


def test_a_column_called_script_is_shown_and_not_run(pages):
    evil, good = map(Tags, pages)
    for name in ("script", "img", "style", "link"):
        assert evil.count(name) == good.count(name)
    assert not any(key.startswith("on") for _, attributes in evil.tags for key in attributes)
    for name in (EVIL, BREAK, "{{ 7 * 7 }}"):
        assert name in evil.text


def test_inside_the_figures_too(pages):
    """Plotly reads a little HTML in texts: there a name is made of entities; and no name can end the element."""
    raw = next(text for text in Tags(pages[0]).raw if text.startswith('{"r0-'))
    assert "<" not in raw
    titles = [f["layout"]["xaxis"]["title"]["text"] for f in json.loads(raw).values()]
    assert '&lt;script&gt;alert("x")&lt;/script&gt;' in titles
    assert not any("<" in title for title in titles)


def test_no_two_elements_have_one_id(pages):
    """A chart is drawn into the element of its id: with a section of the same name it stood above its own text."""
    for page in pages:
        ids = [attributes["id"] for _, attributes in Tags(page).tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        figures = json.loads(next(text for text in Tags(page).raw if text.startswith('{"r0-')))
        assert set(figures) <= set(ids)


def test_nothing_is_fetched(pages):
    for page in pages:
        found = Tags(page)
        for tag, attributes in found.tags:
            for key in ("src", "href"):
                value = attributes.get(key) or "#"
                assert value.startswith(("#", "data:")), (tag, value)
        assert "default-src 'none'" in page
        assert not re.search(r"@import|url\(\s*['\"]?http", "".join(t for t in found.raw if "plotly.js v" not in t))


def test_it_can_be_read_aloud(pages):
    found = Tags(pages[1])
    assert found.count("h1") == 1
    headings = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h\d", tag)]
    assert all(b - a <= 1 for a, b in pairwise(headings))
    assert all(attributes.get("alt") for tag, attributes in found.tags if tag == "img")
    assert all(attributes.get("scope") for tag, attributes in found.tags if tag == "th")
    assert all(a.get("aria-label") for _, a in found.tags if a.get("role") in ("img", "region"))
    anchors = {a["id"] for _, a in found.tags if "id" in a}
    assert {a["href"][1:] for tag, a in found.tags if tag == "a"} <= anchors


def test_a_table_has_its_columns_and_components(pages):
    text = Tags(pages[1]).text
    for words in (
        "Columns: data beside the model",
        "decoded means of the components",
        "Worst explained",
        "fingerprint",
    ):
        assert words in text


@pytest.mark.parametrize("value", [-84.6123, 0.0, 1e-9, 123456.7])
@pytest.mark.parametrize("se", [None, 0.0, 0.31, 2e-5, 250.0])
def test_a_number_is_written_as_its_measure_writes_it(value, se):
    one = Measure(value, se, 9, "nats")
    assert measure({"name": "elbo", **one.to_json(), "means": "..."}) == str(one)
    assert measure(Measure(float("nan"), None, 9, "nats").to_json()) == "not finite"


def test_large_noisy_pictures_and_ten_thousand_epochs_stay_below_8_mb():
    """The worst case: color noise of 100 x 120 pixels, which no PNG makes smaller, and a fit up to the cap."""
    rng = np.random.default_rng(0)
    x = rng.random((40, 100, 120, 3), dtype=np.float32)
    names = [f"{of}{name}" for of in ("", "training_") for name in ("elbo", "reconstruction", "kl")]
    noise = rng.normal(-90, 1, (10_000, len(names)))
    history = [
        {"epoch": e, "best_epoch": e, "learning_rate": 1e-3, **dict(zip(names, map(float, one), strict=True))}
        for e, one in enumerate(noise, start=1)
    ]
    vae = VAE(latent_dim=2, hidden=(4,), max_epochs=1, patience=None, compile="off", prior="vamp", components=30).fit(x)
    rows = vae.rows(x)
    page = render(summarize(Opened(Path("x"), {}, history, vae, Served(rows, "training", rows)))).encode()
    assert b"Worst explained" in page
    assert b"best: epoch 10000" in page
    assert len(page) < 8e6


@pytest.mark.parametrize("text", [["a", EVIL], [3, 7], [1.0, 2.5]])
def test_labels_come_from_an_npz(tmp_path, text):
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 4)), y=np.array(text))
    found = labels(str(tmp_path / "d.npz"), "all", 2)
    assert found is not None
    assert found.tolist() == text
    assert labels(str(tmp_path / "d.npz"), "all", 3) is None
    assert labels(str(tmp_path / "none.npz"), "all", 2) is None
