"""What an origin may have us do for its bytes, and that others have their turn meanwhile."""

from typing import Any

import pytest
import trio

from supernode.core.reasons import Reason
from supernode.origin.answer import EVENTS_AT_ONCE, MAX_HEAD, MAX_INFORMATIONAL, OriginAnswer, ask
from supernode.origin.errors import OriginError
from supernode.origin.request import compose

READ_SIZE = 256 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
INFORMATION = b"HTTP/1.1 103 Early Hints\r\n\r\n"
END = b"0\r\n\r\n"


class Canned:
    """A connection on which everything has arrived."""

    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def receive(self, most: int) -> bytes:
        await trio.lowlevel.checkpoint()
        block, self._content = self._content[:most], self._content[most:]
        return bytes(block)


async def asked(content: bytes) -> OriginAnswer:
    connection: Any = Canned(content)
    return await ask(connection, compose("http://h/f", {}), None, READ_SIZE)


async def all_of(content: bytes) -> bytes:
    answer = await asked(content)
    received = bytearray()
    while block := await answer.receive():
        received += block
    return bytes(received)


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


async def turns_during(content: bytes) -> int:
    """Return how often another task has its turn while the content is received."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await all_of(content)
        nursery.cancel_scope.cancel()
    return turns


async def test_others_have_their_turn_between_tiny_chunks() -> None:
    tiny = 50_000
    assert await turns_during(HEAD + chunks(*[b"x"] * tiny) + END) > tiny / EVENTS_AT_ONCE


async def test_as_many_answers_of_status_1xx_as_allowed() -> None:
    assert await all_of(INFORMATION * MAX_INFORMATIONAL + HEAD + chunks(b"x") + END) == b"x"


async def test_a_flood_of_answers_of_status_1xx() -> None:
    with pytest.raises(OriginError) as caught:
        await asked(INFORMATION * (MAX_INFORMATIONAL + 1) + HEAD)
    assert caught.value.reason is Reason.ORIGIN_BROKEN
    assert caught.value.detail == "http://h/f: more than 16 answers of status 1xx"


@pytest.mark.parametrize("line", [b"a:\r\n", b"x-header: value\r\n"])
async def test_a_head_that_is_too_long_is_not_parsed_though_it_is_complete(line: bytes) -> None:
    fields = line * (2 * MAX_HEAD // len(line))
    with pytest.raises(OriginError) as caught:
        await asked(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
    assert caught.value.reason is Reason.ORIGIN_BROKEN


async def test_as_are_trailers() -> None:
    with pytest.raises(OriginError) as caught:
        await all_of(HEAD + chunks(b"x") + b"0\r\n" + b"a:\r\n" * (MAX_HEAD // 2) + b"\r\n")
    assert caught.value.reason is Reason.ORIGIN_BROKEN


async def test_a_server_that_flushes_every_line() -> None:
    lines = [b"a line of 24 characters\n"] * 100_000
    assert await all_of(HEAD + chunks(*lines) + END) == b"".join(lines)


@pytest.mark.parametrize(
    "chunk",
    [b"1\r\nx\r\n", b"8\r\n8 bytes.\r\n", b"10;why=%b\r\n16 bytes long...\r\n" % (b"y" * 99)],
)
async def test_content_that_is_lost_in_its_framing(chunk: bytes) -> None:
    with pytest.raises(OriginError) as caught:
        await all_of(HEAD + chunk * (4_000_000 // len(chunk)) + END)
    assert caught.value.reason is Reason.ORIGIN_BROKEN
    assert "bytes around" in caught.value.detail
