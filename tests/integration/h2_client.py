"""HTTP/2 spoken frame by frame, over any stream."""

from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import trio

Header = tuple[str, str]


@dataclass
class H2Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class H2Client:
    """One connection; requests go one after the other."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._stream = stream

    async def begin(self) -> None:
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        await self._stream.send_all(self.h2.data_to_send())

    async def request(
        self,
        path: str,
        *headers: Header,
        authority: str = "supernode",
        method: str = "GET",
    ) -> H2Answer:
        await self.ask(path, *headers, authority=authority, method=method)
        return await self.answer()

    async def ask(
        self,
        path: str,
        *headers: Header,
        authority: str = "supernode",
        method: str = "GET",
        more: bool = False,
    ) -> int:
        """Send a request, without its body if there is ``more``; return the stream's number."""
        number = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":path", path)]
        head += [(":authority", authority), *headers]
        self.h2.send_headers(number, head, end_stream=not more)
        await self.flush()
        return number

    async def answer(self) -> H2Answer:
        """Return the next answer."""
        answer = H2Answer()
        while True:
            for event in await self.receive():
                match event:
                    case h2.events.ResponseReceived():
                        answer.headers = {str(name): str(value) for name, value in event.headers}
                        answer.status = int(answer.headers.pop(":status"))
                    case h2.events.DataReceived():
                        answer.body += event.data
                    case h2.events.StreamEnded():
                        return answer
                    case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                        raise AssertionError(f"the server ended it: {event}")

    async def receive(self) -> list[h2.events.Event]:
        """Return what happened next."""
        data = await self._stream.receive_some()
        assert data, "the server has closed"
        events = self.h2.receive_data(bytes(data))
        await self.flush()
        return events
