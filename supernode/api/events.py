"""``GET /events``: every event of the core as it happens, each one text message of a websocket."""

from collections.abc import Awaitable, Callable

import trio
from quart import Response, request, websocket
from quart_trio import QuartTrio

from supernode.api.errors import failure
from supernode.api.event_json import text
from supernode.feed import Feed

PATH = "/events"
MOST_SUBSCRIBERS = 1000
GOING_AWAY = 1001


def add_events(app: QuartTrio, feed: Feed, *, most_subscribers: int = MOST_SUBSCRIBERS) -> None:
    """Let websocket clients of ``app`` read along, at most ``most_subscribers`` at a time."""
    app.add_websocket(PATH, "events", _subscription_to(feed, most_subscribers))
    app.add_url_rule(
        PATH,
        "events without a websocket",
        _say_upgrade,
        methods=["GET"],
        provide_automatic_options=False,
    )


def _subscription_to(feed: Feed, most_subscribers: int) -> Callable[[], Awaitable[Response | None]]:
    room = trio.Semaphore(most_subscribers)

    async def view() -> Response | None:
        """Send what happens until the feed is closed, or the client goes: that cancels this.

        A client that stops reading is gone when the deadline of its connection's writes has passed.
        """
        try:
            room.acquire_nowait()
        except trio.WouldBlock:
            return _refusal(503, f"there are {most_subscribers} subscribers already")
        try:
            subscription = feed.subscribe()
            await websocket.accept()
            while items := await subscription.take():
                for item in items:
                    await websocket.send(text(item))
            await websocket.close(GOING_AWAY, "the supernode stops")
        finally:
            room.release()
        return None

    return view


async def _say_upgrade() -> Response:
    refusal = _refusal(426, f"{PATH} is a websocket: ask for an upgrade to it")
    if request.http_version != "2":  # there an upgrade is no matter of headers
        refusal.headers["Upgrade"] = "websocket"
        refusal.headers["Connection"] = "Upgrade"
    return refusal


def _refusal(status: int, message: str) -> Response:
    answer = failure(status, message)
    return Response(answer.body, answer.status, content_type=answer.content_type)
