"""The ASGI lifespan: an app is started before the first connection and stopped after the last.

Hypercorn's own driver logs a crash of the app's lifespan and goes on serving; here it ends the
server (https://github.com/pgjones/hypercorn/issues/31).
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveEvent,
    ASGISendEvent,
    LifespanScope,
    LifespanState,
)

STARTUP_SECONDS = 30.0
SHUTDOWN_SECONDS = 10.0


class LifespanError(Exception):
    """The app did not start or stop, or left its lifespan before it was told to."""


@asynccontextmanager
async def lifespan(app: ASGIFramework) -> AsyncGenerator[LifespanState]:
    """Start ``app``, run the body, stop ``app``; a body that raises is not followed by a stop.

    Yields:
        the state which the app wants every connection to have a copy of.

    Raises:
        LifespanError: the app failed to start or stop, or ended early; in an exception group,
            as is whatever the app's lifespan itself raised.
        trio.TooSlowError: starting or stopping took too long; in an exception group.
    """
    state: LifespanState = {}
    scope: LifespanScope = {
        "type": "lifespan",
        "asgi": {"spec_version": "2.0", "version": "3.0"},
        "state": state,
    }
    to_app, from_us = trio.open_memory_channel[ASGIReceiveEvent](1)
    started = trio.Event()
    stopped = trio.Event()

    async def send(message: ASGISendEvent) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                started.set()
            case "lifespan.shutdown.complete":
                stopped.set()
            case "lifespan.startup.failed" | "lifespan.shutdown.failed":
                raise LifespanError(f"{message['type']}: {message.get('message', '')}")

    async def live() -> None:
        await app(scope, from_us.receive, send)
        if not stopped.is_set():
            raise LifespanError("the app's lifespan ended early")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        with trio.fail_after(STARTUP_SECONDS):
            await to_app.send({"type": "lifespan.startup"})
            await started.wait()
        yield state
        with trio.fail_after(SHUTDOWN_SECONDS):
            await to_app.send({"type": "lifespan.shutdown"})
            await stopped.wait()
        nursery.cancel_scope.cancel()
