"""A connection whose first bytes have been read already."""

from typing import Any


class Replayed:
    """A stream that gives its reader once more what another has read of it.

    Whatever else is looked for, also whether it is there at all, is the stream's: by such a name
    Hypercorn tells connections under TLS from others.

    Args:
        stream: the connection.
        first: what was read of it.
    """

    def __init__(self, stream: Any, first: bytes) -> None:  # noqa: ANN401 - any kind of stream
        self._stream = stream
        self._first = first

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what was read before, then what arrives; see the stream's."""
        if self._first:
            first = self._first[:max_bytes]
            self._first = self._first[len(first) :]
            return first
        data: bytes = await self._stream.receive_some(max_bytes)
        return data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)
