"""A run and a server on it, and a page in a real browser."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minamo.cli.main import run

CHROMIUM = shutil.which("chromium")
SMALL = ["--hidden", "32", "--compile", "off"]


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("explored") / "digits"
    assert run(["fit", "digits", "-o", str(path), "--latent", "6", "--max-epochs", "3", *SMALL]) == 0
    return path


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """A run on a table of 60,000 rows in four columns, with labels."""
    folder = tmp_path_factory.mktemp("many")
    chance = np.random.default_rng(0)
    label = chance.integers(0, 3, 60_000)
    x = chance.normal(size=(60_000, 4)) + 3 * label[:, None]
    np.savez(folder / "rows.npz", x=x.astype(np.float32), y=label)
    words = ["--latent", "2", "--max-epochs", "1", "--batch", "1024", *SMALL]
    assert run(["fit", str(folder / "rows.npz"), "-o", str(folder / "run"), *words]) == 0
    return folder / "run"


@contextlib.contextmanager
def served(session: Any) -> Iterator[int]:
    """The port where a real server answers."""
    pytest.importorskip("uvicorn", reason="the explorer needs minamo[explore]")
    from minamo.explorer.server import listen, make_server

    listening = listen()
    server = make_server(session, listening)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    listening.close()


@pytest.fixture(scope="session")
def session(digits):
    pytest.importorskip("starlette", reason="the explorer needs minamo[explore]")
    from minamo.explorer.session import Session

    return Session(digits)


@pytest.fixture(scope="session")
def port(session):
    """Where the digits are served."""
    with served(session) as found:
        yield found


@pytest.fixture
def page():
    """A page that fails its test if anything was logged as an error."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright and chromium: make browser")
    if CHROMIUM is None:
        pytest.skip("needs chromium: make browser")
    with playwright.sync_playwright() as opened:
        browser = opened.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        made, said = browser.new_page(viewport={"width": 1280, "height": 1000}, has_touch=True), []
        made.set_default_timeout(120_000)  # of a machine that does other things as well
        made.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        made.on("pageerror", lambda error: said.append(str(error)))
        made.errors = said  # for a test that wants one
        yield made
        browser.close()
    assert said == []


@pytest.fixture
def explored(page, port):
    return ready(page, port)


def ready(page, port):
    """The explorer's page, once it has drawn everything."""
    page.goto(f"http://127.0.0.1:{port}/")
    page.wait_for_selector("body[data-ready]")
    page.wait_for_selector("#decoded :first-child")
    return page
