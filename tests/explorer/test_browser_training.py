"""A run that is still training, in a real browser: its curves move, its model comes, and its end is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest

from minamo.cli.main import run
from tests.explorer.conftest import SMALL, ready, served

EPOCHS = "logged?.epoch.at(-1) ?? 0"


@pytest.fixture
def quick(page):
    """A page that asks every fifth of a second how training goes."""
    page.add_init_script("const after = setTimeout; setTimeout = (work, ms) => after(work, ms === 3000 ? 200 : ms)")
    return page


def state(page, words: str) -> None:
    page.wait_for_function(
        "words => document.getElementById('state').textContent.includes(words)", arg=words, timeout=90_000
    )


def test_the_model_comes_while_one_waits(quick, digits, tmp_path):
    """Before the first checkpoint there are curves alone; no reload is needed."""
    from minamo.explorer.session import Session

    shutil.copy(digits / "config.json", tmp_path)
    with served(Session(tmp_path)) as port:
        quick.goto(f"http://127.0.0.1:{port}/")
        quick.wait_for_selector("body[data-ready]")
        assert quick.inner_text("#state") == "No epoch has ended yet."
        assert "holds no epoch" in quick.inner_text("#missing")
        assert quick.is_hidden("#space")
        quick.evaluate("window.mark = 1")
        lines = (digits / "log.jsonl").read_text().splitlines(keepends=True)
        for i, line in enumerate(lines):
            with open(tmp_path / "log.jsonl", "a") as log:
                log.write(line + '{"epoch": ' * (i < 2))  # cut, as when it is read while it is written
            quick.wait_for_function(f"({EPOCHS}) === {i + 1}")
            drawn = "document.getElementById('curves').data.find((t) => t.name === 'validation').y.length"
            assert quick.evaluate(drawn) == i + 1
            text = "".join(lines[: i + 1])
            (tmp_path / "log.jsonl").write_text(text)
        shutil.copy(digits / "model.safetensors", tmp_path)
        quick.wait_for_selector("#decoded img")
        state(quick, "Stopped by the cap of 3 epochs")
        assert quick.is_hidden("#missing")
        assert quick.inner_text("#shown").startswith("Shown is the model saved after epoch 3")
        assert quick.evaluate("mark") == 1


def test_a_run_is_watched_until_it_is_killed_and_to_its_end(quick, tmp_path, monkeypatch):
    from minamo.explorer.session import Session

    path = tmp_path / "run"
    words = ["fit", "digits", "-o", str(path), "--latent", "6", "--batch", "8", *SMALL, "--max-epochs", "100000"]
    training = subprocess.Popen([sys.executable, "-m", "minamo", *words], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (path / "model.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with served(Session(path)) as port:
            ready(quick, port)
            quick.evaluate("window.mark = 1; z[0] = 1; moved()")
            state(quick, "Training: ")
            first = quick.evaluate(EPOCHS)
            quick.wait_for_function(f"({EPOCHS}) > {first + 2}", timeout=60_000)
            assert quick.evaluate("document.getElementById('curves').data[0].y.length") >= first + 3
            shown = quick.inner_text("#shown")
            quick.wait_for_selector("#newer:not([hidden])", timeout=60_000)
            image = quick.get_attribute("#decoded img", "src")
            quick.click("#newer")
            quick.wait_for_function(
                "old => document.getElementById('shown').textContent !== old", arg=shown, timeout=60_000
            )
            quick.wait_for_function("old => document.querySelector('#decoded img').src !== old", arg=image)
            assert quick.evaluate("[mark, z[0]]") == [1, 1]

            training.kill()
            training.wait(30)
            past = time.time() - 3600
            os.utime(path / "log.jsonl", (past, past))
            state(quick, "interrupted, it seems")
            said = quick.inner_text("#state")
            assert "none for 36" in said
            assert "--resume goes on" in said

            last = quick.evaluate(EPOCHS) + 1
            assert run(["fit", "-o", str(path), "--resume", "--max-epochs", str(last)]) == 0
            state(quick, f"Stopped by the cap of {last} epochs")
            assert quick.evaluate(EPOCHS) == last
            assert quick.evaluate("mark") == 1
    finally:
        training.kill()
        training.wait(30)


def test_the_explorers_own_end_is_said(page, session):
    with served(session) as port:
        ready(page, port)
    page.evaluate("moved()")
    page.wait_for_selector("#said:not([hidden])")
    assert "it has ended" in page.inner_text("#said")
    assert "ERR_CONNECTION_REFUSED" in page.errors.pop()
