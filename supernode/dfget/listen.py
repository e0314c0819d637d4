"""Accepting connections, a bounded number at a time."""

import errno
import logging
from collections.abc import Awaitable, Callable

import trio

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.1
_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


async def accept_each(
    listener: trio.SocketListener,
    handle: Callable[[trio.SocketStream], Awaitable[None]],
    *,
    at_most: int,
) -> None:
    """Handle each connection in a task of its own and close it then, until cancelled.

    While ``at_most`` are open, further ones wait in the kernel's queue. What ``handle`` raises is
    logged and the end of that connection only. Owns the listener.
    """
    room = trio.Semaphore(at_most)

    async def serve(stream: trio.SocketStream) -> None:
        try:
            await handle(stream)
        except Exception:
            log.exception("a connection's handler crashed")
        finally:
            stream.socket.close()
            room.release()

    async with listener, trio.open_nursery() as connections:
        while True:
            await room.acquire()
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _SCARCE:
                    raise
                room.release()
                await trio.sleep(_PAUSE_SECONDS)
                continue
            connections.start_soon(serve, stream)
