"""A run and a server on it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest

from minamo.cli.main import run


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("explored") / "digits"
    words = ["--latent", "6", "--hidden", "32", "--max-epochs", "3", "--compile", "off"]
    assert run(["fit", "digits", "-o", str(path), *words]) == 0
    return path


@pytest.fixture(scope="session")
def session(digits):
    pytest.importorskip("starlette", reason="the explorer needs minamo[explore]")
    from minamo.explorer.session import Session

    return Session(digits)


@pytest.fixture(scope="session")
def port(session):
    """Where a real server answers."""
    with serving(session) as found:
        yield found


@contextmanager
def serving(session):
    """A real server on a session; gives its port."""
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
