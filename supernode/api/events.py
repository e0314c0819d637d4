"""``GET /events`` as the web framework serves it: a websocket, or, without an upgrade, lines.

Most websockets are answered before they get here, by :mod:`supernode.wire.websocket`.
"""

from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import trio
from quart import Response, request, websocket
from quart.wrappers import Request as QuartRequest
from quart.wrappers import Websocket
from quart.wrappers.response import ResponseBody
from quart_trio import QuartTrio

from supernode.api.paths import at_the_root
from supernode.api.watching import Watching
from supernode.exchange import Answer, Request
from supernode.streaming import CLOSE_CODES, Ending, Opener, Stream

PATH = "/events"
NDJSON = "application/x-ndjson"
HEARTBEAT_SECONDS = 20.0
"""After so long without an event an empty line tells that the connection lives."""


def opener(watching: Watching, path: str) -> Opener | None:
    """Return what answers a websocket's handshake at a path; None: not the feed."""
    return watching.open if at_the_root(path)[0] == PATH else None


def add_events(app: QuartTrio, watching: Watching, *, heartbeat: float = HEARTBEAT_SECONDS) -> None:
    """Let clients of ``app`` watch what happens."""
    app.add_websocket(PATH, "events", _websocket(watching))
    app.add_url_rule(
        PATH,
        "events in lines",
        _lines(watching, heartbeat),
        methods=["GET"],
        provide_automatic_options=False,
    )


def _websocket(watching: Watching) -> Callable[[], Awaitable[Response | None]]:
    async def view() -> Response | None:
        """Send what happens until it ends, or the client goes: that cancels this.

        A client that stops reading is gone when the deadline of its connection's writes has passed.
        """
        stream = watching.open(_asked(websocket))
        if isinstance(stream, Answer):
            return _refusal(stream)
        with closing(stream):
            await websocket.accept(headers=stream.headers)
            while not isinstance(outcome := await stream.next(), Ending):
                for text in outcome.texts:
                    await websocket.send(text.decode())
            await websocket.close(CLOSE_CODES[outcome], outcome.value)
        return None

    return view


def _lines(watching: Watching, heartbeat: float) -> Callable[[], Awaitable[Response]]:
    async def view() -> Response:
        stream = watching.open(_asked(request))
        if isinstance(stream, Answer):
            return _refusal(stream)
        headers = {**stream.headers, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Response(_Lines(stream, heartbeat), headers=headers, content_type=NDJSON)

    return view


class _Lines(ResponseBody):
    """A stream as a body that ends with it."""

    def __init__(self, stream: Stream, heartbeat: float) -> None:
        self._stream = stream
        self._heartbeat = heartbeat

    async def __aenter__(self) -> "_Lines":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stream.close()

    def __aiter__(self) -> "_Lines":
        return self

    async def __anext__(self) -> bytes:
        with trio.move_on_after(self._heartbeat):
            outcome = await self._stream.next()
            if isinstance(outcome, Ending):
                raise StopAsyncIteration
            return outcome.encoded(_line)
        return b"\n"


def _line(text: bytes) -> bytes:
    return text + b"\n"


def _asked(carrier: Any) -> Request:  # noqa: ANN401 - a proxy of one of the two
    asked: QuartRequest | Websocket = carrier
    return Request(query_string=asked.query_string.decode("latin-1"))


def _refusal(answer: Answer) -> Response:
    return Response(
        answer.body, answer.status, dict(answer.headers), content_type=answer.content_type
    )
