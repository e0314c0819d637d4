"""What Trio and httptools can do at best: every request gets the same answer, and nothing else is
done. The port is the only argument."""

import sys
from contextlib import suppress
from functools import partial

import httptools
import trio

BODY = b'{"code":611}'
ANSWER = b"HTTP/1.1 200 \r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)


class Requests:
    """Counts the requests that have come whole."""

    def __init__(self) -> None:
        self.waiting = 0

    def on_message_complete(self) -> None:
        """Take note of one."""
        self.waiting += 1


async def serve(stream: trio.SocketStream) -> None:
    requests = Requests()
    parser = httptools.HttpRequestParser(requests)
    with suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(65536):
            parser.feed_data(data)
            await stream.send_all(ANSWER * requests.waiting)
            requests.waiting = 0


if __name__ == "__main__":
    trio.run(partial(trio.serve_tcp, serve, int(sys.argv[1]), host="127.0.0.1"))
