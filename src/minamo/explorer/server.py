"""The explorer's server: Starlette on uvicorn, on a loopback address and a free port.

Starlette and not Dash: a slider that moves asks for one picture, and the answer is one function of z; there is no
tree of components to keep in step, and what may be asked is a short list that can be guarded.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from minamo.errors import DataError, MinamoError
from minamo.explorer.guard import Guard
from minamo.explorer.session import Session
from minamo.explorer.uploads import read_image, read_row
from minamo.report import is_picture
from minamo.report.page import plotly_js

HERE = Path(__file__).parent
FILES = {"page.html": "text/html", "map.js": "text/javascript", "page.js": "text/javascript", "page.css": "text/css"}
"""All that is served from the disk, read when the server is made: no request ever names a file."""


def make_app(session: Session, port: int) -> Guard:
    """Return the guarded ASGI application of a run."""
    routes = [
        *_files(),
        Route("/plotly.js", lambda request: Response(plotly_js(), media_type="text/javascript")),
        Route("/api/about", _get(lambda query: session.about())),
        Route("/api/history", _get(lambda query: session.history())),
        Route("/api/map", _get(lambda query: session.map(_whole(query, "a"), _whole(query, "b")))),
        Route("/api/datum", _get(lambda query: session.datum(_whole(query, "place")))),
        Route("/api/decode", _post(lambda b: session.decode(b.get("z", []), *_how(b))), methods=["POST"]),
        Route("/api/path", _post(partial(_path, session)), methods=["POST"]),
        Route("/api/sample", _post(partial(_sample, session)), methods=["POST"]),
        Route("/api/encode", partial(_encode, session), methods=["POST"]),
        Route("/api/shown.npz", partial(_npz, session), methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), port)


def listen() -> socket.socket:
    """A socket on a free port that only this machine reaches."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.bind(("127.0.0.1", 0))
    return made


def make_server(session: Session, listening: socket.socket) -> Any:
    """A uvicorn server that will answer on `listening`; `.run(sockets=[listening])` starts it."""
    import uvicorn

    app = make_app(session, listening.getsockname()[1])
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, lifespan="off", ws="none", server_header=False,
        timeout_keep_alive=5, limit_concurrency=64, h11_max_incomplete_event_size=16_384, http="h11",
    )  # fmt: skip
    return uvicorn.Server(config)


def serve(path: Path, open_browser: bool) -> None:
    """Serve a run until Ctrl-C."""
    import webbrowser

    session, listening = Session(path), listen()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    print(f"{path}: {address} (Ctrl-C ends it)", flush=True)
    if open_browser and not webbrowser.open(address):
        print("no browser was found: open the address yourself", file=sys.stderr, flush=True)
    with listening:
        make_server(session, listening).run(sockets=[listening])


def _files() -> list[Route]:
    """Routes to the page's own files."""
    found = []
    for name, kind in FILES.items():
        content = (HERE / name).read_bytes()
        answer = partial(Response, content, media_type=kind)
        found.append(Route("/" if name == "page.html" else f"/{name}", lambda request, answer=answer: answer()))
    return found


def _get(answer: Callable[[Any], Any]) -> Any:
    async def route(request: Request) -> Response:
        return await _json(lambda: answer(request.query_params))

    return route


def _post(answer: Callable[[dict[str, Any]], Any]) -> Any:
    async def route(request: Request) -> Response:
        body = await request.body()
        return await _json(lambda: answer(_object(body)))

    return route


async def _json(answer: Callable[[], Any]) -> Response:
    """What the session says, or the reason it refuses, in one line."""
    try:
        return JSONResponse(await run_in_threadpool(answer))
    except (MinamoError, OverflowError) as error:
        return PlainTextResponse(" ".join(str(error).split()), status_code=400)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError("expected one JSON object") from error
    if not isinstance(found, dict):
        raise DataError("expected one JSON object")
    return found


def _whole(given: Any, name: str, default: int | None = None) -> int:
    """A whole number among what was given."""
    value = given.get(name, default)
    if isinstance(value, bool) or value is None:
        raise DataError(f"{name} must be a whole number")
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{name} must be a whole number") from error
    if abs(found) > 2**31:
        raise DataError(f"{name} must be a whole number below 2^31")
    return found


def _how(body: dict[str, Any]) -> tuple[bool, int]:
    """Means or draws, and the seed."""
    return bool(body.get("draw", False)), _whole(body, "seed", 0)


def _path(session: Session, body: dict[str, Any]) -> Any:
    ends, steps = (body.get("start"), body.get("end")), _whole(body, "steps", 9)
    return session.path_between(*ends, str(body.get("how")), steps, *_how(body))


def _sample(session: Session, body: dict[str, Any]) -> Any:
    temperature = body.get("temperature", 1.0)
    if isinstance(temperature, bool) or not isinstance(temperature, int | float):
        raise DataError("temperature must be a number")
    return session.sample(_whole(body, "n", 36), float(temperature), *_how(body))


async def _encode(session: Session, request: Request) -> Response:
    """An image as it is, or a row of numbers as text."""
    kind, body = request.headers.get("content-type", ""), await request.body()

    def answer() -> Any:
        vae = session.vae
        if kind.startswith("image/"):
            if not is_picture(vae):
                raise DataError("the data of this run are not images: give a row of numbers")
            return session.encode_image(read_image(body, vae.schema_.shape))
        if not kind.startswith("text/plain"):
            raise DataError("give an image, or a row of numbers as text/plain")
        return session.encode(read_row(body.decode(errors="replace"), vae.schema_.n_columns))

    return await _json(answer)


async def _npz(session: Session, request: Request) -> Response:
    body = await request.body()

    def answer() -> bytes:
        asked = _object(body)
        return session.npz(asked.get("z"), *_how(asked))  # type: ignore[arg-type]

    try:
        return Response(await run_in_threadpool(answer), media_type="application/zip")
    except (MinamoError, OverflowError) as error:
        return PlainTextResponse(" ".join(str(error).split()), status_code=400)
