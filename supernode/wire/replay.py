"""A connection whose first bytes were looked at, as if they had not been."""

from typing import Any

import trio

from supernode.wire.streams import GuardedStream


class Replayed:
    """A stream that gives the bytes that were read from it once more, then what follows.

    All else is the stream's own, also which attributes there are: Hypercorn takes those for a sign.

    Args:
        stream: what was read from.
        first: what was read.
    """

    def __init__(self, stream: GuardedStream | trio.SSLStream[GuardedStream], first: bytes) -> None:
        self._stream = stream
        self._first = first

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what has arrived, as the stream does."""
        if self._first:
            first, self._first = (
                self._first[:max_bytes],
                self._first[max_bytes or len(self._first) :],
            )
            return first
        return bytes(await self._stream.receive_some(max_bytes))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it is
        return getattr(self._stream, name)
