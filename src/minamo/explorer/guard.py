"""Who may speak to the explorer: this machine's own browser, at the address that was printed, and in small words."""

from __future__ import annotations

from typing import Any

LARGEST_BODY = 8 * 2**20
"""Bytes of a request."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""'unsafe-eval': plotly.js compiles its drawing of many points; no text of a page or of data ever gets there."""


class Guard:
    """An ASGI layer that refuses other hosts, other origins and large bodies.

    A page elsewhere could name this address, or let its own name resolve to it (DNS rebinding): the browser then says
    so in Origin, or keeps that name in Host.

    Args:
        app: what lies behind.
        port: where it listens; set before the first request.
    """

    def __init__(self, app: Any, port: int):
        self.app = app
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        refusal = self._refusal(headers)
        if refusal:
            await _answer(send, *refusal)
            return
        body = await _whole(receive)
        if body is None:
            await _answer(send, 413, "the request is too large")
            return
        told = False

        async def given() -> Any:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def dressed(message: Any) -> None:
            if message["type"] == "http.response.start":
                more = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self.app(scope, given, dressed)

    def _refusal(self, headers: list[tuple[bytes, str]]) -> tuple[int, str] | None:
        """Status and reason, or None."""
        named = [value for name, value in headers if name == b"host"]
        if len(named) != 1 or named[0].lower() not in self.hosts:
            return 403, "this address is served under its own name only"
        for name, value in headers:
            if name == b"origin" and value.lower() not in {f"http://{host}" for host in self.hosts}:
                return 403, "other pages may not ask"
            if name == b"sec-fetch-site" and value not in ("same-origin", "none"):
                return 403, "other pages may not ask"
            if name == b"content-length" and (not value.isdigit() or int(value) > LARGEST_BODY):
                return 413, "the request is too large"
        return None


async def _whole(receive: Any) -> bytes | None:
    """The body, or None where it goes past the limit, whatever length it had claimed."""
    parts, taken = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        taken += len(parts[-1])
        if taken > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


async def _answer(send: Any, status: int, words: str) -> None:
    body = words.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
