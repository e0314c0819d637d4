"""The contract of what goes on and on: messages in portions, whatever carries them.

A *stream* says what to send next, and its carrier (a websocket, lines of an HTTP answer) sends it
in one write. A carrier that is slow asks less often, and that is all.
"""

import enum
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from supernode.exchange import Answer, Request


class Ending(enum.Enum):
    """Why a stream has ended."""

    CLOSED = "the supernode stops"
    TOO_SLOW = "too slow: more was missed than read"


CLOSE_CODES = {Ending.CLOSED: 1001, Ending.TOO_SLOW: 1013}
"""How a websocket says so (RFC 6455 §7.4.1 and its registry)."""


class Portion:
    """Messages that go out in one write; one object for all who are sent the same.

    Args:
        texts: what each of them says, in UTF-8.
    """

    __slots__ = ("_encoded", "texts")

    def __init__(self, texts: Sequence[bytes]) -> None:
        self.texts = texts
        self._encoded: dict[Callable[[bytes], bytes], bytes] = {}

    def encoded(self, encode: Callable[[bytes], bytes]) -> bytes:
        """Return what to write, each message encoded by itself; this is done once."""
        encoded = self._encoded.get(encode)
        if encoded is None:
            encoded = self._encoded[encode] = b"".join(map(encode, self.texts))
        return encoded


class Stream(Protocol):
    """What one client is sent."""

    @property
    def headers(self) -> dict[str, str]:
        """What is said before the first message."""
        ...

    async def next(self) -> Portion | Ending:
        """Wait for the next messages. On cancel, none is lost."""
        ...

    def close(self) -> None:
        """Let go of it: nobody is sent anything any more. May be called more than once."""
        ...


Opener: TypeAlias = Callable[[Request], Stream | Answer]
"""Begins a stream, to be closed by the caller, or says why not."""
