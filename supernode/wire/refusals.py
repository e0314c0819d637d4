"""Telling clients that there is no room for their connection."""

import trio

AT_ONCE = 64
"""How many clients are told at a time; the others are closed without an answer."""
SECONDS = 1.0
"""How long such a client may take to read it."""
ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Retry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


class Refusals:
    """The refusals under way on one port."""

    def __init__(self) -> None:
        self._under_way = 0

    async def tell(self, stream: trio.SocketStream) -> None:
        """Answer 503, if few enough are being told so; the caller closes the connection.

        Waits a moment for the client to finish: closing on bytes not read would reset the
        connection, and take the answer away again.
        """
        if self._under_way >= AT_ONCE:
            return
        self._under_way += 1
        try:
            with trio.move_on_after(SECONDS):
                await stream.send_all(ANSWER)
                await stream.send_eof()
                while await stream.receive_some():
                    pass
        except trio.BrokenResourceError:
            pass  # gone already
        finally:
            self._under_way -= 1
